"""What reclaim, preemption and consolidation have in common: serve podgroups in line, search victims for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kai_py.core.actions.context import Context
from kai_py.core.gangs.floor import below_floor
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action
from kai_py.core.queues.gates import overrun
from kai_py.core.queues.line import Line
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.transaction import Kind, Operation
from kai_py.core.tables.pods import PodState
from kai_py.core.victims.candidates import Pool
from kai_py.core.victims.rules import Rule
from kai_py.core.victims.search import Candidates, Search
from kai_py.core.victims.simulation import Simulation

#: Makes room for one podgroup's step; None on success, else why not.
Serve = Callable[[Context, Pool, Gang, Step], Reason | None]


def serve_in_line(context: Context, action: Action, serve: Serve) -> None:
    """Offer an action to every podgroup whose minimum, or growth, found no place; each at most once.

    What failed for one podgroup fails for its likes as long as nothing changes.
    """
    if not (waiting_by_queue := context.line_up(action)):
        return
    line = Line(context.snapshot.queues, context.ranker, waiting_by_queue)
    pool, failed, changed = context.pool(), dict[object, Reason](), set[int]()
    while (waiting := line.pop()) is not None:
        gang = waiting.gang
        podgroup = gang.podgroup
        # Who has given way since lines were formed may ask for something else now, or for nothing.
        step = gang.next_step() if podgroup in changed else waiting.step
        if step is None:
            continue
        context.considered += 1
        likes, before = _likes(context, gang, step), context.transaction.checkpoint()
        reason = failed.get(likes) or context.isolated(podgroup, serve, context, pool, gang, step)
        if reason is None:
            failed.clear()
            operations = context.transaction.journal[before:]
            if _ends_somebody(context, operations):  # what was freed at this price is not given away again
                context.settled.add(podgroup)
            context.made_way.add(podgroup)
            touched = {context.transaction.podgroup_of(operation.pod) for operation in operations}
            changed |= touched
            pool.touch(touched)
            context.grant(step)
            context.helpless.pop(podgroup, None)
        elif reason.code is not ReasonCode.INTERNAL_ERROR:  # which says nothing about its likes
            failed[likes] = reason
            if reason.code is not ReasonCode.NO_VICTIMS:  # which says nothing that the reader does not see
                context.helpless[podgroup] = reason


def _likes(context: Context, gang: Gang, step: Step) -> object:
    """What makes two podgroups the same to a search for victims."""
    table, row = context.snapshot.podgroups, gang.podgroup
    # Who must be patient for its own reasons, or grows by its own shape, is like nobody else.
    floored = row in table.floors
    own = row if floored or step.growth is not None or context.patience(gang) is not None else None
    return (
        own,
        table.queue_idx.item(row),
        table.priority.item(row),
        table.preemptible.item(row),
        step.classes,
        context.placer.wish(step),
    )


def search(
    context: Context, pool: Pool, gang: Gang, step: Step, candidates: Candidates, rule: Rule, *, action: Action
) -> Reason | None:
    """Search victims for a step, with the gate of its queue; None on success."""
    queue, preemptible = context.queue_of(gang), context.preemptible(gang)

    def gate() -> Reason | None:
        refusal = overrun(context.ledger, queue, step.cost, preemptible=preemptible)
        if refusal is None and step.growth is None:
            refusal = below_floor(context.ledger, gang.podgroup)
        return refusal

    simulation = Simulation(
        step,
        context.placer,
        context.transaction,
        action=action,
        gate=gate,
        rule=rule,
        made_way=context.made_way,
    )
    skip = context.snapshot.podgroups.searched.get((gang.podgroup, action), 0)
    run = Search(step, context.placer, context.ledger, simulation, pool.costs, skip=skip)
    refusal = run.run(candidates)
    if refusal is not None and run.next_skip:
        context.searched[gang.podgroup, action] = run.next_skip
    return refusal


def _ends_somebody(context: Context, operations: Sequence[Operation]) -> bool:
    """Whether anybody was evicted who has no other place."""
    state = context.ledger.state
    return any(one.kind is Kind.EVICT and state.item(one.pod) == PodState.RELEASING for one in operations)
