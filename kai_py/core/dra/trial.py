"""What a search has tentatively taken on top of the ledger; the ledger itself stays as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kai_py.core.dra.capacity import Taking
from kai_py.core.dra.constraints import Bond, Values
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.node_shares import NodeRoom, NodeTally


class Pick(NamedTuple):
    """A device chosen for a request.

    Attributes:
        device: its row.
        claim: number of the claim.
        admin: it is only looked at.
        taking: of a shareable device, what is consumed.
        charged: whether its counters were charged.
        before: the states of the bonds that it changed.
    """

    device: int
    claim: int
    admin: bool
    taking: Taking
    charged: bool
    before: tuple[tuple[Bond, Values | None], ...]


class Trial:
    """Devices taken by one search, the last one first to be given back.

    Rules are those of the dynamic resource allocation KEPs; where kube-scheduler's allocator loses solutions (it lets
    admin access block devices for other claims, and forgets to give counters back) this one does not.

    Attributes:
        picks: in the order of choice.
        held: names (rows in ``ids``) that are taken as a whole, not only looked at.
        charged: counter -> amount that the picks take.
        consumed: (name, capacity) -> amount that the picks take of shared devices.
    """

    def __init__(self, inventory: Inventory, ledger: DeviceLedger, claims: int, room: NodeRoom | None = None) -> None:
        self.picks: list[Pick] = []
        self.held: set[int] = set()
        self.charged: dict[int, int] = {}
        self.consumed: dict[tuple[int, str], int] = {}
        self._inventory = inventory
        self._ledger = ledger
        self._of_claim: list[set[int]] = [set() for _ in range(claims)]
        self._parts: dict[int, int] = {}
        self._tally = None if room is None else NodeTally(room)

    def free(self, device: int, claim: int, *, admin: bool) -> bool:
        """Whether a device can be had at all: nobody has it, or for admin access the claim itself does not."""
        identity = self._inventory.id_idx[device]
        ledger = self._ledger
        if self._inventory.devices[device].shareable:
            return admin or not ledger.whole[identity]
        if identity in self._of_claim[claim]:
            return False
        return admin or not (ledger.whole[identity] or ledger.shares[identity] or identity in self.held)

    def roomy(self, device: int, amounts: Taking) -> bool:
        """Whether a shareable device has so much left of all its capacities."""
        identity = self._inventory.id_idx[device]
        committed = self._ledger.consumed.get(identity, _NOTHING)
        capacities = self._inventory.devices[device].capacities
        return all(
            committed.get(name, 0) + self.consumed.get((identity, name), 0) + amount <= capacities[name].value
            for name, amount in amounts
        )

    def short_of(self, device: int) -> list[int]:
        """The counters of which a device takes more than is left."""
        totals, used = self._inventory.counters.totals, self._ledger.used
        return [
            counter
            for counter, amount in self._inventory.charges[device]
            if used[counter] + self.charged.get(counter, 0) + amount > totals[counter]
        ]

    def take(self, device: int, claim: int, bonds: Sequence[Bond], amounts: Taking, *, admin: bool) -> bool:
        """Take a device that is free and fits; False = counters, capacities, constraints or its node forbid it."""
        inventory = self._inventory
        shareable = inventory.devices[device].shareable
        charges = inventory.charges[device]
        if charges:
            charged = not (shareable and self._shared(inventory.id_idx[device]))
            if charged and self.short_of(device):
                return False
        else:
            charged = False
        if shareable and not self.roomy(device, amounts):
            return False
        before: list[tuple[Bond, Values | None]] = []
        for bond in bonds:
            after = bond.after(device)
            if after is None:
                _restore(before)
                return False
            before.append((bond, bond.state))
            bond.state = after
        if self._tally is not None:
            consumed = amounts if shareable else ()
            if not self._tally.take(inventory.devices[device], claim, consumed, admin=admin):
                _restore(before)
                return False
        self._count(Pick(device, claim, admin, amounts, charged, tuple(before)), shareable=shareable)
        return True

    def undo(self) -> None:
        """Give the last device back."""
        pick = self.picks.pop()
        identity = self._inventory.id_idx[pick.device]
        if pick.charged:
            for counter, amount in self._inventory.charges[pick.device]:
                self.charged[counter] -= amount
        if self._inventory.devices[pick.device].shareable:
            self._parts[identity] -= 1
            for name, amount in pick.taking:
                self.consumed[identity, name] -= amount
        else:
            self._of_claim[pick.claim].discard(identity)
            if not pick.admin:
                self.held.discard(identity)
        if self._tally is not None:
            self._tally.undo()
        _restore(pick.before)

    def clear(self) -> None:
        """Give everything back."""
        while self.picks:
            self.undo()

    def _shared(self, identity: int) -> bool:
        """Whether somebody has a part of a device already, so that its counters are charged."""
        return bool(self._ledger.shares[identity] or self._parts.get(identity))

    def _count(self, pick: Pick, *, shareable: bool) -> None:
        identity = self._inventory.id_idx[pick.device]
        if pick.charged:
            for counter, amount in self._inventory.charges[pick.device]:
                self.charged[counter] = self.charged.get(counter, 0) + amount
        if shareable:
            self._parts[identity] = self._parts.get(identity, 0) + 1
            for name, amount in pick.taking:
                self.consumed[identity, name] = self.consumed.get((identity, name), 0) + amount
        else:
            self._of_claim[pick.claim].add(identity)
            if not pick.admin:
                self.held.add(identity)
        self.picks.append(pick)


def _restore(before: Sequence[tuple[Bond, Values | None]]) -> None:
    for bond, state in reversed(before):
        bond.state = state


_NOTHING: dict[str, int] = {}
