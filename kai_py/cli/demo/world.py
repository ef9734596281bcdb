"""What the API server says, kept up to date by watches; and the questions that the demo asks about it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import msgspec

from kai_py.api.keys import NVIDIA_GPU, PODGROUP_ANNOTATION, QUEUE_LABEL
from kai_py.api.meta import PartialObject
from kai_py.cli.demo.workload import CLAIMED_LABEL, WORKLOAD_LABEL
from kai_py.kube.client import ApiClient
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.telemetry.conditions import DISRUPTION_TARGET, PREEMPTION_BY_SCHEDULER
from kai_py.telemetry.why import Why, why_pod

Json = dict[str, Any]
Key = tuple[str, str]

#: Events that are remembered for the screen.
_RECENT: Final = 50


class Thing(PartialObject, frozen=True):
    """An object with everything that the demo shows or judges of it."""

    spec: dict[str, Any] = msgspec.field(default_factory=dict)
    status: dict[str, Any] = msgspec.field(default_factory=dict)
    reason: str = ""
    note: str = ""
    regarding: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def node(self) -> str:
        """Of a pod: where it is; empty if nowhere."""
        return str(self.spec.get("nodeName") or "")

    @property
    def phase(self) -> str:
        """Of a pod."""
        return str(self.status.get("phase") or "Pending")

    @property
    def finished(self) -> bool:
        """Of a pod: whether it holds nothing any more."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def yields(self) -> bool:
        """Of a pod: whether the scheduler has told it to make room for others."""
        return any(
            one.get("type") == DISRUPTION_TARGET and one.get("reason") == PREEMPTION_BY_SCHEDULER
            for one in self.status.get("conditions", ())
        )

    @property
    def workload(self) -> str:
        """Of a pod: its part in the story."""
        return self.metadata.labels.get(WORKLOAD_LABEL, "")

    @property
    def queue(self) -> str:
        """Of a pod: whom it is charged to; empty for pods of other schedulers."""
        return self.metadata.labels.get(QUEUE_LABEL, "")

    @property
    def gpus(self) -> int:
        """Of a pod: how many it asks for, or claims."""
        return int(self.metadata.labels.get(CLAIMED_LABEL, 0)) + sum(
            int(container.get("resources", {}).get("requests", {}).get(NVIDIA_GPU, 0))
            for container in self.spec.get("containers", ())
        )

    @property
    def whole_gpus(self) -> int:
        """Of a slice: how many there are to be claimed, parts of them not counted."""
        kinds = ((device.get("attributes") or {}).get("type") or {} for device in self.spec.get("devices") or ())
        return sum(kind.get("string") == "gpu" for kind in kinds)


PODS: Final = ResourceKind("", "v1", "pods", Thing)
NODES: Final = ResourceKind("", "v1", "nodes", Thing, namespaced=False)
QUEUES: Final = ResourceKind("scheduling.run.ai", "v2", "queues", Thing, namespaced=False)
PODGROUPS: Final = ResourceKind("scheduling.run.ai", "v2alpha2", "podgroups", Thing)
CLAIMS: Final = ResourceKind("resource.k8s.io", "v1", "resourceclaims", Thing)
SLICES: Final = ResourceKind("resource.k8s.io", "v1", "resourceslices", Thing, namespaced=False)
EVENTS: Final = ResourceKind("events.k8s.io", "v1", "events", Thing)

_KINDS: Final = (NODES, QUEUES, PODS, PODGROUPS, SLICES, CLAIMS, EVENTS)

Listener = Callable[[ResourceKind[Thing], EventType, Thing], None]


class World:
    """All objects by kind and name.

    Args:
        client: the API server; nothing but watches is asked of it.

    Attributes:
        listeners: told about every change, in the order of the watches.
        yielded: uids of the pods that had to make room, by workload.
        recent: the last Events, oldest first: when they were seen, and what.
    """

    def __init__(self, client: ApiClient) -> None:
        self.listeners: list[Listener] = []
        self.recent: deque[tuple[float, Thing]] = deque(maxlen=_RECENT)
        self.yielded: dict[str, set[str]] = {}
        self._objects: dict[str, dict[Key, Thing]] = {}
        self._reflectors = [Reflector(client, kind, self) for kind in _KINDS]
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Watch, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for reflector in self._reflectors:
                tasks.create_task(reflector.run())

    async def synced(self) -> None:
        """Wait until everything has been listed once."""
        for reflector in self._reflectors:
            await reflector.synced.wait()

    async def until(self, condition: Callable[[], bool], patience: float) -> bool:
        """Wait until something holds; tells whether it does."""
        try:
            async with asyncio.timeout(patience):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return condition()
        return True

    # -- from the reflectors -------------------------------------------------------------------------

    def replace(self, resource: ResourceKind[Thing], objects: Sequence[Thing], _: AbstractSet[Key]) -> None:
        """These are all objects of a kind."""
        present = {one.metadata.key for one in objects}
        for key, gone in list(self._known(resource).items()):
            if key not in present:
                self._note(resource, "DELETED", gone)
        for one in objects:
            self._note(resource, "ADDED", one)

    def apply(self, resource: ResourceKind[Thing], events: Sequence[tuple[EventType, Thing]]) -> None:
        """This has happened since."""
        for event, one in events:
            self._note(resource, event, one)

    def _note(self, resource: ResourceKind[Thing], event: EventType, one: Thing) -> None:
        known = self._known(resource)
        if event == "DELETED":
            known.pop(one.metadata.key, None)
        else:
            known[one.metadata.key] = one
        if resource is PODS and one.yields:
            self.yielded.setdefault(one.workload, set()).add(one.metadata.uid)
        if resource is EVENTS and event != "DELETED":
            self.recent.append((time.monotonic(), one))
        for listener in self.listeners:
            listener(resource, event, one)
        self._changed.set()

    def _known(self, resource: ResourceKind[Thing]) -> dict[Key, Thing]:
        return self._objects.setdefault(resource.plural, {})

    # -- questions -----------------------------------------------------------------------------------

    def all(self, resource: ResourceKind[Thing]) -> list[Thing]:
        """All objects of a kind."""
        return list(self._known(resource).values())

    def find(self, resource: ResourceKind[Thing], namespace: str, name: str) -> Thing | None:
        """One object."""
        return self._known(resource).get((namespace, name))

    def pods_of(self, workload: str) -> list[Thing]:
        """The pods of a workload that exist, by name."""
        pods = [pod for pod in self.all(PODS) if pod.workload == workload]
        return sorted(pods, key=lambda pod: pod.metadata.key)

    def waiting(self) -> Iterator[Thing]:
        """Pods of the teams that have no node."""
        return (pod for pod in self.all(PODS) if pod.queue and not pod.node and not pod.finished)

    def why(self, pod: Thing) -> Why:
        """Why a pod waits, as ``kai-py why`` tells it: by what the objects say."""
        name = pod.metadata.annotations.get(PODGROUP_ANNOTATION, "")
        podgroup = self.find(PODGROUPS, pod.metadata.namespace, name) if name else None
        return why_pod(msgspec.to_builtins(pod), msgspec.to_builtins(podgroup) if podgroup is not None else None)

    def gpus_held(self, queue: str) -> int:
        """GPUs of a leaf queue's pods that have a node."""
        return sum(pod.gpus for pod in self.all(PODS) if pod.queue == queue and pod.node and not pod.finished)

    def gpus(self) -> int:
        """GPUs of the cluster, whoever offers them."""
        plugged = sum(int(node.status.get("allocatable", {}).get(NVIDIA_GPU, 0)) for node in self.all(NODES))
        return plugged + sum(one.whole_gpus for one in self.all(SLICES))
