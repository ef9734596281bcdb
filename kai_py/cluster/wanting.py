"""Gangs for which more nodes would help, and what those nodes would have to hold. Pure.

A gang whose queue may not have it is none of them: nodes that are bought for it would stand idle. So gangs are counted
against limits in the order in which they are served, together and not one by one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kai_py.core.resources import Amounts, Cost, Shares
from kai_py.core.result import Bind, CycleResult, Diagnosis, Nominate, ReasonCode
from kai_py.core.tables.podgroups import GroupKey
from kai_py.core.tables.pods import ACTIVE, NONE, PodKey, PodState
from kai_py.core.tables.queues import ROOT
from kai_py.core.tables.snapshot import Snapshot

#: What new nodes can end.
NODES_HELP: Final = frozenset(
    {
        ReasonCode.UNSCHEDULABLE,
        ReasonCode.GANG_DOES_NOT_FIT,
        ReasonCode.DOMAINS_TOO_SMALL,
        ReasonCode.SUBGROUP_TOO_LARGE,
        ReasonCode.SUBGROUPS_COLLIDE,
        ReasonCode.DEVICES_UNAVAILABLE,
        ReasonCode.MIN_RESOURCES_MISSING,
    }
)


@dataclass(frozen=True)
class Wanting:
    """A gang that could use nodes.

    Attributes:
        podgroup: (namespace, name).
        pods: of pods that ask for the same thing, the first by name, and how many there are.
    """

    podgroup: tuple[str, str]
    pods: tuple[tuple[str, int], ...]


def wanting(snapshot: Snapshot, result: CycleResult) -> dict[tuple[str, str], Wanting]:
    """Gangs that lack their minimum for want of nodes, and whose queues may hold them beside all before them.

    Args:
        snapshot: what was decided about.
        result: what was decided.
    """
    helped = [one for one in result.diagnoses if not one.has_minimum and one.reasons[0].code in NODES_HELP]
    if not helped:
        return {}
    holdings = _Holdings(snapshot, result)
    places = np.isin(snapshot.pods.state, ACTIVE) & (snapshot.pods.subgroup_idx != NONE)
    have = np.bincount(snapshot.pods.subgroup_idx[places], minlength=len(snapshot.subgroups))
    found = {}
    for diagnosis in sorted(helped, key=lambda one: (one.position or inf, one.podgroup)):
        row = _row(snapshot.podgroups.keys, diagnosis.podgroup)
        if row is None:
            continue
        chosen = _missing(snapshot, diagnosis, row, have)
        classes = snapshot.pods.class_idx[chosen].tolist()
        cost = tuple(snapshot.classes.accounted[classes].sum(axis=0).tolist())
        if chosen and holdings.take(row, cost):
            name = snapshot.podgroups.keys[row].namespace, snapshot.podgroups.keys[row].name
            found[name] = Wanting(name, _alike(snapshot, chosen, classes))
    return found


def _row(keys: Sequence[PodKey] | Sequence[GroupKey], name: str) -> int | None:
    """Row of ``namespace/name``. Tables are sorted by both, and there may be fifty thousand rows."""
    wanted = tuple(name.split("/", 1))
    row = bisect_left(keys, wanted, key=lambda key: key[:2])
    return row if row < len(keys) and keys[row][:2] == wanted else None


def _missing(snapshot: Snapshot, diagnosis: Diagnosis, podgroup: int, have: NDArray[np.int64]) -> list[int]:
    """Rows of the pods that the minimum lacks; of a gang with subgroups, of all that wait.

    ``have`` is ``(S,)``: pods with places.
    """
    waiting = [row for name in diagnosis.pods if (row := _row(snapshot.pods.keys, name)) is not None]
    waiting = sorted(row for row in waiting if snapshot.pods.state.item(row) == PodState.PENDING)
    root, end = snapshot.podgroups.offset[podgroup : podgroup + 2].tolist()
    if end - root > 1:
        return waiting
    return waiting[: max(1, snapshot.subgroups.min_member.item(root) - have.item(root))]


def _alike(snapshot: Snapshot, chosen: list[int], classes: list[int]) -> tuple[tuple[str, int], ...]:
    first: dict[int, int] = {}
    counts: dict[int, int] = {}
    for row, own in zip(chosen, classes, strict=True):
        first.setdefault(own, row)
        counts[own] = counts.get(own, 0) + 1
    return tuple((snapshot.pods.keys[row].name, counts[own]) for own, row in first.items())


class _Holdings:
    """What queues hold after a cycle, with what nodes were asked for."""

    def __init__(self, snapshot: Snapshot, result: CycleResult) -> None:
        self._queues = snapshot.queues
        self._table = snapshot.podgroups
        self._held = result.shares.allocated.copy()
        self._firm = result.shares.allocated_non_preemptible.copy()
        for decision in result.decisions:
            if isinstance(decision, Bind | Nominate):
                row = _row(snapshot.pods.keys, decision.pod)
                assert row is not None  # it was decided about
                group = snapshot.subgroups.podgroup_idx.item(snapshot.pods.subgroup_idx.item(row))
                self._add(group, snapshot.classes.costs[snapshot.pods.class_idx.item(row)])

    def take(self, podgroup: int, cost: Cost) -> bool:
        """Count a gang in, if its queue and all above may hold it."""
        queue = self._table.queue_idx.item(podgroup)
        if queue == ROOT:
            return False
        firm = not self._table.preemptible.item(podgroup)
        if self._over(queue, cost, self._held, self._queues.limit):
            return False
        if firm and self._over(queue, cost, self._firm, self._queues.quota):
            return False
        self._add(podgroup, cost)
        return True

    def _over(self, queue: int, cost: Cost, held: Amounts, ceiling: Shares) -> bool:
        asked = np.array(cost)
        path = list(self._queues.paths[queue])
        return bool(((asked > 0) & (held[path] + asked > ceiling[path])).any())

    def _add(self, podgroup: int, cost: Cost) -> None:
        queue = self._table.queue_idx.item(podgroup)
        if queue == ROOT:
            return
        path = list(self._queues.paths[queue])
        self._held[path] += cost
        if not self._table.preemptible.item(podgroup):
            self._firm[path] += cost
