"""``bench fill|gang|bind``: the whole way, from pods on an API server to bound pods in a watch."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from kai_py.api.keys import SCHEDULER_NAME
from kai_py.cli.bench.machine import memory_mib
from kai_py.cli.bench.observer import Observer, percentiles
from kai_py.cli.bench.processes import Scheduler, minicluster, scheduler
from kai_py.cli.bench.scraped import Samples, scrape, work
from kai_py.cli.bench.stage import Stage, each, stage
from kai_py.cli.failures import Failure
from kai_py.kube.client import ApiClient, connect, open_fence
from kai_py.kube.writer import Writer

Json = dict[str, Any]

#: How often to look whether the scheduler still runs, in seconds.
_LOOK: Final = 0.5
#: Seconds for the scheduler to become ready.
_START: Final = 60.0
#: Requests in flight while pods are bound for :func:`measure_rest`.
_CONCURRENCY: Final = 48
#: Seconds between two changes: each gets a cycle of its own.
_PAUSE: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class Live:
    """What to measure, and where; see the options of ``kai-py bench fill``."""

    pods: int
    nodes: int
    gpus: int = 1
    gang: int = 1
    claims: bool = False
    pre_created: bool = True
    minicluster: bool = False
    scheduler: bool = True
    scheduler_name: str | None = None
    metrics_url: str | None = None
    patience: float = 300.0
    kubeconfig: str | None = None
    context: str | None = None


@dataclass
class _Story:
    """Moments of a run, seconds since the epoch, and what the scheduler has said."""

    began: float = 0.0
    ready: float | None = None
    creation_seconds: float = 0.0
    work: Json | None = None


async def measure_scheduling(live: Live) -> Json:
    """Make pods, let a scheduler bind them, and tell how long it took.

    Raises:
        Failure: it cannot be measured here.
        KaiError: the API server refuses, or does not answer.
    """
    async with _server(live) as (client, kubeconfig, folder):
        name = None if live.scheduler else live.scheduler_name or SCHEDULER_NAME
        async with (
            stage(client, live.nodes, name, claims=live.claims) as made,
            _watching(client, made) as observer,
        ):
            story = await _play(live, made, observer, kubeconfig, folder)
        return await _report(live, client, made, observer, story)


async def _play(live: Live, made: Stage, observer: Observer, kubeconfig: str | None, folder: Path) -> _Story:
    story = _Story()
    async with AsyncExitStack() as stack:
        if live.scheduler and live.pre_created:
            story.creation_seconds = await made.submit(live.pods, gang=live.gang, gpus=live.gpus)
        own: Scheduler | None = None
        if live.scheduler:
            own = await stack.enter_async_context(scheduler(made.scheduler, kubeconfig, live.context, folder))
            story.began = own.started
        url = own.metrics_url if own else live.metrics_url
        before: Samples = {}
        if not (live.scheduler and live.pre_created):
            await _until_ready(own)
            before = await scrape(url) if url else {}
            story.began = time.time()
            story.creation_seconds = await made.submit(live.pods, gang=live.gang, gpus=live.gpus)
        await _until_bound(live, observer, own)
        if url:
            story.work = work(before, await scrape(url))
        if own is not None:
            if live.pre_created:
                story.ready = own.ready()
            peak = memory_mib(own.process.pid)
            story.work = (story.work or {}) | {"peakMemoryMiB": peak and peak["peak"]}
    return story


async def _until_ready(own: Scheduler | None) -> None:
    deadline = time.monotonic() + _START
    while own is not None and own.ready() is None:
        own.check()
        if time.monotonic() > deadline:
            raise Failure(f"the scheduler did not become ready within {_START:.0f} s")
        await asyncio.sleep(0.1)


async def _until_settled(own: Scheduler) -> Samples:
    """Wait until no cycle has begun for a while: the first one, which takes everything in, is not one of rest."""
    samples = await scrape(own.metrics_url)
    while True:
        await asyncio.sleep(2 * _PAUSE)
        own.check()
        before, samples = samples, await scrape(own.metrics_url)
        cycles = [one.get("kai_py_cycle_seconds_count", 0.0) for one in (before, samples)]
        if cycles[0] == cycles[1] > 0:
            return samples


async def _until_bound(live: Live, observer: Observer, own: Scheduler | None) -> None:
    """Until all pods are bound, or patience is over."""
    deadline = time.monotonic() + live.patience
    while len(observer.bound) < live.pods and (left := deadline - time.monotonic()) > 0:
        if own is not None:
            own.check()
        observer.news.clear()
        try:
            async with asyncio.timeout(min(left, _LOOK)):
                await observer.news.wait()
        except TimeoutError:
            continue


async def _report(live: Live, client: ApiClient, made: Stage, observer: Observer, story: _Story) -> Json:
    moments = sorted(observer.bound.values())
    began = story.began
    return {
        "server": await _version(client, live),
        "pods": live.pods,
        "bound": len(moments),
        "nodes": live.nodes,
        "gang": live.gang,
        "claims": live.claims,
        "preCreated": live.scheduler and live.pre_created,
        "podsPerSecond": {
            "betweenFirstAndLast": _rate(moments, moments[0] if moments else began),
            "fromReady": _rate(moments, story.ready) if story.ready is not None else None,
            "fromBeginning": _rate(moments, began),
        },
        "timeToBindSeconds": {
            "fromBeginning": percentiles([moment - began for moment in moments]),
            "fromCreation": percentiles(_waits(made, observer)),
        },
        "firstBoundSeconds": round(moments[0] - began, 3) if moments else None,
        "readySeconds": round(story.ready - began, 3) if story.ready is not None else None,
        "creation": {
            "seconds": round(story.creation_seconds, 3),
            "podsPerSecond": round(live.pods / story.creation_seconds, 1) if story.creation_seconds else None,
        },
        "boundTwice": len(observer.moved),
        "nodesUsed": len(set(observer.nodes.values())),
        "scheduler": story.work,
    }


def _waits(made: Stage, observer: Observer) -> list[float]:
    """Seconds from creation to binding. A watch may be faster than the answer to our own request: that is none."""
    return [max(0.0, bound - made.created.get(name, bound)) for name, bound in observer.bound.items()]


def _rate(moments: list[float], since: float) -> float | None:
    """Pods per second from a moment to the last one."""
    return round(len(moments) / (moments[-1] - since), 1) if moments and moments[-1] > since else None


async def measure_binding(live: Live, concurrency: int) -> Json:
    """Bind pods in turn, as fast as the server answers, without a scheduler."""
    async with (
        _server(live) as (client, _, _),
        stage(client, live.nodes, None) as made,
        _watching(client, made) as observer,
    ):
        creation = await made.submit(live.pods, gang=1, gpus=0)
        uids = await made.uids()
        started, used = time.perf_counter(), time.process_time()
        seconds = await _bind_all(live, made, uids, concurrency)
        elapsed, used = time.perf_counter() - started, time.process_time() - used
        await _until_bound(live, observer, None)
        return {
            "server": await _version(client, live),
            "pods": live.pods,
            "bound": len(observer.bound),
            "concurrency": concurrency,
            "podsPerSecond": round(live.pods / elapsed, 1),
            "requestMilliseconds": percentiles([1000 * one for one in seconds]),
            "clientCpuMillisecondsPerBind": round(1000 * used / live.pods, 3),
            "creation": {"seconds": round(creation, 3), "podsPerSecond": round(live.pods / creation, 1)},
        }


async def _bind_all(live: Live, made: Stage, uids: dict[str, str], concurrency: int) -> list[float]:
    """Bind pods to nodes in turn; returns the seconds of each request."""
    writer, names, seconds = Writer(made.client, open_fence), sorted(uids), []

    async def bind(number: int) -> None:
        name, asked = names[number], time.perf_counter()
        result = await writer.bind(made.name, name, uids[name], made.node_name(number % live.nodes))
        if not result.ok:
            raise Failure(f"pod {name} cannot be bound: {result.message}")
        seconds.append(time.perf_counter() - asked)

    await each(range(live.pods), bind, concurrency)
    return seconds


async def measure_rest(live: Live, changes: int) -> Json:
    """Start a scheduler on a cluster where everything runs already, and change one pod after the other.

    Tells how much memory it takes, and how long a cycle takes when nothing waits.
    """
    async with _server(live) as (client, kubeconfig, folder), stage(client, live.nodes, None) as made:
        await made.submit(live.pods, gang=1, gpus=0)
        names = sorted(uids := await made.uids())
        await _bind_all(live, made, uids, _CONCURRENCY)
        async with scheduler(made.scheduler, kubeconfig, live.context, folder) as own:
            await _until_ready(own)
            before = await _until_settled(own)
            for name in names[:changes]:
                await made.delete_pod(name)
                await asyncio.sleep(_PAUSE)
            done, memory = work(before, await scrape(own.metrics_url)), memory_mib(own.process.pid)
            ready, server = own.ready(), await _version(client, live)
    return {
        "server": server,
        "pods": live.pods,
        "bound": live.pods,
        "nodes": live.nodes,
        "changes": changes,
        "readySeconds": round(ready - own.started, 3) if ready is not None else None,
        "cycleMilliseconds": round(1000 * done["decisionSeconds"] / max(1, done["cycles"]), 2),
        "snapshotMilliseconds": round(1000 * done["snapshotSeconds"] / max(1, done["cycles"]), 2),
        "scheduler": {**done, "peakMemoryMiB": memory and memory["peak"]},
    }


@asynccontextmanager
async def _server(live: Live) -> AsyncIterator[tuple[ApiClient, str | None, Path]]:
    """The API server to measure on: a client, the kubeconfig for others, and a folder for files."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kai-py-bench-")))
        kubeconfig = str(await stack.enter_async_context(minicluster(folder))) if live.minicluster else live.kubeconfig
        client = await stack.enter_async_context(await connect(kubeconfig, None if live.minicluster else live.context))
        yield client, kubeconfig, folder


@asynccontextmanager
async def _watching(client: ApiClient, made: Stage) -> AsyncIterator[Observer]:
    observer = Observer(client, made.name)
    task = asyncio.create_task(observer.reflector.run())
    try:
        await observer.reflector.synced.wait()
        yield observer
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""


async def _version(client: ApiClient, live: Live) -> str:
    version = msgspec.json.decode(await client.get("/version"), type=_Version).git_version
    return f"embedded ({version})" if live.minicluster else version
