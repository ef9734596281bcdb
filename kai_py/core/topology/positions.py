"""Boxes at domains: what the greedy and the exact arrangement both answer, and how pods are laid into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.layout import lay
from kai_py.core.topology.parts import Box, Places, Wrapped

_NOWHERE: Rows = np.zeros(0, dtype=np.int32)


@dataclass
class Position:
    """A box at a domain, with the boxes in it.

    Attributes:
        box: which.
        level: of the domain.
        domain: as a part of ``Topology.partition(level)``.
        inside: positions of the boxes in it.
        nodes: ``(K,)`` nodes for its own pods, once they are laid.
        counts: ``(C, K)`` pods on them.
    """

    box: Box
    level: int
    domain: int
    inside: list[Position] = field(default_factory=list)
    nodes: Rows = field(default_factory=lambda: _NOWHERE)
    counts: Amounts = field(default_factory=lambda: np.zeros((0, 0), dtype=np.int64))

    def all(self) -> Iterator[Position]:
        """This and all inside."""
        yield self
        for position in self.inside:
            yield from position.all()

    @property
    def misses(self) -> int:
        """Levels by which the boxes inside miss what they prefer, summed."""
        return sum(max(each.box.narrowest - each.level, 0) for inner in self.inside for each in inner.all())

    def put(self, nodes: Rows, counts: Amounts) -> None:
        """Note ``(C, K)`` pods on ``(K,)`` nodes; nodes without any are left out."""
        used = counts.any(axis=0)
        self.nodes, self.counts = nodes[used], counts[:, used]


def compact(topology: Topology, level: int, nodes: Rows, slots: Amounts, demand: int) -> Amounts:
    """``(K,)`` pods of one class over the ``(K,)`` nodes of a domain with so many ``(K,)`` slots, near each other."""
    if level == len(topology.levels):
        return np.array([demand], dtype=np.int64)
    whole = np.zeros(len(topology.nodes), dtype=np.int64)
    whole[nodes] = slots
    part = topology.partition(level)[nodes[:1]]
    return lay(topology, level, part, whole, demand)[nodes]


def lay_all(topology: Topology, root: Position, pool: Amounts) -> None:
    """Give nodes to all boxes: those of narrow domains first, since wide ones have the wider choice.

    Domains are nested or apart, so that any order from narrow to wide succeeds if no domain holds more than its sum.

    Args:
        topology: levels and domains.
        root: the outermost box.
        pool: ``(C, N)`` places for each class that do not exclude each other.
    """
    pool = pool.copy()
    for position in sorted(root.all(), key=lambda position: -position.level):
        nodes = topology.members(position.level, position.domain)
        counts = np.zeros((len(pool), len(nodes)), dtype=np.int64)
        for row, demand in enumerate(position.box.demand):
            if demand:
                counts[row] = compact(topology, position.level, nodes, pool[row, nodes], demand)
        pool[:, nodes] -= counts
        position.put(nodes, counts)


def leaves_of(wrapped: Wrapped, position: Position) -> Iterator[Places]:
    """What each leaf gets of what its box got. Equal boxes take positions in order of the tree."""
    left = position.counts.copy()
    for leaf in wrapped.leaves:
        before = np.cumsum(left, axis=1) - left
        took = np.clip(np.array(leaf.demand)[:, None] - before, 0, left)
        left -= took
        used = np.flatnonzero(took.any(axis=0))
        used = used[np.argsort(position.nodes[used])]
        yield Places(leaf.name, position.level, position.domain, position.nodes[used], took[:, used])
    free: dict[Box, list[Position]] = {}
    for inner in sorted(position.inside, key=lambda inner: (inner.level, inner.domain), reverse=True):
        free.setdefault(inner.box, []).append(inner)
    for inner_wrapped in wrapped.inside:
        yield from leaves_of(inner_wrapped, free[inner_wrapped.box].pop())
