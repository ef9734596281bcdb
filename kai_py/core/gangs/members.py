"""Who belongs to whom among the waiting: podgroup → subgroups → pods in the order in which they are placed."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from kai_py.core.tables.podgroups import ALL
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.snapshot import Snapshot


class Subgroup(NamedTuple):
    """A subgroup of a podgroup that has pods waiting.

    Attributes:
        row: in the table of subgroups.
        name: empty for the root.
        leaf: leaves hold pods, others hold subgroups.
        minimum: how many pods a leaf needs, or how many children an inner subgroup needs.
        children: by name.
    """

    row: int
    name: str
    leaf: bool
    minimum: int
    children: tuple[Subgroup, ...] = ()


class Members:
    """The waiting pods of a snapshot by leaf subgroup, and the trees of their podgroups.

    Built once per cycle, in time that depends on how many wait and not on how many run. Whether a pod is still
    pending is the ledger's knowledge, not ours.

    Attributes:
        pending: rows of the pods that were pending when the cycle began, by leaf, in the order of their placement.
        gated: the same for pods that scheduling gates hold back, in the order of the table.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._others: dict[int, Subgroup] = {}
        pods = snapshot.pods
        self.pending: dict[int, list[int]] = {}
        self.gated: dict[int, list[int]] = {}
        waiting = np.flatnonzero((pods.subgroup_idx != NONE) & (pods.state <= PodState.GATED))
        pending = (pods.state[waiting] == PodState.PENDING).tolist()
        for pod, leaf, is_pending in zip(waiting.tolist(), pods.subgroup_idx[waiting].tolist(), pending, strict=True):
            (self.pending if is_pending else self.gated).setdefault(leaf, []).append(pod)
        for members in self.pending.values():
            if len(members) > 1:
                members.sort(key=self.placing_order)

    def placing_order(self, pod: int) -> tuple[int, float, str, int]:
        """The user's order first (larger first), then age, then uid."""
        pods = self._snapshot.pods
        return -pods.task_priority.item(pod), pods.created.item(pod), pods.keys[pod].uid, pod

    @cached_property
    def trees(self) -> dict[int, Subgroup]:
        """Root subgroup by podgroup, for podgroups with pending or gated pods, in the order of the table."""
        if not self.pending and not self.gated:
            return {}
        table = self._snapshot.subgroups
        rows = np.unique(table.podgroup_idx[[*self.pending, *self.gated]])
        roots = self._snapshot.podgroups.offset[rows]
        columns = rows.tolist(), roots.tolist(), table.leaf[roots].tolist(), table.min_member[roots].tolist()
        return {
            row: Subgroup(root, table.names[root], leaf=True, minimum=minimum) if leaf else self._tree(row)
            for row, root, leaf, minimum in zip(*columns, strict=True)
        }

    def tree(self, podgroup: int) -> Subgroup:
        """Root subgroup of any podgroup, whether it has pods waiting or not."""
        found = self.trees.get(podgroup) or self._others.get(podgroup)
        if found is None:
            found = self._others[podgroup] = self._tree(podgroup)
        return found

    def _tree(self, podgroup: int) -> Subgroup:
        offset, parent = self._snapshot.podgroups.offset, self._snapshot.subgroups.parent
        root, end = offset.item(podgroup), offset.item(podgroup + 1)
        children: dict[int, list[int]] = {}
        for row in range(root + 1, end):
            children.setdefault(parent.item(row), []).append(row)
        return self._subgroup(root, children)

    def _subgroup(self, row: int, children: dict[int, list[int]]) -> Subgroup:
        table = self._snapshot.subgroups
        if table.leaf.item(row):
            return Subgroup(row, table.names[row], leaf=True, minimum=table.min_member.item(row))
        below = tuple(self._subgroup(child, children) for child in children.get(row, ()))
        needed = table.min_subgroups.item(row)
        minimum = len(below) if needed == ALL else needed
        return Subgroup(row, table.names[row], leaf=False, minimum=minimum, children=below)


def leaves(subgroup: Subgroup) -> tuple[Subgroup, ...]:
    """The leaves at or below a subgroup, by name at each level."""
    if subgroup.leaf:
        return (subgroup,)
    return tuple(leaf for child in subgroup.children for leaf in leaves(child))
