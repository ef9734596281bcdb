"""Victims in the order in which they are considered: the most over-served queue's least important podgroup first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cached_property, total_ordering
from itertools import takewhile
from math import inf
from typing import Any, Final

import numpy as np

from kai_py.core.gangs.order import ABOVE_MINIMUM, AT_MINIMUM
from kai_py.core.queues.service import Ranker
from kai_py.core.resources import Amounts, Cost, Mask, Rows
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.queues import ROOT, QueueTable
from kai_py.core.victims.chunks import Chunk, Running
from kai_py.core.victims.costs import Costs

#: Whoever ranks last is taken first. Under an exhausted disruption budget nobody is, as long as there is anybody else;
#: then the least important go, of those whoever has a surplus, then who loses the least work per GPU, then who came
#: last.
VictimRank = tuple[bool, int, int, float, float, str, int]


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


_NOBODY: Final[Rows] = np.empty(0, dtype=np.int32)

Entry = tuple[_Last, int, Chunk, Iterator[Chunk]]


class Pool:
    """Podgroups with places, by leaf queue, least important first.

    Sorted once per queue and action: a search takes a few from the front, and there are thousands of searches. What
    a search has changed is put right by :meth:`touch`.

    Args:
        ledger: who has places.
        running: the same by podgroup.
        costs: what is lost with each.
        settled: rows of podgroups for which others were ended in this cycle; they keep what that was done for.
    """

    def __init__(self, ledger: Ledger, running: Running, costs: Costs, settled: Collection[int] = ()) -> None:
        self._ledger = ledger
        self._running = running
        self._settled = settled
        self.costs = costs
        self._table = ledger.snapshot.podgroups
        self._sorted: dict[int, list[int]] = {}
        #: Where the untouched begin in a sorted list: victims are mostly taken from its front.
        self._begin: dict[int, int] = {}
        self._touched: dict[int, set[int]] = {}
        self._gone: set[int] = set()
        self._lowest: dict[int, float] = {}

    @cached_property
    def _by_queue(self) -> dict[int, Rows]:
        """Rows of preemptible podgroups with places, ascending, by leaf queue."""
        rows = self._running.podgroups
        rows = rows[self._table.preemptible[rows] & (self._table.queue_idx[rows] != ROOT)]
        if self._settled:
            rows = rows[~np.isin(rows, list(self._settled))]
        rows = rows[np.argsort(self._table.queue_idx[rows], kind="stable")]
        found = np.unique(self._table.queue_idx[rows], return_index=True, return_counts=True)
        columns = (column.tolist() for column in found)
        return {queue: rows[begin : begin + count] for queue, begin, count in zip(*columns, strict=True)}

    @property
    def queues(self) -> list[int]:
        """Leaf queues that have anybody, ascending."""
        return sorted({*self._by_queue, *self._touched})

    @cached_property
    def largest(self) -> dict[int, Cost]:
        """What the largest podgroup of each queue is charged, per resource: no chunk is larger."""
        costs = self._running.costs
        return {queue: tuple(costs[rows].max(axis=0).tolist()) for queue, rows in self._by_queue.items()}

    @cached_property
    def largest_pod(self) -> Amounts:
        """``(R,)`` no pod that may be taken has more."""
        snapshot, rows = self._ledger.snapshot, self._running.on_nodes(self.all)
        taken = np.zeros(len(snapshot.classes), dtype=np.bool_)
        taken[snapshot.pods.class_idx[rows]] = True
        most: Amounts = snapshot.classes.request[taken].max(axis=0, initial=0)
        return most

    @cached_property
    def all(self) -> Mask:
        """``(G,)`` podgroups of all queues."""
        mask = np.zeros(len(self._table), dtype=np.bool_)
        for rows in self._by_queue.values():
            mask[rows] = True
        return mask

    def freeable(self, podgroups: Mask) -> Amounts:
        """``(N, R)`` no less than what nodes get back when all pods of some podgroups go."""
        return self._running.given_back(self._running.on_nodes(podgroups))

    def touch(self, podgroups: Iterable[int]) -> None:
        """These have gained or lost places."""
        self._lowest.clear()
        for row in podgroups:
            if self._table.preemptible.item(row) and (queue := self._table.queue_idx.item(row)) != ROOT:
                first, end = self._table.offset.item(row), self._table.offset.item(row + 1)
                if self._ledger.active[first:end].any() and row not in self._settled:
                    self._touched.setdefault(queue, set()).add(row)
                else:
                    self._touched.get(queue, set()).discard(row)
                    self._gone.add(row)

    def victim_rank(self, podgroup: int, *, core: bool | None = None) -> VictimRank:
        """Rank of a podgroup whose core, or some surplus, would go next; by default as it stands."""
        table = self._table
        if core is None:
            core = not self._has_surplus(podgroup)
        return (
            not self.costs.exhausted.item(podgroup),
            -table.priority.item(podgroup),
            AT_MINIMUM if core else ABOVE_MINIMUM,
            -self.costs.seconds.item(podgroup),
            table.created.item(podgroup),
            table.keys[podgroup].uid,
            podgroup,
        )

    def _has_surplus(self, podgroup: int) -> bool:
        """Whether the first chunk of a podgroup is surplus. Most podgroups are one leaf: two numbers tell."""
        if podgroup in self._table.whole:
            return False
        root, end = self._table.offset.item(podgroup), self._table.offset.item(podgroup + 1)
        if end - root == 1:
            return bool(self._ledger.active.item(root) > self._ledger.snapshot.subgroups.min_member.item(root))
        first = next(self._running.chunks(podgroup), None)
        return first is not None and not first.core

    def rank(self, podgroup: int, chunk: Chunk) -> _Last:
        """Place in the order of victims, with the chunk that would go next: who has a surplus gives first."""
        return _Last(self.victim_rank(podgroup, core=chunk.core))

    def lowest_priority(self, queue: int) -> float:
        """The least priority of anybody in a queue; inf if there is nobody."""
        if queue not in self._lowest:
            touched = np.array([*self._touched.get(queue, ())], dtype=np.int32)
            rows = np.concatenate([self._by_queue.get(queue, _NOBODY), touched])
            self._lowest[queue] = self._table.priority[rows].min().item() if rows.size else inf
        return self._lowest[queue]

    def entry(self, podgroup: int, chunks: Iterator[Chunk]) -> Entry | None:
        """A podgroup with its next chunk; None when there is none left."""
        chunk = next(chunks, None)
        return None if chunk is None else (self.rank(podgroup, chunk), podgroup, chunk, chunks)

    def fresh(self, podgroup: int, *, surplus_only: bool) -> Entry | None:
        """The same from its first chunk on; on demand without its core."""
        chunks = self._running.chunks(podgroup)
        return self.entry(podgroup, takewhile(lambda chunk: not chunk.core, chunks) if surplus_only else chunks)

    def untouched(self, queue: int) -> Iterator[int]:
        """Podgroups of a queue that no search has changed, least important first."""
        if queue not in self._sorted:
            self._sorted[queue] = sorted(
                self._by_queue.get(queue, _NOBODY).tolist(), key=self.victim_rank, reverse=True
            )
        rows, touched, begin = self._sorted[queue], self._touched.get(queue, set()), self._begin.get(queue, 0)
        while begin < len(rows) and (rows[begin] in touched or rows[begin] in self._gone):
            begin += 1
        self._begin[queue] = begin
        later = map(rows.__getitem__, range(begin, len(rows)))  # to skip the others one by one would cost as many steps
        return (row for row in later if row not in touched and row not in self._gone)

    def touched(self, queue: int) -> Collection[int]:
        """Those that a search has changed."""
        return self._touched.get(queue, ())


class LeafLine:
    """Chunks of one queue's podgroups, least important podgroup first; after each one its podgroup is ranked anew.

    Args:
        pool: all podgroups.
        queue: the leaf.
        eligible: which podgroups may be taken from.
        protected: which of those keep their core.
    """

    def __init__(
        self,
        pool: Pool,
        queue: int,
        *,
        eligible: Callable[[int], bool] = lambda _: True,
        protected: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self._pool = pool
        self._protected = protected
        self._rest = (row for row in pool.untouched(queue) if eligible(row))
        self._head = self._next_fresh()
        self._heap = [entry for row in pool.touched(queue) if eligible(row) and (entry := self._fresh(row))]
        heapq.heapify(self._heap)

    def _next_fresh(self) -> Entry | None:
        for row in self._rest:
            if (entry := self._fresh(row)) is not None:
                return entry
        return None

    def _fresh(self, row: int) -> Entry | None:
        return self._pool.fresh(row, surplus_only=self._protected(row))

    def _heap_first(self) -> bool:
        return bool(self._heap) and (self._head is None or self._heap[0] < self._head)

    def peek(self) -> Chunk | None:
        """The chunk that comes next; None when there are no more."""
        if self._heap_first():
            return self._heap[0][2]
        return self._head[2] if self._head is not None else None

    def pop(self) -> Chunk:
        """Take the next chunk; there must be one."""
        if self._heap_first():
            _, podgroup, chunk, chunks = heapq.heappop(self._heap)
        else:
            assert self._head is not None
            _, podgroup, chunk, chunks = self._head
            self._head = self._next_fresh()
        if (following := self._pool.entry(podgroup, chunks)) is not None:
            heapq.heappush(self._heap, following)
        return chunk

    def __iter__(self) -> Iterator[Chunk]:
        while self.peek() is not None:
            yield self.pop()


class VictimLine:
    """Chunks over all queues. What was popped counts as gone, so that the order follows what would be left.

    Args:
        queues: the tree.
        allocated: ``(Q, A)``; a copy is worked on.
        ranker: ranks queues.
        leaves: lines of the leaf queues that may be taken from.
    """

    def __init__(
        self,
        queues: QueueTable,
        allocated: Amounts,
        ranker: Ranker,
        leaves: Mapping[int, LeafLine],
    ) -> None:
        self._parent = queues.parent.tolist()
        self._paths = queues.paths
        self._left = allocated.copy()
        self._ranker = ranker
        self._leaves = leaves
        self._heaps: dict[int, list[tuple[_Last, int]]] = {}
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
        return _Last(self._ranker.rank(queue, tuple(-amount for amount in chunk.cost), self._left)), queue
