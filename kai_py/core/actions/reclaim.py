"""Reclaim: a queue that is owed its share takes back what others hold beyond theirs."""

from __future__ import annotations

from functools import partial

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.actions.evicting import candidate, search, serve_in_line
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action
from kai_py.core.resources import Cost
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.victims.bounds import cannot_reclaim, sums
from kai_py.core.victims.candidates import VictimLine
from kai_py.core.victims.rules import ReclaimRule

ACTION = Action.RECLAIM


def reclaim(context: Context) -> None:
    """Serve podgroups whose queues are below their fair share, at the expense of queues above theirs."""
    serve_in_line(context, ACTION, _serve)


def _serve(context: Context, gang: Gang, step: Step) -> Reason | None:
    queue, queues = context.queue_of(gang), context.snapshot.queues
    if (refusal := _not_owed(context, gang, step) or context.patience(gang)) is not None:
        return refusal
    rule = ReclaimRule(
        queues,
        context.snapshot.podgroups.queue_idx.tolist(),
        context.ledger.queue_allocated,
        context.shares,
        queue=queue,
        cost=step.cost,
        saturation=context.options.reclaim_saturation,
    )
    victims = [row for row in context.victims() if context.reclaimable_from(row, queue)]
    victims = [row for row in victims if rule.may_take_from(context.snapshot.podgroups.queue_idx.item(row))]
    if not victims:
        return Reason(ReasonCode.NO_VICTIMS, {"queue": queues.names[queue]})
    if (proof := _proof(context, rule, step, victims)) is not None:
        return proof
    line = VictimLine(
        queues,
        context.ledger.queue_allocated,
        context.ranker.over,
        map(partial(candidate, context), victims),
    )
    return search(context, gang, step, ACTION).run(line, rule)


def _not_owed(context: Context, gang: Gang, step: Step) -> Reason | None:
    """A queue may reclaim up to its fair share, and non-preemptible podgroups only within its quota."""
    queue = context.queue_of(gang)
    held, fair = context.ledger.queue_allocated[queue].tolist(), context.shares[queue].tolist()
    for a, (have, more, share) in enumerate(zip(held, step.cost, fair, strict=True)):
        if more and have + more > share:
            details = {
                "queue": context.snapshot.queues.names[queue],
                "resource": context.snapshot.axis.accounted[a],
                "requested": more,
                "held": have,
                "ceiling": share,
            }
            return Reason(ReasonCode.OVER_FAIR_SHARE, details)
    return None


def _proof(context: Context, rule: ReclaimRule, step: Step, victims: list[int]) -> Reason | None:
    """What all candidates together could give is not enough."""
    snapshot = context.snapshot
    by_queue: dict[int, list[Cost]] = {}
    for row in victims:
        by_queue.setdefault(snapshot.podgroups.queue_idx.item(row), []).extend(context.running.costs(row))
    width = len(step.cost)
    totals = {queue: sums(costs, width) for queue, costs in by_queue.items()}
    held = {queue: total for queue, (total, _) in totals.items()}
    largest = {queue: most for queue, (_, most) in totals.items()}
    room = np.maximum(context.ledger.free + context.ledger.releasing, 0)[snapshot.nodes.ready].sum(axis=0)
    return cannot_reclaim(snapshot, room @ snapshot.axis.accounting, rule, step.cost, held, largest)
