"""The table of claims in the making: who uses which claim, who pays, and which pods are alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.api.resource import Allocation, ResourceClaim
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.devices.book import DeviceBook
from kai_py.core.dra.claims import ALL, Alternative, Claim
from kai_py.core.dra.devices import Device
from kai_py.core.dra.inventory import NOWHERE, Inventory
from kai_py.core.dra.selectors import Selector, SelectorError, SelectorMemo
from kai_py.core.dra.table import Ask, ClaimRow, ClaimTable, Counted
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.pods import PodState, PodTable
from kai_py.errors import Fault

#: States of pods that wait.
NEW: Final = (PodState.PENDING, PodState.GATED)


@dataclass(frozen=True)
class Bill:
    """Devices that queues are charged for: those of some drivers, or those of a DeviceClass."""

    column: int
    unit: int
    classes: frozenset[str]
    selectors: tuple[Selector, ...] | None = None

    def covers(self, device: Device, memo: SelectorMemo) -> bool:
        """Whether a device is on the bill."""
        if self.selectors is None:
            return device.driver in self.classes
        try:
            return memo.matches(self.selectors, device)
        except SelectorError:
            return False


class ClaimRows:
    """A table of claims in the making.

    Attributes:
        row_of: claim -> row.
        cost: claim -> what it costs by column in A.
        of_pod: see ``ClaimTable``.
        unreadable: claims that cannot be read, and why.
    """

    def __init__(self, inventory: Inventory, pods: PodTable, bills: tuple[Bill, ...]) -> None:
        self.bills = bills
        self.inventory = inventory
        self.pods = pods
        self.rows: list[ClaimRow] = []
        self.row_of: dict[Name, int] = {}
        self.cost: dict[Name, dict[int, int]] = {}
        self.of_pod: dict[int, tuple[int, ...]] = {}
        self.of_class: dict[int, tuple[Ask, ...]] = {}
        self.unreadable: dict[Name, Fault] = {}
        self._users: dict[int, list[int]] = {}
        self._names: list[Name] = []

    def add(self, name: Name, row: ClaimRow, cost: dict[int, int]) -> None:
        """One claim more."""
        self.row_of[name] = len(self.rows)
        self.rows.append(row)
        self._names.append(name)
        self.cost[name] = cost

    def count_users(self, objects: Mapping[Name, ResourceClaim], over: AbstractSet[str] = frozenset()) -> None:
        """Who uses each claim, those that run first; whom it is reserved for beside them.

        Args:
            objects: the claims.
            over: uids of pods that have ended, and only have to be taken off the claims that are reserved for them.
        """
        states = self.pods.state
        for pod, rows in sorted(self.of_pod.items(), key=lambda entry: (_standing(states.item(entry[0])), entry[0])):
            for row in rows:
                self._users.setdefault(row, []).append(pod)
        for row, name in enumerate(self._names):
            if reserved := objects[name].status.reserved_for:
                ours = {self.pods.keys[pod].uid for pod in self._users.get(row, ())}
                leaving = sum(one.uid in over for one in reserved)
                others = sum(one.uid not in ours for one in reserved) - leaving
                if others or leaving:
                    self.rows[row] = dataclasses.replace(self.rows[row], others=others, leaving=leaving)

    def classes(self, classes: ClassTable) -> tuple[ClassTable, np.ndarray]:
        """The table with a class for every kind of pod and claims, and ``(P,)`` rows in it.

        Queues pay for a claim with the class of the first pod that uses it.
        """
        class_idx = self.pods.class_idx.copy()
        known: dict[tuple[int, tuple[Hashable, ...], tuple[int, ...]], int] = {}
        made, request, accounted = list(classes.classes), list(classes.request), list(classes.accounted)
        for pod, rows in sorted(self.of_pod.items()):
            if not rows:
                continue
            asks = tuple(self._ask(row, pod) for row in rows)
            claims = tuple(ask if isinstance(ask, int) else (ask.requests, ask.constraints, ask.config) for ask in asks)
            paid = [self.cost[self._names[row]] for row in rows if self._users[row][0] == pod]
            cost = tuple(sum(one[bill.column] for one in paid) for bill in self.bills)
            key = class_idx.item(pod), claims, cost
            if (number := known.get(key)) is None:
                number = known[key] = len(made)
                made.append(dataclasses.replace(classes.classes[key[0]], claims=claims))
                request.append(classes.request[key[0]])
                charged = classes.accounted[key[0]].copy()
                for bill, units in zip(self.bills, cost, strict=True):
                    charged[bill.column] += units
                accounted.append(charged)
                self.of_class[number] = asks
            class_idx[pod] = number
        return ClassTable(tuple(made), np.array(request), np.array(accounted)), class_idx

    def _ask(self, row: int, pod: int) -> Ask:
        """The very claim where others use it too, or it has devices that a waiting pod must go to."""
        claim = self.rows[row]
        waits = self.pods.state.item(pod) in NEW
        if len(self._users[row]) > 1 or claim.others or (waits and claim.held is not None):
            return row
        return claim.asked

    def table(self, devices: DeviceBook) -> ClaimTable:
        """The table as it is now."""
        inventory = self.inventory
        return ClaimTable(
            inventory=inventory,
            claims=tuple(self.rows),
            of_pod={pod: rows for pod, rows in self.of_pod.items() if rows},
            of_class=self.of_class,
            counted=tuple(self._counted(bill, devices.memo) for bill in self.bills),
            memo=devices.memo,
        )

    def _counted(self, bill: Bill, memo: SelectorMemo) -> Counted:
        inventory = self.inventory
        ready, homes = inventory.nodes.ready, inventory.node_idx.tolist()
        rows = [
            row
            for row, device in enumerate(inventory.devices)
            # Devices that belong to no single node are there as long as their driver says so.
            if (ready.item(homes[row]) if homes[row] != NOWHERE else not inventory.reach_of(row).node)
            and bill.covers(device, memo)
        ]
        whole = {inventory.id_idx[row] for row in rows if not inventory.charges[row]}
        cut = {inventory.counters.set_idx[counter] for row in rows for counter, _ in inventory.charges[row]}
        names = frozenset(inventory.id_idx[row] for row in rows)
        return Counted(bill.column, bill.unit, names, len(whole) + len(cut))


def _standing(state: int) -> int:
    """Who runs pays before who waits, and who leaves pays nothing."""
    return 0 if state == PodState.BOUND else 1 if state in NEW else 2


def count(bill: Bill, claim: Claim, allocation: Allocation | None) -> int:
    """Devices that a claim has, or asks for, and that are on a bill; the most expensive of several alternatives counts.

    Of "all devices" nobody knows how many they are before they are found: they count once they are.
    """
    if allocation is None:
        asked = [[_asked(bill, one) for one in request.alternatives] for request in claim.requests]
        return sum(max(counts, default=0) for counts in asked)
    results = [result for result in allocation.devices.results if not result.admin_access]
    if bill.selectors is None:
        return sum(result.driver in bill.classes for result in results)
    ways = [one for request in claim.requests for one in request.alternatives]
    names = {one.name for one in ways if one.device_class.name in bill.classes}
    return sum(result.request in names for result in results)


def _asked(bill: Bill, alternative: Alternative) -> int:
    counts = alternative.device_class.name in bill.classes and not alternative.admin and alternative.count != ALL
    return alternative.count if counts else 0
