"""Podgroups in the order in which they are served: a tree of heaps that mirrors the queue tree."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from kai_py.core.queues.service import QueueRank, Ranker
from kai_py.core.resources import Cost
from kai_py.core.tables.queues import ROOT, QueueTable

#: A podgroup's place in its leaf queue, smaller first; see ``gangs.order``. No two have the same.
Rank = tuple[int, int, float, str, int]


class InLine(Protocol):
    """A podgroup in line."""

    @property
    def queue(self) -> int:
        """Row of its leaf queue."""

    @property
    def rank(self) -> Rank:
        """Its place there."""

    @property
    def cost(self) -> Cost:
        """What it would cost next."""


T = TypeVar("T", bound=InLine)


class Leaf(Generic[T]):
    """Who is in line in one leaf queue.

    Args:
        waiting: first in order first. Only those who come back have to be sorted in.
    """

    __slots__ = ("_back", "_waiting")

    def __init__(self, waiting: Sequence[T]) -> None:
        self._waiting = list(reversed(waiting))
        self._back: list[tuple[Rank, T]] = []

    def first(self) -> T | None:
        """Who is served next; None when nobody is left."""
        if not self._back:
            return self._waiting[-1] if self._waiting else None
        if self._waiting and self._waiting[-1].rank < self._back[0][0]:
            return self._waiting[-1]
        return self._back[0][1]

    def pop(self) -> T:
        """Take the first one, who must be there, out of the line."""
        if not self._back or (self._waiting and self._waiting[-1].rank < self._back[0][0]):
            return self._waiting.pop()
        return heapq.heappop(self._back)[1]

    def push(self, one: T) -> None:
        """Sort in who comes back."""
        heapq.heappush(self._back, (one.rank, one))


class Line(Generic[T]):
    """Serves, at every level, the queue that ranks first, and in a leaf the podgroup that ranks first.

    After a podgroup was served the ranks on its path may have changed, and only those; they are put right before the
    next one is popped, so a pop costs O(depth * log siblings).

    Args:
        queues: the tree.
        ranker: ranks queues.
        waiting: by leaf queue, first in order first.
    """

    def __init__(self, queues: QueueTable, ranker: Ranker, waiting: Mapping[int, Sequence[T]]) -> None:
        self._ranker = ranker
        self._bottom_up = tuple(reversed(queues.top_down))
        self._parent = queues.parent.tolist()
        self._paths = queues.paths
        self._leaves: dict[int, Leaf[T]] = {queue: Leaf(ones) for queue, ones in waiting.items()}
        #: By parent, the children that have podgroups in line, each with the one that it would serve next.
        self._heaps: dict[int, list[tuple[QueueRank, int, T]]] = {}
        self._stale: int | None = None
        self.rank_anew()

    def rank_anew(self) -> None:
        """Rank all queues."""
        self._heaps, self._stale = {}, None
        for queue in self._bottom_up:
            heap = self._heaps.get(queue)
            if heap:
                heapq.heapify(heap)
            leaf = self._leaves.get(queue)
            one = heap[0][2] if heap else leaf.first() if leaf else None
            if one is not None:
                rank = self._ranker.rank(queue, one.cost)
                self._heaps.setdefault(self._parent[queue], []).append((rank, queue, one))
        heapq.heapify(self._heaps.setdefault(ROOT, []))

    def push(self, one: T) -> None:
        """Put the podgroup that was popped last back in line."""
        self._leaves[one.queue].push(one)

    def peek(self) -> T | None:
        """The podgroup to serve next; None when the line is empty."""
        if self._stale is not None:
            self._settle(self._stale)
            self._stale = None
        heap = self._heaps[ROOT]
        return heap[0][2] if heap else None

    def pop(self) -> T | None:
        """Take the podgroup to serve next out of the line; None when the line is empty."""
        if (one := self.peek()) is not None:
            self._stale = one.queue
            self._leaves[one.queue].pop()
        return one

    def _settle(self, leaf: int) -> None:
        """Rank the served leaf and its ancestors anew; each of them heads its parent's heap."""
        one = self._leaves[leaf].first()
        for queue in self._paths[leaf]:
            heap = self._heaps[self._parent[queue]]
            if one is None:
                heapq.heappop(heap)
            elif len(heap) > 1:
                heapq.heapreplace(heap, (self._ranker.rank(queue, one.cost), queue, one))
            else:  # A queue without siblings needs no rank: heaps only shrink.
                heap[0] = heap[0][0], queue, one
            one = heap[0][2] if heap else None
