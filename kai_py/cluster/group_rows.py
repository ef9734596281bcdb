"""Podgroups as rows, and their tables. Most podgroups have no subgroups, so they cost one row and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kai_py.cluster.encode.podgroup import SubGroupRow
from kai_py.cluster.encode.topology import Constraints
from kai_py.cluster.history import Past
from kai_py.cluster.pods import Blocked
from kai_py.cluster.queues import QueueBook
from kai_py.cluster.rows import Slots, SortedRows
from kai_py.core.resources import Rows
from kai_py.core.result import ReasonCode
from kai_py.core.tables.podgroups import GroupKey, History, PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import NONE
from kai_py.core.tables.queues import QueueTable

#: Names of resources with base units.
Floor = tuple[tuple[str, int], ...]
Columns = Mapping[str, NDArray[Any]]


class GroupTables(NamedTuple):
    """All podgroups.

    Attributes:
        leaf_rows: ``(slots + 1,)`` the subgroup row of each leaf slot; the last one serves slot -1.
        constraints: what podgroups ask of topologies, by their rows.
    """

    podgroups: PodGroupTable
    subgroups: SubGroupTable
    leaf_rows: Rows
    constraints: Mapping[int, Constraints]


class GroupRow(NamedTuple):
    """One podgroup.

    Attributes:
        slot: the leaf slot of pods that name no subgroup.
        subgroups: the root first.
        slots: ``(len(subgroups),)`` leaf slots of the subgroups, -1 for inner ones.
        more: leaf slots of pods that name no leaf: in a podgroup without subgroups the label means nothing, in others
            it is a mistake.
        blocked: why it cannot be scheduled.
        past: what has happened to it.
        constraints: what it asks of topologies; None = nothing.
        whole: whether it is evicted as one.
        floor: what the cluster must have before it starts, in base units; None = nothing.
    """

    queue: str
    priority: int
    preemptible: bool
    created: float
    slot: int
    subgroups: tuple[SubGroupRow, ...]
    slots: tuple[int, ...]
    more: tuple[int, ...]
    blocked: Blocked | None
    past: Past
    constraints: Constraints | None = None
    whole: bool = False
    floor: Floor | None = None


class GroupRows:
    """Rows of all podgroups that have unfinished pods."""

    def __init__(self) -> None:
        self._queues = Slots()
        self._rows: SortedRows[GroupKey] = SortedRows(
            queue=np.int32,
            priority=np.int32,
            preemptible=np.bool_,
            created=np.float64,
            size=np.int32,
            min_member=np.int32,
            slot=np.int32,
            blocked=np.bool_,
            started=np.float64,
            stale_since=np.float64,
            grace=np.float64,
            delay=np.float64,
            finishing=np.bool_,
            never_preempts=np.bool_,
            evicted=np.float64,
            checkpointed=np.float64,
        )
        #: Rows of the subgroups of those podgroups that have any, in the order of their podgroups.
        self._subrows: SortedRows[tuple[str, str, str, int]] = SortedRows(
            name=object, parent=np.int32, leaf=np.bool_, min_member=np.int32, min_subgroups=np.int32, slot=np.int32
        )
        self._queue_of: dict[GroupKey, str] = {}
        self._sizes: dict[GroupKey, int] = {}
        self._more: dict[GroupKey, tuple[int, ...]] = {}
        self._blocked: dict[GroupKey, Blocked] = {}
        self._constraints: dict[GroupKey, Constraints] = {}
        self._whole: dict[GroupKey, bool] = {}
        self._floors: dict[GroupKey, Floor] = {}
        self._revision = 0
        self._tables: tuple[object, GroupTables] | None = None

    def put(self, key: GroupKey, row: GroupRow) -> None:
        """Add a podgroup, or replace its row."""
        number = self._queues.take(row.queue)
        if (before := self._queue_of.get(key)) is not None:
            self._queues.give_back(before)
        self._queue_of[key] = row.queue
        tree = len(row.subgroups) > 1
        self._rows.put(
            key,
            number,
            row.priority,
            row.preemptible,
            row.created,
            len(row.subgroups),
            row.subgroups[0].min_member,
            NONE if tree else row.slot,
            row.blocked is not None,
            row.past.started,
            row.past.stale_since,
            row.past.grace,
            row.past.delay,
            row.past.finishing,
            row.past.never_preempts,
            row.past.evicted,
            row.past.checkpointed,
        )
        size = len(row.subgroups) if tree else 0
        for gone in range(size, self._sizes.get(key, 0)):
            self._subrows.drop((*key, gone))
        for at in range(size):
            self._subrows.put((*key, at), *row.subgroups[at], row.slots[at])
        _set(self._sizes, key, size or None)
        self._revision += _set(self._more, key, row.more or None) | _set(self._blocked, key, row.blocked)
        self._revision += _set(self._constraints, key, row.constraints)
        self._revision += _set(self._whole, key, row.whole or None) | _set(self._floors, key, row.floor)

    def drop(self, key: GroupKey) -> None:
        """Remove a podgroup."""
        self._queues.give_back(self._queue_of.pop(key))
        self._rows.drop(key)
        for at in range(self._sizes.pop(key, 0)):
            self._subrows.drop((*key, at))
        self._revision += _set(self._more, key, None) | _set(self._blocked, key, None)
        self._revision += _set(self._constraints, key, None)
        self._revision += _set(self._whole, key, None) | _set(self._floors, key, None)

    def tables(self, queues: QueueBook, table: QueueTable, slots: int) -> GroupTables:
        """The tables, shared with the last snapshot if nothing in them changed.

        Args:
            queues: all queues, as of their ``table``.
            table: their table.
            slots: one more than the largest leaf slot.
        """
        self._rows.settle()
        self._subrows.settle()
        stamp = (self._rows.generation, self._subrows.generation, self._revision, queues.revision, slots)
        if self._tables is None or self._tables[0] != stamp:
            self._tables = stamp, self._make(queues, table, slots)
        return self._tables[1]

    def _make(self, queues: QueueBook, table: QueueTable, slots: int) -> GroupTables:
        keys, columns = self._rows.keys, self._rows.share()
        offset = np.concatenate([np.zeros(1, dtype=np.int32), np.cumsum(columns["size"], dtype=np.int32)])
        queue_idx = self._queues.rows(queues.row_of)[columns["queue"]]
        podgroups = PodGroupTable(
            keys=keys,
            queue_idx=queue_idx,
            priority=columns["priority"],
            preemptible=columns["preemptible"],
            created=columns["created"],
            blocked=self._blocked_rows(queues, table, queue_idx) | self._blocked_by_themselves(columns["blocked"]),
            offset=offset,
            history=_history(columns),
            whole=frozenset(map(self._row, self._whole)),
            floors={self._row(key): floor for key, floor in self._floors.items()},
        )
        subgroups, slot = _subgroups(columns, self._subrows.share(), offset)
        leaf_rows = np.full(slots + 1, NONE, dtype=np.int32)
        leaves = np.flatnonzero(subgroups.leaf)
        leaf_rows[slot[leaves]] = leaves
        for key, more in self._more.items():
            # Pods that name no leaf of a podgroup with subgroups are shown at its first one; they are blocked.
            leaf_rows[list(more)] = leaves[np.searchsorted(leaves, offset[self._row(key)])]
        constraints = {self._row(key): asked for key, asked in self._constraints.items()}
        return GroupTables(podgroups, subgroups, leaf_rows, constraints)

    def _row(self, key: GroupKey) -> int:
        row = self._rows.row(key)
        assert row is not None
        return row

    def _blocked_rows(self, queues: QueueBook, table: QueueTable, queue_idx: Rows) -> dict[int, Blocked]:
        """Podgroups that have no queue, or one that is divided further."""
        reasons: dict[str, Blocked] = {}
        blocked: dict[int, Blocked] = {}
        for row in np.flatnonzero((queue_idx < 0) | ~np.append(table.leaf, True)[queue_idx]).tolist():
            queue = self._queue_of[self._rows.keys[row]]
            if queue not in reasons:
                missing = ReasonCode.QUEUE_INVALID if queues.is_unsound(queue) else ReasonCode.QUEUE_MISSING
                reasons[queue] = (missing if queue_idx[row] < 0 else ReasonCode.QUEUE_NOT_LEAF, {"queue": queue})
            blocked[row] = reasons[queue]
        return blocked

    def _blocked_by_themselves(self, column: NDArray[np.bool_]) -> dict[int, Blocked]:
        return {row: self._blocked[self._rows.keys[row]] for row in np.flatnonzero(column).tolist()}


def _history(columns: Columns) -> History | None:
    """The histories; None if no podgroup has any."""
    history = History(**{field.name: columns[field.name] for field in fields(History)})
    times_unknown = np.isneginf(history.started) & np.isposinf(history.stale_since) & np.isnan(history.grace)
    blank = times_unknown & (history.delay == 0) & ~history.finishing & ~history.never_preempts
    blank &= np.isneginf(history.evicted) & np.isneginf(history.checkpointed)
    return None if blank.all() else history


def _subgroups(groups: Columns, trees: Columns, offset: Rows) -> tuple[SubGroupTable, Rows]:
    """The table, and ``(S,)`` leaf slots. Podgroups without subgroups have one row, made from their own columns."""
    podgroup_idx = np.repeat(np.arange(len(groups["size"]), dtype=np.int32), groups["size"])
    inside = (groups["size"] > 1)[podgroup_idx]
    names = np.full(len(podgroup_idx), "", dtype=object)
    parent = np.full(len(podgroup_idx), -1, dtype=np.int32)
    leaf = np.ones(len(podgroup_idx), dtype=np.bool_)
    min_member = groups["min_member"][podgroup_idx]
    min_subgroups = np.zeros(len(podgroup_idx), dtype=np.int32)
    slot = groups["slot"][podgroup_idx]
    names[inside] = trees["name"]
    parent[inside] = np.where(trees["parent"] < 0, -1, trees["parent"] + offset[podgroup_idx[inside]])
    leaf[inside] = trees["leaf"]
    min_member[inside] = trees["min_member"]
    min_subgroups[inside] = trees["min_subgroups"]
    slot[inside] = trees["slot"]
    return SubGroupTable(tuple(names.tolist()), podgroup_idx, parent, leaf, min_member, min_subgroups), slot


def _set(mapping: dict[GroupKey, Any], key: GroupKey, value: object) -> bool:
    """Set a value, or with None remove it; tells whether that changed anything."""
    before = mapping.get(key)
    if value is None:
        mapping.pop(key, None)
    else:
        mapping[key] = value
    return before != value
