"""The question about a podgroup whose parts speak of several topologies: racks by network and NVLink domains, say.

Domains of one topology are nested or apart; those of two may cross. So a box is at a set of nodes here: what its domain
and those of all boxes around it have in common.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kai_py.core.resources import Amounts, Mask
from kai_py.core.tables.domains import ROOT, Topology
from kai_py.core.topology.candidates import TRIES
from kai_py.core.topology.choice import Offer, Shortfall, ShortfallCode
from kai_py.core.topology.crossing import cross
from kai_py.core.topology.filling import Filling
from kai_py.core.topology.nest import allowed_domain, copies_that_fit
from kai_py.core.topology.packing import Load
from kai_py.core.topology.parts import Arrangement, Box, Part
from kai_py.core.topology.positions import Position
from kai_py.core.topology.program import Budget, Outcome
from kai_py.core.topology.search import Question, Search, question


def arrange_across(
    topologies: Sequence[Topology], podgroup: Part, offer: Offer, *, budget: Budget | None = None
) -> Arrangement | Shortfall:
    """Choose domains for all parts of a podgroup together, all pods or none, each in the topology of its part.

    The order of preferences is that of :func:`kai_py.core.topology.arrange.arrange`: the podgroup's required level,
    then the narrowest level of its own topology that holds all, then the fewest levels by which subgroups miss what
    they prefer. A greedy try answers first; where it fails, or misses a preference, an integer program decides.

    Args:
        topologies: by row; all over the same nodes.
        podgroup: its tree of parts; a part without a constraint belongs to the one around it.
        offer: what the nodes offer to the classes, without the places of members that stay.
        budget: how much may be searched.

    Returns:
        An arrangement, not exact where a search ended early; or what is missing where.
    """
    asked = question(podgroup, offer, lambda box: (topologies[box.tree], box.tree))
    return asked if isinstance(asked, Shortfall) else _Across(topologies, asked, budget or Budget()).answer()


class _Across(Search):
    """One arrangement in several topologies."""

    def __init__(self, topologies: Sequence[Topology], asked: Question, budget: Budget) -> None:
        super().__init__(asked, budget)
        self._topologies = topologies

    def domains(self, level: int) -> list[int]:
        """Domains of a level of the podgroup's own topology with room for all pods."""
        rows: list[int] = self.candidates.possible(level).tolist()
        return rows

    def greedy(self, level: int, domain: int) -> Position | None:
        """The hardest box first, each into the tightest domain that takes it."""
        root = Position(self.wrapped.box, level, domain)
        filled = _Fill(self._topologies, self.candidates.load).fill(root, self._nodes(level, domain))
        return root if filled else None

    def exact(self, level: int, domain: int) -> tuple[Outcome, Position | None]:
        """Boxes to domains that may cross, by an integer program."""
        nodes, load = self._nodes(level, domain), self.candidates.load
        return cross(self._topologies, self.wrapped.box, level, domain, nodes, load, self.budget)

    def _nodes(self, level: int, domain: int) -> Mask:
        """``(N,)`` those of a domain of the podgroup's own topology."""
        nodes: Mask = self.candidates.topology.partition(level) == domain
        return nodes

    def lacking(self) -> Shortfall | None:
        """The first subgroup that fits nowhere alone, or else of which not all copies fit anywhere."""
        load = self.candidates.load
        for inner in self.wrapped.inside:
            box, topology = inner.box, self._topologies[inner.box.tree]
            alone = allowed_domain(topology, box, box.widest)
            slots = topology.sums(box.widest, np.where(alone, load.slots, 0).T)
            fits = np.minimum(slots, box.total).sum(axis=1)
            best = int(fits.argmax())
            if fits[best] < box.size:
                return _too_large(topology, box, box.widest, best, int(fits[best]), box.size, inner.name)
        for inner in self.wrapped.inside:
            box, topology = inner.box, self._topologies[inner.box.tree]
            count = dict(self.wrapped.box.inside)[box]
            copies = int(copies_that_fit(topology, box, ROOT, load)[0])
            if copies < count:
                return _too_large(topology, box, ROOT, 0, copies * box.size, count * box.size, inner.name)
        return None


def _too_large(topology: Topology, box: Box, level: int, part: int, fits: int, pods: int, name: str) -> Shortfall:
    path = topology.name_of(level, part) if fits else ()
    return Shortfall(ShortfallCode.PART_TOO_LARGE, level, path, fits, pods, part=name, tree=box.tree)


class _Fill(Filling):
    """The greedy try: the hardest box first, each into the tightest domain that takes it."""

    def __init__(self, topologies: Sequence[Topology], load: Load) -> None:
        super().__init__(load)
        self._topologies = topologies

    def fill(self, position: Position, nodes: Mask) -> bool:
        """Place all boxes inside a position, then its own pods, on some ``(N,)`` nodes."""
        hardest = sorted(position.box.inside, key=lambda each: (self._widest(each[0], nodes), -each[0].size))
        for box, count in hardest:
            if not all(self._one(position, nodes, box) for _ in range(count)):
                return False
        topology, rows = self._topologies[position.box.tree], np.flatnonzero(nodes).astype(np.int32)
        return self._own(topology, position, rows[np.argsort(topology.by_name[rows])])

    def _widest(self, box: Box, nodes: Mask) -> int:
        """Nodes of the largest domain that a box may have: who has the least choice comes first."""
        topology = self._topologies[box.tree]
        inside = nodes & allowed_domain(topology, box, box.widest)
        return int(np.bincount(topology.partition(box.widest)[inside], minlength=1).max())

    def _one(self, around: Position, nodes: Mask, box: Box) -> bool:
        topology, tries = self._topologies[box.tree], 0
        for level in range(box.narrowest, box.widest - 1, -1):
            inside = nodes & allowed_domain(topology, box, level)
            slots: Amounts = topology.sums(level, np.where(inside, self._slots, 0).T)
            room = slots.sum(axis=1)
            parts = np.flatnonzero((slots >= box.total).all(axis=1))
            for part in parts[np.lexsort((parts, room[parts]))].tolist():
                if (tries := tries + 1) > TRIES:
                    return False
                position, before = Position(box, level, part), (self._free.copy(), self._slots.copy())
                if self.fill(position, inside & (topology.partition(level) == part)):
                    around.inside.append(position)
                    return True
                self._free, self._slots = before
        return False
