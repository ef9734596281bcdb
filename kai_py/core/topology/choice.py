"""What is asked of a topology, and its answers: domains and places, or how much is missing where."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.tables.domains import ROOT, Topology

#: More pods on one node than any node has; a class that asks for nothing is counted so.
_MANY = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Constraint:
    """How near to each other pods have to be, and should be.

    Attributes:
        required: all pods in one domain of this level; ``ROOT`` = anywhere.
        preferred: all pods in one domain of this level if possible, else of the next wider one, and so on; else on as
            few domains of this level as possible. A level that is not narrower than ``required`` says nothing more.
    """

    required: int = ROOT
    preferred: int = ROOT

    @property
    def narrowest(self) -> int:
        """The level to try first."""
        return max(self.required, self.preferred)


ANYWHERE = Constraint()


@dataclass(frozen=True)
class Offer:
    """What the nodes offer to pods of some classes.

    Attributes:
        slots: ``(C, N)`` how many pods of a class fit on a node that takes no other class.
        request: ``(C, R)`` of one pod, base units.
        free: ``(N, R)`` base units.
    """

    slots: Amounts
    request: Amounts
    free: Amounts

    @classmethod
    def of(cls, request: Amounts, free: Amounts, allowed: Mask) -> Offer:
        """Count slots.

        Args:
            request: ``(C, R)``
            free: ``(N, R)``; negative where a node is overcommitted.
            allowed: ``(C, N)`` which class a node takes at all.
        """
        slots = np.zeros(allowed.shape, dtype=np.int64)
        # One class at a time: a gang has few, and most ask for two or three of the resources.
        for row, amounts in enumerate(request):
            asked = np.flatnonzero(amounts)
            fitting = (free[:, asked] // amounts[asked]).min(axis=1, initial=_MANY)
            slots[row] = np.where(allowed[row], np.maximum(fitting, 0), 0)
        return cls(slots, request, free)

    @classmethod
    def of_slots(cls, slots: Amounts) -> Offer:
        """For one class whose ``(N,)`` slots are known: pods that share devices, for instance."""
        return cls(slots[None, :], np.ones((1, 1), dtype=np.int64), slots[:, None])

    def within(self, nodes: Mask) -> Offer:
        """The same on some of the nodes only."""
        return Offer(np.where(nodes, self.slots, 0), self.request, self.free)


class ShortfallCode(StrEnum):
    """Why no domain was chosen."""

    NO_DOMAIN = "NoDomain"  # no node belongs to a domain of the required level
    TOO_SMALL = "DomainsTooSmall"  # no domain of the required level has room for all
    PART_TOO_LARGE = "SubGroupDoesNotFit"  # there is room for all pods, but not for one subgroup and others like it
    PARTS_COLLIDE = "SubGroupsDoNotFitTogether"  # those that are alike would fit, had they the domain for themselves
    PINNED_APART = "MembersApart"  # pods that run already are in several domains of the required level, or in none


@dataclass(frozen=True)
class Shortfall:
    """Why there is no choice, with the domain that comes nearest.

    Attributes:
        code: why.
        level: the required level.
        domain: path of the domain that takes the most pods, the first of them; empty = the cluster, or no domain.
        fits: how many of the pods fit there; for pods that differ, how many a greedy packing finds places for.
        pods: how many would have to.
        exact: whether it is proven; False = the search ended before it had seen everything.
        part: the subgroup that it is about, the first of those that are alike; empty = the whole. If not one of them
            fits anywhere, ``level``, ``domain``, ``fits`` and ``pods`` are those of one; else they say how many pods
            of all of them fit into the domain of the whole.
        tree: row of the topology that ``level`` is of; None = the one that the whole is about.
    """

    code: ShortfallCode
    level: int
    domain: tuple[str, ...]
    fits: int
    pods: int
    exact: bool = True
    part: str = ""
    tree: int | None = None


@dataclass(frozen=True)
class Choice:
    """Where the pods go.

    Attributes:
        level: the narrowest level, from the preferred upward, with a domain that holds all.
        domain: that domain, as a part of ``Topology.partition(level)``.
        cover_level: the level that the cover is about: the preferred one.
        cover: the parts of ``Topology.partition(cover_level)`` that are used, ascending; those that hold running
            members are counted in when they get more.
        mask: ``(N,)`` all nodes of the cover that belong to the required domain.
        counts: ``(C, N)`` a way to lay the pods over these nodes.
        leftover: pods that would still fit into the cover; 0 for pods that differ.
        exact: whether no better cover exists (fewer domains, then less left over); see :func:`choose`.
    """

    level: int
    domain: int
    cover_level: int
    cover: Rows
    mask: Mask
    counts: Amounts
    leftover: int
    exact: bool


@dataclass(frozen=True)
class Pinned:
    """Where the members that stay are.

    Attributes:
        nodes: their rows, each at least once; empty = none run.
    """

    nodes: Rows

    def part(self, topology: Topology, level: int) -> int | None:
        """The one part of a level that has all of them; None when they are apart."""
        parts = np.unique(topology.partition(level)[self.nodes])
        return int(parts[0]) if len(parts) == 1 else None

    def within(self, topology: Topology, level: int) -> bool:
        """Whether all are in one real domain of a level."""
        inside = level == ROOT or bool((topology.domain_idx[level, self.nodes] >= 0).all())
        return inside and self.part(topology, level) is not None
