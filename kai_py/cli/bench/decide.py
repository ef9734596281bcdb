"""``bench decide``: the core alone, fed through the real store by what a watch would say."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kai_py.api.decode import decode
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.cli.bench import manifests
from kai_py.cli.bench.machine import memory_mib
from kai_py.cli.bench.repeated import NAMESPACE, NOW, node_name, on_node, passing, queue_name, repeat, seen
from kai_py.cli.bench.shapes import GPUS_IN_USE, Shape
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Options
from kai_py.core.result import Bind
from kai_py.operators.garbage import set_memory_apart
from kai_py.podgrouper.grouping import Grouper

Json = dict[str, Any]

_RUN: Final = "decide"


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
        store.put_node(decode(Node, msgspec.json.encode(manifests.node(node_name(number), _RUN))))
    for pod in _running(shape):
        store.put_pod(pod, NOW)
    _submit(store, shape)
    loaded = time.perf_counter()
    first = store.take(NOW)
    taken = time.perf_counter()
    run_cycle(first, Options(), clock=time.monotonic)
    set_memory_apart()  # as the scheduler does when it has read the cluster
    times, snapshot, result = repeat(store, passing(shape.nodes, shape.queues, _RUN), shape.repetitions)
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


def _queues(shape: Shape) -> Iterator[Json]:
    if not shape.departments:
        yield from (manifests.queue(queue_name(number)) for number in range(shape.queues))
        return
    gpus = shape.nodes * manifests.GPUS_PER_NODE
    for number in range(shape.departments):
        yield manifests.queue(f"department-{number}", gpu_quota=gpus // shape.departments)
    for number in range(shape.queues):
        parent = f"department-{number % shape.departments}"
        yield manifests.queue(queue_name(number), parent=parent, gpu_quota=gpus // shape.queues)


def _running(shape: Shape) -> Iterator[Pod]:
    for node in range(shape.nodes):
        for slot in range(shape.running):
            yield _run_on(node, f"running-{node:05}-{slot:03}", gpus=int(slot < GPUS_IN_USE), shape=shape)


def _run_on(node: int, name: str, *, gpus: int, shape: Shape) -> Pod:
    manifest = manifests.pod(name, NAMESPACE, queue_name(node % shape.queues), _RUN, gpus=gpus)
    return seen(on_node(manifest, node), phase="Running")


def _submit(store: Store, shape: Shape) -> None:
    """All that waits."""
    for job in range(shape.jobs):
        queue, group = queue_name(job % shape.queues), f"job-{job:05}" if shape.gang > 1 else ""
        if group:
            store.put_podgroup(PodGroup.parse(manifests.podgroup(group, NAMESPACE, queue, shape.gang)))
        for member in range(shape.gang):
            name = f"{group or 'pod'}-{job:05}-{member:04}"
            waits = manifests.pod(name, NAMESPACE, queue, _RUN, gpus=shape.gpus, group=group)
            store.put_pod(seen(waits, phase="Pending"), NOW)
