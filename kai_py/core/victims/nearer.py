"""Victims where the step likes to be: of those that cost the same, the ones that make room in one domain.

A level that is only preferred is worth nobody's work: what a search has found stands unless others cost no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import numpy as np

from kai_py.core.gangs.steps import Step
from kai_py.core.placement.gang import Placer
from kai_py.core.placement.nearness import Wish
from kai_py.core.resources import Rows
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.domains import ROOT
from kai_py.core.tables.pods import NONE
from kai_py.core.victims.chunks import Chunk
from kai_py.core.victims.costs import Costs, Price
from kai_py.core.victims.domains import DomainChoice, Domains
from kai_py.core.victims.simulation import Simulation

#: Candidates that cost the same may be spread over many domains: so many more are looked at, at least, and so many
#: times those that a search has needed.
_AHEAD: Final = 64
_TIMES: Final = 16
#: Domains of one level that are tried.
_TRIES: Final = 4


class Nearer:
    """The second look of one search.

    Args:
        step: what is to be placed.
        placer: finds places.
        ledger: as it is before the search.
        simulation: of this step, with its rule.
        costs: prices.
    """

    def __init__(self, step: Step, placer: Placer, ledger: Ledger, simulation: Simulation, costs: Costs) -> None:
        self._step = step
        self._placer = placer
        self._ledger = ledger
        self._simulation = simulation
        self._costs = costs
        self._wish = placer.wish(step)
        self._seen: list[Chunk] = []
        self._rest: Iterator[Chunk] = iter(())

    def follow(self, chunks: Iterable[Chunk]) -> Iterable[Chunk]:
        """The same candidates, remembered if they may be of use here."""
        if self._wish is None or not self._levels(self._wish):
            return chunks
        self._rest = iter(chunks)
        return self._remembered()

    def _remembered(self) -> Iterator[Chunk]:
        for chunk in self._rest:
            self._seen.append(chunk)
            yield chunk

    def _levels(self, wish: Wish) -> range:
        """Levels between the required and the preferred one, from the narrowest."""
        constraint = wish.tree.constraint
        return range(constraint.preferred, constraint.required, -1)

    def settle(self) -> bool:
        """Put victims in one domain in the place of those with whom a search has just succeeded, if they cost no more.

        Returns:
            Whether the step has its places; it always should.
        """
        found = self._simulation.success
        if self._wish is None or found is None or not self._seen:
            return True
        victims, nodes, disturbed = found
        levels = [level for level in self._levels(self._wish) if self._in_question(self._wish, level)]
        if not levels or self._together(self._wish, levels[0]):
            return True
        wider = next((level for level in levels if self._together(self._wish, level)), ROOT)
        price = self._costs.price(disturbed)
        self._simulation.take_back()
        self._seen += islice(self._rest, max(_AHEAD, _TIMES * len(self._seen)))
        if any(self._in_one(self._wish, level, price) for level in levels if level > wider):
            return True
        return self._simulation.succeeds(victims, nodes)

    def _in_question(self, wish: Wish, level: int) -> bool:
        """Whether all could be in one domain of a level: those that run already are."""
        if not wish.pinned.size:
            return True
        domains = self._domains(wish, level)[wish.pinned]
        return domains.item(0) != NONE and bool((domains == domains[0]).all())

    def _together(self, wish: Wish, level: int) -> bool:
        """Whether the step is in one domain of a level, with those that run already."""
        nodes = np.concatenate([self._ledger.node[list(self._step.pods)], wish.pinned])
        domains = self._domains(wish, level)[nodes]
        return domains.item(0) != NONE and bool((domains == domains[0]).all())

    def _domains(self, wish: Wish, level: int) -> Rows:
        """``(N,)`` domain of each node."""
        table = self._ledger.snapshot.topologies
        assert table is not None, "somebody asks"
        rows: Rows = table.topologies[wish.topology_idx].domain_idx[level]
        return rows

    def _in_one(self, wish: Wish, level: int, price: Price) -> bool:
        """Make room in one domain of a level for no more than a price, in the cheapest of them that works."""
        domains = Domains.at(level, wish, self._placer, self._ledger, self._costs)
        assert domains is not None, "it is a level"
        for chunk in self._seen:
            domains.take(chunk)
        cheap = [choice for choice in domains.cheapest() if self._costs.as_cheap(choice.price, price)]
        # Of equally dear ones, those whose victims are taken first.
        cheap = sorted(cheap, key=lambda choice: (choice.price, choice.victims[-1:], choice.domain))[:_TRIES]
        promised = []
        for choice in cheap:
            before = self._simulation.refusal
            if self._works(choice, price):
                return True
            if self._simulation.refusal is before:
                promised.append(choice.domain)
        if len(set(self._step.classes)) == 1:
            return False
        # Sums tell of each class alone: where the step does not fit after all, who need not go is found out by trying.
        whole = sorted(domains.all_of(promised), key=lambda choice: promised.index(choice.domain))
        return any(self._works(choice, price) for choice in whole)

    def _works(self, choice: DomainChoice, price: Price) -> bool:
        """Whether a choice makes room for no more than a price; if not, it is undone."""
        if not self._simulation.succeeds([self._seen[number] for number in choice.victims], choice.nodes):
            return False
        _, _, disturbed = self._simulation.success or ((), None, ())
        if self._costs.as_cheap(self._costs.price(disturbed), price):
            return True
        self._simulation.take_back()
        return False
