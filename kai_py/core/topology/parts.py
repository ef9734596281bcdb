"""A podgroup as boxes within boxes: subgroups with constraints of their own, equal ones counted instead of listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import ROOT
from kai_py.core.topology.choice import ANYWHERE, Constraint


@dataclass(frozen=True)
class Part:
    """A podgroup or a subgroup of it.

    Attributes:
        name: of the subgroup, unique in its podgroup; empty for the podgroup.
        constraint: levels for all pods of this part together, those of its children included.
        demand: ``(C,)`` pods of its own; zeros unless it is a leaf.
        children: subgroups.
        pinned: rows of nodes where members of its own run that stay.
        tree: row of the topology that the constraint is about; without a constraint it says nothing.
    """

    name: str
    demand: tuple[int, ...]
    constraint: Constraint = ANYWHERE
    children: tuple[Part, ...] = ()
    pinned: tuple[int, ...] = ()
    tree: int = 0


@dataclass(frozen=True)
class Places:
    """Where a leaf's pods go.

    Attributes:
        name: of the leaf.
        level: of the domain that it was given: its own, or that of the nearest part around it with a constraint.
        domain: that domain, as a part of ``Topology.partition(level)``.
        nodes: ``(K,)`` rows of nodes that get pods, ascending.
        counts: ``(C, K)`` pods of each class on them.
    """

    name: str
    level: int
    domain: int
    nodes: Rows
    counts: Amounts


@dataclass(frozen=True)
class Arrangement:
    """Where all leaves of a podgroup go.

    Attributes:
        level: the narrowest level, from the podgroup's preferred upward, with a domain that holds all.
        domain: that domain, as a part of ``Topology.partition(level)``.
        leaves: every leaf with pods, once.
        misses: levels by which subgroups are wider than they prefer, summed.
        exact: whether no narrower domain would hold all, and no other arrangement in this domain brings subgroups
            nearer to the levels that they prefer.
    """

    level: int
    domain: int
    leaves: tuple[Places, ...]
    misses: int
    exact: bool


@dataclass(frozen=True)
class Box:
    """Pods that must be in one domain, and the boxes inside it. Equal boxes are interchangeable, and compare equal.

    Attributes:
        widest: the level that is required; at least that of the boxes around it that are about the same topology.
        narrowest: the level to try first, at least ``widest``.
        demand: ``(C,)`` pods that are in no box inside.
        inside: boxes, and how many of each.
        pinned: nodes where members run, those of inner boxes included.
        tree: row of the topology whose levels these are.
    """

    widest: int
    narrowest: int
    demand: tuple[int, ...]
    inside: tuple[tuple[Box, int], ...]
    pinned: tuple[int, ...]
    tree: int = 0

    @property
    def total(self) -> Amounts:
        """``(C,)`` pods of the box and of all boxes in it."""
        total = np.array(self.demand, dtype=np.int64)
        for box, count in self.inside:
            total += count * box.total
        return total

    @property
    def size(self) -> int:
        """Pods of all classes."""
        return int(self.total.sum())


@dataclass(frozen=True)
class Wrapped:
    """A box, the leaves whose pods it holds directly, and the same for the boxes in it, in the order of the tree."""

    box: Box
    name: str
    leaves: tuple[Part, ...]
    inside: tuple[Wrapped, ...]


def wrap(part: Part, around: Mapping[int, int] = MappingProxyType({})) -> Wrapped:
    """Make boxes of a tree of parts. Parts without a constraint belong to the box around them.

    Args:
        part: the outermost.
        around: by row of a topology, the level that the boxes around it require.
    """
    required = max(around.get(part.tree, ROOT), part.constraint.required)
    narrowest = max(required, part.constraint.narrowest)
    leaves: list[Part] = []
    boxes: list[Wrapped] = []
    pinned = set(part.pinned)
    rest = [part]
    while rest:
        here = rest.pop()
        if any(here.demand):
            leaves.append(here)
        for child in reversed(here.children):
            if child.constraint == ANYWHERE:
                rest.append(child)
                pinned |= set(child.pinned)
        inner = [
            wrap(child, {**around, part.tree: required}) for child in here.children if child.constraint != ANYWHERE
        ]
        # Where nothing waits, only the place of what runs counts, and that is known to the box around it.
        pinned |= {node for each in inner for node in each.box.pinned}
        boxes += [each for each in inner if each.box.size]
    counted = Counter(each.box for each in boxes)
    demand = tuple(map(sum, zip(*(leaf.demand for leaf in leaves), strict=True))) if leaves else (0,) * len(part.demand)
    box = Box(required, narrowest, demand, tuple(counted.items()), tuple(sorted(pinned)), part.tree)
    return Wrapped(box, part.name, tuple(leaves), tuple(boxes))
