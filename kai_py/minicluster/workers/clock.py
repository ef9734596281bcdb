"""What time it is, and waiting for it: the wall's clock, or one that tests turn by hand."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch, and a wait that news can cut short."""

    def time(self) -> float:
        """The present moment."""
        ...

    async def wait(self, news: asyncio.Event, until: float | None) -> None:
        """Return when ``news`` is set or ``until`` has come, or sooner: the caller looks again."""
        ...


class WallClock:
    """The machine's own clock."""

    def time(self) -> float:
        """See :class:`Clock`."""
        return time.time()

    async def wait(self, news: asyncio.Event, until: float | None) -> None:
        """See :class:`Clock`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if until is None else max(until - self.time(), 0)):
                await news.wait()


class ManualClock:
    """Stands still until :meth:`advance` is called, so that a test decides what has happened by when."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self._now = start
        self._waiting: list[asyncio.Event] = []

    def time(self) -> float:
        """See :class:`Clock`."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass. Whoever waits looks at its clock at the next turn of the event loop."""
        self._now += seconds
        for news in self._waiting:
            news.set()

    async def wait(self, news: asyncio.Event, until: float | None) -> None:
        """See :class:`Clock`."""
        if until is not None and until <= self._now:
            return
        self._waiting.append(news)
        try:
            await news.wait()
        finally:
            self._waiting.remove(news)


def timestamp(seconds: float) -> str:
    """A time as API objects carry it, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def seconds_of(text: str) -> float:
    """The inverse of :func:`timestamp`; fractions of a second are read, too.

    Raises:
        ValueError: the text is no timestamp.
    """
    return datetime.fromisoformat(text).timestamp()
