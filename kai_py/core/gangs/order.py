"""The order of podgroups within a queue."""

from __future__ import annotations

from kai_py.core.gangs.steps import Gang
from kai_py.core.tables.podgroups import PodGroupTable

PodGroupRank = tuple[int, int, float, str, int]

BELOW_MINIMUM, AT_MINIMUM, ABOVE_MINIMUM = range(3)


def podgroup_rank(podgroups: PodGroupTable, row: int, stage: int) -> PodGroupRank:
    """Sort key: higher priority first, then who is below its minimum, then age, then uid, then the table's order."""
    return -podgroups.priority.item(row), stage, podgroups.created.item(row), podgroups.keys[row].uid, row


def growth_stage(gang: Gang) -> int:
    """Whether a podgroup is below its minimum, has exactly that, or has grown beyond it."""
    if not gang.satisfied(gang.root):
        return BELOW_MINIMUM
    return ABOVE_MINIMUM if gang.surplus() else AT_MINIMUM
