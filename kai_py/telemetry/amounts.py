"""Base units as people write them: "2 GPUs", "1.5 CPU", "64 GiB"."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Final, Literal

from kai_py.api.keys import AMD_GPU, NVIDIA_GPU
from kai_py.api.quantity import format_quantity
from kai_py.core.resources import CPU, DEVICE, GPU, MEMORY, PODS, ResourceAxis

_WHOLE_GPUS: Final = frozenset({GPU, NVIDIA_GPU, AMD_GPU})
_NOUNS: Final = {CPU: "CPU", MEMORY: "memory", PODS: "pod slots", GPU: "GPU"}
#: Resources in bytes, besides hugepages-<size>; of extended resources, Kubernetes knows only that they are counted.
_BYTES: Final = frozenset({MEMORY, "ephemeral-storage", "storage"})
_HUGE_PAGES: Final = "hugepages-"
_MILLICORES: Final = 1000
Rounding = Literal["nearest", "up", "down"]
_ROUND: Final[dict[Rounding, Callable[[Fraction], int]]] = {"nearest": round, "up": math.ceil, "down": math.floor}
_BINARY: Final = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def is_bytes(resource: str) -> bool:
    """Whether a resource is counted in bytes."""
    return resource in _BYTES or resource.startswith(_HUGE_PAGES)


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


def amount(resource: str, value: float, axis: ResourceAxis | None = None, *, rounded: Rounding = "nearest") -> str:
    """A number of base units with its unit: ``2 GPUs``, ``1.5 CPU``, ``64 GiB``. Infinity is ``unlimited``.

    Args:
        resource: a name of either axis; empty gives the bare number.
        value: base units.
        axis: as for :func:`per_unit`.
        rounded: what still fits is rounded down, what has to be made free is rounded up.
    """
    if math.isinf(value):
        return "unlimited"
    number, unit = _number_and_unit(resource, value, axis, rounded)
    return f"{number} {unit}{_suffix(resource)}".strip()


def amount_more(resource: str, value: int, axis: ResourceAxis | None = None) -> str:
    """The same for what is missing, rounded up: ``2 more GPUs``, ``4 GiB more memory``."""
    number, unit = _number_and_unit(resource, value, axis, "up")
    return f"{number} {unit} more {noun(resource)}" if is_bytes(resource) else f"{number} more {unit}"


def amount_of(resource: str, part: float, whole: float, axis: ResourceAxis | None = None) -> str:
    """A part of an amount, rounded down: ``79 of 80 GPUs``, ``900 MiB of 1 GiB``."""
    if math.isinf(part) or math.isinf(whole):
        return f"{amount(resource, part, axis)} of {amount(resource, whole, axis)}"
    less, unit = _number_and_unit(resource, part, axis, "down")
    more, of = _number_and_unit(resource, whole, axis, "nearest")
    bare = not is_bytes(resource) or unit == of or part == 0
    return f"{less} of {more} {of}{_suffix(resource)}" if bare else f"{less} {unit} of {more} {of}{_suffix(resource)}"


def quantity(resource: str, value: float, axis: ResourceAxis | None = None) -> str:
    """A number of base units as a Kubernetes quantity in units of the resource; ``-1`` for infinity, as in KAI."""
    if math.isinf(value):
        return "-1"
    return format_quantity(Fraction(value) / per_unit(resource, axis), binary=is_bytes(resource))


def _number_and_unit(resource: str, value: float, axis: ResourceAxis | None, rounded: Rounding) -> tuple[str, str]:
    if is_bytes(resource):
        unit, size = next(((unit, size) for unit, size in _BINARY if abs(value) >= size), ("B", 1))
        return _decimal(Fraction(value) / size, rounded), unit
    number = Fraction(value) / per_unit(resource, axis)
    return _decimal(number, rounded), _unit(resource, number, axis)


def _suffix(resource: str) -> str:
    """What is counted, where the unit does not tell: bytes without a word are bytes of memory."""
    return f" {noun(resource)}" if is_bytes(resource) and resource != MEMORY else ""


def _unit(resource: str, number: Fraction, axis: ResourceAxis | None) -> str:
    if resource in _WHOLE_GPUS or (axis is not None and resource in axis.gpus):
        return "GPU" if 0 < number <= 1 else "GPUs"
    if resource == PODS:
        return "pod slot" if number == 1 else "pod slots"
    return noun(resource)


def _decimal(number: Fraction, rounded: Rounding) -> str:
    """At most two decimals; below 1 three, because a millicore and a thousandth of a device are not nothing."""
    places = 2 if abs(number) >= 1 else 3
    whole = _ROUND[rounded](number * 10**places)
    return f"{whole / 10**places:.{places}f}".rstrip("0").rstrip(".") if whole else "0"
