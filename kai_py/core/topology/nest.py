"""Boxes into domains, greedily: the hardest boxes first, each into the tightest domain that takes it."""

from __future__ import annotations

import numpy as np

from kai_py.core.resources import Amounts, Mask
from kai_py.core.tables.domains import ROOT, Topology
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.cover import smallest_cover
from kai_py.core.topology.filling import Filling
from kai_py.core.topology.layout import first_of
from kai_py.core.topology.packing import Load
from kai_py.core.topology.parts import Box
from kai_py.core.topology.positions import Position, compact


def allowed_domain(topology: Topology, box: Box, level: int) -> Mask:
    """``(N,)`` nodes of the domains of a level that a box may be in: where its members run, and no loose nodes."""
    inside = np.ones(len(topology.nodes), dtype=np.bool_)
    if box.widest != ROOT:
        inside &= topology.domain_idx[box.widest] != NONE
    if box.pinned:
        parts = np.unique(topology.partition(level)[list(box.pinned)])
        inside &= (topology.partition(level) == parts[0]) if len(parts) == 1 else False
    return inside


def copies_that_fit(topology: Topology, box: Box, level: int, load: Load) -> Amounts:
    """``(parts of level,)`` how many copies of a box fit into each part at most, by the slots of each class alone."""
    narrow = max(box.widest, level)
    slots = topology.sums(narrow, np.where(allowed_domain(topology, box, narrow), load.slots, 0).T)
    asked = np.flatnonzero(box.total)
    copies = np.zeros(topology.parts(level), dtype=np.int64)
    np.add.at(copies, topology.upward(narrow, level), (slots[:, asked] // box.total[asked]).min(axis=1))
    return copies


def nest(topology: Topology, box: Box, level: int, domain: int, load: Load) -> Position | None:
    """Arrange a box and all in it within a domain.

    Equal leaves of one class go into few domains, tightly, in closed form. Other boxes are placed one by one, and no
    decision is taken back: None means only that this did not find an arrangement.

    Args:
        topology: levels and domains.
        box: what to arrange.
        level: of the domain.
        domain: as a part of ``Topology.partition(level)``.
        load: pods and free amounts of all nodes.
    """
    root = Position(box, level, domain)
    return root if _Nest(topology, load).fill(root) else None


class _Nest(Filling):
    def __init__(self, topology: Topology, load: Load) -> None:
        super().__init__(load)
        self._topology = topology

    def fill(self, position: Position) -> bool:
        """Place all boxes inside a position, then its own pods."""
        hardest = sorted(position.box.inside, key=lambda each: (-each[0].widest, -each[0].size))
        for box, count in hardest:
            alone = not box.inside and np.count_nonzero(box.demand) == 1 and not box.pinned
            if not (self._alike(position, box, count) if alone else self._one_by_one(position, box, count)):
                return False
        return self._own(self._topology, position, self._topology.members(position.level, position.domain))

    def _alike(self, around: Position, box: Box, count: int) -> bool:
        topology = self._topology
        row = int(np.flatnonzero(box.demand)[0])
        for level in range(max(box.narrowest, around.level), max(box.widest, around.level) - 1, -1):
            inside = topology.partition(around.level) == around.domain
            inside &= allowed_domain(topology, box, level)
            room = topology.sums(level, np.where(inside, self._slots[row], 0)) // box.demand[row]
            fitting = min(count, int(room.sum()))
            cover = smallest_cover(room.tolist(), fitting)
            assert cover is not None, "no more are asked for than fit"
            parts = np.flatnonzero(room).astype(np.int32)
            for part in first_of(parts[np.lexsort((parts, room[parts]))], room, cover.sizes).tolist():
                nodes = self._topology.members(level, part)
                for _ in range(min(fitting, int(room[part]))):
                    position = Position(box, level, part)
                    counts = np.zeros((len(self._slots), len(nodes)), dtype=np.int64)
                    counts[row] = compact(topology, level, nodes, self._slots[row, nodes], box.demand[row])
                    self._take(position, nodes, counts)
                    around.inside.append(position)
                    fitting, count = fitting - 1, count - 1
        return count == 0

    def _one_by_one(self, around: Position, box: Box, count: int) -> bool:
        return all(self._one(around, box) for _ in range(count))

    def _one(self, around: Position, box: Box) -> bool:
        topology = self._topology
        for level in range(max(box.narrowest, around.level), max(box.widest, around.level) - 1, -1):
            inside = topology.partition(around.level) == around.domain
            inside &= allowed_domain(topology, box, level)
            slots = topology.sums(level, np.where(inside, self._slots, 0).T)
            room = slots.sum(axis=1)
            parts = np.flatnonzero((slots >= box.total).all(axis=1))
            for part in parts[np.lexsort((parts, room[parts]))].tolist():
                position = Position(box, level, part)
                before = self._free.copy(), self._slots.copy()
                if self.fill(position):
                    around.inside.append(position)
                    return True
                self._free, self._slots = before
        return False
