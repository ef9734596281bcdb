"""What a search keeps in mind once it has met a dead end, so as not to run into the same one again and again."""

from __future__ import annotations

from collections.abc import Sequence

from kai_py.core.dra.bounds import Need, counted, enough
from kai_py.core.dra.constraints import Values
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.options import Ask
from kai_py.core.dra.symmetry import State, Symmetry, tied_groups
from kai_py.core.dra.trial import Trial

#: What the future of a search depends on: what is taken, how much of that by the claim at hand, states of the bonds.
Situation = tuple[State, int, tuple[Values | None, ...]]


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
        self._bonds = list({bond: None for ask in asks for option in ask.options for bond in option.bonds})
        identities = dict.fromkeys(inventory.id_idx[row] for row in rows)
        self._bits = {identity: 1 << place for place, identity in enumerate(identities)}
        self._groups = [
            [(self._bits[inventory.id_idx[row]], inventory.charges[row]) for row in members]
            for members in groups
            if inventory.charges[members[0]]
        ]
        self._needs = [self._need_of(ask) for ask in asks]

    def situation(self, number: int) -> Situation:
        """Where the search is when it comes to a request."""
        claim = self._asks[number].claim
        held = sum(pick.claim == claim for pick in self._trial.picks)
        return self.symmetry.state(), held, tuple(bond.state for bond in self._bonds)

    def hopeless(self, number: int, situation: Situation) -> bool:
        """Whether it is known, or can be proved, that no way leads on from here."""
        held = sum(self._bits[identity] for identity in self._trial.held)
        return (number, situation) in self._dead or not self._enough(number, held, self._trial.charged)

    @property
    def impossible(self) -> bool:
        """Whether it can be proved that there is no solution at all."""
        return not self._enough(0, 0, {})

    def remember(self, number: int, situation: Situation) -> None:
        """From here no way leads on."""
        self._dead.add((number, situation))

    def _enough(self, number: int, held: int, charged: dict[int, int]) -> bool:
        needs = [Need(one.devices, one.candidates & ~held) for one in self._needs[number:] if one is not None]
        if self._groups:
            totals, used = self._ledger.inventory.counters.totals, self._ledger.used
            left = {
                counter: totals[counter] - used[counter] - charged.get(counter, 0)
                for members in self._groups
                for _, charges in members
                for counter, _ in charges
            }
            if not counted(needs, self._groups, left):
                return False
        return enough(needs)

    def _need_of(self, ask: Ask) -> Need | None:
        """The least that a request takes of exclusive devices; None = it may do without."""
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
        return Need(min(option.needed for option in ask.options), candidates)
