"""Runs the parts of the scheduler, each in a task of its own; none of them ends before all are ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

_log = structlog.get_logger()


class Supervisor:
    """Looks after tasks. Made in a running event loop.

    Attributes:
        failed: gets the error of the first part that ends of itself: it is a bug, and better to restart than to limp.
    """

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[object]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> asyncio.Task[object]:
        """Run a part until :meth:`stop`; its name is for the log."""
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    async def stop(self) -> None:
        """End all parts, the last one first."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[object]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("a part of the scheduler ended", part=task.get_name(), exc_info=error)
            if not self.failed.done():
                self.failed.set_exception(error)
