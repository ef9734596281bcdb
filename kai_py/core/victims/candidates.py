"""Victims in the order in which they are considered: the most over-served queue's least important podgroup first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from functools import total_ordering
from typing import Any

from kai_py.core.gangs.order import ABOVE_MINIMUM, AT_MINIMUM, PodGroupRank
from kai_py.core.queues.service import Ranker
from kai_py.core.resources import Amounts
from kai_py.core.tables.queues import ROOT, QueueTable
from kai_py.core.victims.chunks import Chunk

#: A podgroup that may be a victim: its rank within its queue, its leaf queue, its chunks.
Candidate = tuple[PodGroupRank, int, Iterator[Chunk]]


@total_ordering
class _Last:
    """Turns an order around: what ranks last comes first."""

    __slots__ = ("rank",)

    def __init__(self, rank: Any) -> None:
        self.rank = rank

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Last) and self.rank == other.rank

    def __lt__(self, other: _Last) -> bool:
        return bool(other.rank < self.rank)

    __hash__ = None  # type: ignore[assignment]  # only for ordering


def _rank(rank: PodGroupRank, chunk: Chunk) -> _Last:
    """A podgroup's place with the chunk that it would give next: who has a surplus gives before others do."""
    priority, _, *age = rank
    return _Last((priority, AT_MINIMUM if chunk.core else ABOVE_MINIMUM, *age))


Entry = tuple[_Last, int, Chunk, PodGroupRank, Iterator[Chunk]]


class LeafLine:
    """Chunks of one queue's podgroups, least important podgroup first; after each one its podgroup is ranked anew."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self._heap: list[Entry] = []
        for candidate in candidates:
            self.add(candidate)

    def add(self, candidate: Candidate) -> None:
        """One podgroup more."""
        rank, _, chunks = candidate
        self._push(rank, chunks, len(self._heap))

    def _push(self, rank: PodGroupRank, chunks: Iterator[Chunk], number: int) -> None:
        if (following := next(chunks, None)) is not None:
            heapq.heappush(self._heap, (_rank(rank, following), number, following, rank, chunks))

    def peek(self) -> Chunk | None:
        """The chunk that comes next; None when there are no more."""
        return self._heap[0][2] if self._heap else None

    def pop(self) -> Chunk:
        """Take the next chunk."""
        _, number, chunk, rank, chunks = heapq.heappop(self._heap)
        self._push(rank, chunks, number)
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        while self._heap:
            yield self.pop()


class VictimLine:
    """Chunks over all queues. What was popped counts as gone, so that the order follows what would be left.

    Args:
        queues: the tree.
        allocated: ``(Q, A)``; a copy is worked on.
        ranker: makes a ranker that reads such a copy.
        candidates: who may be taken from.
    """

    def __init__(
        self,
        queues: QueueTable,
        allocated: Amounts,
        ranker: Callable[[Amounts], Ranker],
        candidates: Iterable[Candidate],
    ) -> None:
        self._parent = queues.parent.tolist()
        self._paths = queues.paths
        self._left = allocated.copy()
        self._ranker = ranker(self._left)
        self._leaves: dict[int, LeafLine] = {}
        self._heaps: dict[int, list[tuple[_Last, int]]] = {}
        for candidate in candidates:
            self._leaves.setdefault(candidate[1], LeafLine()).add(candidate)
        for queue in reversed(queues.top_down):
            if (entry := self._entry(queue)) is not None:
                heapq.heappush(self._heaps.setdefault(self._parent[queue], []), entry)

    def __iter__(self) -> Iterator[Chunk]:
        while (queue := self._first_leaf()) is not None:
            chunk = self._leaves[queue].pop()
            for row in self._paths[queue]:
                self._left[row] -= chunk.cost
            self._settle(queue)
            yield chunk

    def _first_leaf(self) -> int | None:
        queue = ROOT
        while self._heaps.get(queue):
            queue = self._heaps[queue][0][1]
        return None if queue == ROOT else queue

    def _settle(self, leaf: int) -> None:
        for queue in self._paths[leaf]:
            heap = self._heaps[self._parent[queue]]
            if (entry := self._entry(queue)) is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, entry)

    def _entry(self, queue: int) -> tuple[_Last, int] | None:
        """A queue's place in its parent's heap, with the chunk that it would give next."""
        leaf = queue
        while self._heaps.get(leaf):
            leaf = self._heaps[leaf][0][1]
        chunk = self._leaves[leaf].peek() if leaf in self._leaves else None
        if chunk is None:
            return None
        return _Last(self._ranker.rank(queue, tuple(-amount for amount in chunk.cost))), queue
