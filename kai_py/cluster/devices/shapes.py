"""Clusters of devices to measure with: plain GPUs, and GPUs that are cut into partitions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.api.meta import ObjectMeta
from kai_py.api.resource import (
    Attribute,
    Capacity,
    CelSelector,
    Counter,
    CounterConsumption,
    CounterSet,
    Device,
    DeviceClaim,
    DeviceClass,
    DeviceClassSpec,
    DeviceRequest,
    DeviceSelector,
    ExactRequest,
    ResourceClaim,
    ResourceClaimSpec,
    ResourcePool,
    ResourceSlice,
    ResourceSliceSpec,
)
from kai_py.cluster.devices.claims import ClaimReader, Compile
from kai_py.cluster.devices.slices import read_slice
from kai_py.cluster.nodes import label_columns
from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.filling import fill
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.tables.nodes import NodeTable

_DRIVER: Final = "gpu.example.com"
_CLASS: Final = "gpu.example.com"
#: Profiles of an 80 GB GPU with seven compute and eight memory slices: (name, compute, memory, first memory slices).
_PROFILES: Final = (
    ("1g.10gb", 1, 1, (0, 1, 2, 3, 4, 5, 6)),
    ("1g.20gb", 1, 2, (0, 2, 4, 6)),
    ("2g.20gb", 2, 2, (0, 2, 4)),
    ("3g.40gb", 3, 4, (0, 4)),
    ("4g.40gb", 4, 4, (0,)),
    ("7g.80gb", 7, 8, (0,)),
)


@dataclass(frozen=True)
class Shape:
    """Something to measure.

    Attributes:
        about: what it is, for people.
        slices: of all nodes ``node-0``, ``node-1``, …
        nodes: how many.
        claims: to be placed, one per pod.
        classes: that they name.
    """

    about: str
    slices: tuple[ResourceSlice, ...]
    nodes: int
    claims: tuple[ResourceClaim, ...]
    classes: tuple[DeviceClass, ...]


def whole_gpus(nodes: int = 500, gpus: int = 8) -> Shape:
    """As many claims as there are GPUs, for one each, by a selector on an attribute."""
    slices = tuple(
        _slice(f"node-{node}", 1, devices=tuple(_gpu(node, index) for index in range(gpus))) for node in range(nodes)
    )
    expression = f'device.attributes["{_DRIVER}"].product == "H100"'
    claims = tuple(_claim(number, expression) for number in range(nodes * gpus))
    return Shape(f"{nodes} nodes with {gpus} GPUs, one for each claim", slices, nodes, claims, (_class(),))


def partitions(nodes: int = 64) -> Shape:
    """GPUs that offer all profiles at once, and claims for as many of the smallest as there can be."""
    slices = tuple(one for node in range(nodes) for one in _partitioned(node))
    expression = f'device.attributes["{_DRIVER}"].profile == "1g.10gb"'
    claims = tuple(_claim(number, expression) for number in range(7 * nodes))
    return Shape(f"{nodes} GPUs cut into seven partitions each", slices, nodes, claims, (_class(),))


#: What ``kai-py bench`` can measure, by name.
SHAPES: Final[dict[str, Callable[[], Shape]]] = {"whole-gpus": whole_gpus, "partitions": partitions}


def run(shape: Shape, compile_selector: Compile) -> int:
    """Read a shape and place its claims; how many found devices. The caller looks at the clock."""
    names = tuple(sorted(f"node-{node}" for node in range(shape.nodes)))
    inventory = Inventory.of([read_slice(one) for one in shape.slices], _table(names))
    reader = ClaimReader(compile_selector)
    for one in shape.classes:
        reader.put_class(one)
    pods = [(reader.read(claim),) for claim in shape.claims]
    return sum(found is not None for found in fill(Allocator(inventory), DeviceLedger(inventory), pods))


def _table(names: tuple[str, ...]) -> NodeTable:
    count = len(names)
    return NodeTable(
        names=names,
        allocatable=np.zeros((count, 3), dtype=np.int64),
        ready=np.ones(count, dtype=np.bool_),
        cordoned=np.zeros(count, dtype=np.bool_),
        labels=label_columns([{} for _ in names]),
        taints=(),
        tainted=np.zeros((count, 0), dtype=np.bool_),
    )


def _class() -> DeviceClass:
    selector = DeviceSelector(CelSelector(f'device.driver == "{_DRIVER}"'))
    return DeviceClass(ObjectMeta(_CLASS), DeviceClassSpec((selector,)))


def _claim(number: int, expression: str) -> ResourceClaim:
    wanted = ExactRequest(device_class_name=_CLASS, selectors=(DeviceSelector(CelSelector(expression)),))
    spec = ResourceClaimSpec(DeviceClaim((DeviceRequest("gpu", wanted),)))
    return ResourceClaim(ObjectMeta(f"claim-{number}", "default"), spec)


def _slice(
    node: str, count: int, part: int = 0, *, devices: tuple[Device, ...] = (), counters: tuple[CounterSet, ...] = ()
) -> ResourceSlice:
    pool = ResourcePool(node, 1, count)
    spec = ResourceSliceSpec(_DRIVER, pool, node_name=node, devices=devices, shared_counters=counters)
    return ResourceSlice(ObjectMeta(f"{node}-{part}"), spec)


def _gpu(node: int, index: int) -> Device:
    attributes = {
        "product": Attribute(string="H100"),
        "index": Attribute(int_value=index),
        "uuid": Attribute(string=f"gpu-{node}-{index}"),
    }
    return Device(f"gpu-{index}", attributes, {"memory": Capacity("80Gi")})


def _partitioned(node: int) -> tuple[ResourceSlice, ResourceSlice]:
    """A GPU as drivers publish it: every placement of every profile is a device, counters say which exclude others."""
    name = f"node-{node}"
    slices = {f"memory-slice-{place}": Counter(1) for place in range(8)}
    counters = CounterSet("gpu-0", {"compute": Counter(7), "memory": Counter("80Gi"), **slices})
    devices = []
    for profile, compute, memory, places in _PROFILES:
        for place in places:
            consumed = {f"memory-slice-{taken}": Counter(1) for taken in range(place, place + memory)}
            consumed |= {"compute": Counter(compute), "memory": Counter(f"{10 * memory}Gi")}
            devices.append(
                Device(
                    f"gpu-0-{profile.replace('.', '-')}-{place}",
                    {"profile": Attribute(string=profile)},
                    {"memory": Capacity(f"{10 * memory}Gi")},
                    consumes_counters=(CounterConsumption("gpu-0", consumed),),
                )
            )
    return _slice(name, 2, devices=tuple(devices)), _slice(name, 2, 1, counters=(counters,))
