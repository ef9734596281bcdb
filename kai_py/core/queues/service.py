"""The order in which queues are served: who is furthest below what it is entitled to comes first.

The comparison is KAI Scheduler's (docs/fairness of that project), rule by rule; each rule decides only between queues
that all rules before it call equal.
"""

from __future__ import annotations

from math import inf
from operator import add

import numpy as np

from kai_py.core.queues.fair_share import allocatable_shares
from kai_py.core.resources import ACCOUNTED, Amounts, Cost, Shares
from kai_py.core.state.ledger import Ledger

#: What a resource weighs in the dominant share of a queue that is entitled to none of it.
_NOT_ENTITLED = 1000.0


class Standing:
    """What decides between queues that are level: who is entitled to less, then who is older."""

    __slots__ = ("_age", "_entitled")

    def __init__(self, entitled: tuple[float, ...], age: tuple[float, str]) -> None:
        self._entitled = entitled
        self._age = age

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Standing):
            return NotImplemented
        return self._age == other._age

    def __lt__(self, other: Standing) -> bool:
        if self._entitled != other._entitled:
            pairs = tuple(zip(self._entitled, other._entitled, strict=True))
            if all(own <= theirs for own, theirs in pairs):
                return True
            if all(own >= theirs for own, theirs in pairs):
                return False
        return self._age < other._age

    def __hash__(self) -> int:
        return hash(self._age)


#: A queue's place among its siblings, with what it would serve next. Smaller is served first. In order: over its fair
#: share in everything; over its quota; priority; not entitled to what it asks for; dominant share with and without
#: what it asks for; standing.
QueueRank = tuple[bool, bool, int, bool, float, float, Standing]


class Ranker:
    """Ranks queues against the ledger as it stands.

    Args:
        ledger: what is allocated.
        shares: ``(Q, A)`` fair shares.
        total: ``(A,)`` what the cluster has.
    """

    def __init__(self, ledger: Ledger, shares: Shares, total: Shares) -> None:
        queues = ledger.snapshot.queues
        self._allocated = ledger.queue_allocated
        self._supposed: dict[int, list[int]] = {}
        entitled = allocatable_shares(queues, shares)
        # The dominant share is of what a queue is entitled to, if that has an end; else of the whole cluster.
        whole = np.where(np.isinf(entitled), total, entitled)
        divisor = np.where(whole > 0, whole, ledger.snapshot.axis.quantum / _NOT_ENTITLED)
        # KAI's three resources decide who is over its share in everything; one more, which hardly anybody is allocated,
        # would switch the rule off.
        fair = np.where(np.arange(shares.shape[1]) < len(ACCOUNTED), shares, -inf)
        self._columns = np.stack([fair, queues.quota, entitled, divisor], axis=2).tolist()
        self._priority = queues.priority.tolist()
        ages = zip(queues.created.tolist(), queues.uids, strict=True)
        self._standing = [Standing(tuple(row), age) for row, age in zip(entitled.tolist(), ages, strict=True)]

    def suppose(self, path: tuple[int, ...], cost: Cost) -> None:
        """Rank as if queues had been charged with some more, until :meth:`charged`."""
        for queue in path:
            held = self._supposed.get(queue) or self._allocated[queue].tolist()
            self._supposed[queue] = list(map(add, held, cost))

    def charged(self) -> None:
        """What was supposed is in the ledger by now, or never will be."""
        self._supposed.clear()

    def rank(self, queue: int, cost: Cost, allocated: Amounts | None = None) -> QueueRank:
        """Rank a queue that would next serve a podgroup of some cost.

        Args:
            queue: row.
            cost: of the podgroup; negative for a victim that it would give.
            allocated: ``(Q, A)`` what queues hold; None = what the ledger says.
        """
        over_share, over_quota, unentitled, dominant, dominant_now = True, False, False, -inf, -inf
        if allocated is not None:
            held = allocated[queue].tolist()
        elif (held := self._supposed.get(queue)) is None:
            held = self._allocated[queue].tolist()
        columns = self._columns[queue]
        for now, more, (fair, quota, entitled, divisor) in zip(held, cost, columns):  # noqa: B905  # asked for every pod
            after = now + more
            if now <= fair:
                over_share = False
            if after > quota:
                over_quota = True
            if entitled == 0 and after > 0:
                unentitled = True
            share = after / divisor
            if share > dominant:
                dominant = share
            share = now / divisor
            if share > dominant_now:
                dominant_now = share
        priority, standing = -self._priority[queue], self._standing[queue]
        return over_share, over_quota, priority, unentitled, dominant, dominant_now, standing
