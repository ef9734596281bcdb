"""Proofs that no victims can help: sums that no search could beat, and the number that falls short."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.core.resources import Amounts, Cost
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.victims.rules import ReclaimRule


def cannot_reclaim(
    snapshot: Snapshot,
    free: Amounts,
    rule: ReclaimRule,
    cost: Cost,
    held: Mapping[int, Cost],
    largest: Mapping[int, Cost],
) -> Reason | None:
    """Prove from queue numbers that not enough can be reclaimed.

    Args:
        snapshot: the tables.
        free: ``(A,)`` what is free or about to be, over all nodes, as queues are charged.
        rule: who may lose how much.
        cost: what is asked for.
        held: what candidates hold, by leaf queue.
        largest: the largest chunk per resource, by leaf queue.

    Returns:
        None if there is no proof; else the resource, what is asked, free and reclaimable at most, in base units, and
        the queue at which it ends.
    """
    for a, asked in enumerate(cost):
        if asked == 0:
            continue
        by_level: dict[int, list[int]] = {}
        for leaf in held:
            by_level.setdefault(rule.leveled(leaf)[1], []).append(leaf)
        most, tightest = 0.0, ""
        for queue, leaves in by_level.items():
            have = float(sum(held[leaf][a] for leaf in leaves))
            biggest = tuple(max(largest[leaf][b] for leaf in leaves) for b in range(len(cost)))
            bound = rule.most_reclaimable(leaves[0], biggest, a)
            if bound < have:
                tightest = snapshot.queues.names[queue]
            most += min(have, bound)
        available = max(0, int(free[a]))
        if available + most < asked:
            return Reason(
                ReasonCode.NOT_ENOUGH_RECLAIMABLE,
                {
                    "resource": snapshot.axis.accounted[a],
                    "requested": asked,
                    "free": available,
                    "reclaimable": _whole(most, snapshot.axis.quantum.item(a)),
                    "queue": tightest,
                },
            )
    return None


def _whole(amount: float, quantum: float) -> int:
    """Rounded down to whole devices, millicores, bytes: parts of a device are nobody's."""
    return int(amount // quantum * quantum)
