"""The tree of a podgroup's subgroups as rows."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from kai_py.api.podgroup import SubGroup
from kai_py.cluster.membership import GroupSpec
from kai_py.core.tables.podgroups import ALL


class SubGroupRow(NamedTuple):
    """One subgroup. ``parent`` counts from the podgroup's first row; -1 for the root, which comes first."""

    name: str
    parent: int
    leaf: bool
    min_member: int
    min_subgroups: int


@lru_cache(maxsize=1024)
def single_leaf(min_member: int) -> tuple[SubGroupRow, ...]:
    """A podgroup without subgroups: its root holds the pods."""
    return (SubGroupRow("", -1, True, min_member, 0),)


def subgroup_rows(spec: GroupSpec) -> tuple[SubGroupRow, ...]:
    """Rows of a sound spec (no cycles, no unknown parents): the root, then all subgroups sorted by name."""
    if not spec.sub_groups:
        return single_leaf(1 if spec.min_member is None else spec.min_member)
    subgroups = sorted(spec.sub_groups, key=lambda subgroup: subgroup.name)
    row_of = {"": 0} | {subgroup.name: row for row, subgroup in enumerate(subgroups, start=1)}
    parents = {subgroup.parent for subgroup in subgroups}
    root = SubGroupRow("", -1, False, 0, ALL if spec.min_sub_group is None else spec.min_sub_group)
    return (root, *(_row(one, row_of[one.parent], leaf=one.name not in parents) for one in subgroups))


def _row(subgroup: SubGroup, parent: int, *, leaf: bool) -> SubGroupRow:
    if leaf:
        return SubGroupRow(subgroup.name, parent, True, 1 if subgroup.min_member is None else subgroup.min_member, 0)
    needed = ALL if subgroup.min_sub_group is None else subgroup.min_sub_group
    return SubGroupRow(subgroup.name, parent, False, 0, needed)
