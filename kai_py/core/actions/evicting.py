"""What reclaim, preemption and consolidation have in common: serve podgroups in line, search victims for each."""

from __future__ import annotations

from collections.abc import Callable

from kai_py.core.actions.context import Context
from kai_py.core.gangs.order import podgroup_rank
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action
from kai_py.core.queues.gates import overrun
from kai_py.core.queues.line import Line
from kai_py.core.result import Reason
from kai_py.core.victims.candidates import Candidate
from kai_py.core.victims.search import Search

#: Makes room for one podgroup's step; None on success, else why not.
Serve = Callable[[Context, Gang, Step], Reason | None]


def serve_in_line(context: Context, action: Action, serve: Serve) -> None:
    """Offer an action to every podgroup whose minimum, or growth, found no place; each at most once."""
    steps: dict[int, Step] = {}
    line = Line(context.snapshot.queues, context.ranker, cost=lambda podgroup: steps[podgroup].cost)
    for rank, gang, step in context.line_up(action):
        steps[gang.podgroup] = step
        line.add(context.queue_of(gang), gang.podgroup, rank)
    line.build()
    while (podgroup := line.pop()) is not None:
        gang, step = context.gangs[podgroup], steps[podgroup]
        context.considered += 1
        if (reason := serve(context, gang, step)) is None:
            context.grant(step)
            context.helpless.pop(podgroup, None)
        else:
            context.helpless[podgroup] = reason


def search(context: Context, gang: Gang, step: Step, action: Action) -> Search:
    """A search for a step, with the gate of its queue."""
    queue, preemptible = context.queue_of(gang), context.preemptible(gang)
    return Search(
        step,
        context.placer,
        context.transaction,
        action=action,
        gate=lambda: overrun(context.ledger, queue, step.cost, preemptible=preemptible),
    )


def candidate(context: Context, podgroup: int) -> Candidate:
    """A running podgroup as a possible victim."""
    table = context.snapshot.podgroups
    gang = context.gang(podgroup)
    return podgroup_rank(table, gang), table.queue_idx.item(podgroup), context.running.chunks(podgroup)
