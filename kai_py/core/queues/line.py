"""Podgroups in the order in which they are served: a tree of heaps that mirrors the queue tree."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from kai_py.core.queues.service import QueueRank, Ranker
from kai_py.core.resources import Cost
from kai_py.core.tables.queues import ROOT, QueueTable

#: A podgroup's place in its leaf queue, smaller first; see ``gangs.order``.
Rank = tuple[int, int, float, str, int]


class Line:
    """Serves, at every level, the queue that ranks first, and in a leaf the podgroup that ranks first.

    After a podgroup was served the ranks on its path may have changed, and only those; they are put right before the
    next one is popped, so a pop costs O(depth * log siblings).

    Args:
        queues: the tree.
        ranker: ranks queues.
        cost: what a podgroup would cost next.
    """

    def __init__(self, queues: QueueTable, ranker: Ranker, cost: Callable[[int], Cost]) -> None:
        self._queues = queues
        self._ranker = ranker
        self._cost = cost
        self._parent = queues.parent.tolist()
        self._paths = queues.paths
        self._leaves: dict[int, list[tuple[Rank, int]]] = {}
        self._heaps: dict[int, list[tuple[QueueRank, int]]] = {}
        self._stale: int | None = None

    def add(self, queue: int, podgroup: int, rank: Rank) -> None:
        """Put a podgroup in line in its leaf queue, before the first pop."""
        self._leaves.setdefault(queue, []).append((rank, podgroup))

    def build(self) -> None:
        """Heapify after all were added."""
        for waiting in self._leaves.values():
            heapq.heapify(waiting)
        for queue in reversed(self._queues.top_down):
            if (podgroup := self._next(queue)) is not None:
                entry = self._ranker.rank(queue, self._cost(podgroup)), queue
                self._heaps.setdefault(self._parent[queue], []).append(entry)
        for heap in self._heaps.values():
            heapq.heapify(heap)

    def push(self, queue: int, podgroup: int, rank: Rank) -> None:
        """Put the podgroup that was popped last back in line."""
        heapq.heappush(self._leaves[queue], (rank, podgroup))

    def pop(self) -> int | None:
        """The podgroup to serve next; None when the line is empty."""
        if self._stale is not None:
            self._settle(self._stale)
            self._stale = None
        queue = ROOT
        while queue in self._heaps:
            if not self._heaps[queue]:
                return None
            queue = self._heaps[queue][0][1]
        if queue == ROOT:
            return None
        self._stale = queue
        return heapq.heappop(self._leaves[queue])[1]

    def _settle(self, leaf: int) -> None:
        """Rank the served leaf and its ancestors anew; each of them heads its parent's heap."""
        for queue in self._paths[leaf]:
            heap = self._heaps[self._parent[queue]]
            podgroup = self._next(queue)
            if podgroup is None:
                heapq.heappop(heap)
            elif len(heap) > 1:  # A queue without siblings needs no rank: heaps only shrink.
                heapq.heapreplace(heap, (self._ranker.rank(queue, self._cost(podgroup)), queue))

    def _next(self, queue: int) -> int | None:
        """The podgroup that a queue would serve next; None when it has none in line."""
        while heap := self._heaps.get(queue):
            queue = heap[0][1]
        leaf = self._leaves.get(queue)
        return leaf[0][1] if leaf else None
