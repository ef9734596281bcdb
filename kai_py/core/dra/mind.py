"""What a search keeps in mind once it has met a dead end, so as not to run into the same one again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kai_py.core.dra.asks import Ask
from kai_py.core.dra.bounds import Need, enough
from kai_py.core.dra.constraints import Bond, Values
from kai_py.core.dra.counting import CapacityProof, CounterProof
from kai_py.core.dra.devices import Scalar
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.symmetry import State, Symmetry, tied_groups
from kai_py.core.dra.trial import Trial

#: What the future of a search depends on: what is taken, how much of that by the claim at hand, states of the bonds.
Situation = tuple[State, int, tuple[Values | None, ...]]


#: In the midst of a search, attributes with more values than that are not looked at value by value.
_MANY_VALUES: Final = 16


@dataclass(frozen=True)
class _Wish:
    """The least that a request wants.

    Attributes:
        devices: how many different ones.
        candidates: exclusive devices that nobody has.
        shareable: devices that may serve any number of requests.
        bonds: constraints that bind all of them.
    """

    devices: int
    candidates: int
    shareable: int
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
        self._distinct = [bond for bond in self._bonds if bond.constraint.distinct]
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
        states = {bond: bond.state for bond in self._bonds}
        return not self._solvable(self._wishes[number], held, states, self._trial.charged, _MANY_VALUES)

    @property
    def impossible(self) -> bool:
        """Whether it can be proved that there is no solution at all."""
        states = {bond: bond.initial for bond in self._bonds}
        most = max(map(len, self._having.values()), default=0)
        return not (self._capacities.allows(0, at_all=True) and self._solvable(self._wishes[0], 0, states, {}, most))

    def remember(self, number: int, situation: Situation) -> None:
        """From here no way leads on."""
        self._dead.add((number, situation))

    def _solvable(
        self,
        wishes: Sequence[_Wish],
        held: int,
        states: Mapping[Bond, Values | None],
        charged: Mapping[int, int],
        many: int,
    ) -> bool:
        """Whether wishes may all come true; False is a proof that they do not."""
        allowed = {bond: self._allowed(bond, state) for bond, state in states.items()}
        if not self._enough(wishes, held, allowed, charged):
            return False
        for bond, state in states.items():
            bound = [one for one in wishes if bond in one.bonds]
            if not bound or bond.constraint.distinct or state is not None or len(self._having[bond]) > many:
                continue
            # No device is chosen yet: there must be some value with which all of them can be found.
            each = self._having[bond].values()
            if not any(self._enough(bound, held, {**allowed, bond: devices}, charged) for devices in each):
                return False
        return True

    def _enough(
        self, wishes: Sequence[_Wish], held: int, allowed: Mapping[Bond, int], charged: Mapping[int, int]
    ) -> bool:
        """Whether there are enough devices, counters, and different values, each looked at alone."""
        needs, both = [], []
        for wish in wishes:
            candidates, shareable = wish.candidates & ~held, wish.shareable
            for bond in wish.bonds:
                candidates &= allowed[bond]
                shareable &= allowed[bond]
            both.append(Need(wish.devices, candidates | shareable))
            needs.append((wish.candidates, Need(max(0, wish.devices - shareable.bit_count()), candidates)))
        if not self._counters.allows(needs, charged) or not enough([need for _, need in needs]):
            return False
        for bond in self._distinct:
            own = [need for wish, need in zip(wishes, both, strict=True) if bond in wish.bonds]
            if own and not enough([self._by_value(bond, need) for need in own]):
                return False
        return True

    def _by_value(self, bond: Bond, need: Need) -> Need:
        """A need for devices as one for values: no two devices can have the same, so each has one to itself."""
        values = 0
        for place, devices in enumerate(self._having[bond].values()):
            if devices & need.candidates:
                values |= 1 << place
        return Need(need.devices, values)

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
        """None = the request only looks at devices."""
        inventory, ledger = self._ledger.inventory, self._ledger
        masks = {False: 0, True: 0}
        for option in ask.options:
            if option.alternative.admin:
                return None
            for device in option.candidates:
                identity, shareable = inventory.id_idx[device], inventory.devices[device].shareable
                if not (ledger.whole[identity] if shareable else ledger.busy(identity)):
                    masks[shareable] |= self._bits[identity]
        bonds = ask.options[0].bonds if len(ask.options) == 1 else ()
        return _Wish(min(option.needed for option in ask.options), masks[False], masks[True], bonds)


def _merged(wishes: Sequence[_Wish]) -> list[_Wish]:
    """Wishes for the same devices as one, as long as each device serves only one of them."""
    found: dict[tuple[int, tuple[Bond, ...]], int] = {}
    others = []
    for one in wishes:
        if one.shareable:
            others.append(one)
        else:
            key = one.candidates, one.bonds
            found[key] = found.get(key, 0) + one.devices
    return [*(_Wish(devices, candidates, 0, bonds) for (candidates, bonds), devices in found.items()), *others]
