"""The question about a podgroup with constrained subgroups: a domain for each of them, jointly, or why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from kai_py.core.topology.alike import required_domain
from kai_py.core.topology.assign import assign
from kai_py.core.topology.candidates import SEARCHES, Candidates
from kai_py.core.topology.choice import Offer, Pinned, Shortfall, ShortfallCode
from kai_py.core.topology.domains import Topology
from kai_py.core.topology.nest import allowed_domain, nest
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
        best: Position | None = None
        for number, domain in enumerate(self.candidates.possible(level).tolist()):
            if number == SEARCHES and best is not None:
                self.proven = False
                break
            position = self._in(level, domain)
            if position is not None and (best is None or position.misses < best.misses):
                best = position
            if best is not None and best.misses == 0:
                break
        return best

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
        for inner in self.wrapped.inside:
            box, copies = inner.box, dict(self.wrapped.box.inside)[inner.box]
            allowed = allowed_domain(topology, box, box.widest)
            slots = topology.sums(box.widest, np.where(allowed, load.slots, 0).T)
            asked = np.flatnonzero(box.total)
            if int((slots[:, asked] // box.total[asked]).min(axis=1).sum()) < copies:
                fits = np.minimum(slots, box.total).sum(axis=1)
                best = int(fits.argmax())
                path, most = topology.name_of(box.widest, best), int(fits[best])
                code = ShortfallCode.PART_TOO_LARGE
                return Shortfall(code, box.widest, path if most else (), most, box.size, part=inner.name)
        return Shortfall(ShortfallCode.PARTS_COLLIDE, level, whole.domain, whole.fits, whole.pods, self.proven)


def _apart(topology: Topology, wrapped: Wrapped) -> Iterator[Shortfall]:
    """Subgroups whose members already run in several domains of the level that they require."""
    for inner in wrapped.inside:
        box = inner.box
        pinned = Pinned(np.array(box.pinned, dtype=np.int32))
        if box.pinned and not pinned.within(topology, box.widest):
            yield Shortfall(ShortfallCode.PINNED_APART, box.widest, (), 0, box.size, part=inner.name)
        yield from _apart(topology, inner)
