"""Who may take from whom, and how much: the rules of reclaim, preemption and consolidation.

A rule says which podgroups are candidates, and whether a set of victims is acceptable. Rules read the ledger as it was
when the search began; they change nothing. Sources: KAI Scheduler's reclaim and preempt pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple, Protocol

from kai_py.core.queues.fair_share import allocatable_shares
from kai_py.core.resources import ACCOUNTED, GPU, Amounts, Cost, Mask, Rows, Shares
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.tables.queues import QueueTable
from kai_py.core.victims.chunks import Chunk

_GPU = ACCOUNTED.index(GPU)


class Rule(Protocol):
    """What an action asks about victims.

    Attributes:
        blamed: the first victim that the last set was refused for, where it is one victim's fault.
    """

    blamed: Chunk | None

    def accepts(self, lost: Sequence[Chunk], disturbed: Sequence[Chunk]) -> Reason | None:
        """Judge a set of victims, least important first.

        Args:
            lost: those that find no other place.
            disturbed: those, and those that are moved to another place, also those that had moved for one of the lost.

        Returns:
            None if it is acceptable, else what forbids it.
        """


class LessImportant:
    """Preemption within a queue: candidates may be taken, and nobody else is disturbed.

    Args:
        candidates: ``(G,)`` podgroups of the queue that are less important.
    """

    blamed: Chunk | None = None

    def __init__(self, candidates: Mask) -> None:
        self._candidates = candidates

    def accepts(self, lost: Sequence[Chunk], disturbed: Sequence[Chunk]) -> Reason | None:  # noqa: ARG002  # as the rules do
        """If all are candidates: others may have moved for one of these before."""
        if all(self._candidates.item(chunk.podgroup) for chunk in disturbed):
            return None
        return Reason(ReasonCode.NO_VICTIMS, {})


class NobodyLost:
    """Consolidation: everybody has to find another place, and not too many are disturbed.

    Args:
        limit: podgroups that may be moved for one.
    """

    blamed: Chunk | None = None

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def accepts(self, lost: Sequence[Chunk], disturbed: Sequence[Chunk]) -> Reason | None:
        """Only if nobody is lost."""
        if lost or len({chunk.podgroup for chunk in disturbed}) > self._limit > 0:
            return Reason(ReasonCode.VICTIMS_WITHOUT_PLACE, {"podGroups": len({chunk.podgroup for chunk in lost})})
        return None


class Owed(NamedTuple):
    """What queues are owed, ``(Q, A)`` each, as plain numbers: they are read one by one, for thousands of searches.

    Attributes:
        fair: fair shares.
        entitled: what nobody may push them below.
        quota: what is theirs in any case.
    """

    fair: Sequence[Sequence[float]]
    entitled: Sequence[Sequence[float]]
    quota: Sequence[Sequence[float]]

    @classmethod
    def of(cls, queues: QueueTable, fair: Shares) -> Owed:
        """Of the queues of a tree, with their fair shares."""
        return cls(fair.tolist(), allocatable_shares(queues, fair).tolist(), queues.quota.tolist())


class ReclaimRule:
    """Between queues: nobody is pushed below what it is entitled to, and nobody takes beyond its own fair share.

    Args:
        queues: the tree.
        queue_of: leaf queue by podgroup row.
        allocated: ``(Q, A)`` when the search begins.
        owed: what queues are owed.
        queue: leaf of the reclaimer.
        cost: what it asks for.
        saturation: by how much fuller than the reclaimer a sibling must be that loses something, at least 1.
    """

    def __init__(
        self,
        queues: QueueTable,
        queue_of: Rows,
        allocated: Amounts,
        owed: Owed,
        *,
        queue: int,
        cost: Cost,
        saturation: float = 1.0,
    ) -> None:
        self._queues = queues
        self._queue_of = queue_of
        self._allocated = allocated.tolist()
        self._fair, self._entitled, self._quota = owed
        self._queue = queue
        self._cost = cost
        self._saturation = saturation
        self._paths = queues.paths
        self._levels: dict[int, tuple[int, int]] = {}
        self.blamed: Chunk | None = None

    def leveled(self, victim: int) -> tuple[int, int]:
        """The first pair of different ancestors of reclaimer and victim, at equal depth from the top."""
        found = self._levels.get(victim)
        if found is None:
            pairs = zip(reversed(self._paths[self._queue]), reversed(self._paths[victim]), strict=False)
            found = self._levels[victim] = next(((a, b) for a, b in pairs if a != b), (self._queue, victim))
        return found

    def may_take_from(self, victim: int) -> bool:
        """Whether podgroups of a leaf queue are candidates at all: whether it may lose anything."""
        mine, theirs = self.leveled(victim)
        return self._may_lose(theirs, self._allocated[theirs], mine)

    def _within_quota(self, queue: int) -> bool:
        """Whether a queue of ours stays within its quota with what is asked for."""
        held, quota = self._allocated[queue], self._quota[queue]
        return all(have + more <= most for have, more, most in zip(held, self._cost, quota, strict=True))

    def accepts(self, lost: Sequence[Chunk], disturbed: Sequence[Chunk]) -> Reason | None:
        """What is lost must come from queues that are still above what they are entitled to, and siblings stay fuller.

        Who finds another place is disturbed, though nobody loses anything. (KAI asks no more then, and lets a queue
        restart any number of another one's pods.) We ask whether the other queue may be taken from at all, and move no
        more than is asked for.
        """
        if (refusal := self._beyond_entitlement(lost)) is not None:
            return refusal
        ended = set(lost)
        moved = [chunk for chunk in disturbed if chunk not in ended]
        return self._too_many_moved(moved) or self._unfair_to_siblings(self._left(lost, moved))

    def _beyond_entitlement(self, chunks: Sequence[Chunk]) -> Reason | None:
        left: dict[int, list[float]] = {}
        self.blamed = None
        for chunk in chunks:
            victim = self._queue_of.item(chunk.podgroup)
            mine, theirs = self.leveled(victim)
            if not self._may_lose(theirs, left.get(theirs, self._allocated[theirs]), mine):
                self.blamed = chunk
                return self._refusal(ReasonCode.VICTIM_WITHIN_SHARE, theirs)
            self._take(chunk.cost, victim, left)
        return None

    def _too_many_moved(self, moved: Sequence[Chunk]) -> Reason | None:
        for victim in dict.fromkeys(self._queue_of.item(chunk.podgroup) for chunk in moved):
            if victim == self._queue or not self.may_take_from(victim):
                return self._refusal(ReasonCode.VICTIM_WITHIN_SHARE, self.leveled(victim)[1])
        for a in [_GPU] if self._cost[_GPU] else range(len(self._cost)):
            amount = sum(chunk.cost[a] for chunk in moved)
            if amount > self._cost[a]:
                return Reason(ReasonCode.VICTIMS_WITHOUT_PLACE, {"podGroups": 0})
        return None

    def _left(self, lost: Sequence[Chunk], moved: Sequence[Chunk]) -> dict[int, list[float]]:
        """What queues whose pods are disturbed hold afterwards."""
        left: dict[int, list[float]] = {}
        for chunk in lost:
            self._take(chunk.cost, self._queue_of.item(chunk.podgroup), left)
        for chunk in moved:
            self._take((0,) * len(chunk.cost), self._queue_of.item(chunk.podgroup), left)
        return left

    def _take(self, cost: Cost, victim: int, left: dict[int, list[float]]) -> None:
        for queue in self._paths[victim]:
            held = left.setdefault(queue, list(self._allocated[queue]))
            for a, amount in enumerate(cost):
                held[a] -= amount

    def _may_lose(self, queue: int, remaining: Sequence[float], mine: int) -> bool:
        """Maintain the fair share, or guarantee our quota: one of the two must allow the next chunk."""
        if any(have > share for have, share in zip(remaining, self._entitled[queue], strict=True)):
            return True
        quota = self._quota[queue]
        return self._within_quota(mine) and any(have > most for have, most in zip(remaining, quota, strict=True))

    def _unfair_to_siblings(self, left: dict[int, list[float]]) -> Reason | None:
        """At each level, we may not end up fuller, relative to our fair share, than a sibling that is disturbed."""
        for queue in self._paths[self._queue]:
            held = left.get(queue, self._allocated[queue])
            for sibling in self._queues.children[self._queues.parent.item(queue)]:
                if sibling != queue and sibling in left and self._fuller(queue, held, sibling, left[sibling]):
                    return self._refusal(ReasonCode.RECLAIMER_OVER_SHARE, sibling)
        return None

    def _fuller(self, queue: int, held: Sequence[float], sibling: int, remaining: Sequence[float]) -> bool:
        before = self._allocated[sibling]
        for a, amount in enumerate(self._cost):
            if amount == 0 and remaining[a] == before[a]:
                continue
            ours = _saturation(held[a] + amount, self._fair[queue][a])
            theirs = _saturation(remaining[a], self._fair[sibling][a])
            if ours > 1 and self._fair[sibling][a] > 0 and ours * self._saturation >= theirs:
                return True
        return False

    def _refusal(self, code: ReasonCode, queue: int) -> Reason:
        return Reason(code, {"queue": self._queues.names[queue]})

    def most_reclaimable(self, victim: int, largest: Cost, a: int) -> float:
        """An upper bound of one resource that can be had from the queue at our level above a victim; inf = no bound.

        Chunks may be taken while the queue is above what it is entitled to, so no more than the excess plus the last
        chunk. Only a queue with an excess in this one resource is bounded: any excess lets it lose all resources.

        Args:
            victim: leaf queue.
            largest: of the chunks that may be taken from below that queue, per resource.
            a: the resource, a column of A.
        """
        mine, theirs = self.leveled(victim)
        floor = self._quota[theirs] if self._within_quota(mine) else [inf] * len(self._cost)
        least = [min(share, quota) for share, quota in zip(self._entitled[theirs], floor, strict=True)]
        held = self._allocated[theirs]
        if any(have > low for b, (have, low) in enumerate(zip(held, least, strict=True)) if b != a):
            return inf
        excess = held[a] - least[a]
        return max(0.0, excess - 1 + largest[a]) if excess > 0 else 0.0


def _saturation(held: float, fair: float) -> float:
    if fair == inf:
        return 0.0
    if fair == 0:
        return inf if held > 0 else 0.0
    return held / fair
