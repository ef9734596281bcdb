"""The axes of a snapshot: which resources there are, and what queues are charged for them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from kai_py.api.keys import AMD_GPU, NVIDIA_DEVICES, NVIDIA_GPU
from kai_py.core.resources import ACCOUNTED, COMMON, CPU, DEVICE, GPU, ResourceAxis
from kai_py.settings.devices import GpuParts
from kai_py.settings.model import Settings

#: Resources whose unit is a whole GPU that may be shared: they are kept in thousandths.
GPU_RESOURCES: Final = frozenset({NVIDIA_GPU, AMD_GPU})

_MIG: Final = re.compile(r"^nvidia\.com/mig-(?:\d+c\.)?(?P<slices>\d+)g\.")


#: Sums over a hundred thousand pods must stay within int64, whatever they ask for: nobody has 64 TiB of memory in one
#: node, nor two billion devices.
MOST: Final = 2**46
_MOST_DEVICES: Final = 2**31


@dataclass(frozen=True)
class Accounting:
    """Which resources queues account, beside cpu and memory.

    Attributes:
        gpus: resources of which a unit counts as one GPU.
        additional: resources that are accounted under their own names.
        gpu_classes: drivers and DeviceClasses whose devices count as GPUs.
        gpu_parts: how those count that are cut from one device, or shared.
    """

    gpus: frozenset[str] = GPU_RESOURCES
    additional: frozenset[str] = frozenset()
    gpu_classes: frozenset[str] = frozenset({NVIDIA_DEVICES})
    gpu_parts: GpuParts = "memory"

    @classmethod
    def of(cls, settings: Settings) -> Accounting:
        """What the settings say."""
        resources = settings.fairness.accounted_resources
        return cls(
            gpus=frozenset(one.resource for one in resources if one.counts_as == "gpu"),
            additional=frozenset(one.resource for one in resources if one.counts_as is None),
            gpu_classes=frozenset(settings.dra.gpu_classes),
            gpu_parts=settings.dra.gpu_parts,
        )


def make_axis(resources: Iterable[str], accounting: Accounting) -> ResourceAxis:
    """Make the axes.

    Args:
        resources: names that any node offers or any pod requests.
        accounting: what queues are charged for.
    """
    names = (*COMMON, *sorted(set(resources) - set(COMMON)))
    accounted = (*ACCOUNTED, *sorted(accounting.additional - set(ACCOUNTED)))
    matrix = np.zeros((len(names), len(accounted)), dtype=np.int64)
    for row, name in enumerate(names):
        if name in accounted:
            matrix[row, accounted.index(name)] = 1
        matrix[row, accounted.index(GPU)] = gpus_per_unit(name, accounting.gpus)
    quantum = np.array([DEVICE if name == GPU else 1 for name in accounted], dtype=np.float64)
    return ResourceAxis(names, accounted, matrix, quantum, GPU_RESOURCES & set(names))


def gpus_per_unit(resource: str, gpus: frozenset[str]) -> int:
    """What a base unit of a resource counts as GPU, in thousandths of a device.

    A MIG instance ``<g>g.<m>gb`` counts as g devices: KAI's rule, so that existing quotas keep their meaning.
    """
    if resource in gpus:
        return DEVICE // per_unit(resource)
    if (mig := _MIG.match(resource)) is not None:
        return DEVICE * int(mig["slices"])
    return 0


@cache
def most(resource: str) -> int:
    """The largest amount of a resource that a node is believed to have and that a pod may ask for; base units."""
    if resource in GPU_RESOURCES or resource == CPU or _MIG.match(resource) is not None:
        return _MOST_DEVICES * per_unit(resource)
    return MOST


def per_unit(resource: str) -> int:
    """Base units in one unit as a manifest writes it: millicores, thousandths of a GPU, else the unit itself."""
    return DEVICE if resource in GPU_RESOURCES else 1000 if resource == CPU else 1
