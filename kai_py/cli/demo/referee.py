"""Judges the whole history, event by event: what must never happen, and what every pod is owed.

The arithmetic is a kubelet's (``minicluster.workers.room``) and the demo's own, none of it the scheduler's. Time is
counted in ticks of the demo's own event loop, so that a machine that stands still does not make anybody late.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kai_py.api.keys import PODGROUP_ANNOTATION
from kai_py.cli.demo.devices import DeviceBooks
from kai_py.cli.demo.teams import UNLIMITED, Queue, lineage
from kai_py.cli.demo.workload import Kind, Workload
from kai_py.cli.demo.world import CLAIMS, NODES, PODGROUPS, PODS, Thing, World
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.minicluster.workers.room import Amounts, offered_by, requests_of
from kai_py.telemetry.why import waiting_code

#: Seconds between ticks.
TICK: Final = 0.2
#: A gang must be whole so many ticks after its first pod was bound: the binding window.
SETTLED: Final = 25
#: So many ticks after a pod began to wait it must say why.
TOLD: Final = 40


@dataclass
class Numbers:
    """What was counted on the way.

    Attributes:
        events: changes that were looked at.
        bound: pods of ours that were bound.
        yielded: pods that had to make room for others.
        told: pods that have said why they wait.
        waited: seconds from the creation of each bound pod to its binding, as the watch has shown them.
        peak: the most GPUs that each queue has held.
        busiest: the most GPUs that all pods have held.
        devices: that were given to claims.
    """

    events: int = 0
    bound: int = 0
    yielded: int = 0
    told: int = 0
    waited: list[float] = field(default_factory=list)
    peak: Counter[str] = field(default_factory=Counter)
    busiest: int = 0
    devices: int = 0


class Referee:
    """Listens to a world.

    Args:
        world: to listen to.
        queues: all of them.
        cast: all workloads by name.
        clock: monotonic seconds, for the numbers; nothing is judged by it.

    Attributes:
        numbers: what was counted.
    """

    def __init__(
        self,
        world: World,
        queues: tuple[Queue, ...],
        cast: dict[str, Workload],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.numbers = Numbers()
        self._world = world
        self._queues = queues
        self._cast = cast
        self._faults: dict[str, None] = {}
        self._place: dict[str, str] = {}
        self._held: dict[str, Thing] = {}
        self._asked: dict[str, Amounts] = {}
        self._used: dict[str, Counter[str]] = defaultdict(Counter)
        self._gpus: Counter[str] = Counter()
        self._members: dict[str, set[str]] = defaultdict(set)
        self._half: Counter[str] = Counter()
        self._seen: dict[str, float] = {}
        self._silent: Counter[str] = Counter()
        self._speaking: set[str] = set()
        self._foreign = ""
        self._yielded: set[str] = set()
        self._clock = clock
        self._devices = DeviceBooks(world, self._fault)
        world.listeners.append(self.hear)

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that must not have happened, in the order in which it did."""
        return tuple(self._faults)

    def hear(self, kind: ResourceKind[Thing], event: EventType, one: Thing) -> None:
        """Look at a change."""
        self.numbers.events += 1
        if kind is CLAIMS:
            self._devices.hear(event, one)
            self.numbers.devices = self._devices.given
        if kind is not PODS:
            return
        if one.queue:
            self._once(one)
            self._fate(one)
            self._yield(one)
        else:
            self._hands_off(event, one)
        self._hold(event, one)

    def tick(self) -> None:
        """Look at what takes time: gangs on their way, pods that wait."""
        for name, workload in self._cast.items():
            started = len(self._members[name])
            self._half[name] = self._half[name] + 1 if 0 < started < workload.minimum else 0
            if self._half[name] > SETTLED:
                self._fault(f"gang {name}: {started} of at least {workload.minimum} pods were bound, and stayed alone")
        for pod in list(self._world.waiting()):
            self._listen(pod)

    # -- one pod -------------------------------------------------------------------------------------

    def _once(self, pod: Thing) -> None:
        """Bound once, and for good."""
        uid, node = pod.metadata.uid, pod.node
        self._seen.setdefault(uid, self._clock())
        if not node:
            if uid in self._place:
                self._fault(f"pod {_name(pod)} was unbound from {self._place[uid]}")
            return
        if uid not in self._place:
            self.numbers.bound += 1
            self.numbers.waited.append(self._clock() - self._seen[uid])
            self._members[pod.workload].add(uid)
        if self._place.setdefault(uid, node) != node:
            self._fault(f"pod {_name(pod)} was bound to {self._place[uid]} and to {node}")

    def _fate(self, pod: Thing) -> None:
        """Nothing of ours fails: a kubelet that refuses a pod has found out that the scheduler miscounted."""
        if pod.phase == "Failed" and not pod.yields:
            reason, message = pod.status.get("reason", ""), pod.status.get("message", "")
            self._fault(f"pod {_name(pod)} failed on {pod.node}: {reason} {message}".rstrip())

    def _yield(self, pod: Thing) -> None:
        """Nobody is pushed below what its queue was promised."""
        uid = pod.metadata.uid
        if not pod.yields or uid in self._yielded:
            return
        self._yielded.add(uid)
        self.numbers.yielded += 1
        stay = [one for one in self._held.values() if one.metadata.uid not in self._yielded]
        for queue in lineage(pod.queue, self._queues):
            held = sum(one.gpus for one in stay if queue in lineage(one.queue, self._queues))
            if held < queue.quota:
                self._fault(f"queue {queue.name} was pushed to {held} GPUs, below its quota of {queue.quota}")

    def _hands_off(self, event: EventType, pod: Thing) -> None:
        """Whoever names another scheduler is not placed, not judged and not ended by ours."""
        if not pod.workload:
            return
        if event == "DELETED" or pod.metadata.deletion_timestamp is not None:
            self._fault(f"pod {_name(pod)} of another scheduler was deleted")
        # The story lets the other scheduler place one pod; no other one was placed by it.
        if pod.node and not self._foreign:
            self._foreign = pod.metadata.uid
        if pod.node and self._foreign != pod.metadata.uid:
            self._fault(f"pod {_name(pod)} of another scheduler was bound to {pod.node}")
        waits = [one for one in pod.status.get("conditions", ()) if one.get("type") == "PodScheduled"]
        if any(one.get("status") == "False" for one in waits):
            self._fault(f"pod {_name(pod)} of another scheduler was told why it waits")

    # -- nodes and queues ----------------------------------------------------------------------------

    def _hold(self, event: EventType, pod: Thing) -> None:
        """Keep the books of nodes and queues, and look at them where something was added."""
        uid = pod.metadata.uid
        holds = bool(pod.node) and not pod.finished and event != "DELETED"
        if holds and uid not in self._held:
            self._held[uid] = pod
            self._asked[uid] = requests_of(pod.spec)
            self._used[pod.node].update(dict(self._asked[uid]))
            self._charge(pod, pod.gpus)
            self._look(pod.node)
        elif not holds and uid in self._held:
            self._used[self._held.pop(uid).node].subtract(dict(self._asked.pop(uid)))
            self._charge(pod, -pod.gpus)

    def _look(self, name: str) -> None:
        node = self._world.find(NODES, "", name)
        if node is None:
            self._fault(f"a pod was bound to node {name}, which does not exist")
            return
        offered = dict(offered_by({"status": node.status}))
        for resource, units in self._used[name].items():
            if units > offered.get(resource, 0):
                self._fault(f"node {name} was overcommitted: {units} {resource} of {offered.get(resource, 0)}")

    def _charge(self, pod: Thing, gpus: int) -> None:
        self._gpus[""] += gpus
        self.numbers.busiest = max(self.numbers.busiest, self._gpus[""])
        for queue in lineage(pod.queue, self._queues):
            held = self._gpus[queue.name] = self._gpus[queue.name] + gpus
            self.numbers.peak[queue.name] = max(self.numbers.peak[queue.name], held)
            if queue.limit != UNLIMITED and held > queue.limit:
                self._fault(f"queue {queue.name} held {held} GPUs, over its limit of {queue.limit}")

    # -- reasons -------------------------------------------------------------------------------------

    def _listen(self, pod: Thing) -> None:
        """Whoever waits must say why, and so must its podgroup."""
        uid, why = pod.metadata.uid, self._world.why(pod)
        if why.code and self._podgroup_speaks(pod):
            self._silent[uid] = 0
            if uid not in self._speaking:
                self._speaking.add(uid)
                self.numbers.told += 1
            return
        self._silent[uid] += 1
        if self._silent[uid] > TOLD:
            self._fault(f"pod {_name(pod)} waited without a reason")

    def _podgroup_speaks(self, pod: Thing) -> bool:
        name = pod.metadata.annotations.get(PODGROUP_ANNOTATION, "")
        podgroup = self._world.find(PODGROUPS, pod.metadata.namespace, name) if name else None
        if podgroup is None:
            return not name
        return bool(waiting_code({"status": podgroup.status}))

    # -- the end -------------------------------------------------------------------------------------

    def close(self) -> None:
        """Look at what must hold at the end: everybody who could start has started, gangs are whole."""
        for name, workload in self._cast.items():
            started = len(self._members[name])
            if workload.kind is not Kind.PODS and 0 < started < workload.minimum:
                self._fault(f"gang {name} ended with {started} of at least {workload.minimum} pods bound")
        for pod in self._world.waiting():
            self._fault(f"pod {_name(pod)} was left behind without a node")
        self._devices.close()

    def _fault(self, text: str) -> None:
        self._faults[text] = None


def _name(pod: Thing) -> str:
    return "/".join(pod.metadata.key)
