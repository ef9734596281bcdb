"""The shape of a controller: keys become due when objects change, and are handled one after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

from kai_py.errors import ApiError
from kai_py.minicluster.kinds import Kind
from kai_py.minicluster.storage import Storage
from kai_py.minicluster.store import Change

_log = logging.getLogger(__name__)
_BATCH: Final = 200
_RETRY_SECONDS: Final = 0.05

Key = TypeVar("Key", bound=Hashable)


class Loop(Generic[Key]):
    """Handles keys. A key that becomes due many times before its turn is handled once."""

    def __init__(self, due: Callable[[Kind, Change], Iterable[Key]], handle: Callable[[Key], None]) -> None:
        """Prepare.

        Args:
            due: which keys a change makes due; called for every change, so it must be quick.
            handle: brings the state of one key to where it should be; a refusal makes the key due again.
        """
        self._due = due
        self._handle = handle
        self._waiting: dict[Key, None] = {}
        self._news = asyncio.Event()

    def add(self, key: Key) -> None:
        """Make a key due."""
        self._waiting[key] = None
        self._news.set()

    def _observe(self, kind: Kind, change: Change) -> None:
        for key in self._due(kind, change):
            self.add(key)

    async def run(self, storage: Storage) -> None:
        """Handle keys until cancelled; what exists already counts as just added."""
        storage.store.observers.append(self._observe)
        for collection in list(storage.store.collections.values()):
            for entry in collection.entries.values():
                self._observe(collection.kind, Change("ADDED", entry, None))
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                await self._work()
        finally:
            storage.store.observers.remove(self._observe)

    async def _work(self) -> None:
        handled = 0
        while self._waiting:
            key = next(iter(self._waiting))
            del self._waiting[key]
            try:
                self._handle(key)
            except ApiError as error:
                _log.debug("minicluster: %r is due again: %s", key, error)
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.add, key)
            handled += 1
            if handled % _BATCH == 0:
                await asyncio.sleep(0)  # let requests through during a large clean-up
