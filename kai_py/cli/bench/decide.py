"""``bench decide``: the core alone, fed through the real store by what a watch would say."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import msgspec

from kai_py.api.decode import decode
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.cli.bench import manifests
from kai_py.cli.bench.machine import memory_mib
from kai_py.cli.bench.shapes import GPUS_IN_USE, Shape
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Options
from kai_py.core.result import Bind, CycleResult
from kai_py.core.tables.snapshot import Snapshot
from kai_py.operators.garbage import set_memory_apart
from kai_py.podgrouper.grouping import Grouper

Json = dict[str, Any]

_NAMESPACE: Final = "bench"
_RUN: Final = "decide"
#: Any moment; nothing that is measured depends on it.
_NOW: Final = 1_800_000_000.0
_CREATED: Final = "2027-01-15T07:00:00Z"


@dataclass
class Times:
    """Milliseconds of each repetition."""

    take: list[float] = field(default_factory=list)
    cycle: list[float] = field(default_factory=list)

    def document(self) -> Json:
        """Medians and extremes; ``decision`` is both together."""
        both = [take + cycle for take, cycle in zip(self.take, self.cycle, strict=True)]
        return {"take": _summary(self.take), "cycle": _summary(self.cycle), "decision": _summary(both)}


def measure(name: str, shape: Shape) -> Json:
    """Measure one shape in this process.

    Every repetition is what the scheduler does when one pod changes: the store takes the event in, gives a snapshot,
    and a cycle decides on it. Decisions are not carried out, so that every repetition finds the same work.

    Returns:
        Milliseconds, what was decided, resident memory. ``broken`` counts contradictions that the core's own checkers
        find in the last result; anything but 0 makes the numbers worthless.
    """
    before = memory_mib()
    started = time.perf_counter()
    grouper = Grouper()
    store = Store(grouper)
    for queue in _queues(shape):
        store.put_queue(Queue.parse(queue))
    for number in range(shape.nodes):
        store.put_node(decode(Node, msgspec.json.encode(manifests.node(_node_name(number), _RUN))))
    for pod in _running(shape):
        store.put_pod(pod, _NOW)
    _submit(store, shape)
    loaded = time.perf_counter()
    first = store.take(_NOW)
    taken = time.perf_counter()
    run_cycle(first, Options(), clock=time.monotonic)
    set_memory_apart()  # as the scheduler does when it has read the cluster
    times, snapshot, result = _repeat(store, shape)
    after = memory_mib()
    return {
        "shape": name,
        "about": shape.about,
        "nodes": shape.nodes,
        "pods": len(snapshot.pods),
        "placed": sum(isinstance(decision, Bind) for decision in result.decisions),
        "waiting": len(result.diagnoses),
        "repetitions": shape.repetitions,
        "milliseconds": times.document(),
        "loadSeconds": round(loaded - started, 3),
        "firstTakeMilliseconds": round((taken - loaded) * 1000, 3),
        "memoryMiB": {"before": before and before["now"], "after": after and after["now"]},
        "broken": len(violations(snapshot, result)),
    }


def _repeat(store: Store, shape: Shape) -> tuple[Times, Snapshot, CycleResult]:
    times = Times()
    events = _events(shape)
    for _ in range(shape.repetitions):
        appears, pod = next(events)
        if appears:
            store.put_pod(pod, _NOW)
        else:
            store.drop_pod(key_of(pod))
        started = time.perf_counter()
        snapshot = store.take(_NOW)
        taken = time.perf_counter()
        result = run_cycle(snapshot, Options(), clock=time.monotonic)
        decided = time.perf_counter()
        if not any(isinstance(decision, Bind) for decision in result.decisions):
            store.remember(result, _NOW)  # what was placed is not carried out here, so it must not count as started
        times.take.append((taken - started) * 1000)
        times.cycle.append((decided - taken) * 1000)
    return times, snapshot, result


def _queues(shape: Shape) -> Iterator[Json]:
    if not shape.departments:
        yield from (manifests.queue(_queue_name(number)) for number in range(shape.queues))
        return
    gpus = shape.nodes * manifests.GPUS_PER_NODE
    for number in range(shape.departments):
        yield manifests.queue(f"department-{number}", gpu_quota=gpus // shape.departments)
    for number in range(shape.queues):
        parent = f"department-{number % shape.departments}"
        yield manifests.queue(_queue_name(number), parent=parent, gpu_quota=gpus // shape.queues)


def _running(shape: Shape) -> Iterator[Pod]:
    for node in range(shape.nodes):
        for slot in range(shape.running):
            yield _run_on(node, f"running-{node:05}-{slot:03}", gpus=int(slot < GPUS_IN_USE), shape=shape)


def _run_on(node: int, name: str, *, gpus: int, shape: Shape) -> Pod:
    manifest = manifests.pod(name, _NAMESPACE, _queue_name(node % shape.queues), _RUN, gpus=gpus)
    manifest["spec"]["nodeName"] = _node_name(node)
    return _seen(manifest, phase="Running")


def _submit(store: Store, shape: Shape) -> None:
    """All that waits."""
    for job in range(shape.jobs):
        queue, group = _queue_name(job % shape.queues), f"job-{job:05}" if shape.gang > 1 else ""
        if group:
            store.put_podgroup(PodGroup.parse(manifests.podgroup(group, _NAMESPACE, queue, shape.gang)))
        for member in range(shape.gang):
            name = f"{group or 'pod'}-{job:05}-{member:04}"
            waits = manifests.pod(name, _NAMESPACE, queue, _RUN, gpus=shape.gpus, group=group)
            store.put_pod(_seen(waits, phase="Pending"), _NOW)


def _events(shape: Shape) -> Iterator[tuple[bool, Pod]]:
    """One small change after the other: a pod without GPUs starts on some node, and ends before the next one."""
    number = 0
    while True:
        pod = _run_on(number * 997 % shape.nodes, f"passing-{number:05}", gpus=0, shape=shape)
        yield True, pod
        yield False, pod
        number += 1


def _seen(manifest: Json, *, phase: str) -> Pod:
    """A pod as it comes out of a watch: with all that the API server adds, through JSON."""
    metadata = manifest["metadata"]
    metadata |= {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, metadata["name"])),
        "resourceVersion": "1000000",
        "creationTimestamp": _CREATED,
        "managedFields": [{"manager": "kai-py", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}],
    }
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": _CREATED} for kind in _CONDITIONS]
    manifest["status"] = {"phase": phase, "qosClass": "Burstable"}
    if phase == "Running":
        manifest["status"] |= {"conditions": conditions, "startTime": _CREATED, "podIP": "10.0.0.1"}
    return decode(Pod, msgspec.json.encode(manifest))


_CONDITIONS: Final = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def _node_name(number: int) -> str:
    return f"bench-{number:05}"


def _queue_name(number: int) -> str:
    return f"queue-{number:02}"


def _summary(milliseconds: list[float]) -> Json:
    return {
        "median": round(median(milliseconds), 3),
        "min": round(min(milliseconds), 3),
        "max": round(max(milliseconds), 3),
    }
