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


def _refusal(
    ledger: Ledger, code: ReasonCode, path: tuple[int, ...], cost: Cost, held: Amounts, ceiling: Shares
) -> Reason | None:
    """The first queue and resource where a cost would go through the ceiling."""
    for queue in path:
        for a, (more, have, most) in enumerate(zip(cost, held[queue].tolist(), ceiling[queue].tolist(), strict=True)):
            if more > 0 and have + more > most:
                snapshot = ledger.snapshot
                details = {
                    "queue": snapshot.queues.names[queue],
                    "resource": snapshot.axis.accounted[a],
                    "requested": more,
                    "held": have,
                    "ceiling": most,
                }
                return Reason(code, details)
    return None
