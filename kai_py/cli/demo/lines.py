"""The demo as plain lines, for pipes, logs and tests: every line has a time, and says one thing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from kai_py.cli.demo.rank_map import rank_map
from kai_py.cli.demo.teams import Queue
from kai_py.cli.demo.verdict import Verdict
from kai_py.cli.demo.world import EVENTS, PODGROUPS, PODS, Thing, World
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.telemetry.events import LAID_OUT

#: How many times in the course of the demo the queues are summed up.
_SUMMARIES: Final = 10


class Lines:
    """Prints what happens.

    Args:
        world: where it happens.
        queues: all of them.
        length: of the demo, in seconds.
        print_line: where lines go.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        world: World,
        queues: tuple[Queue, ...],
        length: float,
        *,
        print_line: Callable[[str], None] = lambda line: print(line, flush=True),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._world = world
        self._queues = [queue for queue in queues if queue.parent]
        self._every = length / _SUMMARIES
        self._print = print_line
        self._clock = clock
        self._began = clock()
        self._next = self._every
        self._told: dict[str, str] = {}
        self._started: set[str] = set()
        self._mapped: set[str] = set()
        world.listeners.append(self.hear)

    def say(self, text: str) -> None:
        """What a team does."""
        self._line(f">> {text}")

    def hear(self, kind: ResourceKind[Thing], event: EventType, one: Thing) -> None:
        """Tell what is new about pods and gangs: a reason, a start."""
        if kind is EVENTS and one.reason == LAID_OUT and event != "DELETED":
            self._map(str(one.regarding.get("name", "")))
        if event == "DELETED" or not (kind is PODS and one.queue):
            return
        if one.node:
            self._start(one)
            return
        why = self._world.why(one)
        if why.code and self._told.get(one.workload) != why.code:
            self._told[one.workload] = why.code
            self._line(f"   {one.workload} waits: {why.verdict} [{why.code}]")

    def _start(self, pod: Thing) -> None:
        pods = self._world.pods_of(pod.workload)
        if pod.workload not in self._started and all(one.node for one in pods):
            self._started.add(pod.workload)
            self._line(f"   {pod.workload} is bound: {len(pods)} pods")
            self._map(pod.workload)

    def _map(self, workload: str) -> None:
        """Draw where the ranks of a gang are, once that is known and has been told."""
        drawn = rank_map(self._world, workload)
        if drawn and workload not in self._mapped and drawn[-1].endswith("."):
            self._mapped.add(workload)
            for line in drawn:
                self._line(f"      {line}")

    def tick(self) -> None:
        """From time to time, sum up the queues."""
        if self._clock() - self._began < self._next:
            return
        self._next += self._every
        held = {queue.name: self._world.gpus_held(queue.name) for queue in self._queues}
        parts = [f"{queue.name} {held[queue.name]}/{queue.quota}" for queue in self._queues]
        waiting = sum(1 for _ in self._world.waiting())
        total, podgroups = self._world.gpus(), len(self._world.all(PODGROUPS))
        self._line(
            f"   -- GPUs {sum(held.values())} of {total} (queue held/quota: {', '.join(parts)}); "
            f"{waiting} pods wait; {podgroups} podgroups"
        )

    def stop(self) -> None:
        """There is nothing to give back."""

    def close(self, verdict: Verdict) -> None:
        """The end."""
        for line in verdict.lines():
            self._line(line)

    def _line(self, text: str) -> None:
        self._print(f"[{self._clock() - self._began:6.2f}s] {text}")
