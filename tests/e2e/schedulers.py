"""Schedulers as processes of their own, which can be killed and stopped like those of a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from kai_py.operators.run import RunConfig, run_scheduler
from kai_py.telemetry.logs import configure

_QUIET = {"metrics_port": None, "probes_port": None, "decisions_at": None}


@dataclass
class Scheduler:
    """A process that schedules, and its log."""

    process: BaseProcess
    log: Path

    def entries(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return log_entries(self.log)

    def has_said(self, event: str) -> bool:
        """Whether it has logged this."""
        return any(one.get("event") == event for one in self.entries())

    async def until_said(self, event: str, patience: float = 30.0) -> None:
        """Wait until it has logged this."""
        deadline = asyncio.get_running_loop().time() + patience
        while not self.has_said(event):
            assert self.process.is_alive(), f"the scheduler has ended:\n{self.log.read_text()[-3000:]}"
            assert asyncio.get_running_loop().time() < deadline, f"no {event!r}:\n{self.log.read_text()[-3000:]}"
            await asyncio.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """``kill -9``: no goodbye."""
        self.send(signal.SIGKILL)
        self.process.join(10)


def log_entries(log: Path) -> list[dict[str, Any]]:
    """What a scheduler has logged as JSON."""
    found = []
    for line in log.read_bytes().splitlines():
        with contextlib.suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(line))
    return [one for one in found if isinstance(one, dict)]


@cache
def _forks() -> Any:
    """Processes that have imported everything already: a start costs what it costs to fill the memory."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["kai_py.operators.run"])
    return context


@contextlib.contextmanager
def scheduler(log: Path, config: RunConfig, *, constants: Mapping[str, float] | None = None) -> Iterator[Scheduler]:
    """Start ``kai-py run`` with this configuration; it is gone when the block ends.

    ``constants`` are others than in production, by module and name.
    """
    arguments = replace(config, **_QUIET), str(log), dict(constants or {})
    process = _forks().Process(target=_run, args=arguments, daemon=True)
    log.touch()
    process.start()
    try:
        yield Scheduler(process, log)
    finally:
        if process.is_alive():
            process.kill()
        process.join(10)
        process.close()


def _run(config: RunConfig, log: str, constants: Mapping[str, float]) -> None:
    """What the process does."""
    for name, value in constants.items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    configure("json", "info")
    uvloop.run(run_scheduler(config))
