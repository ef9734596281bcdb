"""Which of several devices that would do is taken first: the one whose loss costs the node least.

In this order: devices without binding conditions; the smallest partition (by the largest part that it takes of any of
its counters) and among whole devices the smallest by capacity; of equally small ones those on the counter sets, or the
shared devices, of which most is taken already; devices of the group (an attribute such as the PCIe root) that has
just enough of them left; and then the order in which drivers list them, which is kube-scheduler's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from kai_py.core.dra.devices import Device
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger

#: Attributes by which devices of a node belong together, unless a constraint names another one. The first is
#: Kubernetes' own (KEP-4381, standard attributes).
GROUPING: Final = ("resource.kubernetes.io/pcieRoot",)

#: (partition size, size of what is whole)
_Size = tuple[float, float]


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
        self._sizes: dict[int, _Size] = {}
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
        conditions = self._with_conditions(rows)
        groups = [self._group(row, matching) for row in rows]
        left = Counter(group for row, group in zip(rows, groups, strict=True) if self._is_free(row, ledger))
        keys = {
            row: (
                row in conditions,
                *self._size(row),
                -self._fullness(row, ledger),
                *_spread(left[group], needed),
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
                and len({self._size(row) for row in rows}) <= 1
            )
        return plain

    def _with_conditions(self, rows: Sequence[int]) -> set[int]:
        """Devices of pools in which any of them has binding conditions."""
        inventory = self._inventory
        pools = {inventory.pool_idx[row] for row in rows if inventory.devices[row].conditions}
        return {row for row in rows if inventory.pool_idx[row] in pools} if pools else set()

    def _size(self, row: int) -> _Size:
        size = self._sizes.get(row)
        if size is None:
            totals = self._inventory.counters.totals
            parts = [amount / totals[k] for k, amount in self._inventory.charges[row] if totals[k]]
            size = self._sizes[row] = max(parts, default=1.0), self._bulk(self._inventory.devices[row])
        return size

    def _bulk(self, device: Device) -> float:
        """How large a device is among those of its driver: the sum over its capacities."""
        return sum(
            capacity.value / largest
            for name, capacity in sorted(device.capacities.items())
            if (largest := self._largest[device.driver, name])
        )

    def _fullness(self, row: int, ledger: DeviceLedger) -> float:
        """The largest part that is taken of any counter of the device, or of any of its capacities."""
        totals = self._inventory.counters.totals
        parts = [ledger.used[k] / totals[k] for k, _ in self._inventory.charges[row] if totals[k]]
        device = self._inventory.devices[row]
        if device.shareable:
            taken = ledger.consumed.get(self._inventory.id_idx[row], {})
            capacities = device.capacities
            parts += [amount / capacities[name].value for name, amount in taken.items() if _has(device, name)]
        return max(parts, default=0.0)

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


def _has(device: Device, name: str) -> bool:
    return name in device.capacities and device.capacities[name].value > 0


def _largest_capacities(inventory: Inventory) -> dict[tuple[str, str], int]:
    """(driver, capacity) -> the largest amount that any device of the driver has."""
    largest: dict[tuple[str, str], int] = {}
    for device in inventory.devices:
        for name, capacity in device.capacities.items():
            key = device.driver, name
            largest[key] = max(capacity.value, largest.get(key, 0))
    return largest
