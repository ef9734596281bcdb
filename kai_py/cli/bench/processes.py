"""The other processes of a benchmark: an embedded cluster and a scheduler, started as a user would start them.

They are processes of their own, so that the load that we make and what is measured do not share an interpreter.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from kai_py.cli.failures import Failure

#: Seconds for a process to start, and to end when asked.
_START: Final = 60.0
_END: Final = 20.0
#: Lines of a log that help to understand why its process has ended.
_TAIL: Final = 5


@dataclass(frozen=True)
class Scheduler:
    """A scheduler that was started for the benchmark.

    Attributes:
        process: it runs until the block around it ends.
        log: where it writes its log, as JSON lines.
        metrics_url: where it shows its metrics.
        started: when its process was started, seconds since the epoch.
    """

    process: Process
    log: Path
    metrics_url: str
    started: float

    def check(self) -> None:
        """Raise a failure if it has ended by itself."""
        if self.process.returncode is not None:
            tail = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
            raise Failure(f"the scheduler has ended with status {self.process.returncode}", tail)

    def ready(self) -> float | None:
        """When it said that its memory is filled and it begins to decide, seconds since the epoch; None = not yet."""
        for line in self.log.read_bytes().splitlines():
            try:
                entry = msgspec.json.decode(line, type=_Entry)
            except msgspec.DecodeError:
                continue  # not every library logs as we do
            if entry.event == "ready":
                return datetime.fromisoformat(entry.ts).timestamp()
        return None


class _Entry(msgspec.Struct):
    event: str = ""
    ts: str = ""


@asynccontextmanager
async def scheduler(name: str, kubeconfig: str | None, context: str | None, folder: Path) -> AsyncIterator[Scheduler]:
    """Run ``kai-py run`` for pods that name it, without leader election: nobody else decides about them."""
    port, log = _free_port(), folder / "scheduler.log"
    arguments = [
        *("run", "--scheduler-name", name, "--no-leader-elect", "--log-format", "json"),
        *("--metrics-port", str(port), "--probes-port", "0"),
        *("--decisions-address", ""),
        *(("--kubeconfig", kubeconfig) if kubeconfig else ()),
        *(("--context", context) if context else ()),
    ]
    async with _running(arguments, log) as (process, started):
        yield Scheduler(process, log, f"http://127.0.0.1:{port}/metrics", started)


@asynccontextmanager
async def minicluster(folder: Path) -> AsyncIterator[Path]:
    """Run ``kai-py minicluster`` without nodes; yields its kubeconfig."""
    kubeconfig, log = folder / "kubeconfig", folder / "minicluster.log"
    async with _running(["minicluster", "--nodes", "0", "--kubeconfig", str(kubeconfig)], log) as (process, _):
        deadline = asyncio.get_running_loop().time() + _START
        while "export KUBECONFIG" not in log.read_text(encoding="utf-8", errors="replace"):
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL:]
                raise Failure("the embedded cluster does not start", tail)
            await asyncio.sleep(0.05)
        yield kubeconfig


@asynccontextmanager
async def webhooks(kubeconfig: Path, folder: Path) -> AsyncIterator[tuple[str, int]]:
    """Run ``kai-py webhooks``; yields where reviews are sent, and its process id. It may still be starting."""
    port = _free_port()
    arguments = [
        *("webhooks", "--kubeconfig", str(kubeconfig), "--port", str(port), "--host", "127.0.0.1"),
        *("--configuration", "", "--probes-port", "0", "--log-level", "warning"),
    ]
    async with _running(arguments, folder / "webhooks.log") as (process, _):
        yield f"https://127.0.0.1:{port}", process.pid


@asynccontextmanager
async def _running(arguments: list[str], log: Path) -> AsyncIterator[tuple[Process, float]]:
    """Run this program with other arguments; yields the process, and when it was started."""
    with log.open("wb") as output:
        started = datetime.now().astimezone().timestamp()
        command = (sys.executable, "-m", "kai_py", *arguments)
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=output, stderr=output)
        try:
            yield process, started
        finally:
            await asyncio.shield(_end(process))


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_END):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
