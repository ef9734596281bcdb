"""What devices take of the node that they are used on: cpu, memory and the like (KEP-5517).

A device may stand for something that the node offers itself, such as cores, or need some of it beside, as a GPU needs
host memory. Its driver says how much (``nodeAllocatableResourceMappings``). The rules are those of kube-scheduler 1.36:
an allocated device counts with a fixed amount, or with a multiple of what is consumed of one of its capacities; a
claim that takes anything must be used by some container, and by one pod of a node only. Beyond them, a whole device
consumes all of its capacity, where kube-scheduler gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.dra.capacity import Taking
from kai_py.core.dra.devices import UNIT, Device
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.refusal import Shortage

#: (resource, billionths of its unit), sorted by resource.
OfNode = tuple[tuple[str, int], ...]
NOTHING: OfNode = ()


def of_device(device: Device, consumed: Taking) -> OfNode:
    """What a device takes of its node.

    A mapping with a capacity counts what is consumed of that capacity, of a whole device all of it and of a part that
    does not mention it nothing, times its multiplier; one without counts the multiplier.

    Args:
        device: the device.
        consumed: of a shared one, what is taken of its capacities.
    """
    if not device.node_shares:
        return NOTHING
    amounts = dict(consumed)
    found = []
    for share in device.node_shares:
        amount = share.multiplier
        if share.capacity:
            name = device.own_name(share.capacity, device.capacities)
            if name not in device.capacities or (device.shareable and name not in amounts):
                continue
            taken = amounts.get(name, device.capacities[name].value)
            amount = -(-taken * share.multiplier // UNIT)
        found.append((share.resource, amount))
    return tuple(found)


def node_shares(allocation: ClaimAllocation, inventory: Inventory) -> dict[str, int]:
    """What the devices of a claim take of the node, in billionths of a unit. Admin access takes nothing."""
    return dict(of_claim(allocation, inventory))


def of_claim(allocation: ClaimAllocation, inventory: Inventory) -> OfNode:
    """The same, sorted."""
    return summed(of_device(inventory.devices[one.row], one.consumed) for one in allocation.devices if not one.admin)


def summed(parts: Iterable[OfNode]) -> OfNode:
    """All parts together."""
    total: dict[str, int] = {}
    for part in parts:
        for resource, amount in part:
            total[resource] = total.get(resource, 0) + amount
    return tuple(sorted(total.items()))


def base_units(amount: int, per_unit: int) -> int:
    """Billionths in base units, rounded up as kube-scheduler does."""
    return -(-amount * per_unit // UNIT)


@dataclass(frozen=True)
class NodeRoom:
    """What is left of a node for the devices of a pod, beside what the pod asks for itself.

    Attributes:
        left: resource -> base units; a resource that is missing has none.
        per_unit: base units in one unit of a resource.
        unused: numbers of claims that no container uses: their devices may take nothing.
    """

    left: Mapping[str, int]
    per_unit: Callable[[str], int]
    unused: frozenset[int] = frozenset()

    def units(self, part: OfNode) -> dict[str, int]:
        """What a claim takes, in base units."""
        return {resource: base_units(amount, self.per_unit(resource)) for resource, amount in part}

    def less(self, taken: Mapping[str, int]) -> NodeRoom:
        """What is left beside something else."""
        left = {resource: self.left.get(resource, 0) - units for resource, units in taken.items()}
        return NodeRoom({**self.left, **left}, self.per_unit, self.unused)

    def shortages(self, parts: Iterable[OfNode]) -> tuple[Shortage, ...]:
        """Of which resources claims take more than is left."""
        taken: dict[str, int] = {}
        for part in parts:
            for resource, units in self.units(part).items():
                taken[resource] = taken.get(resource, 0) + units
        return tuple(
            Shortage(resource, units, max(0, self.left.get(resource, 0)))
            for resource, units in sorted(taken.items())
            if units > self.left.get(resource, 0)
        )


class _Entry(NamedTuple):
    """A device that was counted: for which claim, and what it takes."""

    claim: int
    part: OfNode


class NodeTally:
    """What a search takes of a node, the last device first to be given back. Claim by claim, as it is rounded."""

    def __init__(self, room: NodeRoom) -> None:
        self._room = room
        self._amounts: dict[tuple[int, str], int] = {}
        self._taken: dict[str, int] = {}
        self._entries: list[_Entry] = []

    def take(self, device: Device, claim: int, consumed: Taking, *, admin: bool) -> bool:
        """Count a device; False, and nothing is counted, if the node has not so much left."""
        part = NOTHING if admin else of_device(device, consumed)
        if part and claim in self._room.unused:
            return False
        self._count(_Entry(claim, part), 1)
        if any(self._taken[resource] > self._room.left.get(resource, 0) for resource, _ in part):
            self._count(_Entry(claim, part), -1)
            return False
        self._entries.append(_Entry(claim, part))
        return True

    def undo(self) -> None:
        """Give the last device back."""
        self._count(self._entries.pop(), -1)

    def _count(self, entry: _Entry, sign: int) -> None:
        for resource, amount in entry.part:
            key, per_unit = (entry.claim, resource), self._room.per_unit(resource)
            before = self._amounts.get(key, 0)
            after = self._amounts[key] = before + sign * amount
            units = base_units(after, per_unit) - base_units(before, per_unit)
            self._taken[resource] = self._taken.get(resource, 0) + units
