"""The kinds of devices that a class has now, as far as parts of them can be claimed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Final

from kai_py.core.dra.capacity import consumed, violates
from kai_py.core.dra.devices import UNIT, Capacity, Device

#: The smallest amounts that are asked for where a driver names no step: whole units of what has thousands of them, as
#: bytes, and thousandths of the rest.
_MANY: Final = 1000 * UNIT
_THOUSANDTH: Final = UNIT // 1000


@dataclass(frozen=True)
class DeviceKind:
    """Devices of one driver that have the same amounts.

    Attributes:
        driver: whose they are.
        capacities: (name as it is asked for, what they have of it), in the order that was asked for.
    """

    driver: str
    capacities: tuple[tuple[str, Capacity], ...]

    @property
    def amounts(self) -> tuple[int, ...]:
        """What they have, billionths of units."""
        return tuple(capacity.value for _, capacity in self.capacities)


def kinds_of(devices: Iterable[Device], capacities: Sequence[str], most: int) -> tuple[DeviceKind, ...]:
    """The kinds of devices that may be allocated several times and have certain capacities, the smallest first.

    Args:
        devices: of one class.
        capacities: names; the first decides about size.
        most: so many kinds at most, those with most devices.
    """
    counts: Counter[DeviceKind] = Counter()
    for device in devices:
        names = {name: device.own_name(name, device.capacities) for name in capacities}
        if device.shareable and all(own in device.capacities for own in names.values()):
            found = tuple((name, device.capacities[own]) for name, own in names.items())
            counts[DeviceKind(device.driver, found)] += 1
    # What differs in policies alone cannot be told apart by a selector: the first one's count for all.
    unlike: dict[tuple[str, tuple[int, ...]], int] = {}
    first: dict[tuple[str, tuple[int, ...]], DeviceKind] = {}
    for kind in sorted(counts, key=lambda kind: (kind.driver, kind.amounts, repr(kind.capacities))):
        look = kind.driver, kind.amounts
        first.setdefault(look, kind)
        unlike[look] = unlike.get(look, 0) + counts[kind]
    kept = sorted(unlike, key=lambda look: (-unlike[look], look))[:most]
    return tuple(first[look] for look in sorted(kept, key=lambda look: (look[1], look[0])))


def part_of(capacity: Capacity, part: Fraction) -> int | None:
    """What to ask for to get a part of a capacity, billionths of units; None if the driver would not give that.

    It is rounded up to a step of the driver's policy, unless fewer such parts would fit than there are in a whole: two
    halves always share a device. Then it is less than the part by less than a step.

    Args:
        capacity: of a device.
        part: above 0, at most 1.
    """
    wanted, many = capacity.value * part, floor(1 / part)
    least, step = _steps(capacity)
    amount = least + max(0, ceil((wanted - least) / step)) * step
    if consumed(amount, capacity) * many > capacity.value:
        fitting = least + floor((Fraction(capacity.value, many) - least) / step) * step
        if fitting >= max(least, 1) and wanted - fitting < step:
            amount = fitting
    return amount if can_give(capacity, amount) else None


def can_give(capacity: Capacity, amount: int) -> bool:
    """Whether a device that nobody uses can give an amount of a capacity."""
    taken = consumed(amount, capacity)
    return taken <= capacity.value and not violates(taken, capacity.policy)


def _steps(capacity: Capacity) -> tuple[int, int]:
    """The smallest amount, and in which steps there is more."""
    grain = UNIT if capacity.value >= _MANY else _THOUSANDTH
    allowed = capacity.policy.range if capacity.policy is not None else None
    if allowed is None:
        return 0, grain
    return allowed.least, allowed.step or grain
