"""Pods as columns."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kai_py.core.resources import Mask, Rows

NONE = -1


class PodState(IntEnum):
    """Where a pod stands. A cycle moves pods among the first, the fourth and the last two.

    ``RELEASING`` pods hold their node but will be gone soon; ``STUCK`` ones have been leaving for so long that nobody
    may count on it. ``ALLOCATED`` and ``NOMINATED`` exist only inside a cycle, and in snapshots as
    ``BOUND`` and ``PENDING``. (KAI calls a nominated pod *pipelined*.)
    """

    PENDING = 0
    GATED = 1
    BOUND = 2
    RELEASING = 3
    STUCK = 4
    ALLOCATED = 5
    NOMINATED = 6


#: Hold capacity of their node now.
USING = (PodState.BOUND, PodState.RELEASING, PodState.STUCK, PodState.ALLOCATED)
#: Count as members that a gang has.
ACTIVE = (PodState.BOUND, PodState.ALLOCATED, PodState.NOMINATED)
#: The same by state, for columns of states: ``IS_ACTIVE[states]``.
IS_ACTIVE: Mask = np.isin(np.arange(len(PodState)), ACTIVE)
IS_ACTIVE.flags.writeable = False


class PodKey(NamedTuple):
    """Identity of a pod."""

    namespace: str
    name: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Budgets:
    """PodDisruptionBudgets.

    Attributes:
        allowed: ``(B,)`` evictions that each allows now.
        of_pod: ``(P,)`` row of the tightest budget that a pod is under; ``NONE`` = of none.
    """

    allowed: Rows
    of_pod: Rows


@dataclass(frozen=True)
class PodTable:
    """The unfinished pods of a snapshot, sorted by (namespace, name); other schedulers' pods hold capacity too.

    Attributes:
        keys: ``(P,)``
        class_idx: ``(P,)`` row in the class table.
        subgroup_idx: ``(P,)`` row of the leaf subgroup; ``NONE`` for pods that are not ours to schedule.
        node_idx: ``(P,)`` row in the node table; ``NONE`` = no node, or a node that is gone.
        state: ``(P,)`` ``PodState``.
        task_priority: ``(P,)`` the user's order within a podgroup, larger first; pods without the label are last.
        created: ``(P,)`` seconds since the epoch.
        held_idx: ``(P,)`` node row that is held for a pending pod, because others were evicted for it; None = nobody's.
        replaceable: ``(P,)`` has a controller that makes it anew when it is evicted; None = all have.
        rank: ``(P,)`` its index among the pods of its workload, ``NONE`` for those without; None = nobody has one.
    """

    keys: tuple[PodKey, ...]
    class_idx: Rows
    subgroup_idx: Rows
    node_idx: Rows
    state: NDArray[np.uint8]
    task_priority: NDArray[np.int64]
    created: NDArray[np.float64]
    held_idx: Rows | None = None
    replaceable: Mask | None = None
    rank: Rows | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def can_move(self, row: int) -> bool:
        """Whether a pod comes back when it is evicted."""
        return self.replaceable is None or self.replaceable.item(row)
