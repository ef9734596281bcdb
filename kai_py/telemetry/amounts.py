"""Base units as people write them: "2 GPUs", "1.5 CPU", "64 GiB memory"."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from kai_py.api.keys import AMD_GPU, NVIDIA_GPU
from kai_py.api.quantity import format_quantity
from kai_py.core.resources import CPU, DEVICE, GPU, MEMORY, PODS, ResourceAxis

_WHOLE_GPUS: Final = frozenset({GPU, NVIDIA_GPU, AMD_GPU})
_NOUNS: Final = {CPU: "CPU", MEMORY: "memory", PODS: "pod slots", GPU: "GPU"}
_MILLICORES: Final = 1000
_BINARY: Final = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def noun(resource: str) -> str:
    """What a resource is called in a sentence; extended resources keep the name that manifests use."""
    return _NOUNS.get(resource, resource)


def per_unit(resource: str, axis: ResourceAxis | None = None) -> int:
    """Base units in one unit as a manifest writes it.

    Args:
        resource: a name of either axis.
        axis: knows which resources count as whole GPUs; without it, the well-known ones do.
    """
    if resource == CPU:
        return _MILLICORES
    if resource == GPU:
        return DEVICE
    if axis is not None:
        return axis.per_unit(resource)
    return DEVICE if resource in _WHOLE_GPUS else 1


def amount(resource: str, value: float, axis: ResourceAxis | None = None) -> str:
    """A number of base units with its unit, e.g. ``2 GPUs``. Infinity is ``unlimited``."""
    if math.isinf(value):
        return f"unlimited {noun(resource)}"
    number, unit = _number_and_unit(resource, value, axis)
    return f"{number} {unit}"


def amount_more(resource: str, value: int, axis: ResourceAxis | None = None) -> str:
    """The same for what is missing, rounded up: ``2 more GPUs``, ``4 GiB more memory``."""
    number, unit = _number_and_unit(resource, value, axis, up=True)
    if resource == MEMORY:
        return f"{number} {unit.removesuffix(' memory')} more memory"
    return f"{number} more {unit}"


def quantity(resource: str, value: float, axis: ResourceAxis | None = None) -> str:
    """A number of base units as a Kubernetes quantity in units of the resource; ``-1`` for infinity, as in KAI."""
    if math.isinf(value):
        return "-1"
    return format_quantity(Fraction(value) / per_unit(resource, axis), binary=resource == MEMORY)


def _number_and_unit(resource: str, value: float, axis: ResourceAxis | None, *, up: bool = False) -> tuple[str, str]:
    if resource == MEMORY:
        unit, size = next(((unit, size) for unit, size in _BINARY if abs(value) >= size), ("B", 1))
        return _decimal(value / size, up=up), f"{unit} memory"
    number = value / per_unit(resource, axis)
    return _decimal(number, up=up), _unit(resource, number, axis)


def _unit(resource: str, number: float, axis: ResourceAxis | None) -> str:
    if resource in _WHOLE_GPUS or (axis is not None and resource in axis.gpus):
        return "GPUs" if number > 1 or number == 0 else "GPU"
    if resource == PODS:
        return "pod slot" if number == 1 else "pod slots"
    return noun(resource)


def _decimal(number: float, *, up: bool) -> str:
    """At most two decimals, three where less would say 0 (a millicore, a thousandth of a device)."""
    places = 2 if abs(number) >= 1 else 3
    scaled = number * 10**places
    # Floats like 0.3 * 1000 lie a hair above the integer; rounding up must not add a unit for that.
    rounded = math.ceil(scaled - 1e-6) if up else round(scaled)
    return f"{Fraction(rounded, 10**places):.{places}f}".rstrip("0").rstrip(".") if rounded else "0"
