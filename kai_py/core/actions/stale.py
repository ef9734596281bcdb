"""Stale gang eviction: a gang that lost members and got no replacement in time holds devices for nothing."""

from __future__ import annotations

from collections.abc import Iterator

from kai_py.core.actions.context import Context
from kai_py.core.gangs.members import Subgroup, leaves
from kai_py.core.options import Action
from kai_py.core.tables.pods import NONE

ACTION = Action.STALE_GANG_EVICTION


def evict_stale_gangs(context: Context) -> None:
    """End what is left of gangs below their minimum, once the grace period is over; note those seen for the first time.

    A podgroup that has what it needs but for one subgroup below its own minimum loses that subgroup only. Gangs with a
    succeeded pod are on their way to their end and are never stale.
    """
    for podgroup in context.running.podgroups:
        if context.snapshot.podgroups.finishing(podgroup):
            continue
        broken = list(_broken(context, context.snapshot_tree(podgroup)))
        if not broken:
            continue
        context.stale.append(podgroup)
        if context.grace_over(podgroup):
            for subgroup in broken:
                for leaf in leaves(subgroup):
                    for pod in context.running.pods(leaf.row):
                        context.transaction.evict(pod, action=ACTION, preemptor=NONE)


def _broken(context: Context, subgroup: Subgroup) -> Iterator[Subgroup]:
    """The outermost subgroups that have pods, but less than their minimum."""
    if not any(context.running.pods(leaf.row) for leaf in leaves(subgroup)):
        return
    if not context.gang(context.snapshot.subgroups.podgroup_idx.item(subgroup.row)).satisfied(subgroup):
        yield subgroup
        return
    for child in subgroup.children:
        yield from _broken(context, child)
