"""The question about a podgroup with constrained subgroups: a domain for each of them, jointly, or why not."""

from __future__ import annotations

import numpy as np

from kai_py.core.resources import Amounts
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.assign import assign
from kai_py.core.topology.choice import Offer, Shortfall, ShortfallCode
from kai_py.core.topology.nest import allowed_domain, copies_that_fit, nest
from kai_py.core.topology.parts import Arrangement, Part
from kai_py.core.topology.positions import Position
from kai_py.core.topology.program import Budget, Outcome
from kai_py.core.topology.search import Search, question


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
    asked = question(podgroup, offer, lambda _: (topology, None))
    return asked if isinstance(asked, Shortfall) else _Arranging(asked, budget or Budget()).answer()


class _Arranging(Search):
    """One arrangement in one topology."""

    def domains(self, level: int) -> list[int]:
        """Domains of a level with room for all pods, and for all copies of every kind of subgroup alone."""
        domains = self.candidates.possible(level)
        for box, count in self.wrapped.box.inside:
            copies = copies_that_fit(self.candidates.topology, box, level, self.candidates.load)
            domains = domains[copies[domains] >= count]
        rows: list[int] = domains.tolist()
        return rows

    def greedy(self, level: int, domain: int) -> Position | None:
        """The hardest box first, each into the tightest domain that takes it."""
        return nest(self.candidates.topology, self.wrapped.box, level, domain, self.candidates.load)

    def exact(self, level: int, domain: int) -> tuple[Outcome, Position | None]:
        """Boxes to domains, by an integer program."""
        return assign(self.candidates.topology, self.wrapped.box, level, domain, self.candidates.load, self.budget)

    def lacking(self) -> Shortfall | None:
        """The first kind of subgroup that fits nowhere alone, or not as often as there are of it."""
        topology, load, level = self.candidates.topology, self.candidates.load, self.wrapped.box.widest
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
        return None

    def _too_large(self, level: int, fits: Amounts, pods: int, part: str) -> Shortfall:
        """Of ``pods`` in subgroups like ``part``, ``(parts of level,) fits`` is the most."""
        best = int(fits.argmax())
        path = self.candidates.topology.name_of(level, best) if fits[best] else ()
        return Shortfall(ShortfallCode.PART_TOO_LARGE, level, path, int(fits[best]), pods, part=part)
