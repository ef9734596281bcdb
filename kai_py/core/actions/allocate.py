"""Allocate: start what fits, queue by queue in the order of fairness, every gang whole or not at all."""

from __future__ import annotations

from functools import partial

from kai_py.core.actions.context import Context
from kai_py.core.gangs.steps import Gang, Growth, Step
from kai_py.core.options import Action
from kai_py.core.queues.gates import capacity_gate
from kai_py.core.queues.line import Line
from kai_py.core.result import Reason, ReasonCode

ACTION = Action.ALLOCATE

#: A refused step of growth may leave room for another one; a refused queue does not.
_ABOUT_PLACES = (
    ReasonCode.UNSCHEDULABLE,
    ReasonCode.GANG_DOES_NOT_FIT,
    ReasonCode.DOMAINS_TOO_SMALL,
    ReasonCode.SUBGROUP_TOO_LARGE,
    ReasonCode.SUBGROUPS_COLLIDE,
    ReasonCode.MEMBERS_APART,
    ReasonCode.DEVICES_UNAVAILABLE,
    ReasonCode.CLAIM_IN_FULL_USE,
)


def allocate(context: Context) -> None:
    """Serve podgroups until none is left that fits. Changes the context's transaction and refusals."""
    steps: dict[int, Step] = {}
    exhausted: dict[int, set[Growth]] = {}
    line = Line(context.snapshot.queues, context.ranker, cost=lambda podgroup: steps[podgroup].cost)
    for rank, gang, step in context.line_up(ACTION):
        steps[gang.podgroup] = step
        line.add(context.queue_of(gang), gang.podgroup, rank)
    line.build()
    while (podgroup := line.pop()) is not None:
        gang, step = context.gangs[podgroup], steps[podgroup]
        context.considered += 1
        if (reason := context.isolated(podgroup, partial(_serve, context, gang, step))) is None:
            context.grant(step)
        else:
            context.refuse(step, reason)
            if step.growth is None or reason.code not in _ABOUT_PLACES:
                continue
            exhausted.setdefault(podgroup, set()).add(step.growth)
        if (following := gang.next_step(exhausted.get(podgroup, ()))) is not None:
            steps[podgroup] = following
            line.push(context.queue_of(gang), podgroup, context.rank(gang))


def _serve(context: Context, gang: Gang, step: Step) -> Reason | None:
    refusal = capacity_gate(context.ledger, context.queue_of(gang), step.cost, preemptible=context.preemptible(gang))
    if refusal is not None:
        return refusal
    return context.placer.place(gang, step, context.transaction, action=ACTION)
