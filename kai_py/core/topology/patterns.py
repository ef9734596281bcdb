"""Who talks to whom: communication patterns as weighted pairs of ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.patterns import Pattern, Shape
from kai_py.core.topology.cover import fewest
from kai_py.core.topology.hops import Hops


def pairs_of(pattern: Pattern, ranks: int) -> tuple[Rows, Amounts]:
    """``(E, 2)`` ranks and ``(E,)`` weights. A pair may stand twice: a ring of two goes there and back."""
    found = [_pairs_within(pattern, ranks)] if pattern.group > 1 else []
    weights = [np.full(len(pairs), pattern.inner, dtype=np.int64) for pairs in found]
    for place in range(min(pattern.group, ranks)):
        line = np.arange(place, ranks, pattern.group, dtype=np.int32)
        found.append(line[_pairs(pattern.shape, len(line))].reshape(-1, 2))
        weights.append(np.ones(len(found[-1]), dtype=np.int64))
    if not found:
        return np.zeros((0, 2), dtype=np.int32), np.zeros(0, dtype=np.int64)
    return np.concatenate(found).astype(np.int32), np.concatenate(weights)


def _pairs_in(pattern: Pattern, ranks: int) -> int:
    """Pairs within groups, at most, among so many ranks."""
    whole, rest = divmod(ranks, pattern.group)
    return whole * (pattern.group * (pattern.group - 1) // 2) + rest * (rest - 1) // 2


def _pairs_within(pattern: Pattern, ranks: int) -> Rows:
    first, second = np.triu_indices(pattern.group, 1)
    begin = np.arange(0, ranks, pattern.group)[:, None]
    pairs = np.stack([(begin + first).ravel(), (begin + second).ravel()], axis=1)
    return pairs[pairs[:, 1] < ranks].astype(np.int32)


def sequence(pattern: Pattern, groups: int) -> list[int]:
    """An order of groups in which those that talk are near each other: of a tree, every branch in one piece."""
    if pattern.shape is not Shape.TREE:
        return list(range(groups))
    order, rest = list[int](), [0] if groups else []
    while rest:
        rank = rest.pop()
        order.append(rank)
        rest += [child for child in (2 * rank + 2, 2 * rank + 1) if child < groups]
    return order


def bound(pattern: Pattern, hops: Hops, nodes: Rows) -> int:
    """Less than this no mapping of ``(K,)`` ranks to these nodes costs.

    On each level alone: of the pairs within groups, most are together if every domain is full of whole groups
    and one piece; a ring that visits k > 1 domains crosses at least k times, a tree k - 1 times.
    """
    ranks, total = len(nodes), 0
    for part in hops.address:
        sizes = sorted(np.bincount(part[nodes]).tolist(), reverse=True)
        together = sum(_pairs_in(pattern, size) for size in sizes)
        total += pattern.inner * max(_pairs_in(pattern, ranks) - together, 0)
        for place in range(min(pattern.group, ranks)):
            total += _crossings(pattern.shape, sizes, len(range(place, ranks, pattern.group)))
    return total


def _pairs(shape: Shape, count: int) -> Rows:
    rows = np.arange(count, dtype=np.int32)
    if count < 2:
        return np.zeros((0, 2), dtype=np.int32)
    if shape is Shape.RING:
        return np.stack([rows, np.roll(rows, -1)], axis=1)
    if shape is Shape.TREE:
        return np.stack([rows[1:], (rows[1:] - 1) // 2], axis=1)
    return np.stack(np.triu_indices(count, 1), axis=1).astype(np.int32)


def _crossings(shape: Shape, sizes: Sequence[int], count: int) -> int:
    """Pairs between domains of these sizes (descending) at least, for ranks that fill some of them."""
    domains = fewest(sizes, count) or 0
    if domains <= 1:
        return 0
    if shape is Shape.RING:
        return domains
    if shape is Shape.TREE:
        return domains - 1
    together, left = 0, count
    for size in sizes[:domains]:
        here = min(size, left)
        together, left = together + here * (here - 1) // 2, left - here
    return count * (count - 1) // 2 - together
