"""What queues pay for devices: all of one, or the part of it that a partition or a share is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kai_py.api.resource import AllocatedDevice, Allocation
from kai_py.cluster.devices.amounts import amounts
from kai_py.core.dra.capacity import Taking, taking
from kai_py.core.dra.claims import ALL, Alternative, Claim
from kai_py.core.dra.devices import Device, DeviceId
from kai_py.core.dra.inventory import NOWHERE, Inventory
from kai_py.core.dra.selectors import Selector, SelectorError, SelectorMemo
from kai_py.core.dra.table import Counted, Parts
from kai_py.core.resources import Mask
from kai_py.settings.devices import GpuParts

#: The counter, or capacity, by which parts are measured where settings say so.
MEMORY: Final = "memory"
#: Sums of thirds that are a whole number must not be cut to the one below.
_ROUNDING: Final = 1e-6


@dataclass(frozen=True)
class Bill:
    """Devices that queues are charged for: those of some drivers, or those of a DeviceClass.

    Attributes:
        column: in A.
        unit: base units of a whole device.
        classes: drivers and DeviceClasses whose devices are on it.
        selectors: of the DeviceClass; None = ``classes`` are drivers, too.
        parts: how a device counts that is cut from another one, or is shared.
    """

    column: int
    unit: int
    classes: frozenset[str]
    selectors: tuple[Selector, ...] | None = None
    parts: GpuParts = "whole"


class Prices:
    """What the devices of an inventory cost on one bill, base units.

    A whole device costs its unit. A partition costs the part that it takes of the counters of its device, and a share
    the part of its capacities: that of memory, or the mean over all of them. Parts are rounded down, so that those of
    one device never cost more than the device.

    Args:
        bill: which devices, and how.
        inventory: the devices.
        memo: what selectors said.
    """

    def __init__(self, bill: Bill, inventory: Inventory, memo: SelectorMemo) -> None:
        self.bill = bill
        self.inventory = inventory
        self._memo = memo
        self._counters_of_set: dict[int, list[int]] = {}
        for counter, number in enumerate(inventory.counters.set_idx):
            self._counters_of_set.setdefault(number, []).append(counter)
        self._asked: dict[tuple[object, ...], int] = {}

    def asked(self, claim: Claim) -> int:
        """What a claim without devices costs: the most expensive of several alternatives counts.

        Of "all devices" nobody knows how many they are before they are found: they count once they are.
        """
        return sum(max(map(self._asked_by, request.alternatives), default=0) for request in claim.requests)

    def held(self, claim: Claim, allocation: Allocation, where: str) -> int:
        """What a claim with devices costs; one that is gone counts as a whole one. Admin access is free.

        Raises:
            MalformedObjectError: a consumed capacity is not a quantity.
        """
        results = [result for result in allocation.devices.results if not result.admin_access]
        if self.bill.selectors is None:
            ours = [result for result in results if result.driver in self.bill.classes]
        else:
            ways = [one for request in claim.requests for one in request.alternatives]
            names = {one.name for one in ways if one.device_class.name in self.bill.classes}
            ours = [result for result in results if result.request in names]
        return sum(self._of_result(result, where) for result in ours)

    def counted(self, ready: Mask, without: frozenset[int] = frozenset()) -> Counted:
        """The devices on the bill, as far as some node that is ``(N,)`` ready may have them.

        Args:
            ready: ``(N,)`` nodes that are.
            without: rows of names of devices that are counted elsewhere.
        """
        inventory = self.inventory
        homes = inventory.node_idx.tolist()
        rows = [
            row
            for row, device in enumerate(inventory.devices)
            # Devices that belong to no single node are there as long as their driver says so.
            if (ready.item(homes[row]) if homes[row] != NOWHERE else not inventory.reach_of(row).node)
            and inventory.id_idx[row] not in without
            and self._covers(device)
        ]
        sets = sorted({inventory.counters.set_idx[counter] for row in rows for counter, _ in inventory.charges[row]})
        uncut = {inventory.id_idx[row] for row in rows if not inventory.charges[row]}
        shared = {
            inventory.id_idx[row]: self._measured(inventory.devices[row])
            for row in rows
            if inventory.devices[row].shareable
        }
        bill = self.bill
        names = {inventory.id_idx[row] for row in rows} if bill.parts == "whole" else uncut
        measured = () if bill.parts == "whole" else tuple(self._measures(one) for one in sets)
        parts = Parts(measured, tuple(sorted(shared.items())))
        return Counted(
            column=bill.column,
            unit=bill.unit,
            devices=frozenset(names - shared.keys()),
            capacity=len(uncut) + len(sets),
            parts=parts,
            homes=tuple(sorted({homes[row] for row in rows} - {NOWHERE})),
        )

    def _covers(self, device: Device) -> bool:
        if self.bill.selectors is None:
            return device.driver in self.bill.classes
        try:
            return self._memo.matches(self.bill.selectors, device)
        except SelectorError:
            return False

    def _asked_by(self, alternative: Alternative) -> int:
        if alternative.device_class.name not in self.bill.classes or alternative.admin or alternative.count == ALL:
            return 0
        return alternative.count * self._each(alternative)

    def _each(self, alternative: Alternative) -> int:
        """The most that any device costs that an alternative may get; a whole one if there is none."""
        if self.bill.parts == "whole":
            return self.bill.unit
        selectors = (*alternative.device_class.selectors, *alternative.selectors)
        key = selectors, tuple(sorted(alternative.capacity.items()))
        known = self._asked.get(key)
        if known is None:
            known = self._asked[key] = self._most(selectors, alternative) or self.bill.unit
        return known

    def _most(self, selectors: Sequence[Selector], alternative: Alternative) -> int:
        most = 0
        for row, device in enumerate(self.inventory.devices):
            price = self._of(row)
            if price <= most or not self._matches(selectors, device):
                continue
            amounts_taken = taking(alternative.capacity, device)
            if amounts_taken is None:
                continue
            most = max(most, self._of(row, amounts_taken if device.shareable else None))
            if most >= self.bill.unit:
                break  # nothing costs more
        return most

    def _matches(self, selectors: Sequence[Selector], device: Device) -> bool:
        try:
            return self._memo.matches(selectors, device)
        except SelectorError:
            return False

    def _of_result(self, result: AllocatedDevice, where: str) -> int:
        if self.bill.parts == "whole":
            return self.bill.unit
        identity = self.inventory.row_of_id.get(DeviceId(result.driver, result.pool, result.device))
        if identity is None:
            return self.bill.unit
        consumed: Taking | None = None
        if result.share_id is not None:
            consumed = tuple(amounts(result.consumed_capacity, where, "status.allocation").items())
        return self._of(self.inventory.devices_of_id[identity][0], consumed)

    def _of(self, row: int, consumed: Taking | None = None) -> int:
        """The price of a device, or of a share that consumes so much of it."""
        part = self._part(row)
        if consumed is not None and (names := self._measured(device := self.inventory.devices[row])):
            taken = dict(consumed)
            part *= sum(taken.get(name, 0) / device.capacities[name].value for name in names) / len(names)
        return max(1, int(self.bill.unit * part + _ROUNDING))

    def _part(self, row: int) -> float:
        """The part of its counters that a device takes; 1 for one that is not cut from another."""
        charges = dict(self.inventory.charges[row])
        if not charges:
            return 1.0
        totals, sets = self.inventory.counters.totals, self.inventory.counters.set_idx
        counters = [counter for one in sorted({sets[k] for k in charges}) for counter in self._measures(one)]
        return sum(charges.get(k, 0) / totals[k] for k in counters) / len(counters) if counters else 1.0

    def _measures(self, counter_set: int) -> tuple[int, ...]:
        """The counters of a set by which parts are measured."""
        counters, totals = self.inventory.counters, self.inventory.counters.totals
        own = [k for k in self._counters_of_set[counter_set] if totals[k]]
        memory = [k for k in own if counters.names[k][2] == MEMORY] if self.bill.parts == "memory" else []
        return tuple(memory or own)

    def _measured(self, device: Device) -> tuple[str, ...]:
        """The capacities by which shares are measured, none where each counts as a whole device.

        A driver may write its domain before the name.
        """
        if self.bill.parts == "whole":
            return ()
        names = sorted(name for name, capacity in device.capacities.items() if capacity.value)
        memory = [name for name in names if name.rpartition("/")[2] == MEMORY] if self.bill.parts == "memory" else []
        return tuple(memory or names)
