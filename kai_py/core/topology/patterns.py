"""Who talks to whom: communication patterns of distributed training as weighted pairs of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.topology.cover import fewest
from kai_py.core.topology.hops import Hops


class Shape(StrEnum):
    """How groups of ranks talk to each other."""

    RING = "ring"  # each to the next, the last to the first: ring all-reduce, pipelines
    TREE = "tree"  # each to its parent in a binary tree: rank r to (r - 1) // 2
    ALL = "all"  # each to each: all-to-all, expert parallelism


@dataclass(frozen=True)
class Pattern:
    """A communication pattern.

    Attributes:
        shape: between groups, ranks with the same place in their groups talk to each other.
        group: consecutive ranks that talk each to each: the tensor parallel size. 1 = there are no groups.
        inner: weight of a pair within a group, where a pair between groups has weight 1.
    """

    shape: Shape = Shape.RING
    group: int = 1
    inner: int = 8

    def pairs(self, ranks: int) -> tuple[Rows, Amounts]:
        """``(E, 2)`` ranks and ``(E,)`` weights. A pair may stand twice: a ring of two goes there and back."""
        found = [self._pairs_within(ranks)] if self.group > 1 else []
        weights = [np.full(len(pairs), self.inner, dtype=np.int64) for pairs in found]
        for place in range(min(self.group, ranks)):
            line = np.arange(place, ranks, self.group, dtype=np.int32)
            found.append(line[_pairs(self.shape, len(line))].reshape(-1, 2))
            weights.append(np.ones(len(found[-1]), dtype=np.int64))
        if not found:
            return np.zeros((0, 2), dtype=np.int32), np.zeros(0, dtype=np.int64)
        return np.concatenate(found).astype(np.int32), np.concatenate(weights)

    def _pairs_in(self, ranks: int) -> int:
        """Pairs within groups, at most, among so many ranks."""
        whole, rest = divmod(ranks, self.group)
        return whole * (self.group * (self.group - 1) // 2) + rest * (rest - 1) // 2

    def _pairs_within(self, ranks: int) -> Rows:
        first, second = np.triu_indices(self.group, 1)
        begin = np.arange(0, ranks, self.group)[:, None]
        pairs = np.stack([(begin + first).ravel(), (begin + second).ravel()], axis=1)
        return pairs[pairs[:, 1] < ranks].astype(np.int32)

    def sequence(self, groups: int) -> list[int]:
        """An order of groups in which those that talk are near each other: of a tree, every branch in one piece."""
        if self.shape is not Shape.TREE:
            return list(range(groups))
        order, rest = list[int](), [0] if groups else []
        while rest:
            rank = rest.pop()
            order.append(rank)
            rest += [child for child in (2 * rank + 2, 2 * rank + 1) if child < groups]
        return order

    def bound(self, hops: Hops, nodes: Rows) -> int:
        """Less than this no mapping of ``(K,)`` ranks to these nodes costs.

        On each level alone: of the pairs within groups, most are together if every domain is full of whole groups
        and one piece; a ring that visits k > 1 domains crosses at least k times, a tree k - 1 times.
        """
        ranks, total = len(nodes), 0
        for part in hops.address:
            sizes = sorted(np.bincount(part[nodes]).tolist(), reverse=True)
            together = sum(self._pairs_in(size) for size in sizes)
            total += self.inner * max(self._pairs_in(ranks) - together, 0)
            for place in range(min(self.group, ranks)):
                total += _crossings(self.shape, sizes, len(range(place, ranks, self.group)))
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
