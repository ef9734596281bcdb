"""Stale gang eviction: a gang that lost members and got no replacement in time holds devices for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.gangs.members import Subgroup, leaves
from kai_py.core.options import Action
from kai_py.core.tables.pods import NONE
from kai_py.core.victims.chunks import Running

ACTION = Action.STALE_GANG_EVICTION


def evict_stale_gangs(context: Context) -> None:
    """End what is left of gangs below their minimum, once the grace period is over; note those seen for the first time.

    A podgroup that has what it needs but for one subgroup below its own minimum loses that subgroup only. Gangs with a
    succeeded pod are on their way to their end and are never stale.
    """
    running = context.running
    for podgroup in _below_minimum(context):
        if not context.snapshot.podgroups.finishing(podgroup):
            context.isolated(podgroup, _end_if_stale, context, running, podgroup)


def _end_if_stale(context: Context, running: Running, podgroup: int) -> None:
    broken = list(_broken(context, running, context.members.tree(podgroup)))
    if not broken:
        return
    context.stale.append(podgroup)
    if context.grace_over(podgroup):
        for subgroup in broken:
            for leaf in leaves(subgroup):
                for pod in running.pods(leaf.row):
                    context.transaction.evict(pod, action=ACTION, preemptor=NONE)


def _below_minimum(context: Context) -> list[int]:
    """Rows of podgroups with a leaf that has pods, but fewer than its minimum. Most cycles find none, at once."""
    subgroups, active = context.snapshot.subgroups, context.ledger.active
    leaves_below = subgroups.leaf & (active < subgroups.min_member)
    suspects = np.unique(subgroups.podgroup_idx[leaves_below])
    alive = np.bincount(subgroups.podgroup_idx, weights=active, minlength=len(context.snapshot.podgroups)) > 0
    return [int(row) for row in suspects if alive[row]]


def _broken(context: Context, running: Running, subgroup: Subgroup) -> Iterator[Subgroup]:
    """The outermost subgroups that have pods, but less than their minimum."""
    if not any(running.pods(leaf.row) for leaf in leaves(subgroup)):
        return
    if not context.gang(context.snapshot.subgroups.podgroup_idx.item(subgroup.row)).satisfied(subgroup):
        yield subgroup
        return
    for child in subgroup.children:
        yield from _broken(context, running, child)
