"""Preempt: within a queue, the more important podgroup takes the place of less important ones."""

from __future__ import annotations

from kai_py.core.actions.context import Context
from kai_py.core.actions.evicting import search, serve_in_line
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.victims.candidates import LeafLine, Pool
from kai_py.core.victims.rules import LessImportant
from kai_py.core.victims.search import Candidates

ACTION = Action.PREEMPT


def preempt(context: Context) -> None:
    """Serve podgroups at the expense of preemptible ones of strictly lower priority in the same queue."""
    serve_in_line(context, ACTION, _serve)


def _serve(context: Context, pool: Pool, gang: Gang, step: Step) -> Reason | None:
    if (refusal := context.patience(gang)) is not None:
        return refusal
    queue, podgroups = context.queue_of(gang), context.snapshot.podgroups
    priority = podgroups.priority.item(gang.podgroup)
    if pool.lowest_priority(queue) >= priority:
        return Reason(ReasonCode.NO_VICTIMS, {"queue": context.snapshot.queues.names[queue]})
    lower = podgroups.priority < priority
    line = LeafLine(pool, queue, eligible=lower.item, protected=lambda row: not context.preemptible_now(row))
    if line.peek() is None:
        return Reason(ReasonCode.NO_VICTIMS, {"queue": context.snapshot.queues.names[queue]})
    theirs = lower & (podgroups.queue_idx == queue)
    candidates = Candidates(line, lambda: pool.freeable(pool.all & theirs), pool.largest_pod)
    return search(context, pool, gang, step, candidates, LessImportant(theirs), action=ACTION)
