"""What has to be looked at, and when: the one loop of every worker."""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from kai_py.errors import ApiError

from .clock import Clock

Key = TypeVar("Key", bound=Hashable)

_log = logging.getLogger(__name__)
#: Keys handled before other tasks get a turn: some milliseconds.
_BATCH: Final = 100
_FIRST_RETRY: Final = 0.05
_LAST_RETRY: Final = 10.0


class Agenda(Generic[Key]):
    """Keys in the order of their time.

    A key has one time: the earliest that anybody asked for. Whoever handles it looks at the state of things and not at
    the reason, so a key that comes up for nothing does no harm, and nothing ever needs to be taken off.
    """

    def __init__(self, clock: Clock, handle: Callable[[Key], None]) -> None:
        """Prepare.

        Args:
            clock: whose time it is.
            handle: brings one key to where it should be now; a refusal makes it due again, later each time.
        """
        self._clock = clock
        self._handle = handle
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, int, Key]] = []
        self._count = 0
        self._refusals: dict[Key, int] = {}
        self._news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._due)

    def soon(self, key: Key) -> None:
        """Handle a key now."""
        self.at(key, self._clock.time())

    def at(self, key: Key, when: float) -> None:
        """Handle a key at a time, or earlier if it is due earlier."""
        if when >= self._due.get(key, float("inf")):
            return
        self._due[key] = when
        # The number keeps the order of asking among equal times, and keys from being compared.
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))
        self._news.set()

    async def run(self) -> None:
        """Handle what is due, until cancelled."""
        while True:
            self._news.clear()
            await self._work()
            await self._clock.wait(self._news, self._heap[0][0] if self._heap else None)

    async def _work(self) -> None:
        handled = 0
        while self._heap and self._heap[0][0] <= self._clock.time():
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) != when:
                continue  # it was due earlier, and has been handled
            del self._due[key]
            self._try(key)
            handled += 1
            if handled % _BATCH == 0:
                await asyncio.sleep(0)

    def _try(self, key: Key) -> None:
        try:
            self._handle(key)
        except ApiError as error:
            refusals = self._refusals[key] = self._refusals.get(key, 0) + 1
            pause = min(_FIRST_RETRY * 2 ** min(refusals, 10), _LAST_RETRY)
            _log.debug("minicluster: %r is due again in %.2f s: %s", key, pause, error)
            self.at(key, self._clock.time() + pause)
        else:
            self._refusals.pop(key, None)
