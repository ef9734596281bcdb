"""The gates that a podgroup passes before places are sought: the limit, and quota for what cannot be preempted."""

from __future__ import annotations

from kai_py.core.resources import Amounts, Cost, Shares
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger


def capacity_gate(ledger: Ledger, queue: int, cost: Cost, *, preemptible: bool) -> Reason | None:
    """Tell whether a queue and all its ancestors may take on more.

    Only resources that are asked for count. Preemptible podgroups may go beyond quota: fairness comes from the order
    of service, and from reclaim.

    Args:
        ledger: what is allocated now.
        queue: row of the leaf queue.
        cost: what would be added.
        preemptible: whether the podgroup is.

    Returns:
        None when it may; else the reason at the lowest queue of the path that refuses.
    """
    queues = ledger.snapshot.queues
    refusal = _refusal(ledger, ReasonCode.OVER_LIMIT, queues.limited[queue], cost, ledger.queue_allocated, queues.limit)
    if refusal is None and not preemptible:
        code, held = ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA, ledger.queue_non_preemptible
        refusal = _refusal(ledger, code, queues.with_quota[queue], cost, held, queues.quota)
    return refusal


def overrun(ledger: Ledger, queue: int, cost: Cost, *, preemptible: bool) -> Reason | None:
    """The same gate after the fact: whether what was added has taken a queue of the path beyond limit or quota.

    Args:
        ledger: with the cost charged already.
        queue: row of the leaf queue.
        cost: what was added; only its resources count.
        preemptible: whether the podgroup is.
    """
    queues = ledger.snapshot.queues
    code, held = ReasonCode.OVER_LIMIT, ledger.queue_allocated
    refusal = _refusal(ledger, code, queues.limited[queue], cost, held, queues.limit, charged=True)
    if refusal is None and not preemptible:
        code, held = ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA, ledger.queue_non_preemptible
        refusal = _refusal(ledger, code, queues.with_quota[queue], cost, held, queues.quota, charged=True)
    return refusal


def _refusal(
    ledger: Ledger,
    code: ReasonCode,
    path: tuple[int, ...],
    cost: Cost,
    held: Amounts,
    ceiling: Shares,
    *,
    charged: bool = False,
) -> Reason | None:
    """The first queue and resource where a cost would go through the ceiling."""
    for queue in path:
        for a, (more, have, most) in enumerate(zip(cost, held[queue].tolist(), ceiling[queue].tolist(), strict=True)):
            before = have - more if charged else have
            if more > 0 and before + more > most:
                snapshot = ledger.snapshot
                details = {
                    "queue": snapshot.queues.names[queue],
                    "resource": snapshot.axis.accounted[a],
                    "requested": more,
                    "held": before,
                    "ceiling": most,
                }
                return Reason(code, details)
    return None
