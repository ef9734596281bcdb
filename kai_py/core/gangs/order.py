"""The order of podgroups within a queue."""

from __future__ import annotations

from kai_py.core.gangs.steps import Gang
from kai_py.core.tables.podgroups import PodGroupTable

PodGroupRank = tuple[int, int, float, str, int]

#: Broken has pods that run without what they need: a member was lost, or a scheduler while it started them. They hold
#: what they have for nothing, until the rest comes or their grace is over.
BROKEN, BELOW_MINIMUM, AT_MINIMUM, ABOVE_MINIMUM = range(4)


class Order:
    """The order of podgroups within a queue."""

    def __init__(self, podgroups: PodGroupTable) -> None:
        self._keys = podgroups.keys
        self._priority, self._created = podgroups.priority.data, podgroups.created.data

    def rank(self, row: int, stage: int) -> PodGroupRank:
        """Sort key: higher priority first, then the stage, then age, then uid, then the table's order.

        Args:
            row: of the podgroup.
            stage: see :func:`growth_stage`.
        """
        return -self._priority[row], stage, self._created[row], self._keys[row].uid, row


def growth_stage(gang: Gang) -> int:
    """Whether a podgroup is below its minimum, broken or not begun, has exactly that, or has grown beyond it."""
    if not gang.satisfied(gang.root):
        return BROKEN if gang.begun() else BELOW_MINIMUM
    return ABOVE_MINIMUM if gang.surplus() else AT_MINIMUM
