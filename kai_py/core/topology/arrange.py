"""The question about a podgroup with constrained subgroups: a domain for each of them, jointly, or why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kai_py.core.resources import Amounts
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.alike import required_domain
from kai_py.core.topology.assign import assign
from kai_py.core.topology.candidates import Candidates, fewest_misses
from kai_py.core.topology.choice import Offer, Pinned, Shortfall, ShortfallCode
from kai_py.core.topology.nest import allowed_domain, copies_that_fit, nest
from kai_py.core.topology.packing import Load
from kai_py.core.topology.parts import Arrangement, Part, Wrapped, wrap
from kai_py.core.topology.positions import Position, leaves_of
from kai_py.core.topology.program import Budget, Outcome


def arrange(
    topology: Topology, podgroup: Part, offer: Offer, *, budget: Budget | None = None
) -> Arrangement | Shortfall:
    """Choose domains for all parts of a podgroup together, all pods or none.

    The podgroup's required level comes first, then the narrowest level, from its preferred upward, of which a domain
    holds all its parts; in that domain, subgroups come as near as possible to the levels that they prefer (missed
    levels are summed); then the tightest domain. Segments of a job are equal subgroups, however many. A subgroup
    that requires a wider level than the part around it gets what that part has.

    A greedy try answers first; where it fails, or misses a preference, an integer program decides.

    Args:
        topology: of all constraints of the podgroup.
        podgroup: its tree of parts; what must start or grow together.
        offer: what the nodes offer to the classes, without the places of members that stay.
        budget: how much may be searched.

    Returns:
        An arrangement, not exact where a search ended early; or what is missing where.
    """
    wrapped = wrap(podgroup)
    box, pinned = wrapped.box, Pinned(np.array(wrapped.box.pinned, dtype=np.int32))
    if (apart := next(_apart(topology, wrapped), None)) is not None:
        return apart
    inside, refusal = required_domain(topology, podgroup.constraint, offer.slots, box.size, pinned)
    if refusal is not None:
        return refusal
    load = Load.of(offer.within(inside), box.total)
    search = _Arranging(Candidates(topology, load, pinned), wrapped, budget or Budget())
    for level in range(box.narrowest, box.widest - 1, -1):
        if (position := search.at(level)) is not None:
            leaves = tuple(leaves_of(wrapped, position))
            return Arrangement(level, position.domain, leaves, position.misses, search.proven)
    return search.shortfall()


@dataclass
class _Arranging:
    """One arrangement; ``proven`` turns False when some search ends before its end."""

    candidates: Candidates
    wrapped: Wrapped
    budget: Budget
    proven: bool = True

    def at(self, level: int) -> Position | None:
        """The best position whose domain is of a level."""
        best, all_tried = fewest_misses(self._possible(level), lambda domain: self._in(level, domain))
        self.proven &= all_tried
        return best

    def _possible(self, level: int) -> list[int]:
        """Domains of a level with room for all pods, and for all copies of every kind of subgroup alone."""
        domains = self.candidates.possible(level)
        for box, count in self.wrapped.box.inside:
            copies = copies_that_fit(self.candidates.topology, box, level, self.candidates.load)
            domains = domains[copies[domains] >= count]
        rows: list[int] = domains.tolist()
        return rows

    def _in(self, level: int, domain: int) -> Position | None:
        topology, load, box = self.candidates.topology, self.candidates.load, self.wrapped.box
        found = nest(topology, box, level, domain, load)
        if found is not None and found.misses == 0:
            return found
        outcome, exact = assign(topology, box, level, domain, load, self.budget)
        self.proven &= outcome in (Outcome.OPTIMAL, Outcome.INFEASIBLE)
        if exact is not None and (found is None or exact.misses < found.misses):
            return exact
        return found

    def shortfall(self) -> Shortfall:
        """What to tell: too little room altogether, or for one kind of subgroup, or for all of them together."""
        topology, load, level = self.candidates.topology, self.candidates.load, self.wrapped.box.widest
        whole = self.candidates.nearest(level, proven=self.proven)
        if whole.fits < whole.pods:
            return whole
        named = {inner.box: inner.name for inner in reversed(self.wrapped.inside)}
        for box, count in self.wrapped.box.inside:
            alone = copies_that_fit(topology, box, box.widest, load)
            copies = copies_that_fit(topology, box, level, load)
            if not alone.any():
                slots = topology.sums(box.widest, np.where(allowed_domain(topology, box, box.widest), load.slots, 0).T)
                fits = np.minimum(slots, box.total).sum(axis=1)
                return self._too_large(box.widest, fits, box.size, named[box])
            if copies.max() < count:
                return self._too_large(level, copies * box.size, count * box.size, named[box])
        return Shortfall(ShortfallCode.PARTS_COLLIDE, level, whole.domain, whole.fits, whole.pods, self.proven)

    def _too_large(self, level: int, fits: Amounts, pods: int, part: str) -> Shortfall:
        """Of ``pods`` in subgroups like ``part``, ``(parts of level,) fits`` is the most."""
        best = int(fits.argmax())
        path = self.candidates.topology.name_of(level, best) if fits[best] else ()
        return Shortfall(ShortfallCode.PART_TOO_LARGE, level, path, int(fits[best]), pods, part=part)


def _apart(topology: Topology, wrapped: Wrapped) -> Iterator[Shortfall]:
    """Subgroups whose members already run in several domains of the level that they require."""
    for inner in wrapped.inside:
        box = inner.box
        pinned = Pinned(np.array(box.pinned, dtype=np.int32))
        if box.pinned and not pinned.within(topology, box.widest):
            yield Shortfall(ShortfallCode.PINNED_APART, box.widest, (), 0, box.size, part=inner.name)
        yield from _apart(topology, inner)
