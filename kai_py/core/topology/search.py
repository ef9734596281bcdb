"""How an arrangement is searched for, in one topology as in several: what is asked in which order, and what is told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kai_py.core.tables.domains import Topology
from kai_py.core.topology.alike import required_domain
from kai_py.core.topology.candidates import Candidates, fewest_misses
from kai_py.core.topology.choice import Offer, Pinned, Shortfall, ShortfallCode
from kai_py.core.topology.packing import Load
from kai_py.core.topology.parts import Arrangement, Box, Part, Wrapped, wrap
from kai_py.core.topology.positions import Position, leaves_of
from kai_py.core.topology.program import Budget, Outcome

#: The topology of a box, and its row as a shortfall tells it.
Where = Callable[[Box], tuple[Topology, int | None]]


@dataclass(frozen=True)
class Question:
    """A podgroup as boxes, and the domains that it may have."""

    wrapped: Wrapped
    candidates: Candidates


def question(podgroup: Part, offer: Offer, where: Where) -> Question | Shortfall:
    """What there is to search, or why there is nothing: members that run already, or the required level, say no."""
    wrapped = wrap(podgroup)
    if (apart := next(_apart(wrapped, where), None)) is not None:
        return apart
    box, pinned = wrapped.box, Pinned(np.array(wrapped.box.pinned, dtype=np.int32))
    topology, _ = where(box)
    inside, refusal = required_domain(topology, podgroup.constraint, offer.slots, box.size, pinned)
    if refusal is not None:
        return refusal
    return Question(wrapped, Candidates(topology, Load.of(offer.within(inside), box.total), pinned))


def _apart(wrapped: Wrapped, where: Where) -> Iterator[Shortfall]:
    """Subgroups whose members already run in several domains of the level that they require."""
    for inner in wrapped.inside:
        box = inner.box
        topology, tree = where(box)
        pinned = Pinned(np.array(box.pinned, dtype=np.int32))
        if box.pinned and not pinned.within(topology, box.widest):
            yield Shortfall(ShortfallCode.PINNED_APART, box.widest, (), 0, box.size, part=inner.name, tree=tree)
        yield from _apart(inner, where)


class Search(ABC):
    """One search. ``proven`` turns False when some part of it ends before its end.

    Args:
        asked: what to search.
        budget: how much may be searched.
    """

    def __init__(self, asked: Question, budget: Budget) -> None:
        self.wrapped = asked.wrapped
        self.candidates = asked.candidates
        self.budget = budget
        self.proven = True

    def answer(self) -> Arrangement | Shortfall:
        """The narrowest level of which a domain holds all, from the preferred one upward, or what is missing."""
        box = self.wrapped.box
        for level in range(box.narrowest, box.widest - 1, -1):
            if (position := self._at(level)) is not None:
                leaves = tuple(leaves_of(self.wrapped, position))
                return Arrangement(level, position.domain, leaves, position.misses, self.proven)
        return self._shortfall()

    def _at(self, level: int) -> Position | None:
        """The best position whose domain is of a level."""
        best, all_tried = fewest_misses(self.domains(level), lambda domain: self._in(level, domain))
        self.proven &= all_tried
        return best

    def _in(self, level: int, domain: int) -> Position | None:
        """The better of both tries in a domain; the exact one only where the greedy one leaves something to wish."""
        found = self.greedy(level, domain)
        if found is not None and found.misses == 0:
            return found
        outcome, exact = self.exact(level, domain)
        self.proven &= outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
        if exact is not None and (found is None or exact.misses < found.misses):
            return exact
        return found

    def _shortfall(self) -> Shortfall:
        """What to tell: too little room altogether, or for one kind of subgroup, or for all of them together."""
        level = self.wrapped.box.widest
        whole = self.candidates.nearest(level, proven=self.proven)
        if whole.fits < whole.pods:
            return whole
        if (lacking := self.lacking()) is not None:
            return lacking
        return Shortfall(ShortfallCode.PARTS_COLLIDE, level, whole.domain, whole.fits, whole.pods, self.proven)

    @abstractmethod
    def domains(self, level: int) -> Sequence[int]:
        """Domains of a level that are worth a try, the best first."""

    @abstractmethod
    def greedy(self, level: int, domain: int) -> Position | None:
        """A position that is found fast, if one is."""

    @abstractmethod
    def exact(self, level: int, domain: int) -> tuple[Outcome, Position | None]:
        """The best position, by an integer program, and how far that got."""

    @abstractmethod
    def lacking(self) -> Shortfall | None:
        """The first kind of subgroup for which alone there is too little room."""
