"""What a search keeps in mind once it has met a dead end, so as not to run into the same one again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kai_py.core.dra.bounds import Need, enough
from kai_py.core.dra.constraints import Bond, Values
from kai_py.core.dra.counting import CapacityProof, CounterProof
from kai_py.core.dra.devices import Scalar
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.options import Ask
from kai_py.core.dra.symmetry import State, Symmetry, tied_groups
from kai_py.core.dra.trial import Trial

#: What the future of a search depends on: what is taken, how much of that by the claim at hand, states of the bonds.
Situation = tuple[State, int, tuple[Values | None, ...]]


@dataclass(frozen=True)
class _Wish:
    """The least that a request takes of exclusive devices: so many of the candidates, bound by these."""

    devices: int
    candidates: int
    bonds: tuple[Bond, ...]


class Mind:
    """Interchangeable devices, situations from which no way leads on, and proofs that there is none.

    Attributes:
        symmetry: which devices are interchangeable.
    """

    def __init__(self, asks: Sequence[Ask], rows: Sequence[int], trial: Trial, ledger: DeviceLedger) -> None:
        inventory = ledger.inventory
        groups = tied_groups(rows, inventory)
        self.symmetry = Symmetry(groups, asks, trial, ledger)
        self._asks = asks
        self._trial = trial
        self._ledger = ledger
        self._dead: set[tuple[int, Situation]] = set()
        identities = dict.fromkeys(inventory.id_idx[row] for row in rows)
        self._bits = {identity: 1 << place for place, identity in enumerate(identities)}
        charged = [members for members in groups if inventory.charges[members[0]]]
        self._counters = CounterProof(
            [[(self._bits[inventory.id_idx[row]], inventory.charges[row]) for row in members] for members in charged],
            ledger,
        )
        self._bonds = list({bond: None for ask in asks for option in ask.options for bond in option.bonds})
        self._having = {bond: self._values_of(bond, rows) for bond in self._bonds}
        wishes = [self._wish_of(ask) for ask in asks]
        self._wishes = [_merged([one for one in wishes[row:] if one is not None]) for row in range(len(asks))]
        self._capacities = CapacityProof(asks, trial, ledger)

    def situation(self, number: int) -> Situation:
        """Where the search is when it comes to a request."""
        claim = self._asks[number].claim
        held = sum(pick.claim == claim for pick in self._trial.picks)
        return self.symmetry.state(), held, tuple(bond.state for bond in self._bonds)

    def hopeless(self, number: int, situation: Situation) -> bool:
        """Whether it is known, or can be proved, that no way leads on from here."""
        if (number, situation) in self._dead:
            return True
        if not self._capacities.allows(number):
            return True
        held = sum(self._bits[identity] for identity in self._trial.held)
        allowed = {bond: self._allowed(bond, bond.state) for bond in self._bonds}
        return not self._enough(self._wishes[number], held, allowed, self._trial.charged)

    @property
    def impossible(self) -> bool:
        """Whether it can be proved that there is no solution at all."""
        if not self._capacities.allows(0, at_all=True):
            return True
        everything = dict.fromkeys(self._bonds, -1)
        wishes = self._wishes[0]
        if not self._enough(wishes, 0, everything, {}):
            return True
        for bond in self._bonds:
            bound = [one for one in wishes if bond in one.bonds]
            if bond.constraint.distinct:
                if sum(one.devices for one in bound) > len(self._having[bond]):
                    return True
            elif not any(self._enough(bound, 0, everything | {bond: one}, {}) for one in self._having[bond].values()):
                return bool(bound)
        return False

    def remember(self, number: int, situation: Situation) -> None:
        """From here no way leads on."""
        self._dead.add((number, situation))

    def _enough(
        self, wishes: Sequence[_Wish], held: int, allowed: Mapping[Bond, int], charged: Mapping[int, int]
    ) -> bool:
        needs = []
        for wish in wishes:
            candidates = wish.candidates & ~held
            for bond in wish.bonds:
                candidates &= allowed[bond]
            needs.append((wish.candidates, Need(wish.devices, candidates)))
        return self._counters.allows(needs, charged) and enough([need for _, need in needs])

    def _allowed(self, bond: Bond, state: Values | None) -> int:
        """The devices that a constraint lets pass as it stands."""
        if state is None:
            return -1
        having = self._having[bond]
        found = 0
        for value in state:
            found |= having.get(value, 0)
        return ~found if bond.constraint.distinct else found

    def _values_of(self, bond: Bond, rows: Sequence[int]) -> dict[tuple[str, Scalar], int]:
        """Value -> the devices that have it."""
        having: dict[tuple[str, Scalar], int] = {}
        for row in rows:
            for value in bond.values(row):
                having[value] = having.get(value, 0) | self._bits[self._ledger.inventory.id_idx[row]]
        return having

    def _wish_of(self, ask: Ask) -> _Wish | None:
        """None = the request may do without exclusive devices."""
        inventory, candidates = self._ledger.inventory, 0
        for option in ask.options:
            if option.alternative.admin:
                return None
            for device in option.candidates:
                if inventory.devices[device].shareable:
                    return None
                identity = inventory.id_idx[device]
                if not self._ledger.busy(identity):
                    candidates |= self._bits[identity]
        bonds = ask.options[0].bonds if len(ask.options) == 1 else ()
        return _Wish(min(option.needed for option in ask.options), candidates, bonds)


def _merged(wishes: Sequence[_Wish]) -> list[_Wish]:
    """Wishes for the same devices as one."""
    found: dict[tuple[int, tuple[Bond, ...]], int] = {}
    for one in wishes:
        key = one.candidates, one.bonds
        found[key] = found.get(key, 0) + one.devices
    return [_Wish(devices, candidates, bonds) for (candidates, bonds), devices in found.items()]
