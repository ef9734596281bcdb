"""What podgroups and subgroups ask of topologies, as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kai_py.core.resources import Mask, Rows
from kai_py.core.tables.domains import ROOT, Topology
from kai_py.core.tables.patterns import RING, Pattern
from kai_py.core.tables.pods import NONE


@dataclass(frozen=True)
class TopologyTable:
    """Constraints by subgroup; those of a podgroup stand at its root. Each may be about a topology of its own.

    Attributes:
        topologies: ``(T,)`` those that somebody asks for, over all nodes, in the order of names.
        topology_idx: ``(S,)`` row; -1 where nothing is asked for.
        required: ``(S,)`` all pods of the subgroup in one domain of this level; ``ROOT`` = anywhere.
        preferred: ``(S,)`` so near if possible, and otherwise as near as can be; ``ROOT`` = no matter.
        fixed: ``(G,)`` podgroups whose pods are not moved one by one: some part of them requires a level, or asks
            for one that is not understood.
        patterns: who talks to whom, by podgroup; a ring of single pods where nothing is said.
    """

    topologies: tuple[Topology, ...]
    topology_idx: Rows
    required: Rows
    preferred: Rows
    fixed: Mask
    patterns: Mapping[int, Pattern] = field(default_factory=dict)

    @cached_property
    def asking(self) -> Rows:
        """Rows of the subgroups that ask for something, ascending."""
        return np.flatnonzero(self.topology_idx != NONE).astype(np.int32)

    def topology_of(self, first: int, last: int) -> Topology | None:
        """The topology that a podgroup is about, or else the first of its subgroups that asks for something.

        Args:
            first: row of the podgroup's root.
            last: the row behind its last subgroup.
        """
        begin = int(np.searchsorted(self.asking, first))
        if begin == len(self.asking) or (row := self.asking.item(begin)) >= last:
            return None
        return self.topologies[self.topology_idx.item(row)]

    def pattern_of(self, podgroup: int) -> Pattern:
        """Who of a podgroup's pods talks to whom."""
        return self.patterns.get(podgroup, RING)

    def asks_inside(self, first: int, last: int) -> bool:
        """Whether a subgroup below the root ``first`` asks for something."""
        return bool(np.searchsorted(self.asking, first + 1) < np.searchsorted(self.asking, last))


def unconstrained(subgroups: int) -> tuple[Rows, Rows, Rows]:
    """Columns of a table in which nobody asks for anything yet: topology, required level, preferred level."""
    return (
        np.full(subgroups, NONE, dtype=np.int32),
        np.full(subgroups, ROOT, dtype=np.int32),
        np.full(subgroups, ROOT, dtype=np.int32),
    )
