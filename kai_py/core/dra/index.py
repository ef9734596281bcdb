"""The device index: how many claims of a kind each node has room for, without asking the allocator node by node.

Thousands of claims of one template look the same, and every placement changes one node. So per kind of request there is
a column of counts over the nodes, which follows the ledger: what a change costs does not depend on the number of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.bounds import most_of
from kai_py.core.dra.claims import ALL, MAX_DEVICES, Alternative, Claim, Request
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.refused import RefusalMemory, Refused
from kai_py.core.dra.verdicts import Judge, Verdict
from kai_py.core.resources import Amounts, Mask

#: So often can a device be given out whose parts take nothing of it.
UNLIMITED: Final = 2**31
_FITS, _FAILED = int(Verdict.FITS), int(Verdict.FAILED)


@dataclass(frozen=True)
class Room:
    """How many claims of a kind find devices.

    Attributes:
        count: ``(N,)`` on each node alone, all devices being taken by such claims.
        exact: ``(N,)`` whether the count is exact. Otherwise it is an upper bound: 0 is always true, and the allocator
            knows what more than 0 is worth.
    """

    count: Amounts
    exact: Mask


class DeviceIndex:
    """The room for claims on all nodes, as the ledger changes.

    Counts are exact for claims whose requests are all alike and ask for a number of devices, without alternatives,
    constraints and admin access, on nodes where it is about whole devices or about partitions of one profile. Of other
    claims it is remembered where the allocator found nothing for them; a node where that was so has no room.

    Args:
        allocator: knows which devices match.
        ledger: what is taken.
        memory: where claims found nothing in earlier snapshots.

    Attributes:
        refused: where they have found nothing.
    """

    def __init__(self, allocator: Allocator, ledger: DeviceLedger, memory: RefusalMemory | None = None) -> None:
        self.refused: Final = Refused(allocator.inventory, ledger, memory or RefusalMemory())
        self._allocator = allocator
        self._ledger = ledger
        self._columns: dict[Judge, _Column] = {}

    def room(self, claims: Sequence[Claim]) -> Room:
        """How often the claims of a pod, all together, find devices on each node, as the ledger is now.

        The arrays may follow the ledger: whoever wants to keep them copies them.
        """
        room = self._counted(claims)
        if room.exact.all() or (refused := self.refused.nodes(claims)) is None:
            return room
        return Room(np.where(refused, 0, room.count), room.exact | refused)

    def _counted(self, claims: Sequence[Claim]) -> Room:
        """The same by what each request finds alone."""
        plain: dict[_Column, list[int]] = {}
        bounds: list[Amounts] = []
        odd = False
        for claim in claims:
            odd = odd or bool(claim.constraints)
            for request in claim.requests:
                alternative = request.alternatives[0]
                if any(one.admin for one in request.alternatives):
                    odd = True  # it competes with nobody, but may not find what it wants to look at
                elif len(request.alternatives) == 1 and 0 < alternative.count <= MAX_DEVICES:
                    plain.setdefault(self._column(alternative), []).append(alternative.count)
                else:
                    bounds.append(self._bound(request))
        rooms = [column.room(sum(needs), max(needs)) for column, needs in plain.items()]
        if len(rooms) == 1 and not (odd or bounds):
            return rooms[0]
        nodes = len(self._allocator.inventory.nodes)
        count: Amounts = np.full(nodes, UNLIMITED, dtype=np.int64)
        for one in (*bounds, *(room.count for room in rooms)):
            np.minimum(count, one, out=count)
        return Room(count, np.full(nodes, not (odd or bounds or rooms)) | (count == 0))

    def _column(self, alternative: Alternative) -> _Column:
        judge = self._allocator.verdicts.of(alternative)
        column = self._columns.get(judge)
        if column is None:
            column = self._columns[judge] = _Column(judge, self._allocator.inventory, self._ledger)
        column.refresh()
        return column

    def _bound(self, request: Request) -> Amounts:
        """``(N,)`` at most so often; alternatives may be about different devices, so that their rooms add up."""
        total: Amounts = np.zeros(len(self._allocator.inventory.nodes), dtype=np.int64)
        for alternative in request.alternatives:
            column = self._column(alternative)
            if alternative.count == ALL:
                total += np.minimum(column.units, UNLIMITED if column.shareable.any() else 1)
            else:
                total += column.room(alternative.count, alternative.count).count
        return np.minimum(total, UNLIMITED)


class _Column:
    """What one kind of request finds on each node.

    Attributes:
        units: ``(N,)`` how many times a device, or a part of one, can be had.
        devices: ``(N,)`` on how many different devices.
        exact: ``(N,)`` whether so many can be had together.
        shareable: ``(N,)`` whether parts of devices are among them.
    """

    def __init__(self, judge: Judge, inventory: Inventory, ledger: DeviceLedger) -> None:
        nodes = len(inventory.nodes)
        self.units: Amounts = np.zeros(nodes, dtype=np.int64)
        self.devices: Amounts = np.zeros(nodes, dtype=np.int64)
        self.exact: Mask = np.zeros(nodes, dtype=np.bool_)
        self.shareable: Mask = np.zeros(nodes, dtype=np.bool_)
        self._judge = judge
        self._inventory = inventory
        self._seen = inventory.seen
        self._ledger = ledger
        self._rooms: dict[tuple[int, int], Room] = {}
        self._read = len(ledger.touched)
        for node in range(nodes):
            self._count(node)

    def room(self, needed: int, largest: int) -> Room:
        """How often so many devices can be had, of which so many must be different ones."""
        known = self._rooms.get((needed, largest))
        if known is None:
            nodes = len(self.units)
            known = self._rooms[needed, largest] = Room(
                np.empty(nodes, dtype=np.int64), np.empty(nodes, dtype=np.bool_)
            )
            for node in range(nodes):
                self._follow(node, needed, largest, known)
        return known

    def _follow(self, node: int, needed: int, largest: int, room: Room) -> None:
        """Bring the room of one node up to date."""
        enough = self.devices.item(node) >= largest
        count = self.units.item(node) // needed if enough else 0
        alone = needed == 1 or not self.shareable.item(node)
        room.count[node] = count
        room.exact[node] = count == 0 or (self.exact.item(node) and alone)

    def refresh(self) -> None:
        """Count anew what the ledger has touched since the last time."""
        touched = self._ledger.touched
        if len(touched) == self._read:
            return
        nodes = self._seen.nodes_with(set(touched[self._read :]), self._inventory)
        self._read = len(touched)
        for node in nodes:
            self._count(node)
            for (needed, largest), room in self._rooms.items():
                self._follow(node, needed, largest, room)

    def _count(self, node: int) -> None:
        inventory, ledger = self._inventory, self._ledger
        whole, shares, verdict = ledger.whole, ledger.shares, self._judge.verdict
        plain, exact, parts = 0, True, []
        charged: dict[int, list[int]] = {}
        for row in self._seen.rows[node]:
            fits = verdict(row)
            if fits != _FITS:
                exact = exact and fits != _FAILED
                continue
            identity = inventory.id_idx[row]
            if whole[identity]:
                continue
            if inventory.devices[row].shareable:
                parts.append(row)
            elif not shares[identity]:
                if charges := inventory.charges[row]:
                    charged.setdefault(inventory.counters.set_idx[charges[0][0]], []).append(row)
                else:
                    plain += 1
        units, devices = plain, plain
        for rows in charged.values():
            bound, sure = self._partitions(rows)
            units, devices, exact = units + bound, devices + bound, exact and sure
        for row in parts:
            bound, sure = self._parts(row)
            units, devices, exact = units + bound, devices + (bound > 0), exact and sure
        self.units[node], self.devices[node] = min(units, UNLIMITED), devices
        self.exact[node], self.shareable[node] = exact, bool(parts)

    def _partitions(self, rows: Sequence[int]) -> tuple[int, bool]:
        """How many devices of a counter set can be had together at most, and whether that is exact.

        It is where they all consume the same of one set, as partitions of one profile do.
        """
        inventory, used = self._inventory, self._ledger.used
        totals = inventory.counters.totals
        open_rows = [row for row in rows if all(used[k] + amount <= totals[k] for k, amount in inventory.charges[row])]
        if not open_rows:
            return 0, True
        left = {k: totals[k] - used[k] for row in open_rows for k, _ in inventory.charges[row]}
        alike = len({inventory.charges[row] for row in open_rows}) == 1
        sets = {inventory.counters.set_idx[k] for row in open_rows for k, _ in inventory.charges[row]}
        return most_of([inventory.charges[row] for row in open_rows], left), alike and len(sets) == 1

    def _parts(self, row: int) -> tuple[int, bool]:
        """How many parts of a shareable device can be had at most, and whether that is exact."""
        inventory, ledger = self._inventory, self._ledger
        identity = inventory.id_idx[row]
        charges = inventory.charges[row]
        totals, used = inventory.counters.totals, ledger.used
        if charges and not ledger.shares[identity] and any(used[k] + amount > totals[k] for k, amount in charges):
            return 0, True
        taken = ledger.consumed.get(identity, {})
        capacities = inventory.devices[row].capacities
        bounds = [
            max(0, capacities[name].value - taken.get(name, 0)) // amount
            for name, amount in self._judge.taking(row)
            if amount > 0
        ]
        return min([UNLIMITED, *bounds]), not charges
