"""The cycle loop: wait until something matters, take a snapshot, decide off the event loop, hand the decisions on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import CycleResult
from kai_py.core.tables.snapshot import Snapshot

_log = structlog.get_logger()

#: After the first change, others that come with it are waited for; seconds.
DEBOUNCE: Final = 0.02
#: A cycle runs at least this often, whatever the watches say; seconds.
PERIOD: Final = 10.0


@dataclass(frozen=True)
class Done:
    """One finished cycle."""

    number: int
    snapshot: Snapshot
    result: CycleResult
    snapshot_seconds: float
    seconds: float


class CycleLoop:
    """Runs cycles.

    Args:
        store: the memory.
        options: asked before every cycle, so that new settings count from the next one on.
        leading: whether we may decide; a standby keeps its memory warm and runs nothing.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        options: Callable[[], Options],
        *,
        leading: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._options = options
        self._leading = leading
        self._clock = clock
        self._changed = asyncio.Event()
        self.number = 0
        self.last: Done | None = None

    def wake(self) -> None:
        """Something changed that a cycle could act upon."""
        self._changed.set()

    async def run(self, done: Callable[[Done], None]) -> None:
        """Run cycles until cancelled. An error in one is a bug of ours: it is logged, and the next one runs.

        Args:
            done: called in the event loop with every finished cycle.
        """
        pause = DEBOUNCE
        while True:
            await self._wait()
            # A cycle that took long may not follow upon itself at once: the binder and the watches need the core, too.
            await asyncio.sleep(pause)
            self._changed.clear()
            if not self._leading():
                continue
            try:
                pause = max(DEBOUNCE, await self._cycle(done))
            except Exception:  # the edge of the loop
                _log.exception("cycle failed", cycle=self.number)
                pause = 1.0

    async def _wait(self) -> None:
        """Until something changed, a pause of a pod ends, or the period is over."""
        expiry = self._store.failures.next_expiry(self._clock())
        patience = PERIOD if expiry is None else min(PERIOD, max(0.0, expiry - self._clock()))
        try:
            async with asyncio.timeout(patience):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _cycle(self, done: Callable[[Done], None]) -> float:
        """One cycle; returns its length in seconds."""
        self.number += 1
        started = time.perf_counter()
        self._store.carryover.tidy(self._clock())
        # Never during a cycle: what selectors said about devices is remembered in one place, which taking tidies up.
        snapshot = self._store.take(self._clock())
        taken = time.perf_counter()
        result = await asyncio.to_thread(run_cycle, snapshot, self._options(), clock=time.monotonic)
        decided = time.perf_counter()
        self.last = Done(self.number, snapshot, result, taken - started, decided - taken)
        done(self.last)
        return decided - started
