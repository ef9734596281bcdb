"""Hold what was freed: who had others evicted keeps the place until it starts or gives up.

Without this, a podgroup for which others were ended could lose the place to whoever happens to be served first in the
next cycle, and the evictions would have been for nothing.
"""

from __future__ import annotations

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action
from kai_py.core.queues.gates import overrun
from kai_py.core.tables.pods import NONE


def renew(context: Context) -> None:
    """Give podgroups the places that are held for them, before anybody else is served.

    A podgroup whose step does not find all its held places any more gives up, and stands in line like everybody else.
    """
    held = context.snapshot.pods.held_idx
    if held is None:
        return
    for gang in context.gangs.values():
        context.isolated(gang.podgroup, _renew, context, gang, held)


def _renew(context: Context, gang: Gang, held: np.ndarray) -> None:
    step = gang.next_step()
    while step is not None and all(held.item(pod) != NONE for pod in step.pods):
        if not _renewed(context, gang, step, held):
            return
        step = gang.next_step()


def _renewed(context: Context, gang: Gang, step: Step, held: np.ndarray) -> bool:
    """Place a step where it is held: now, if there is room by now, else as a nomination again."""
    transaction, ledger = context.transaction, context.ledger
    start, grows_what_runs = transaction.checkpoint(), gang.has_started(step)
    if not context.placer.keeps_together(step, held[list(step.pods)].tolist()):
        return False
    for pod in step.pods:
        place = context.placer.view(context.snapshot.pods.class_idx.item(pod)).at(held.item(pod))
        if place is None:
            transaction.rollback(start)
            return False
        place.give(transaction, pod, action=Action.ALLOCATE)
    if overrun(ledger, context.queue_of(gang), step.cost, preemptible=context.preemptible(gang)) is not None:
        transaction.rollback(start)
        return False
    if not (grows_what_runs and gang.running(step.path)):
        transaction.nominate_instead(start, podgroup=gang.podgroup)
    return True
