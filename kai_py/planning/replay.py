"""Replay of a trace: pods arrive one after the other and never leave; how much of the GPUs do they get?

Who arrives is decided about in the order of arrival within one cycle. As everybody decides on what those before have
left, this is what a cycle for each of them would decide; ``one_by_one`` runs those, for who wants to see it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from msgspec.structs import replace as altered

from kai_py.api.keys import GPU_FRACTION_ANNOTATION, GPU_FRACTION_DEVICES_ANNOTATION, NVIDIA_GPU, QUEUE_LABEL
from kai_py.api.meta import ObjectMeta
from kai_py.api.node import Node, NodeStatus
from kai_py.api.pod import (
    Affinity,
    Container,
    ContainerResources,
    NodeAffinity,
    Pod,
    PodSpec,
    PodStatus,
    SchedulingGate,
)
from kai_py.api.queue import Queue
from kai_py.api.selectors import NodeSelector, NodeSelectorTerm, Requirement
from kai_py.cluster.encode.axis import Accounting
from kai_py.cluster.scope import Scope
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options
from kai_py.core.result import Bind
from kai_py.planning.openb import WHOLE, Demand, Server
from kai_py.planning.world import World
from kai_py.podgrouper.grouping import group_of
from kai_py.settings.model import Settings
from kai_py.settings.options import core_options

_NAMESPACE: Final = "replay"
_QUEUE: Final = "replay"
_MODEL: Final = "nvidia.com/gpu.product"
#: Any moment; nothing depends on it.
_START: Final = 1_800_000_000.0
#: The trace knows no limit on the pods of a node.
_PODS: Final = 10_000
_GATES: Final = (SchedulingGate("kai-py/not-arrived"),)


@dataclass(frozen=True)
class Outcome:
    """What a replay comes to.

    Attributes:
        nodes: for each arrival its node; empty where it found none.
        allocated: thousandths of GPUs that were given.
        capacity: thousandths of GPUs that there are.
        seconds: from the empty store to the last decision; checks apart, unless pods came one by one.
        cpu_seconds: of this process, meanwhile.
        broken: contradictions that the core's own checkers find; anything but 0 makes the rest worthless.
    """

    nodes: tuple[str, ...]
    allocated: int
    capacity: int
    seconds: float
    cpu_seconds: float
    broken: int

    @property
    def allocation(self) -> float:
        """Percent of the GPUs that were given."""
        return 100 * self.allocated / self.capacity if self.capacity else 0.0


def replay(
    servers: Sequence[Server], demands: Sequence[Demand], settings: Settings, *, one_by_one: bool = False
) -> Outcome:
    """Let pods arrive on empty nodes; whoever finds no place is turned away.

    Args:
        servers: the nodes.
        demands: who arrives, in order.
        settings: of the scheduler. Nobody is evicted, whatever they say: only ``allocate`` runs.
        one_by_one: run a cycle for each arrival.
    """
    watch = _Watch()
    options = replace(core_options(settings), actions=(Action.ALLOCATE,))
    store = Store(
        lambda pod, owners: group_of(pod, owners, priority_classes=store.priorities),
        Scope.of(settings),
        Accounting.of(settings),
    )
    store.put_queue(Queue.parse(_queue()))
    for server in servers:
        store.put_node(_node(server))
    pods = [_pod(number, demand, settings.scheduler_names[0]) for number, demand in enumerate(demands)]
    found, broken = (_cycle_each if one_by_one else _cycle)(store, pods, options, watch)
    nodes = tuple(found.get(f"{_NAMESPACE}/{pod.metadata.name}", "") for pod in pods)
    given = sum(demand.total for demand, node in zip(demands, nodes, strict=True) if node)
    capacity = sum(server.gpus for server in servers) * WHOLE
    return Outcome(nodes, given, capacity, *watch.stopped, broken)


class _Watch:
    """Seconds from its making until it is stopped: by the clock, and of this process."""

    def __init__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()
        self.stopped = 0.0, 0.0

    def stop(self) -> None:
        """Note the time; the last note counts."""
        self.stopped = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]


def _cycle(store: Store, pods: Iterable[Pod], options: Options, watch: _Watch) -> tuple[dict[str, str], int]:
    """All arrivals in one cycle: podgroups of one queue and priority are served in the order of their creation."""
    for pod in pods:
        store.put_pod(pod, _START)
    snapshot = store.take(_START)
    result = run_cycle(snapshot, options, clock=time.monotonic)
    watch.stop()
    return {one.pod: one.node for one in result.decisions if isinstance(one, Bind)}, len(violations(snapshot, result))


def _cycle_each(store: Store, pods: Sequence[Pod], options: Options, watch: _Watch) -> tuple[dict[str, str], int]:
    """A cycle for each arrival. Gates hold back who has not arrived, and who was turned away."""
    world = World(store, [_gated(pod) for pod in pods], _START)
    found: dict[str, str] = {}
    broken = 0
    for pod, now in zip(pods, _seconds(), strict=False):
        world.put(pod, now)
        snapshot = store.take(now)
        result = run_cycle(snapshot, options, clock=time.monotonic)
        broken += len(violations(snapshot, result))
        if result.decisions:
            found |= {one.pod: one.node for one in result.decisions if isinstance(one, Bind)}
            world.settle(result.decisions, now)
        else:
            world.put(_gated(pod), now)
    watch.stop()
    return found, broken


def _seconds() -> Iterator[float]:
    now = _START
    while True:
        yield now
        now += 1.0


def _gated(pod: Pod) -> Pod:
    return altered(pod, spec=altered(pod.spec, scheduling_gates=_GATES))


def _queue() -> dict[str, object]:
    free = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
    return {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": _QUEUE},
        "spec": {"resources": {"cpu": free, "memory": free, "gpu": free}},
    }


def _node(server: Server) -> Node:
    offered = {"cpu": f"{server.cpu_milli}m", "memory": f"{server.memory_mib}Mi", "pods": str(_PODS)}
    if server.gpus:
        offered[NVIDIA_GPU] = str(server.gpus)
    return Node(ObjectMeta(server.name, labels={_MODEL: server.model}), status=NodeStatus(allocatable=offered))


def _pod(number: int, demand: Demand, scheduler: str) -> Pod:
    """A pod that arrives ``number`` seconds after the start."""
    requests = {"cpu": f"{demand.cpu_milli}m", "memory": f"{demand.memory_mib}Mi"}
    annotations = {}
    if demand.gpus and demand.gpu_milli == WHOLE:
        requests[NVIDIA_GPU] = str(demand.gpus)
    elif demand.gpus:
        annotations[GPU_FRACTION_ANNOTATION] = f"{demand.gpu_milli / WHOLE:.3f}"
        if demand.gpus > 1:
            annotations[GPU_FRACTION_DEVICES_ANNOTATION] = str(demand.gpus)
    name = f"pod-{number:06}"
    return Pod(
        ObjectMeta(
            name,
            _NAMESPACE,
            uid=name,
            creation_timestamp=datetime.fromtimestamp(_START + number, UTC).isoformat(),
            labels={QUEUE_LABEL: _QUEUE},
            annotations=annotations,
        ),
        PodSpec(
            containers=(Container("main", resources=ContainerResources(requests, requests)),),
            scheduler_name=scheduler,
            affinity=_on_models(demand.models),
        ),
        PodStatus(phase="Pending"),
    )


def _on_models(models: tuple[str, ...]) -> Affinity | None:
    if not models:
        return None
    term = NodeSelectorTerm(match_expressions=(Requirement(_MODEL, "In", models),))
    return Affinity(NodeAffinity(required=NodeSelector((term,))))
