"""Reclaim: a queue that is owed its share takes back what others hold beyond theirs."""

from __future__ import annotations

from functools import cache

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.actions.evicting import search, serve_in_line
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.victims.bounds import cannot_reclaim
from kai_py.core.victims.candidates import LeafLine, Pool, VictimLine
from kai_py.core.victims.rules import ReclaimRule
from kai_py.core.victims.search import Candidates

ACTION = Action.RECLAIM


def reclaim(context: Context) -> None:
    """Serve podgroups whose queues are below their fair share, at the expense of queues above theirs."""
    serve_in_line(context, ACTION, _serve)


def _serve(context: Context, pool: Pool, gang: Gang, step: Step) -> Reason | None:
    queue, queues = context.queue_of(gang), context.snapshot.queues
    if (refusal := _not_owed(context, queue, step) or context.patience(gang)) is not None:
        return refusal
    rule = ReclaimRule(
        queues,
        context.snapshot.podgroups.queue_idx,
        context.ledger.queue_allocated,
        context.owed,
        queue=queue,
        cost=step.cost,
        saturation=context.options.reclaim_saturation,
    )
    others = [leaf for leaf in pool.queues if leaf != queue]
    victims = [leaf for leaf in others if rule.may_take_from(leaf)]
    if not victims:
        nobody = Reason(ReasonCode.NO_VICTIMS, {"queue": queues.names[queue]})
        return (_proof(context, pool, rule, step, others) if others else None) or nobody
    leaves = {
        leaf: LeafLine(pool, leaf, protected=lambda row: not context.reclaimable_now(row, queue)) for leaf in victims
    }
    line = VictimLine(queues, context.ledger.queue_allocated, context.ranker, leaves)
    candidates = Candidates(
        line,
        freeable=lambda: pool.freeable(pool.all & np.isin(context.snapshot.podgroups.queue_idx, victims)),
        largest=pool.largest_pod,
        proof=cache(lambda: _proof(context, pool, rule, step, others)),  # a search asks in its course and at its end
    )
    return search(context, pool, gang, step, candidates, rule, action=ACTION)


def _not_owed(context: Context, queue: int, step: Step) -> Reason | None:
    """A queue may reclaim up to its fair share."""
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


def _proof(context: Context, pool: Pool, rule: ReclaimRule, step: Step, leaves: list[int]) -> Reason | None:
    """What all other queues together could give is not enough."""
    ledger, snapshot = context.ledger, context.snapshot
    preemptible = ledger.queue_allocated - ledger.queue_non_preemptible
    nothing = (0,) * len(step.cost)
    held = {leaf: tuple(preemptible[leaf].tolist()) for leaf in leaves}
    largest = {leaf: pool.largest.get(leaf, nothing) for leaf in leaves}
    return cannot_reclaim(snapshot, ledger.room(), rule, step.cost, held, largest)
