"""Which rank goes to which node, once it is known how many pods go where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import Topology
from kai_py.core.tables.patterns import Pattern, Shape
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.hops import Hops
from kai_py.core.topology.patterns import bound as bound_of
from kai_py.core.topology.patterns import pairs_of, sequence
from kai_py.core.topology.swaps import improve

#: Linear assignment takes some 40 ms for so many ranks, and time with the cube of them.
_ASSIGNED: Final = 1000


@dataclass(frozen=True)
class Ranking:
    """Ranks on nodes.

    Attributes:
        nodes: ``(K,)`` row of each rank's node.
        cost: hops over all pairs that talk, by weight.
        bound: less than this no mapping costs; ``cost == bound`` proves it the best.
        pairs: how many pairs talk, by weight: ``cost / pairs`` is the mean.
    """

    nodes: Rows
    cost: int
    bound: int
    pairs: int


def place_ranks(
    topology: Topology,
    counts: Amounts,
    pattern: Pattern,
    *,
    classes: Rows | None = None,
    fixed: Rows | None = None,
) -> Ranking:
    """Map ranks to the places of a gang, so that those that talk are near each other.

    A ring along a walk of the tree, depth first, is optimal: each domain of each level is entered and left once, and
    less is not possible. Groups are kept whole on as narrow a level as possible. Where that is not proven to be the
    best, swaps improve it. Ranks whose peers all stay where they are, such as replacements of failed members, are a
    linear assignment, which is exact.

    Args:
        topology: levels and domains.
        counts: ``(C, N)`` pods per class and node, as :class:`kai_py.core.topology.choice.Choice` has it.
        pattern: who talks to whom.
        classes: ``(K,)`` class of each rank; None = there is one class.
        fixed: ``(K,)`` nodes of the ranks that stay, ``NONE`` for those to place; None = all are to be placed.
            ``counts`` has the places of the others.

    Returns:
        A mapping; ranks that stay keep their nodes.

    Raises:
        ValueError: there are not as many places as ranks to place, of some class.
    """
    hops = Hops.of(topology)
    ranks = int(counts.sum()) if fixed is None else len(fixed)
    stays: Rows = np.full(ranks, NONE, dtype=np.int32) if fixed is None else fixed.astype(np.int32)
    kinds: Rows = np.zeros(ranks, dtype=np.int32) if classes is None else classes
    free = np.flatnonzero(stays == NONE).astype(np.int32)
    slots, slot_kinds = _slots(counts)
    wanted = np.bincount(kinds[free], minlength=len(counts))
    if len(wanted) > len(counts) or (wanted != counts.sum(axis=1)).any():
        raise ValueError(f"{wanted.tolist()} ranks of each class for {counts.sum(axis=1).tolist()} places")
    nodes = _by_walk(hops, pattern, stays, kinds, slots, slot_kinds)
    bound = bound_of(pattern, hops, nodes)
    if pattern.group == 1 and pattern.shape is Shape.ALL:  # no mapping differs from another
        return Ranking(nodes, bound, bound, ranks * (ranks - 1) // 2)
    pairs, weights = pairs_of(pattern, ranks)
    cost = cost_of(hops, pairs, weights, nodes)
    if cost > bound and len(free) < ranks:
        assigned, least = _by_assignment(hops, pairs, weights, stays, kinds, slots, slot_kinds)
        bound = max(bound, least)
        if (assigned_cost := cost_of(hops, pairs, weights, assigned)) < cost:
            nodes, cost = assigned, assigned_cost
    if cost > bound:
        row_of = np.full(ranks, NONE, dtype=np.int32)
        row_of[free] = np.arange(len(free), dtype=np.int32)
        loose = (row_of[pairs] != NONE).all(axis=1)
        talk = np.zeros((len(free), len(free)), dtype=np.int64)
        np.add.at(talk, tuple(row_of[pairs[loose]].T), weights[loose])
        settled = _settled(hops, pairs, weights, stays, free, nodes[free])
        nodes[free] = improve(hops, talk + talk.T, settled, nodes[free], kinds[free])
        cost = cost_of(hops, pairs, weights, nodes)
    return Ranking(nodes, cost, bound, int(weights.sum()))


def cost_of(hops: Hops, pairs: Rows, weights: Amounts, nodes: Rows) -> int:
    """Hops over all pairs, by weight."""
    return int(hops.between(nodes[pairs[:, 0]], nodes[pairs[:, 1]]) @ weights)


def _slots(counts: Amounts) -> tuple[Rows, Rows]:
    """``(K,)`` nodes and classes, one entry per place, class by class."""
    kinds, nodes = np.nonzero(counts)
    times = counts[kinds, nodes]
    return np.repeat(nodes, times).astype(np.int32), np.repeat(kinds, times).astype(np.int32)


def _by_walk(hops: Hops, pattern: Pattern, stays: Rows, kinds: Rows, slots: Rows, slot_kinds: Rows) -> Rows:
    """Groups along the tree, as if all places were for all; then every class keeps the order on its own places."""
    ranks = len(stays)
    places = np.concatenate([stays[stays != NONE], slots])
    bunches = _bunches(hops, places, pattern.group)
    whole = [bunch for bunch in bunches if len(bunch) == pattern.group]
    short = [bunch for bunch in bunches if len(bunch) < pattern.group]
    ideal = np.empty(ranks, dtype=np.int32)
    last = len(bunches) - 1
    for group in sequence(pattern, len(bunches)):
        bunch = short[0] if short and group == last else whole.pop(0)
        ideal[group * pattern.group : group * pattern.group + len(bunch)] = bunch
    place_in_walk = np.empty(ranks, dtype=np.int32)
    place_in_walk[hops.walk(ideal)] = np.arange(ranks, dtype=np.int32)
    nodes = stays.copy()
    free = stays == NONE
    for kind in np.unique(slot_kinds).tolist():
        own = np.flatnonzero(free & (kinds == kind))
        mine = slots[slot_kinds == kind]
        nodes[own[np.argsort(place_in_walk[own], kind="stable")]] = mine[hops.walk(mine)]
    return nodes


def _bunches(hops: Hops, places: Rows, size: int) -> list[Rows]:
    """Places in bunches of a size, whole on as narrow a level as possible, in the order of the tree; one may be short.

    From the nodes upward, every domain bunches what its parts could not use.
    """
    walk = places[hops.walk(places)]
    if size == 1:
        return [walk[row : row + 1] for row in range(len(walk))]
    done: list[tuple[int, Rows]] = []
    left = np.arange(len(walk), dtype=np.int32)
    everywhere = np.zeros_like(hops.address[:1])
    for part in (*reversed(hops.address), everywhere[0]):
        domain = part[walk[left]]
        begins = np.flatnonzero(np.diff(domain, prepend=-1))
        rest: list[Rows] = []
        for members in np.split(left, begins[1:]):
            used = len(members) // size * size
            done += [(int(members[row]), members[row : row + size]) for row in range(0, used, size)]
            rest.append(members[used:])
        left = np.concatenate(rest) if rest else left
    if len(left):
        done.append((int(left[0]), left))
    return [walk[rows] for _, rows in sorted(done, key=lambda each: each[0])]


def _settled(hops: Hops, pairs: Rows, weights: Amounts, stays: Rows, ranks: Rows, places: Rows) -> Amounts:
    """``(ranks, places)`` what each rank would pay at each place for its peers that stay."""
    row_of = np.full(len(stays), NONE, dtype=np.int32)
    row_of[ranks] = np.arange(len(ranks), dtype=np.int32)
    cost = np.zeros((len(ranks), len(places)), dtype=np.int64)
    for one, other in ((0, 1), (1, 0)):
        rows = (row_of[pairs[:, one]] != NONE) & (stays[pairs[:, other]] != NONE)
        far = hops.between(stays[pairs[rows, other]][:, None], places[None, :])
        np.add.at(cost, row_of[pairs[rows, one]], far * weights[rows, None])
    return cost


def _by_assignment(
    hops: Hops, pairs: Rows, weights: Amounts, stays: Rows, kinds: Rows, slots: Rows, slot_kinds: Rows
) -> tuple[Rows, int]:
    """Ranks to places by what they exchange with ranks that stay; and what no mapping can be below."""
    nodes = stays.copy()
    free = np.flatnonzero(stays == NONE).astype(np.int32)
    inside = (stays[pairs] != NONE).all(axis=1)
    least = cost_of(hops, pairs[inside], weights[inside], stays)
    for kind in np.unique(slot_kinds).tolist():
        own, mine = free[kinds[free] == kind], slots[slot_kinds == kind]
        if len(own) > _ASSIGNED:
            nodes[own] = mine
            continue
        cost = _settled(hops, pairs, weights, stays, own, mine)
        chosen, column = linear_sum_assignment(cost)
        nodes[own[chosen]] = mine[column]
        least += int(cost[chosen, column].sum())
    return nodes, least
