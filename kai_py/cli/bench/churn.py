"""Users of a busy cluster: jobs come, run and end, are given up; nodes fail and are cordoned; quotas change."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

from kai_py.api.decode import convert
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.cli.bench import manifests
from kai_py.cli.bench.manifests import GPUS_PER_NODE
from kai_py.cluster.store import Store
from kai_py.core.result import Decision
from kai_py.planning.world import Name, World
from kai_py.podgrouper.grouping import Grouper

Json = dict[str, Any]

#: Seconds from cycle to cycle.
STEP: Final = 10.0
#: 200,000 pods a day on 100 nodes, and in proportion.
_ARRIVALS: Final = 200_000 / 86_400 / 100
#: Mean time that a pod runs, in seconds. As a gang ends with its last pod, together they ask for three fifths of what
#: there is.
_LENGTH: Final = 50.0
#: Users give up what has waited for so long; seconds.
_PATIENCE: Final = 300.0
#: A broken gang is finished or ended within its grace of 60 s, and two cycles.
_BROKEN: Final = 60.0 + 3 * STEP
_START: Final = 1_800_000_000.0
_NAMESPACE: Final = "soak"
_RUN: Final = "soak"
#: Pods, and GPUs of each.
_SHAPES: Final = ((1, 1), (1, 1), (1, 2), (1, 0), (1, 4), (1, 8), (2, 4), (4, 1), (4, 8), (8, 2), (16, 1))
#: Leaf queues: parent and part of the cluster that it is owed.
_LEAVES: Final = {
    "vision": ("research", 0.15),
    "speech": ("research", 0.15),
    "robots": ("research", 0.0),
    "search": ("product", 0.3),
    "ads": ("product", 0.2),
    "night": ("product", 0.0),
}


@dataclass
class _Job:
    """Pods that start together. ``left`` is how long each has yet to run, in seconds."""

    pods: list[Name]
    minimum: int
    gpus: int
    came: float
    left: dict[Name, float] = field(default_factory=dict)
    broken_since: float = math.inf


class Churn:
    """A cluster that is never at rest.

    Args:
        nodes: of eight GPUs.
        seed: of all that is random.

    Attributes:
        world: carries decisions out.
        now: seconds since the epoch.
        submitted, finished, given_up, lost: pods that have come, run to their end, were deleted while they waited,
            and had to begin anew because their node failed.
    """

    def __init__(self, nodes: int, seed: int) -> None:
        self.now = _START
        self.submitted = self.finished = self.given_up = self.lost = 0
        self._due = 0.0
        self._random = random.Random(seed)  # noqa: S311  # chosen, not secret
        self._nodes = {f"node-{number:04}": number for number in range(nodes)}
        self._away: dict[str, float] = {}
        self._jobs: dict[str, _Job] = {}
        self._job_of: dict[Name, str] = {}
        store = Store(Grouper())
        for name in self._nodes:
            store.put_node(_node(name))
        for name, (parent, part) in _LEAVES.items():
            for one, above, quota in ((parent, "", -1.0), (name, parent, part * nodes * GPUS_PER_NODE)):
                store.put_queue(Queue.parse(manifests.queue(one, parent=above, gpu_quota=round(quota))))
        self.world = World(store, (), _START)

    @property
    def waiting(self) -> int:
        """Pods without a node."""
        return sum(not pod.spec.node_name for pod in self.world.pods.values())

    def step(self, decisions: Iterable[Decision]) -> list[str]:
        """Carry decisions out and let time pass; returns what should not be."""
        self.now += STEP
        self.world.settle(decisions, self.now)
        found = list(self._check())
        self._finish()
        self._give_up()
        self._trouble()
        self._due += self._random.uniform(0, 2) * STEP * _ARRIVALS * len(self._nodes)
        while self.submitted < self._due:
            self._submit()
        return found

    # -- users -------------------------------------------------------------------------------------

    def _submit(self) -> None:
        pods, gpus = self._random.choice(_SHAPES)
        queue = self._random.choice(tuple(_LEAVES))
        name = f"job-{self.submitted:07}"
        minimum = max(1, pods // 2) if self._random.random() < 0.3 else pods
        job = _Job([(_NAMESPACE, f"{name}-{number:02}") for number in range(pods)], minimum, gpus, self.now)
        group = name if pods > 1 else ""
        if group:
            self.world.store.put_podgroup(PodGroup.parse(manifests.podgroup(group, _NAMESPACE, queue, minimum)))
        self._jobs[name] = job
        for one in job.pods:
            manifest = manifests.pod(one[1], _NAMESPACE, queue, _RUN, gpus=gpus, group=group)
            owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"u-{name}", "controller": True}
            created = _time(self.now)
            manifest["metadata"] |= {"uid": f"u-{one[1]}", "creationTimestamp": created, "ownerReferences": [owner]}
            pod = convert(Pod, manifest)
            self.world.put(replace(pod, status=replace(pod.status, phase="Pending")), self.now)
            self._job_of[one] = name
            job.left[one] = self._random.expovariate(1 / _LENGTH)
            self.submitted += 1

    def _finish(self) -> None:
        """A job runs while it has its minimum; each of its pods ends when its time is over."""
        for name, job in list(self._jobs.items()):
            running = [one for one in job.pods if self.world.pods[one].spec.node_name]
            if len(running) < min(job.minimum, len(job.pods)):
                continue
            for one in running:
                job.left[one] -= STEP
            if all(left <= 0 for left in job.left.values()):
                self.finished += len(job.pods)
                self._delete(name)

    def _give_up(self) -> None:
        for name, job in list(self._jobs.items()):
            if self.now - job.came > _PATIENCE and not any(self.world.pods[one].spec.node_name for one in job.pods):
                self.given_up += len(job.pods)
                self._delete(name)

    def _delete(self, name: str) -> None:
        job = self._jobs.pop(name)
        for one in job.pods:
            del self._job_of[one]
            self.world.drop(one)
        if len(job.pods) > 1:
            self.world.store.drop_podgroup((_NAMESPACE, name))

    # -- administrators and fate -------------------------------------------------------------------

    def _trouble(self) -> None:
        for name in [name for name, until in self._away.items() if until <= self.now]:
            del self._away[name]
            self.world.store.put_node(_node(name))
        hour = STEP / 3600
        if self._random.random() < 6 * hour:  # six times an hour a node fails, or is cordoned
            name = self._random.choice(tuple(self._nodes))
            fails = self._random.random() < 0.5
            self._away[name] = self.now + self._random.uniform(300, 1800)
            self.world.store.put_node(_node(name, ready=not fails, cordoned=not fails))
            if fails:
                for pod in [pod for pod in self.world.pods.values() if pod.spec.node_name == name]:
                    self.world.restart(pod, self.now)
                    self.lost += 1
        if self._random.random() < 2 * hour:
            (one, (above, part)), (other, (beside, share)) = self._random.sample(tuple(_LEAVES.items()), 2)
            capacity = len(self._nodes) * GPUS_PER_NODE
            for name, parent, quota in ((one, above, share), (other, beside, part)):
                changed = manifests.queue(name, parent=parent, gpu_quota=round(quota * capacity))
                self.world.store.put_queue(Queue.parse(changed))

    # -- what must hold ----------------------------------------------------------------------------

    def _check(self) -> Iterator[str]:
        taken: Counter[str] = Counter()
        running: defaultdict[str, int] = defaultdict(int)
        for name, pod in self.world.pods.items():
            if pod.spec.node_name:
                whose = self._job_of[name]
                taken[pod.spec.node_name] += self._jobs[whose].gpus
                running[whose] += 1
        for node, gpus in taken.items():
            if gpus > GPUS_PER_NODE:
                yield f"{node} has {gpus} GPUs in use"
        for called, job in self._jobs.items():
            if not 0 < running[called] < job.minimum:
                job.broken_since = math.inf
                continue
            job.broken_since = min(job.broken_since, self.now)
            if self.now - job.broken_since > _BROKEN:
                yield f"{called} has run with {running[called]} of {job.minimum} pods since {job.broken_since:.0f}"


def _node(name: str, *, ready: bool = True, cordoned: bool = False) -> Node:
    manifest = manifests.node(name, _RUN)
    manifest["spec"]["unschedulable"] = cordoned
    manifest["status"]["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]
    return convert(Node, manifest)


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
