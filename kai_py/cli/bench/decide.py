"""``bench decide``: the core alone, fed through the real store by what a watch would say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kai_py.api.decode import decode
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.cli.bench import manifests
from kai_py.cli.bench.repeated import NAMESPACE, NOW, measured, node_name, on_node, passing, queue_name, seen
from kai_py.cli.bench.shapes import GPUS_IN_USE, Shape
from kai_py.cluster.store import Store
from kai_py.podgrouper.grouping import Grouper

Json = dict[str, Any]

_RUN: Final = "decide"


def measure(name: str, shape: Shape) -> Json:
    """Measure one shape; see :func:`kai_py.cli.bench.repeated.measured`."""
    document, _ = measured(name, shape, lambda: load(shape), passing(shape.nodes, shape.queues, _RUN))
    return document


def load(shape: Shape) -> Store:
    """A store that has seen all objects of a shape."""
    store = Store(Grouper())
    for queue in _queues(shape):
        store.put_queue(Queue.parse(queue))
    for number in range(shape.nodes):
        store.put_node(decode(Node, msgspec.json.encode(manifests.node(node_name(number), _RUN))))
    for pod in _running(shape):
        store.put_pod(pod, NOW)
    _submit(store, shape)
    return store


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
