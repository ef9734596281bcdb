"""The order in which queues are served: who is furthest below what it is entitled to comes first.

The comparison is KAI Scheduler's (docs/fairness of that project), rule by rule; each rule decides only between queues
that all rules before it call equal.
"""

from __future__ import annotations

from functools import total_ordering

from kai_py.core.queues.fair_share import allocatable_shares
from kai_py.core.resources import Amounts, Shares
from kai_py.core.state.ledger import Ledger

#: What a resource weighs in the dominant share of a queue that is entitled to none of it.
_NOT_ENTITLED = 1000.0


@total_ordering
class QueueRank:
    """A queue's place among its siblings, with the podgroup that it would serve next. Smaller is served first."""

    __slots__ = ("_age", "_entitled", "_key")

    def __init__(self, key: tuple[object, ...], entitled: tuple[float, ...], age: tuple[float, str]) -> None:
        self._key = key
        self._entitled = entitled
        self._age = age

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, QueueRank):
            return NotImplemented
        return self._key == other._key and self._age == other._age

    def __lt__(self, other: QueueRank) -> bool:
        if self._key != other._key:
            return self._key < other._key
        if self._entitled != other._entitled:
            pairs = tuple(zip(self._entitled, other._entitled, strict=True))
            if all(own <= theirs for own, theirs in pairs):
                return True
            if all(own >= theirs for own, theirs in pairs):
                return False
        return self._age < other._age

    __hash__ = None  # type: ignore[assignment]  # mutable state stands behind a rank; it must not be a key


class Ranker:
    """Ranks queues against the ledger as it stands."""

    def __init__(self, ledger: Ledger, shares: Shares, total: Shares) -> None:
        queues = ledger.snapshot.queues
        self._ledger = ledger
        quantum = ledger.snapshot.axis.quantum
        self._fair = shares.tolist()
        self._quota = queues.quota.tolist()
        entitled = allocatable_shares(queues, shares)
        self._entitled = [tuple(row) for row in entitled.tolist()]
        # inf means "no limit": the share is then taken of the whole cluster.
        capped = [
            [whole if share == float("inf") else share for share, whole in zip(row, total.tolist(), strict=True)]
            for row in entitled.tolist()
        ]
        self._divisor = [
            [share if share > 0 else unit / _NOT_ENTITLED for share, unit in zip(row, quantum.tolist(), strict=True)]
            for row in capped
        ]
        self._priority = queues.priority.tolist()
        self._age = list(zip(queues.created.tolist(), queues.uids, strict=True))

    def rank(self, queue: int, cost: Amounts) -> QueueRank:
        """Rank a queue that would next serve a podgroup of a ``(A,)`` cost."""
        held = self._ledger.queue_allocated[queue].tolist()
        after = [have + more for have, more in zip(held, cost.tolist(), strict=True)]
        entitled, divisor = self._entitled[queue], self._divisor[queue]
        key = (
            all(fair < have for fair, have in zip(self._fair[queue], held, strict=True)),
            any(have > quota for have, quota in zip(after, self._quota[queue], strict=True)),
            -self._priority[queue],
            any(share == 0 and have > 0 for share, have in zip(entitled, after, strict=True)),
            max(have / per for have, per in zip(after, divisor, strict=True)),
            max(have / per for have, per in zip(held, divisor, strict=True)),
        )
        return QueueRank(key, entitled, self._age[queue])
