"""Which of several devices that would do is taken first: the one whose loss costs the node least.

In this order: devices without binding conditions; the smallest partition (by the part that it takes of the counters of
its sets) and among whole devices the smallest by capacity; of equally small ones those on the counter sets, or the
shared devices, of which most is taken already; devices of the group (an attribute such as the PCIe root) that has just
enough of them left; of the partitions of one device those that stand in the way of few others; and then the order in
which drivers list them, which is kube-scheduler's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from kai_py.core.dra.blocks import Charges
from kai_py.core.dra.devices import Device
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.symmetry import tied_groups

#: Attributes by which devices of a node belong together, unless a constraint names another one. The first is
#: Kubernetes' own (KEP-4381, standard attributes).
GROUPING: Final = ("resource.kubernetes.io/pcieRoot",)

#: (first device that is tied to it, what it is in the way of) of a device without counters.
_NO_LOSS: Final = (0, 0.0)
#: (partition size, size of what is whole)
Size = tuple[float, float]


class Preference:
    """The order of devices. What does not depend on the ledger is worked out once per inventory.

    Args:
        inventory: of the devices.
        grouping: attributes by which devices belong together; the first that a device has counts.
    """

    def __init__(self, inventory: Inventory, grouping: tuple[str, ...] = GROUPING) -> None:
        self._inventory = inventory
        self._grouping = grouping
        self._largest = _largest_capacities(inventory)
        self._sizes: dict[int, Size] = {}
        self._sets: dict[int, list[int]] = {}
        for counter, number in enumerate(inventory.counters.set_idx):
            self._sets.setdefault(number, []).append(counter)
        self._losses: dict[int, tuple[int, float]] = {}
        self._losses_of_type: dict[object, list[float]] = {}
        self._plain: dict[int, bool] = {}

    def order(
        self, rows: Sequence[int], needed: int, node: int, ledger: DeviceLedger, matching: Sequence[str] = ()
    ) -> Sequence[int]:
        """Sort candidates, best first.

        Args:
            rows: devices in the order in which the node offers them.
            needed: how many of them are wanted.
            node: the node that offers them.
            ledger: what is taken.
            matching: attributes that the devices must have in common.
        """
        if not matching and self.is_plain(node):
            return rows
        self._weigh(node)
        conditions = self._with_conditions(rows)
        groups = [self._group(row, matching) for row in rows]
        left = Counter(group for row, group in zip(rows, groups, strict=True) if self._is_free(row, ledger))
        fullness = _Fullness(self._inventory, self._sets, ledger)
        keys = {
            row: (
                row in conditions,
                *self.size(row),
                -fullness.of(row),
                *_spread(left[group], needed),
                *self._losses.get(row, _NO_LOSS),
                place,
            )
            for place, (row, group) in enumerate(zip(rows, groups, strict=True))
        }
        return sorted(rows, key=keys.__getitem__)

    def is_plain(self, node: int) -> bool:
        """Whether all devices of a node are alike to us, so that their order needs no thought."""
        plain = self._plain.get(node)
        if plain is None:
            rows = self._inventory.at(node).rows
            devices = [self._inventory.devices[row] for row in rows]
            plain = self._plain[node] = (
                not any(device.shareable or device.consumes or device.conditions for device in devices)
                and not any(self._group(row, ()) for row in rows)
                and len({self.size(row) for row in rows}) <= 1
            )
        return plain

    def _with_conditions(self, rows: Sequence[int]) -> set[int]:
        """Devices of pools in which any of them has binding conditions."""
        inventory = self._inventory
        pools = {inventory.pool_idx[row] for row in rows if inventory.devices[row].conditions}
        return {row for row in rows if inventory.pool_idx[row] in pools} if pools else set()

    def size(self, row: int) -> Size:
        """The part that a device takes of its counter sets, and how large it is among those of its driver."""
        size = self._sizes.get(row)
        if size is None:
            size = self._sizes[row] = self._part(row), self._bulk(self._inventory.devices[row])
        return size

    def _bulk(self, device: Device) -> float:
        """How large a device is among those of its driver: the sum over its capacities."""
        return sum(
            capacity.value / largest
            for name, capacity in sorted(device.capacities.items())
            if (largest := self._largest[device.driver, name])
        )

    def _part(self, row: int) -> float:
        """The part that a device takes of its counter sets, the mean over their counters; 1 for a whole device."""
        charges, totals = self._inventory.charges[row], self._inventory.counters.totals
        if not charges:
            return 1.0
        sets = {self._inventory.counters.set_idx[k] for k, _ in charges}
        return sum(amount / totals[k] for k, amount in charges if totals[k]) / sum(len(self._sets[one]) for one in sets)

    def _weigh(self, node: int) -> None:
        """Find out of which partitions each partition of a node is in the way; worked out once per kind of device."""
        rows = self._inventory.at(node).rows
        if not rows or all(row in self._losses or not self._inventory.charges[row] for row in rows):
            return
        for members in tied_groups(rows, self._inventory):
            charges = [self._inventory.charges[row] for row in members]
            if not charges[0]:
                continue
            names: dict[int, int] = {}
            look = tuple(tuple((names.setdefault(k, len(names)), amount) for k, amount in one) for one in charges)
            left = [self._inventory.counters.totals[k] for k in names]
            key = look, tuple(left)
            losses = self._losses_of_type.get(key)
            if losses is None:
                losses = self._losses_of_type[key] = _losses(look, left, [self._part(row) for row in members])
            self._losses.update((row, (members[0], loss)) for row, loss in zip(members, losses, strict=True))

    def _group(self, row: int, matching: Sequence[str]) -> object:
        device = self._inventory.devices[row]
        for name in matching or self._grouping:
            attribute = device.attribute(name)
            if attribute is not None and attribute.kind:
                return attribute.values
        return None

    def _is_free(self, row: int, ledger: DeviceLedger) -> bool:
        return not ledger.busy(self._inventory.id_idx[row])


def _spread(left: int, needed: int) -> tuple[int, int]:
    """Groups that have enough come first, the smallest of them at the head; then those that have most."""
    return (0, left) if left >= needed else (1, -left)


class _Fullness:
    """How much is taken of what a device is a part of; per counter set looked up once."""

    def __init__(self, inventory: Inventory, sets: Mapping[int, Sequence[int]], ledger: DeviceLedger) -> None:
        self._inventory = inventory
        self._sets = sets
        self._ledger = ledger
        self._known: dict[int, float] = {}

    def of(self, row: int) -> float:
        """The mean over the counters of the sets of a device, or over its capacities if it is shared."""
        counters = self._inventory.counters
        found = [self._of_set(one) for one in {counters.set_idx[k] for k, _ in self._inventory.charges[row]}]
        device = self._inventory.devices[row]
        if device.shareable:
            taken = self._ledger.consumed.get(self._inventory.id_idx[row], {})
            found += [taken.get(name, 0) / one.value for name, one in device.capacities.items() if one.value]
        return math.fsum(found) / len(found) if found else 0.0

    def _of_set(self, number: int) -> float:
        found = self._known.get(number)
        if found is None:
            totals, used = self._inventory.counters.totals, self._ledger.used
            parts = [used[k] / totals[k] for k in self._sets[number] if totals[k]]
            found = self._known[number] = math.fsum(parts) / len(parts) if parts else 0.0
        return found


def _losses(charges: Sequence[Charges], totals: Sequence[int], sizes: Sequence[float]) -> list[float]:
    """Per device the size of all others of its group that cannot be had beside it."""
    taken = [dict(one) for one in charges]
    return [
        math.fsum(
            size
            for other, size in zip(taken, sizes, strict=True)
            if other is not own and any(other.get(k, 0) + amount > totals[k] for k, amount in own.items())
        )
        for own in taken
    ]


def _largest_capacities(inventory: Inventory) -> dict[tuple[str, str], int]:
    """(driver, capacity) -> the largest amount that any device of the driver has."""
    largest: dict[tuple[str, str], int] = {}
    for device in inventory.devices:
        for name, capacity in device.capacities.items():
            key = device.driver, name
            largest[key] = max(capacity.value, largest.get(key, 0))
    return largest
