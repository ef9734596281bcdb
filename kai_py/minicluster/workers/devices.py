"""A device driver without devices: publishes the GPUs of generated nodes as ResourceSlices.

The attributes are those that NVIDIA's driver publishes, so that selectors written for it select here, too.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.kinds import NODES, SLICES
from kai_py.minicluster.pools import NVLINK_LABEL
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock
from .mirror import Key, Mirror

Object = dict[str, Any]

DRIVER: Final = "gpu.nvidia.com"
DEVICE_CLASSES: Final = "deviceclasses.resource.k8s.io"
_PCIE_ROOT: Final = "resource.kubernetes.io/pcieRoot"
_MIB: Final = 1 << 20
_LOOK_AGAIN: Final = 0.1
_UUIDS: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "gpu.minicluster.kai-py")
#: GPUs below one PCIe root.
_GPUS_PER_ROOT: Final = 2
#: A GPU in MIG mode has so many slices of compute and of memory.
_COMPUTE_SLICES: Final = 7
_MEMORY_SLICES: Final = 8
#: MIG profile → slices of compute, slices of memory, and where in the memory it may begin.
_MIG: Final[dict[str, tuple[int, int, tuple[int, ...]]]] = {
    "1g": (1, 1, (0, 1, 2, 3, 4, 5, 6)),
    "2g": (2, 2, (0, 2, 4)),
    "3g": (3, 4, (0, 4)),
    "7g": (7, 8, (0,)),
}


def device_classes() -> list[Object]:
    """The DeviceClasses of the driver: whole GPUs, and MIG devices."""
    classes = {DRIVER: "gpu", "mig.nvidia.com": "mig"}
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": name},
            "spec": {"selectors": [{"cel": {"expression": _selector(kind)}}]},
        }
        for name, kind in classes.items()
    ]


def slices_for(node: Object, *, mig: bool = False, generation: int = 1) -> list[Object]:
    """The ResourceSlices of a node: its GPUs by its labels; none for a node without GPUs.

    Args:
        node: one of :func:`kai_py.minicluster.pools.nodes`, or any with the same labels.
        mig: whether each GPU may also be had in parts. Parts and whole draw on the GPU's counters, which stand in a
            slice of their own.
        generation: of the pool, which is the node's.
    """
    labels = node["metadata"].get("labels") or {}
    count = int(labels.get("nvidia.com/gpu.count", 0))
    if not count:
        return []
    gpus = [_Gpu.of(node["metadata"]["name"], labels, index) for index in range(count)]
    devices = [device for gpu in gpus for device in gpu.devices(mig=mig)]
    # A slice holds 128 devices, or 64 that consume counters, and 8 counter sets.
    parts: list[Object] = [{"devices": part} for part in _chunks(devices, 64 if mig else 128)]
    if mig:
        parts += [{"sharedCounters": part} for part in _chunks([gpu.counter_set() for gpu in gpus], 8)]
    name = node["metadata"]["name"]
    pool = {"name": name, "generation": generation, "resourceSliceCount": len(parts)}
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{name}-{DRIVER}-{number}"},
            "spec": {"driver": DRIVER, "nodeName": name, "pool": pool, **part},
        }
        for number, part in enumerate(parts)
    ]


def _selector(kind: str) -> str:
    return f"device.driver == '{DRIVER}' && device.attributes['{DRIVER}'].type == '{kind}'"


def _chunks(items: list[Object], size: int) -> Iterator[list[Object]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


@dataclass(frozen=True, slots=True)
class _Gpu:
    """One GPU of a node. ``memory`` is in MiB."""

    index: int
    uuid: str
    product: str
    architecture: str
    memory: int
    pcie_root: str
    nvlink: str

    @classmethod
    def of(cls, node: str, labels: dict[str, str], index: int) -> _Gpu:
        """The GPU with this index, from the node's labels."""
        return cls(
            index=index,
            uuid=f"GPU-{uuid.uuid5(_UUIDS, f'{node}/{index}')}",
            product=labels.get("nvidia.com/gpu.product", "unknown"),
            architecture=labels.get("nvidia.com/gpu.family", "unknown").title(),
            memory=int(labels.get("nvidia.com/gpu.memory", 0)),
            pcie_root=f"pci0000:{0x10 * (1 + index // _GPUS_PER_ROOT):02x}",
            nvlink=labels.get(NVLINK_LABEL, ""),
        )

    def devices(self, *, mig: bool) -> Iterator[Object]:
        """The GPU itself, and its possible parts."""
        whole = self._device(f"gpu-{self.index}", "gpu", self.uuid, self.memory)
        if not mig:
            yield whole
            return
        yield whole | self._consumes(_COMPUTE_SLICES, range(_MEMORY_SLICES))
        for profile, (compute, memory, starts) in _MIG.items():
            mebibytes = self.memory * memory // _MEMORY_SLICES
            for start in starts:
                name = f"gpu-{self.index}-mig-{profile}-{start}"
                device = self._device(name, "mig", f"MIG-{uuid.uuid5(_UUIDS, self.uuid + name)}", mebibytes)
                device["attributes"] |= {"profile": {"string": profile}, "parentUUID": {"string": self.uuid}}
                yield device | self._consumes(compute, range(start, start + memory))

    def counter_set(self) -> Object:
        """What the GPU and its parts share: slices of compute, and each slice of memory by its place."""
        counters = {"compute": _COMPUTE_SLICES} | {f"memory-{slot}": 1 for slot in range(_MEMORY_SLICES)}
        return {"name": self._counters(), "counters": {name: {"value": str(n)} for name, n in counters.items()}}

    def _device(self, name: str, kind: str, identity: str, mebibytes: int) -> Object:
        attributes: Object = {
            "type": {"string": kind},
            "uuid": {"string": identity},
            "index": {"int": self.index},
            "productName": {"string": self.product},
            "architecture": {"string": self.architecture},
            "driverVersion": {"version": "580.65.6"},
            _PCIE_ROOT: {"string": self.pcie_root},
        }
        if self.nvlink:
            attributes["nvlinkDomain"] = {"string": self.nvlink}
        return {"name": name, "attributes": attributes, "capacity": {"memory": {"value": str(mebibytes * _MIB)}}}

    def _consumes(self, compute: int, memory: range) -> Object:
        counters = {"compute": compute} | {f"memory-{slot}": 1 for slot in memory}
        shown = {name: {"value": str(n)} for name, n in counters.items()}
        return {"consumesCounters": [{"counterSet": self._counters(), "counters": shown}]}

    def _counters(self) -> str:
        return f"gpu-{self.index}-counters"


@dataclass(frozen=True, slots=True)
class _GpuNode:
    uid: str
    revision: int = field(compare=False)


class DeviceDriver:
    """Publishes the slices of every node that comes; they go with the node."""

    def __init__(self, *, mig: bool = False, clock: Clock | None = None) -> None:
        """Prepare; ``mig`` as in :func:`slices_for`."""
        self._mig = mig
        self._clock = clock or WallClock()
        self._agenda: Agenda[Key] = Agenda(self._clock, self._publish)
        self._nodes = Mirror(NODES.key, _gpu_node, lambda key, _before, _after: self._agenda.soon(key))
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Install the device classes, then publish until cancelled. This is the worker."""
        self._storage = storage
        for device_class in device_classes():
            if storage.find(DEVICE_CLASSES, device_class["metadata"]["name"]) is None:
                storage.create(DEVICE_CLASSES, device_class)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run(storage))
            tasks.create_task(self._agenda.run())

    def _publish(self, key: Key) -> None:
        node = self._storage.find(NODES.key, key[1])
        if node is None:
            return
        uid = node["metadata"]["uid"]
        owner = {"apiVersion": "v1", "kind": "Node", "name": key[1], "uid": uid}
        for made in slices_for(node, mig=self._mig):
            found = self._storage.find(SLICES.key, made["metadata"]["name"])
            if found is None:
                made["metadata"]["ownerReferences"] = [owner]
                self._storage.create(SLICES.key, made)
            elif all(ref["uid"] != uid for ref in found["metadata"].get("ownerReferences") or ()):
                # It belongs to an earlier node of this name, and the garbage collector is on its way.
                self._agenda.at(key, self._clock.time() + _LOOK_AGAIN)


def _gpu_node(node: Object) -> _GpuNode:
    return _GpuNode(node["metadata"]["uid"], int(node["metadata"]["resourceVersion"]))
