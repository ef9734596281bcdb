"""Consolidate: move preemptible pods together so that a podgroup fits; nobody loses its place."""

from __future__ import annotations

from itertools import chain

from kai_py.core.actions.context import Context
from kai_py.core.actions.evicting import search, serve_in_line
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action, Strategy
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.victims.candidates import Pool
from kai_py.core.victims.rules import NobodyLost

ACTION = Action.CONSOLIDATE


def consolidate(context: Context) -> None:
    """Serve preemptible podgroups that fit the cluster in sum but no node; spreading and this exclude each other."""
    if Strategy.SPREAD in (context.options.gpu, context.options.cpu) or context.options.consolidation_limit == 0:
        return
    serve_in_line(context, ACTION, _serve)


def _serve(context: Context, pool: Pool, gang: Gang, step: Step) -> Reason | None:
    if not context.preemptible(gang):
        return Reason(ReasonCode.NO_VICTIMS, {})
    if (refusal := _not_in_sum(context, step)) is not None:
        return refusal
    movable = (row for row in pool.cheapest if row != gang.podgroup)
    chunks = chain.from_iterable(map(context.running.chunks, movable))
    return search(context, gang, step, chunks, NobodyLost(context.options.consolidation_limit), action=ACTION)


def _not_in_sum(context: Context, step: Step) -> Reason | None:
    """What is free or about to be, over all nodes, is less than what is asked for: moving cannot help."""
    ledger, axis = context.ledger, context.snapshot.axis
    room = (ledger.free + ledger.releasing)[context.snapshot.nodes.ready].clip(min=0).sum(axis=0) @ axis.accounting
    for a, asked in enumerate(step.cost):
        if asked > room.item(a):
            details = {"resource": axis.accounted[a], "requested": asked, "free": room.item(a)}
            return Reason(ReasonCode.NOT_ENOUGH_RECLAIMABLE, details)
    return None
