"""Who belongs to whom among the pending: podgroup → subgroups → pods in the order in which they are placed."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from kai_py.core.tables.podgroups import ALL
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.snapshot import Snapshot


class Members:
    """The pending pods of a snapshot by leaf subgroup, and the trees of their podgroups.

    Built once per cycle. Whether a pod is still pending is the ledger's knowledge, not ours.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        pods = snapshot.pods
        self.pending: dict[int, list[int]] = {}
        self.gated: dict[int, int] = {}
        waiting = np.flatnonzero((pods.subgroup_idx != NONE) & (pods.state <= PodState.GATED))
        for pod, leaf, state in zip(
            waiting.tolist(), pods.subgroup_idx[waiting].tolist(), pods.state[waiting].tolist(), strict=True
        ):
            if state == PodState.PENDING:
                self.pending.setdefault(leaf, []).append(pod)
            else:
                self.gated[leaf] = self.gated.get(leaf, 0) + 1
        for members in self.pending.values():
            if len(members) > 1:
                members.sort(key=self._placing_order)

    def _placing_order(self, pod: int) -> tuple[int, float, str]:
        """The user's order first (larger first), then age, then uid."""
        pods = self._snapshot.pods
        return -int(pods.task_priority[pod]), float(pods.created[pod]), pods.keys[pod].uid

    @cached_property
    def podgroups(self) -> tuple[int, ...]:
        """Rows of podgroups with pending or gated pods, ascending."""
        of = self._snapshot.subgroups.podgroup_idx
        return tuple(sorted({int(of[leaf]) for leaf in (*self.pending, *self.gated)}))

    def rows(self, podgroup: int) -> range:
        """Rows of a podgroup's subgroups, its root first."""
        offset = self._snapshot.podgroups.offset
        return range(int(offset[podgroup]), int(offset[podgroup + 1]))

    def children(self, subgroup: int) -> list[int]:
        """Rows of the direct children, by name."""
        subgroups = self._snapshot.subgroups
        siblings = self.rows(int(subgroups.podgroup_idx[subgroup]))
        return [row for row in siblings if subgroups.parent[row] == subgroup]

    def needed_children(self, subgroup: int) -> int:
        """How many children an inner subgroup needs."""
        needed = int(self._snapshot.subgroups.min_subgroups[subgroup])
        return len(self.children(subgroup)) if needed == ALL else needed
