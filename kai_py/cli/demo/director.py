"""Plays the story: does what teams would do with kubectl, and waits for what has to come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from kai_py.api.meta import PartialObject
from kai_py.cli.demo.story import (
    Act,
    Approve,
    Complete,
    Effect,
    End,
    Ends,
    Place,
    Runs,
    Step,
    Submit,
    Waits,
    Withdraw,
    Yields,
)
from kai_py.cli.demo.wanted import Wanted, template
from kai_py.cli.demo.workload import Kind, Workload
from kai_py.cli.demo.world import NODES, PODGROUPS, PODS, Thing, World
from kai_py.errors import NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.resource import ResourceKind
from kai_py.minicluster.workers.bound_pods import DURATION

Json = dict[str, Any]

_JOBS: Final = ResourceKind("batch", "v1", "jobs", PartialObject)
_TEMPLATES: Final = ResourceKind("resource.k8s.io", "v1", "resourceclaimtemplates", PartialObject)
#: Seconds for an effect to come. It takes far less; a slow machine must not decide about a verdict.
PATIENCE: Final = 30.0


@dataclass
class Director:
    """Plays steps one after the other.

    Attributes:
        client: acts as the teams.
        world: tells what has come of it.
        cast: all workloads by name.
        length: of the demo, in seconds.
        say: told what happens.
        missing: effects that have not come, for the verdict.
        seen: how many have.
    """

    client: ApiClient
    world: World
    cast: dict[str, Workload]
    length: float
    say: Callable[[str], None]
    missing: list[str] = field(default_factory=list)
    seen: int = 0
    _templates: set[tuple[str, Wanted]] = field(default_factory=set)

    async def play(self, steps: tuple[Step, ...]) -> None:
        """Play all steps."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for step in steps:
            await asyncio.sleep(max(0.0, began + step.at * self.length - loop.time()))
            self.say(step.says)
            await self._do(step.act)
            for effect in step.effects:
                await self._wait_for(effect, step.act)

    async def _wait_for(self, effect: Effect, act: Act) -> None:
        if isinstance(effect, Ends):
            came = await self._until_ended(self.cast[effect.workload])
        else:
            came = await self.world.until(lambda: self.holds(effect), PATIENCE)
        if came:
            self.seen += 1
        else:
            self.missing.append(f"{self._name_of(act)}: not within {PATIENCE:.0f} s: {in_words(effect)}")

    def holds(self, effect: Effect) -> bool:
        """Whether an effect is there."""
        yielded = self.world.yielded.get(effect.workload, set())
        pods = [pod for pod in self.world.pods_of(effect.workload) if pod.metadata.uid not in yielded]
        wanted = self.cast[effect.workload].pods
        match effect:
            case Runs(_, count):
                started = sum(pod.phase in ("Running", "Succeeded") for pod in pods)
                return started + len(yielded) >= (wanted if count is None else count)
            case Waits(_, count, codes):
                waiting = [pod for pod in pods if not pod.node]
                return len(waiting) == count and all(self.world.why(pod).code in codes for pod in waiting)
            case Ends():
                return len(pods) + len(yielded) == wanted and all(pod.phase == "Succeeded" for pod in pods)
            case Yields(_, count):
                return len(yielded) >= count
            case _:
                assert_never(effect)

    async def _do(self, act: Act) -> None:
        match act:
            case Submit(workload):
                await self._submit(workload)
            case Complete(workload):
                await self._make_pods(workload, range(workload.first or 0, workload.pods))
            case Approve(workload):
                for pod in self.world.pods_of(workload.name):
                    await self.client.patch(_path(pod), {"spec": {"schedulingGates": None}})
            case End(workloads):
                for workload in workloads:
                    await self._end(workload)
            case Withdraw(workload):
                for pod in self.world.pods_of(workload.name):
                    await self.client.delete(_path(pod))
            case Place(workload):
                await self._place(workload)
            case _:
                assert_never(act)

    async def _submit(self, workload: Workload) -> None:
        if workload.claims is not None and (workload.team, workload.claims) not in self._templates:
            self._templates.add((workload.team, workload.claims))
            await self.client.post(_TEMPLATES.path(workload.team), template(workload.claims, workload.team))
        if workload.kind is Kind.JOB:
            await self.client.post(_JOBS.path(workload.team), workload.job(self.length))
            return
        if workload.kind is Kind.GANG:
            await self.client.post(PODGROUPS.path(workload.team), workload.podgroup())
        await self._make_pods(workload, range(workload.pods if workload.first is None else workload.first))

    async def _make_pods(self, workload: Workload, numbers: range) -> None:
        path = PODS.path(workload.team)
        await asyncio.gather(*(self.client.post(path, pod) for pod in workload.some_pods(numbers, self.length)))

    async def _until_ended(self, workload: Workload) -> bool:
        """Wait until all pods have ended. What has no end of its own is ended as soon as it runs."""
        for _ in range(int(PATIENCE)):
            if await self.world.until(lambda: self.holds(Ends(workload.name)), 1.0):
                return True
            if workload.lasts is None:
                await self._end(workload)
        return False

    async def _end(self, workload: Workload) -> None:
        """Let those pods come to their end that run."""
        ended = {"metadata": {"annotations": {DURATION: "0s"}}}
        running = [pod for pod in self.world.pods_of(workload.name) if pod.phase == "Running"]
        await asyncio.gather(*(self._patch(_path(pod), ended) for pod in running))

    async def _patch(self, path: str, patch: Json) -> None:
        with suppress(NotFoundError):  # it may just have gone by itself
            await self.client.patch(path, patch)

    async def _place(self, workload: Workload) -> None:
        """Do another scheduler's work: bind the first pod to a node that has room."""
        await self.world.until(lambda: len(self.world.pods_of(workload.name)) == workload.pods, PATIENCE)
        pod = self.world.pods_of(workload.name)[0]
        target = {"kind": "Node", "name": self._roomy(pod)}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.metadata.name}, "target": target}
        await self.client.post(f"{_path(pod)}/binding", binding)

    def _roomy(self, pod: Thing) -> str:
        """The node with the most free GPUs."""
        free = {node.metadata.name: int(node.status["allocatable"].get("nvidia.com/gpu", 0)) for node in self._nodes()}
        for other in self.world.all(PODS):
            if other.node and not other.finished:
                free[other.node] -= other.gpus
        best = max(free, key=lambda name: free[name])
        assert free[best] >= pod.gpus  # the story leaves room for it
        return best

    def _nodes(self) -> list[Thing]:
        return sorted(self.world.all(NODES), key=lambda node: node.metadata.name)

    def _name_of(self, act: Act) -> str:
        what = ", ".join(one.name for one in act.workloads) if isinstance(act, End) else act.workload.name
        return f"{type(act).__name__.lower()} {what}"


def in_words(effect: Effect) -> str:
    """An effect, for the verdict."""
    match effect:
        case Runs(workload, count):
            return f"{'all' if count is None else count} pods of {workload} run"
        case Waits(workload, count, codes):
            return f"{count} pods of {workload} wait with {' or '.join(codes)}"
        case Ends(workload):
            return f"all pods of {workload} have ended"
        case Yields(workload, count):
            return f"at least {count} pods of {workload} make room"
        case _:
            assert_never(effect)


def _path(pod: Thing) -> str:
    return PODS.path(pod.metadata.namespace, pod.metadata.name)
