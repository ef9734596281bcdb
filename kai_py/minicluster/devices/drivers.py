"""The pools that drivers publish for a node, and for a fabric, as ResourceSlices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from . import fabric, gpus, nics, shared
from .hardware import Hardware
from .offers import Gpus, Offer

Object = dict[str, Any]

#: What the API takes in one slice (``ResourceSliceSpec``).
_MOST_DEVICES: Final = 128
_MOST_SPECIAL_DEVICES: Final = 64
_MOST_COUNTER_SETS: Final = 8


@dataclass(frozen=True)
class Pool:
    """Devices of one driver that are published together.

    Attributes:
        driver: its name.
        name: of the pool.
        place: who can use the devices: ``nodeName``, ``nodeSelector`` or ``allNodes`` with its value.
        parts: what each slice holds: devices, or counter sets.
    """

    driver: str
    name: str
    place: Mapping[str, Any]
    parts: tuple[Object, ...]

    def slices(self, generation: int = 1) -> list[Object]:
        """The slices, in the order in which they are written: counters come before whoever consumes them."""
        pool = {"name": self.name, "generation": generation, "resourceSliceCount": len(self.parts)}
        return [
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": slice_name(self.driver, self.name, number)},
                "spec": {"driver": self.driver, "pool": dict(pool), **self.place, **part},
            }
            for number, part in enumerate(self.parts)
        ]


def slice_name(driver: str, pool: str, number: int) -> str:
    """The name of a slice, which sorts by its number in the pool: so does a scheduler that takes what comes first."""
    return f"{pool}-{driver}-{number:02}"


def pools_of(node: Object) -> list[Pool]:
    """The pools of a node, by its labels: none where a device plugin offers everything."""
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    offer = Offer.of(labels)
    if offer.gpus is Gpus.PLUGIN and not offer.nics:
        return []
    hardware = Hardware.of(name, labels)
    local: list[tuple[str, tuple[Object, ...]]] = []
    if hardware.gpus:
        match offer.gpus:
            case Gpus.PLUGIN:
                pass
            case Gpus.WHOLE:
                local.append((gpus.DRIVER, _devices([gpus.whole(gpu) for gpu in hardware.gpus])))
            case Gpus.VFIO:
                local.append((gpus.DRIVER, _devices([gpus.passed_through(gpu) for gpu in hardware.gpus])))
            case Gpus.MIG:
                local.append((gpus.DRIVER, tuple(_partitions(hardware))))
            case Gpus.SHARED:
                local.append((shared.DRIVER, _devices([shared.shared(gpu) for gpu in hardware.gpus])))
    if offer.nics and hardware.nics:
        local.append((nics.DRIVER, _devices([nics.network_card(nic) for nic in hardware.nics])))
    return [Pool(driver, name, {"nodeName": name}, parts) for driver, parts in local]


def slices_for(node: Object, *, generation: int = 1) -> list[Object]:
    """The ResourceSlices of a node, of all its drivers."""
    return [one for pool in pools_of(node) for one in pool.slices(generation)]


def fabric_pool(zone: str, name: str) -> Pool:
    """The pool of the appliances that a fabric brings to a zone."""
    place, devices = fabric.appliances(zone, name)
    return Pool(fabric.DRIVER, f"{name}-{zone}", place, _devices(devices))


def licence_pool() -> Pool:
    """The pool for all nodes, which comes with the first fabric."""
    place, devices = fabric.licences()
    return Pool(fabric.DRIVER, fabric.LICENCES, place, _devices(devices))


def _devices(devices: list[Object]) -> tuple[Object, ...]:
    return tuple({"devices": part} for part in _chunks(devices, _MOST_DEVICES))


def _partitions(hardware: Hardware) -> Iterator[Object]:
    """As NVIDIA's driver divides them: the counters of all GPUs, then a slice for each GPU with all its parts."""
    sets = [one for gpu in hardware.gpus if (one := gpus.counter_set(gpu)) is not None]
    yield from ({"sharedCounters": part} for part in _chunks(sets, _MOST_COUNTER_SETS))
    for gpu in hardware.gpus:
        yield from ({"devices": part} for part in _chunks(list(gpus.partitioned(gpu)), _MOST_SPECIAL_DEVICES))


def _chunks(items: list[Object], size: int) -> Iterator[list[Object]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
