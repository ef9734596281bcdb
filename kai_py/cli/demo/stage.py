"""Puts the demo together: cluster, scheduler, teams, referee and view, in one process and one event loop."""

from __future__ import annotations

import asyncio
import random
import socket
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

from kai_py.api.keys import NVIDIA_GPU
from kai_py.cli.demo.director import Director
from kai_py.cli.demo.lines import Lines
from kai_py.cli.demo.pulse import Pulse
from kai_py.cli.demo.referee import TICK, Referee
from kai_py.cli.demo.screen import Screen
from kai_py.cli.demo.story import Step, cast, story
from kai_py.cli.demo.teams import GPUS_PER_NODE, Queue, queues
from kai_py.cli.demo.verdict import Verdict, judge
from kai_py.cli.demo.wanted import TAINT
from kai_py.cli.demo.workload import TOPOLOGY
from kai_py.cli.demo.world import World
from kai_py.cli.failures import Failure
from kai_py.cli.minicluster import furnish, workers
from kai_py.kube.client import ApiClient, connect
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.devices.offers import Gpus, Offer, equip
from kai_py.minicluster.kinds import NAMESPACES
from kai_py.minicluster.pools import nodes, topology
from kai_py.operators.run import RunConfig, run_scheduler

_PROFILE: Final = "mixed"
#: Nodes whose devices are claimed, and what they offer.
_NODES_TO_CLAIM: Final = 2
_OFFER: Final = Offer(gpus=Gpus.MIG, nics=True)
_QUEUES: Final = "queues.scheduling.run.ai"
_TOPOLOGIES: Final = "topologies.kai.scheduler"
Json = dict[str, Any]
#: Seconds for the scheduler to become ready.
_START: Final = 60.0
#: How far from its time a step may begin, as a part of the demo's length, where the seed says so.
_JITTER: Final = 0.01


class View(Protocol):
    """Shows the demo."""

    def say(self, text: str) -> None:
        """What a team does."""

    def tick(self) -> None:
        """Time has passed."""

    def stop(self) -> None:
        """Give back what was taken, also when the demo fails."""

    def close(self, verdict: Verdict) -> None:
        """The end."""


@dataclass(frozen=True)
class Demo:
    """How to play.

    Attributes:
        seconds: how long the story takes on a machine that keeps up.
        nodes: of the cluster.
        seed: moves the steps a little, the same for the same seed.
        live: whether to draw, instead of printing lines.
    """

    seconds: float
    nodes: int
    seed: int
    live: bool


async def play(demo: Demo) -> Verdict:
    """Play the demo and judge it.

    Raises:
        Failure: the scheduler has ended before the story has.
    """
    place = the_place(demo.nodes)
    teams, steps = queues(place.gpus, place.claimable), jittered(story(place.gpus, place.claimable), demo.seed)
    cluster = MiniCluster(workers=workers())
    furnish(cluster, place.nodes, crds=True)
    cluster.storage.create(_TOPOLOGIES, topology(TOPOLOGY))
    for team in teams:
        cluster.storage.create(_QUEUES, team.manifest())
        if team.parent:
            cluster.storage.create(NAMESPACES.key, {"metadata": {"name": team.name}})
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kai-py-demo-")))
        await stack.enter_async_context(cluster)
        kubeconfig = folder / "kubeconfig"
        cluster.write_kubeconfig(kubeconfig)
        client = await stack.enter_async_context(await connect(str(kubeconfig)))
        scheduler = await stack.enter_async_context(_scheduler(kubeconfig))
        return await _perform(demo, client, teams, steps, scheduler)


@dataclass(frozen=True)
class Place:
    """Where the story is set.

    Attributes:
        nodes: all of them.
        gpus: that device plugins offer.
        claimable: GPUs that can only be claimed.
    """

    nodes: list[Json]
    gpus: int
    claimable: int


def the_place(number: int) -> Place:
    """So many nodes with GPUs of the device plugin, and two more for those who claim theirs."""
    pool, claimed = nodes(_PROFILE, number), _nodes_to_claim(number)
    gpus = sum(int(node["status"]["allocatable"].get(NVIDIA_GPU, 0)) for node in pool)
    return Place(pool + claimed, gpus, GPUS_PER_NODE * len(claimed))


def _nodes_to_claim(others: int) -> list[Json]:
    """Further nodes, whose devices can only be claimed; their names follow on those of the others."""
    made = [equip(node, _OFFER) for node in nodes("h100", others + _NODES_TO_CLAIM)[others:]]
    for node in made:
        node["spec"] = {"taints": [{"key": TAINT, "effect": "NoSchedule"}]}
    return made


@dataclass(frozen=True)
class _Scheduler:
    """The scheduler that runs.

    Attributes:
        task: ends when it does.
        metrics_url: where it shows its metrics.
    """

    task: asyncio.Task[None]
    metrics_url: str


async def _perform(
    demo: Demo, client: ApiClient, teams: tuple[Queue, ...], steps: tuple[Step, ...], scheduler: _Scheduler
) -> Verdict:
    world, actors = World(client), cast(steps)
    referee = Referee(world, teams, actors)
    pulse = Pulse(scheduler.metrics_url)
    view: View = Lines(world, teams, demo.seconds)
    if demo.live:
        view = Screen(world, teams, actors, demo.seconds, pulse)
    director = Director(client, world, actors, demo.seconds, view.say)
    background = [asyncio.create_task(world.run()), asyncio.create_task(pulse.run())]
    try:
        await world.synced()
        background.append(asyncio.create_task(_tick(referee, view)))
        started = time.monotonic()
        await _first_of(asyncio.create_task(director.play(steps)), scheduler.task, *background)
        seconds = time.monotonic() - started
        await asyncio.sleep(2 * TICK)  # what was done last is still on its way to the watches
        referee.close()
        await pulse.look()
    finally:
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        view.stop()
    verdict = judge(referee, director, teams, actors, seconds, pulse)
    view.close(verdict)
    return verdict


async def _first_of(story_: asyncio.Task[None], *others: asyncio.Task[None]) -> None:
    """Let the story play to its end; if anything else ends before, that is the end of all."""
    try:
        done, _ = await asyncio.wait({story_, *others}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        story_.cancel()
    for task in done:
        task.result()
    if story_ not in done:
        raise Failure("the demo was interrupted")


async def _tick(referee: Referee, view: View) -> None:
    while True:
        referee.tick()
        view.tick()
        await asyncio.sleep(TICK)


@asynccontextmanager
async def _scheduler(kubeconfig: Path) -> AsyncIterator[_Scheduler]:
    """The scheduler, as ``kai-py run`` runs it; it is ready when the block begins."""
    port = _free_port()
    config = RunConfig(
        kubeconfig=str(kubeconfig), leader_elect=False, metrics_port=port, probes_port=None, decisions_at=None
    )
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(run_scheduler(config, stop=stop, ready=ready), name="scheduler")
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait({task, waiting}, timeout=_START, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        if not ready.is_set():
            raise Failure(f"the scheduler did not become ready within {_START:.0f} s")
        yield _Scheduler(task, f"http://127.0.0.1:{port}/metrics")
    finally:
        waiting.cancel()
        stop.set()
        await asyncio.gather(task, return_exceptions=True)


def jittered(steps: tuple[Step, ...], seed: int) -> tuple[Step, ...]:
    """The same steps in the same order, each a little earlier or later; with seed 0 as they are."""
    if not seed:
        return steps
    dice = random.Random(seed)  # noqa: S311  # a story, not a secret
    return tuple(replace(step, at=max(0.0, step.at + dice.uniform(-_JITTER, _JITTER))) for step in steps)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
