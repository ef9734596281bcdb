"""Consolidate: move preemptible pods together so that a podgroup fits; nobody loses its place."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, takewhile

from kai_py.core.actions.context import Context
from kai_py.core.actions.evicting import search, serve_in_line
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action, Strategy
from kai_py.core.resources import ACCOUNTED, GPU
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.victims.candidates import Pool
from kai_py.core.victims.chunks import Chunk, Running
from kai_py.core.victims.rules import NobodyLost

ACTION = Action.CONSOLIDATE
_GPU = ACCOUNTED.index(GPU)


def consolidate(context: Context) -> None:
    """Serve preemptible podgroups that fit the cluster in sum but no node; spreading and this exclude each other.

    Only for GPUs: nothing else is worth restarting others for.
    """
    if Strategy.SPREAD in (context.options.gpu, context.options.cpu) or context.options.consolidation_limit == 0:
        return
    serve_in_line(context, ACTION, _serve)


def _serve(context: Context, pool: Pool, gang: Gang, step: Step) -> Reason | None:
    if not context.preemptible(gang) or not step.cost[_GPU]:
        return Reason(ReasonCode.NO_VICTIMS, {})
    if (refusal := _not_in_sum(context, step)) is not None:
        return refusal
    running = context.running
    movable = (row for row in pool.cheapest if row != gang.podgroup)
    chunks = chain.from_iterable(_replaceable(context, running, row) for row in movable)
    return search(context, gang, step, chunks, NobodyLost(context.options.consolidation_limit), action=ACTION)


def _replaceable(context: Context, running: Running, row: int) -> Iterator[Chunk]:
    """Pieces of a podgroup that somebody makes anew when they are evicted: all others would be lost, not moved."""
    pods = context.snapshot.pods
    return takewhile(lambda chunk: all(map(pods.can_move, chunk.pods)), running.chunks(row))


def _not_in_sum(context: Context, step: Step) -> Reason | None:
    """What is free or about to be, over all nodes, is less than what is asked for: moving cannot help."""
    axis, room = context.snapshot.axis, context.ledger.room()
    for a, asked in enumerate(step.cost):
        if asked > room.item(a):
            details = {"resource": axis.accounted[a], "requested": asked, "free": room.item(a)}
            return Reason(ReasonCode.NOT_ENOUGH_RECLAIMABLE, details)
    return None
