"""Room for a whole step in one domain: which candidates have to go for it there, and where that is cheapest.

Told from sums over each domain: how many pods of each class fit on its nodes once the candidates there are gone.
Whether subgroups and pods that differ find places together is left to the simulation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kai_py.core.gangs.steps import Step
from kai_py.core.placement.gang import Placer
from kai_py.core.placement.nearness import Wish
from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.domains import ROOT
from kai_py.core.tables.pods import NONE
from kai_py.core.victims.chunks import Chunk
from kai_py.core.victims.costs import Costs, Price
from kai_py.core.victims.departures import Departures
from kai_py.core.victims.room import Room


class DomainChoice(NamedTuple):
    """A domain, and the candidates that have to go for a step to fit there.

    Attributes:
        nodes: ``(N,)`` of the domain.
        victims: numbers of candidates, ascending.
        price: of those together.
        domain: row.
    """

    nodes: Mask
    victims: tuple[int, ...]
    price: Price
    domain: int


class Domains:
    """Domains of one level, and what candidates would free in each.

    Args:
        domain_idx: ``(N,)`` domain of each node; ``NONE`` = of none, or of none that is in question.
        demand: ``(C,)`` pods of each class that have to be in one domain.
        rooms: ``(C,)`` without any victim; kept up here.
        ledger: as it was when the search began.
        costs: prices.
    """

    def __init__(self, domain_idx: Rows, demand: Amounts, rooms: Sequence[Room], ledger: Ledger, costs: Costs) -> None:
        self._of = domain_idx
        self._demand = demand
        self._rooms = rooms
        self._ledger = ledger
        self._costs = costs
        self._subgroup = ledger.snapshot.pods.subgroup_idx
        self._departures = Departures(ledger)
        self._slots = np.array([self._sums(room.slots) for room in rooms])
        self._here: dict[int, list[int]] = {}
        self._of_leaf: dict[int, list[int]] = {}
        self._gives: list[list[tuple[int, Amounts]]] = []
        self._enough: set[int] = set()
        self.taken: list[Chunk] = []

    @classmethod
    def of(cls, step: Step, placer: Placer, ledger: Ledger, costs: Costs) -> Domains | None:
        """Domains of the level that the podgroup of a step requires as a whole; None if it requires none."""
        wish = placer.wish(step)
        return None if wish is None else cls.at(wish.tree.constraint.required, wish, placer, ledger, costs)

    @classmethod
    def at(cls, level: int, wish: Wish, placer: Placer, ledger: Ledger, costs: Costs) -> Domains | None:
        """Domains of a level of the topology that a podgroup is about as a whole; None for ``ROOT``.

        Where members run already, the domain of the first of them alone.
        """
        if level == ROOT or ledger.snapshot.topologies is None:
            return None
        domain_idx = ledger.snapshot.topologies.topologies[wish.topology_idx].domain_idx[level]
        if wish.pinned.size:  # who runs already decides
            domain_idx = np.where(domain_idx == domain_idx[wish.pinned[0]], domain_idx, NONE).astype(np.int32)
        views, later = [placer.view(row) for row in wish.classes], ledger.free + ledger.releasing
        rooms = [Room(view.request, view.allowed, later.copy()) for view in views]
        return cls(domain_idx, wish.demand, rooms, ledger, costs)

    def _sums(self, slots: Amounts) -> Amounts:
        inside = self._of != NONE
        sums = np.zeros(int(self._of.max(initial=0)) + 1, dtype=np.int64)
        np.add.at(sums, self._of[inside], slots[inside])
        return sums

    def possible(self, freeable: Amounts) -> bool:
        """Whether some domain could hold all if nodes had ``(N, R)`` more than before the first candidate."""
        before = self._ledger.free + self._ledger.releasing + freeable
        slots = np.array([self._sums(room.count(before)) for room in self._rooms])
        return bool((slots >= self._demand[:, None]).all(axis=0).any())

    def take(self, chunk: Chunk) -> None:
        """One candidate more is on offer."""
        number, gives = len(self.taken), list[tuple[int, Amounts]]()
        self.taken.append(chunk)
        for leaf in dict.fromkeys(self._subgroup[list(chunk.pods)].tolist()):
            self._of_leaf.setdefault(leaf, []).append(number)
        for pod in chunk.pods:
            node = self._ledger.node.item(pod)
            if node == NONE or (domain := self._of.item(node)) == NONE:
                continue
            amounts = self._departures.gives(pod)
            gives.append((node, amounts))
            for row, room in enumerate(self._rooms):
                self._slots[row, domain] += room.give(node, amounts)
            if (here := self._here.setdefault(domain, [])) == [] or here[-1] != number:
                here.append(number)
            if (self._slots[:, domain] >= self._demand).all():
                self._enough.add(domain)
        self._gives.append(gives)

    @property
    def enough(self) -> bool:
        """Whether some domain could hold all by now."""
        return bool(self._enough)

    def cheapest(self) -> list[DomainChoice]:
        """A choice for every domain that could hold all by now, the cheapest first."""
        return self._choices({domain: self._needed(domain) for domain in self._enough})

    def all_of(self, domains: Collection[int]) -> list[DomainChoice]:
        """The same with all candidates of some domains: where sums have promised too much."""
        return self._choices({domain: self._here[domain] for domain in domains})

    def _choices(self, victims: Mapping[int, Sequence[int]]) -> list[DomainChoice]:
        choices = []
        for domain, numbers in victims.items():
            whole = self._with_rest(numbers)
            price = self._costs.price([self.taken[number] for number in whole])
            choices.append(DomainChoice(self._of == domain, whole, price, domain))
        return sorted(choices, key=lambda choice: (choice.price, choice.domain))

    def _with_rest(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """What is left of a subgroup that loses its minimum is of no use to anybody, wherever it is."""
        broken = {leaf for number in numbers for leaf in self.taken[number].breaks}
        return tuple(sorted({*numbers, *(number for leaf in broken for number in self._of_leaf.get(leaf, ()))}))

    def _needed(self, domain: int) -> list[int]:
        """The candidates of a domain without those that could stay; who was taken last stays first.

        Where devices are shared, sums do not quite tell who can stay.
        """
        slots, spare = self._slots[:, domain].copy(), dict[int, Amounts]()
        needed: list[int] = []
        for number in reversed(self._here[domain]):
            without = dict(spare)
            for node, amounts in self._gives[number]:
                if self._of.item(node) == domain:
                    without[node] = without.get(node, 0) + amounts
            loss = self._loss(spare, without)
            if (slots - loss >= self._demand).all():
                slots, spare = slots - loss, without
            else:
                needed.append(number)
        return needed[::-1]

    def _loss(self, before: Mapping[int, Amounts], after: Mapping[int, Amounts]) -> Amounts:
        """``(C,)`` by how many fewer pods fit when nodes are given back more of what was counted."""
        loss = np.zeros(len(self._rooms), dtype=np.int64)
        for node, kept in after.items():
            if kept is not (kept_before := before.get(node, 0)):
                for row, room in enumerate(self._rooms):
                    later = room.later[node]
                    loss[row] += room.fitting(node, later - kept_before) - room.fitting(node, later - kept)
        return loss
