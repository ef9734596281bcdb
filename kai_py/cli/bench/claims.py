"""``bench dra``: how long it takes to give claims their devices, without an API server."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kai_py.api.decode import convert, decode
from kai_py.api.keys import NVIDIA_DEVICES
from kai_py.api.node import Node
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.resource import DeviceClass, ResourceClaim, ResourceSlice
from kai_py.cli.bench import device_manifests, manifests
from kai_py.cli.bench.device_manifests import NICS
from kai_py.cli.bench.device_shapes import DeviceShape
from kai_py.cli.bench.repeated import NAMESPACE, NOW, measured, node_name, on_node, passing, queue_name, seen
from kai_py.cluster.store import Store
from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.result import Bind
from kai_py.podgrouper.grouping import group_of

Json = dict[str, Any]

_RUN: Final = "dra"
_QUEUE: Final = queue_name(0)


def measure(name: str, shape: DeviceShape) -> Json:
    """Measure one shape; see :func:`kai_py.cli.bench.repeated.measured`.

    Returns:
        The same, with ``devices`` for how many were given out.
    """
    document, result = measured(name, shape, lambda: load(shape), passing(shape.nodes, 1, _RUN))
    binds = (decision for decision in result.decisions if isinstance(decision, Bind))
    return document | {"devices": sum(map(_devices, binds))}


def _devices(bind: Bind) -> int:
    return sum(len(one.allocation.devices) for one in bind.claims if isinstance(one.allocation, ClaimAllocation))


def load(shape: DeviceShape) -> Store:
    """A store that has seen all objects of a shape."""
    store = Store(lambda pod, owners: group_of(pod, owners, priority_classes=store.priorities))
    store.put_queue(Queue.parse(manifests.queue(_QUEUE)))
    for driver in (NVIDIA_DEVICES, NICS):
        store.claims.put_class(_named(DeviceClass, device_manifests.device_class(driver)))
    for number in range(shape.nodes):
        node = node_name(number)
        store.put_node(decode(Node, msgspec.json.encode(manifests.node(node, _RUN, gpus=0))))
        for one in shape.slices(node):
            store.claims.devices.put(_named(ResourceSlice, one))
        for slot in range(shape.running):
            _run(store, number, slot)
    for job in range(shape.jobs):
        _submit(store, shape, job)
    return store


def _named(kind: type[Any], manifest: Json) -> Any:
    """An object as a watch shows it."""
    return convert(kind, manifest | {"metadata": manifest["metadata"] | {"uid": _uid(manifest["metadata"]["name"])}})


def _uid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def _run(store: Store, node: int, slot: int) -> None:
    """A pod that runs with a GPU."""
    name = f"running-{node:05}-{slot:03}"
    claim = device_manifests.claim(
        f"{name}-0", NAMESPACE, _QUEUE, {"devices": {"requests": [device_manifests.exactly()]}}
    )
    status = device_manifests.allocated(node_name(node), f"gpu-{slot}", name, _uid(name))
    store.claims.put(_named(ResourceClaim, claim | {"status": status}))
    pod = manifests.pod(name, NAMESPACE, _QUEUE, _RUN, gpus=0)
    store.put_pod(seen(on_node(device_manifests.using(pod, [f"{name}-0"]), node), phase="Running"), NOW)


def _submit(store: Store, shape: DeviceShape, job: int) -> None:
    """A job that waits."""
    group = f"job-{job:05}" if shape.gang > 1 else ""
    if group:
        store.put_podgroup(PodGroup.parse(manifests.podgroup(group, NAMESPACE, _QUEUE, shape.gang)))
    for member in range(shape.gang):
        name = f"{group or 'pod'}-{job:05}-{member:04}"
        pod = manifests.pod(name, NAMESPACE, _QUEUE, _RUN, gpus=0, group=group)
        names = []
        for claim in _claims(shape, name):
            store.claims.put(_named(ResourceClaim, claim))
            names.append(claim["metadata"]["name"])
        store.put_pod(seen(device_manifests.using(pod, names), phase="Pending"), NOW)


def _claims(shape: DeviceShape, pod: str) -> Iterator[Json]:
    for place, spec in enumerate(shape.claims):
        yield device_manifests.claim(f"{pod}-{place}", NAMESPACE, _QUEUE, spec)
