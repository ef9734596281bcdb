"""Consolidate: move preemptible pods together so that a podgroup fits; nobody loses its place."""

from __future__ import annotations

from functools import partial

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.actions.evicting import search, serve_in_line
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action, Strategy
from kai_py.core.resources import ACCOUNTED, GPU, Mask
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.victims.candidates import Pool
from kai_py.core.victims.moves import Movers
from kai_py.core.victims.rules import NobodyLost
from kai_py.core.victims.search import Candidates

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
    movers = Movers(context.ledger, context.running, pool, _rested(context))
    largest = max(step.pods, key=partial(_gpus, context))
    chunks = movers.chunks(context.placer.view(context.snapshot.pods.class_idx.item(largest)), step)
    candidates = Candidates(chunks, lambda: movers.freeable, pool.largest_pod)
    rule = NobodyLost(context.options.consolidation_limit)
    return search(context, pool, gang, step, candidates, rule, action=ACTION)


def _gpus(context: Context, pod: int) -> int:
    snapshot = context.snapshot
    return snapshot.classes.costs[snapshot.pods.class_idx.item(pod)][_GPU]


def _rested(context: Context) -> Mask:
    """``(G,)`` podgroups that may be moved: who has just been evicted is left in peace for a while.

    Nor is anybody moved away from those that it has to be near to.
    """
    history, topologies = context.snapshot.podgroups.history, context.snapshot.topologies
    rested = np.ones(len(context.snapshot.podgroups), dtype=np.bool_)
    if history is not None:
        rested &= history.evicted + context.options.consolidation_pause <= context.snapshot.now
    if topologies is not None:
        rested &= ~topologies.fixed
    return rested


def _not_in_sum(context: Context, step: Step) -> Reason | None:
    """What is free or about to be, over all nodes, is less than what is asked for: moving cannot help."""
    axis, room = context.snapshot.axis, context.ledger.room()
    for a, asked in enumerate(step.cost):
        if asked > room.item(a):
            details = {"resource": axis.accounted[a], "requested": asked, "free": room.item(a)}
            return Reason(ReasonCode.NOT_ENOUGH_RECLAIMABLE, details)
    return None
