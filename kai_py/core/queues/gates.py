"""The gates that a podgroup passes before places are sought: the limit, and quota for what cannot be preempted."""

from __future__ import annotations

import numpy as np

from kai_py.core.resources import Amounts, Shares
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger


def capacity_gate(ledger: Ledger, queue: int, cost: Amounts, *, preemptible: bool) -> Reason | None:
    """Tell whether a queue and all its ancestors may take on more.

    Only resources that are asked for count. Preemptible podgroups may go beyond quota: fairness comes from the order
    of service, and from reclaim.

    Args:
        ledger: what is allocated now.
        queue: row of the leaf queue.
        cost: ``(A,)`` what would be added, base units.
        preemptible: whether the podgroup is.

    Returns:
        None when it may; else the reason at the lowest queue of the path that refuses.
    """
    queues = ledger.snapshot.queues
    path = queues.paths[queue]
    asked = cost > 0
    after = ledger.queue_allocated[path] + cost
    over = (after > queues.limit[path]) & asked
    if over.any():
        return _refusal(ledger, ReasonCode.OVER_LIMIT, over, path, cost, ledger.queue_allocated, queues.limit)
    if not preemptible:
        held = ledger.queue_non_preemptible
        over = (held[path] + cost > queues.quota[path]) & asked
        if over.any():
            return _refusal(ledger, ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA, over, path, cost, held, queues.quota)
    return None


def _refusal(
    ledger: Ledger,
    code: ReasonCode,
    over: np.ndarray,
    path: np.ndarray,
    cost: Amounts,
    held: Amounts,
    ceiling: Shares,
) -> Reason:
    level, a = (int(found[0]) for found in np.nonzero(over))
    queue = int(path[level])
    return Reason(
        code,
        {
            "queue": ledger.snapshot.queues.names[queue],
            "resource": ledger.snapshot.axis.accounted[a],
            "requested": int(cost[a]),
            "held": int(held[queue, a]),
            "ceiling": float(ceiling[queue, a]),
        },
    )
