"""The order of podgroups within a queue."""

from __future__ import annotations

from kai_py.core.gangs.steps import Gang
from kai_py.core.tables.podgroups import PodGroupTable

PodGroupRank = tuple[int, int, float, str, str]

BELOW_MINIMUM, AT_MINIMUM, ABOVE_MINIMUM = range(3)


def podgroup_rank(podgroups: PodGroupTable, gang: Gang) -> PodGroupRank:
    """Sort key: higher priority first, then who is below its minimum, then age, then uid."""
    row = gang.podgroup
    key = podgroups.keys[row]
    return -int(podgroups.priority[row]), _growth_stage(gang), float(podgroups.created[row]), key.uid, str(key)


def _growth_stage(gang: Gang) -> int:
    if not gang.satisfied(gang.root):
        return BELOW_MINIMUM
    return ABOVE_MINIMUM if gang.surplus() else AT_MINIMUM
