"""Allocate: start what fits, queue by queue in the order of fairness, every gang whole or not at all."""

from __future__ import annotations

from kai_py.core.actions.context import Context, Waiting
from kai_py.core.gangs.steps import Growth
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
    exhausted: dict[int, set[Growth]] = {}
    line = Line(context.snapshot.queues, context.ranker, context.line_up(ACTION))
    while (waiting := line.pop()) is not None:
        gang, step = waiting.gang, waiting.step
        podgroup = gang.podgroup
        context.considered += 1
        if (reason := context.isolated(podgroup, _serve, context, waiting)) is None:
            context.grant(step)
        else:
            context.refuse(step, reason)
            if step.growth is None or reason.code not in _ABOUT_PLACES:
                continue
            exhausted.setdefault(podgroup, set()).add(step.growth)
        if (following := gang.next_step(exhausted.get(podgroup, ()))) is not None:
            line.push(context.waiting(gang, following))


def _serve(context: Context, waiting: Waiting) -> Reason | None:
    gang, step = waiting.gang, waiting.step
    refusal = capacity_gate(context.ledger, waiting.queue, step.cost, preemptible=context.preemptible(gang))
    return refusal or context.placer.place(gang, step, context.transaction, action=ACTION)
