"""How far nodes are from each other: one hop for leaving the node, one for every level whose domain is left."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import Topology


@dataclass(frozen=True)
class Hops:
    """Distances between nodes.

    Two pods on one node are 0 apart, in one domain of the narrowest level 1, in one of the level above 2, and so on.
    A level of which every domain is a single node, such as the host, adds nothing. Distances are those of a tree
    whose leaves are equally deep, so that a sum over levels of "are these two in different domains" is all there is.

    Attributes:
        address: ``(H, N)`` parts of the levels that count, widest first, and at last the node itself.
    """

    address: Rows

    @classmethod
    def of(cls, topology: Topology) -> Hops:
        """Distances in a topology. A node that lacks a label is far from all others on that level and below."""
        nodes = len(topology.nodes)
        levels = [level for level in range(len(topology.levels)) if topology.parts(level) < nodes]
        return cls(np.array([topology.partition(level) for level in (*levels, len(topology.levels))], dtype=np.int32))

    def between(self, one: Rows, other: Rows) -> Amounts:
        """Hops between rows of nodes, element by element; arrays are broadcast against each other."""
        hops: Amounts = np.zeros(np.broadcast_shapes(one.shape, other.shape), dtype=np.int64)
        for part in self.address:
            hops += part[one] != part[other]
        return hops

    def walk(self, nodes: Rows) -> Rows:
        """Order of rows of nodes in which every domain of every level is visited once: depth first, by path."""
        return np.lexsort([part[nodes] for part in reversed(self.address)]).astype(np.int32)
