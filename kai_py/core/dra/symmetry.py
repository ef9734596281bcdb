"""Devices that are interchangeable: if one of them leads nowhere, the others need not be tried.

Devices are tied to each other through the counter sets that they consume. Two such groups are equal if their devices,
one by one, look the same to all requests of the search and their counters have as much left; a device without counters
is a group by itself. Within a group those devices are equal that look the same and consume the same counters.

Exchanging equal groups, or equal devices of a group, turns every solution into another one as long as the search has
taken the same of both. The search goes through the devices of a request in a fixed order and never back, so that the
other solution is one that it has tried before: it is enough to try one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kai_py.core.dra.asks import Ask, Option
from kai_py.core.dra.capacity import Taking
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.trial import Pick, Trial

#: What a search took of a group: (place of the device, number of the claim, admin access, what is consumed).
_Use = tuple[int, int, bool, Taking]


class Kind(NamedTuple):
    """What makes devices interchangeable.

    Attributes:
        type: number of the type of its group.
        place: of the first device of the group that is equal.
        uses: what the search has taken of the group so far.
    """

    type: int
    place: int
    uses: tuple[_Use, ...]


#: The state of a search as far as its future depends on it.
State = tuple[tuple[int, tuple[_Use, ...]], ...]


class Symmetry:
    """The kinds of the devices of one search."""

    def __init__(
        self, groups: Sequence[Sequence[int]], asks: Sequence[Ask], trial: Trial, ledger: DeviceLedger
    ) -> None:
        self._trial = trial
        self._place: dict[int, tuple[int, int]] = {}
        self._type: list[int] = []
        looks = _Looks(asks, ledger)
        types: dict[tuple[object, ...], int] = {}
        for number, members in enumerate(groups):
            devices, left = looks.of_group(members)
            self._type.append(types.setdefault((devices, left), len(types)))
            first: dict[object, int] = {}
            for place, (row, look) in enumerate(zip(members, devices, strict=True)):
                self._place[row] = number, first.setdefault(look, place)

    def kind(self, device: int) -> Kind:
        """The kind of a device as things stand in the search."""
        group, place = self._place[device]
        uses = sorted(self._use(pick) for pick in self._trial.picks if self._place[pick.device][0] == group)
        return Kind(self._type[group], place, tuple(uses))

    def state(self) -> State:
        """What the search has taken, up to exchanging what is equal."""
        uses: dict[int, list[_Use]] = {}
        for pick in self._trial.picks:
            uses.setdefault(self._place[pick.device][0], []).append(self._use(pick))
        return tuple(sorted((self._type[group], tuple(sorted(found))) for group, found in uses.items()))

    def _use(self, pick: Pick) -> _Use:
        return self._place[pick.device][1], pick.claim, pick.admin, pick.taking


class _Looks:
    """How devices look to the requests of a search."""

    def __init__(self, asks: Sequence[Ask], ledger: DeviceLedger) -> None:
        self._ledger = ledger
        options = [option for ask in asks for option in ask.options]
        self._options = [(option, frozenset(option.candidates)) for option in options]
        self._bonds = list({bond: None for option in options for bond in option.bonds})

    def of_group(self, members: Sequence[int]) -> tuple[tuple[object, ...], tuple[int, ...]]:
        """All that matters of a group: its devices with what they consume, and what is left of its counters.

        Counters are numbered in the order in which the devices name them.
        """
        inventory, ledger = self._ledger.inventory, self._ledger
        counters: dict[int, int] = {}
        devices = []
        for row in members:
            charges = tuple((counters.setdefault(k, len(counters)), amount) for k, amount in inventory.charges[row])
            devices.append((self._of_device(row), charges))
        return tuple(devices), tuple(inventory.counters.totals[k] - ledger.used[k] for k in counters)

    def _of_device(self, row: int) -> tuple[object, ...]:
        inventory, ledger = self._ledger.inventory, self._ledger
        device, identity = inventory.devices[row], inventory.id_idx[row]
        accepted = tuple(_acceptance(option, row) if row in members else None for option, members in self._options)
        values = tuple(bond.values(row) for bond in self._bonds)
        left: tuple[object, ...] = ()
        if device.shareable:
            consumed = ledger.consumed.get(identity, {})
            left = tuple(
                (name, capacity.value - consumed.get(name, 0)) for name, capacity in sorted(device.capacities.items())
            )
        taken = ledger.whole[identity] > 0, ledger.shares[identity] > 0
        return accepted, values, *taken, device.shareable, left, device.node_shares


def _acceptance(option: Option, row: int) -> tuple[object, ...]:
    return option.failed(row), option.taking(row)


def tied_groups(rows: Sequence[int], inventory: Inventory) -> list[list[int]]:
    """Devices that are tied through counter sets; each group, and the groups, in the order of rows."""
    parent: dict[int, int] = {}

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    sets = [tuple({inventory.counters.set_idx[k] for k, _ in inventory.charges[row]}) for row in rows]
    for tied in sets:
        for one in tied:
            parent.setdefault(one, one)
            parent[root(one)] = root(tied[0])
    groups: dict[tuple[str, int], list[int]] = {}
    for row, tied in zip(rows, sets, strict=True):
        key = ("set", root(tied[0])) if tied else ("device", row)
        groups.setdefault(key, []).append(row)
    return list(groups.values())
