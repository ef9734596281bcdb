"""What loops have in common that look for what is wrong, and put right what was wrong the last time, too."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import structlog

from kai_py.errors import ApiError, ClaimRefusedError, LeaseLostError, ShareRefusedError

_log = structlog.get_logger()

T = TypeVar("T")


class Sweeper(ABC):
    """Looks every so often, as long as we lead. What one object suffers stops no other.

    Args:
        every: seconds between two looks.
        leading: whether we may write.
    """

    def __init__(self, every: float, leading: Callable[[], bool]) -> None:
        self._every = every
        self._leading = leading

    async def run(self) -> None:
        """Look, until cancelled."""
        while True:
            await self.pause()
            if self._leading():
                await self.sweep()
            else:
                self.forget()

    async def pause(self) -> None:
        """Wait for the next look."""
        await asyncio.sleep(self._every)

    async def sweep(self) -> None:
        """Look once. Whoever has lost the lease leaves the rest to the next leader."""
        try:
            await self.look()
        except LeaseLostError:
            self.forget()

    @abstractmethod
    async def look(self) -> None:
        """Put right what is wrong.

        Raises:
            LeaseLostError: somebody else leads.
        """

    @abstractmethod
    def forget(self) -> None:
        """What was seen is nobody's business any more: somebody else leads."""

    async def isolated(self, work: Awaitable[object], what: str, **about: object) -> None:
        """One object; what goes wrong with it stops no other.

        Args:
            work: what is done about it.
            what: what has failed, if it fails.
            about: names of the object, for the log.

        Raises:
            LeaseLostError: somebody else leads.
        """
        try:
            await work
        except LeaseLostError:
            raise
        except (ApiError, ClaimRefusedError, ShareRefusedError) as error:
            _log.warning(what, **about, why=str(error))
        except Exception:  # the edge of the loop
            _log.exception(what, **about)


class Suspects(Generic[T]):
    """What was wrong the last time. What still is has not been put right by anybody else."""

    def __init__(self) -> None:
        self._before: frozenset[T] = frozenset()

    def again(self, found: Iterable[T]) -> frozenset[T]:
        """Those that were wrong the last time, too; all that are wrong now are kept for the next time."""
        now = frozenset(found)
        before, self._before = self._before, now
        return now & before

    def clear(self) -> None:
        """Begin anew."""
        self._before = frozenset()
