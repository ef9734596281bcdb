"""Podgroups: from objects where there are any, from the pods' owners otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kai_py.api.keys import DEFAULT_QUEUE, NON_PREEMPTIBLE_PRIORITY, QUEUE_LABEL
from kai_py.api.podgroup import PodGroup
from kai_py.cluster.encode.podgroup import SubGroupRow, single_leaf, subgroup_rows
from kai_py.cluster.encode.support import unsupported_by_group
from kai_py.cluster.encode.times import seconds
from kai_py.cluster.membership import GroupSpec, Membership
from kai_py.cluster.priorities import PriorityBook
from kai_py.cluster.rows import Slots, SortedRows
from kai_py.core.resources import Rows
from kai_py.core.result import ReasonCode
from kai_py.core.tables.podgroups import GroupKey, PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import PodKey
from kai_py.core.tables.queues import QueueTable
from kai_py.errors import Fault

Name = tuple[str, str]
Blocked = tuple[ReasonCode, dict[str, str]]


@dataclass
class Group:
    """One podgroup that has unfinished pods.

    Attributes:
        name: (namespace, name).
        members: its unfinished pods.
        membership: what the pod grouper says, as of the pod that came last.
        problems: pods of it that cannot be scheduled as they are, and why.
        key: identity of its row, once it has one.
        queue: name of the queue that it asks for.
    """

    name: Name
    membership: Membership
    members: set[PodKey] = field(default_factory=set)
    problems: dict[PodKey, Blocked] = field(default_factory=dict)
    created: float = 0.0
    key: GroupKey | None = None
    queue: str = ""
    rows: tuple[SubGroupRow, ...] = ()


class GroupBook:
    """All podgroups with unfinished pods, and all PodGroup objects."""

    def __init__(self, priorities: PriorityBook) -> None:
        self.groups: dict[Name, Group] = {}
        self.objects: dict[Name, PodGroup] = {}
        self.malformed: dict[Name, Fault] = {}
        self.leaves = Slots()
        self._queues = Slots()
        self._priorities = priorities
        self._rows: SortedRows[GroupKey] = SortedRows(
            queue=np.int32, priority=np.int32, preemptible=np.bool_, created=np.float64, size=np.int32
        )
        self._subrows: SortedRows[tuple[str, str, str, int]] = SortedRows(
            name=object, parent=np.int32, leaf=np.bool_, min_member=np.int32, min_subgroups=np.int32, slot=np.int32
        )
        self._blocked: dict[GroupKey, Blocked] = {}

    # -- what the watches say ----------------------------------------------------------------------

    def join(self, pod: PodKey, membership: Membership, created: float, problem: Blocked | None) -> None:
        """A pod is, or still is, a member."""
        group = self.groups.get(membership.key)
        if group is None:
            group = self.groups[membership.key] = Group(membership.key, membership, created=created)
        fresh = pod not in group.members
        group.members.add(pod)
        was = group.problems.pop(pod, None)
        if problem is not None:
            group.problems[pod] = problem
        if group.key is None or group.membership != membership or created < group.created or was != problem or fresh:
            group.membership = membership
            group.created = min(group.created, created)
            self._refresh(group)

    def leave(self, pod: PodKey, name: Name) -> None:
        """A pod is gone or finished; the last one takes the row along."""
        group = self.groups[name]
        group.members.discard(pod)
        group.problems.pop(pod, None)
        if group.members:
            self._refresh(group)
        else:
            self._erase(group)
            del self.groups[name]

    def put(self, podgroup: PodGroup) -> bool:
        """Take in an object; tells whether anything that matters changed."""
        name = podgroup.metadata.key
        before = self.objects.get(name)
        self.objects[name] = podgroup
        self.malformed.pop(name, None)
        if before is not None and _same(before, podgroup):
            return False
        return self._changed(name)

    def put_malformed(self, name: Name, fault: Fault) -> bool:
        """An object that cannot be read; its pods wait."""
        self.objects.pop(name, None)
        self.malformed[name] = fault
        return self._changed(name)

    def drop(self, name: Name) -> bool:
        """Forget an object."""
        self.malformed.pop(name, None)
        return self.objects.pop(name, None) is not None and self._changed(name)

    def priorities_changed(self) -> None:
        """A PriorityClass came, went or changed."""
        for group in self.groups.values():
            self._refresh(group)

    def _changed(self, name: Name) -> bool:
        group = self.groups.get(name)
        if group is not None:
            self._refresh(group)
        return group is not None

    # -- rows --------------------------------------------------------------------------------------

    def _refresh(self, group: Group) -> None:
        """Write the group's rows anew."""
        podgroup = self.objects.get(group.name)
        spec: GroupSpec | None = podgroup.spec if podgroup else group.membership.group
        rows = subgroup_rows(spec) if spec is not None else single_leaf(1)
        key = GroupKey(*group.name, podgroup.metadata.uid if podgroup else "")
        if group.key != key or group.rows != rows:
            self._erase(group)
            group.key, group.rows = key, rows
            for number, row in enumerate(rows):
                self._subrows.put((*key, number), *row, self.leaves.take((*group.name, row.name)))
        queue = self._queue(group, podgroup)
        if group.queue != queue:
            self._queues.take(queue)
            if group.queue:
                self._queues.give_back(group.queue)
            group.queue = queue
        priority = self._priority(group, podgroup)
        created = seconds(podgroup.metadata.creation_timestamp) if podgroup else group.created
        preemptible = _preemptible(spec, priority)
        self._rows.put(key, self._queues.number(queue), priority, preemptible, created, len(rows))
        blocked = self._block(group, podgroup)
        if blocked is None:
            self._blocked.pop(key, None)
        else:
            self._blocked[key] = blocked

    def _erase(self, group: Group) -> None:
        if group.key is None:
            return
        self._rows.drop(group.key)
        for number, row in enumerate(group.rows):
            self._subrows.drop((*group.key, number))
            self.leaves.give_back((*group.name, row.name))
        if group.queue:
            self._queues.give_back(group.queue)
        self._blocked.pop(group.key, None)
        group.key, group.queue, group.rows = None, "", ()

    def _queue(self, group: Group, podgroup: PodGroup | None) -> str:
        derived = group.membership.group
        said = (podgroup.spec.queue or podgroup.metadata.labels.get(QUEUE_LABEL, "")) if podgroup else ""
        return said or (derived.queue if derived else "") or DEFAULT_QUEUE

    def _priority(self, group: Group, podgroup: PodGroup | None) -> int:
        derived = group.membership.group
        said = podgroup.spec.priority_class_name if podgroup else ""
        return self._priorities.value(said or (derived.priority_class if derived else ""))

    def _block(self, group: Group, podgroup: PodGroup | None) -> Blocked | None:
        if (fault := self.malformed.get(group.name)) is not None:
            return ReasonCode.PODGROUP_INVALID, {"field": fault.field, "message": fault.message}
        derived = group.membership.group
        if podgroup is None and derived is None:
            return ReasonCode.PODGROUP_MISSING, {"podGroup": group.name[1]}
        topology = podgroup.spec.topology_constraint if podgroup else derived.topology if derived else None
        subgroups = podgroup.spec.sub_groups if podgroup else derived.sub_groups if derived else ()
        if (unsupported := unsupported_by_group(topology, subgroups)) is not None:
            return ReasonCode.UNSUPPORTED, {"object": f"PodGroup {'/'.join(group.name)}", "field": unsupported}
        if group.problems and len(group.problems) == len(group.members):
            return group.problems[min(group.problems)]
        return None

    # -- tables ------------------------------------------------------------------------------------

    def tables(self, queues: QueueTable, queue_rows: Mapping[str, int]) -> tuple[PodGroupTable, SubGroupTable, Rows]:
        """The tables, and ``(slots + 1,)`` the subgroup row of each leaf slot."""
        self._rows.settle()
        self._subrows.settle()
        keys, of_group = self._rows.share()
        _, of_sub = self._subrows.share()
        sizes = of_group["size"]
        offset = np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(sizes, dtype=np.int32)])
        podgroup_idx = np.repeat(np.arange(len(keys), dtype=np.int32), sizes)
        queue_idx = self._queues.rows(queue_rows)[of_group["queue"]]
        leaf_rows, misplaced = self._leaf_rows(of_sub, offset)
        podgroups = PodGroupTable(
            keys=keys,
            queue_idx=queue_idx,
            priority=of_group["priority"],
            preemptible=of_group["preemptible"],
            created=of_group["created"],
            blocked={**misplaced, **dict(self._blocked_rows(queues, queue_idx))},
            offset=offset,
        )
        parent = np.where(of_sub["parent"] < 0, -1, of_sub["parent"] + offset[podgroup_idx]).astype(np.int32)
        subgroups = SubGroupTable(
            names=tuple(of_sub["name"].tolist()),
            podgroup_idx=podgroup_idx,
            parent=parent,
            leaf=of_sub["leaf"],
            min_member=of_sub["min_member"],
            min_subgroups=of_sub["min_subgroups"],
        )
        return podgroups, subgroups, leaf_rows

    def _leaf_rows(self, of_sub: Mapping[str, NDArray[Any]], offset: Rows) -> tuple[Rows, dict[int, Blocked]]:
        """``(slots + 1,)`` the subgroup row of each leaf slot, and podgroups with pods that name no leaf of theirs."""
        leaf_rows = np.full(self.leaves.size + 1, -1, dtype=np.int32)
        leaves = np.flatnonzero(of_sub["leaf"])  # inner subgroups hold no pods
        leaf_rows[of_sub["slot"][leaves]] = leaves
        misplaced: dict[int, Blocked] = {}
        for slot, (namespace, name, subgroup) in self.leaves.names(np.flatnonzero(leaf_rows[:-1] < 0).tolist()).items():
            group = self.groups.get((namespace, name))
            if group is None or group.key is None or any(row.name == subgroup and not row.leaf for row in group.rows):
                continue
            row = self._rows.row(group.key)
            assert row is not None
            if len(group.rows) == 1:  # without subgroups the label means nothing
                leaf_rows[slot] = offset[row]
            else:
                misplaced[row] = (ReasonCode.SUBGROUP_MISSING, {"podGroup": name, "subGroup": subgroup})
        return leaf_rows, misplaced

    def _blocked_rows(self, queues: QueueTable, queue_idx: Rows) -> Iterator[tuple[int, Blocked]]:
        for row in np.flatnonzero((queue_idx < 0) | ~np.append(queues.leaf, True)[queue_idx]).tolist():
            name = self.groups[self._rows.keys[row][:2]].queue
            code = ReasonCode.QUEUE_MISSING if queue_idx[row] < 0 else ReasonCode.QUEUE_NOT_LEAF
            yield row, (code, {"queue": name})
        for key, blocked in self._blocked.items():
            if (row_ := self._rows.row(key)) is not None:
                yield row_, blocked


def _preemptible(spec: GroupSpec | None, priority: int) -> bool:
    """What the podgroup says itself, else KAI's rule: below priority 100 it is."""
    if spec is not None and spec.preemptibility:
        return spec.preemptibility == "preemptible"
    return priority < NON_PREEMPTIBLE_PRIORITY


def _same(one: PodGroup, other: PodGroup) -> bool:
    """Whether two versions are the same to the scheduler; our own status writes and annotations do not matter."""
    return (
        one.spec == other.spec
        and one.metadata.uid == other.metadata.uid
        and one.metadata.labels.get(QUEUE_LABEL) == other.metadata.labels.get(QUEUE_LABEL)
    )
