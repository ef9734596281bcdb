"""Pods: kept as the little that a cycle reads, in rows that follow the watch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from kai_py.api.keys import TASK_PRIORITY_LABEL
from kai_py.api.pod import Pod
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.demand import Demand
from kai_py.cluster.encode.times import seconds
from kai_py.cluster.membership import Membership
from kai_py.cluster.rows import Slots, SortedRows
from kai_py.core.resources import Rows
from kai_py.core.tables.pods import NONE, PodKey, PodState, PodTable

#: After leaving for so long a pod still holds its node, but nobody counts on its place any more (KAI's threshold).
STUCK_AFTER: Final = 120.0
_NEVER: Final = float("inf")
_LAST: Final = np.iinfo(np.int64).min

FINISHED: Final = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What is kept of a pod.

    Attributes:
        group: (namespace, name) of its podgroup; None for pods of other schedulers.
        subgroup: name of its leaf; empty for the root.
        class_number: in the class book.
        node: where it runs, or to where it is on its way; empty if nowhere.
        held_back: it has scheduling gates, or a problem that keeps it from being scheduled.
        deleted: when it was told to go, seconds; inf if it was not.
        told: reason and message of its PodScheduled condition while that is False.
    """

    key: PodKey
    group: tuple[str, str] | None
    subgroup: str
    class_number: int
    node: str
    held_back: bool
    task_priority: int
    created: float
    deleted: float
    told: tuple[str, str] | None = None

    @property
    def state(self) -> PodState:
        """Where it stands; whether it is stuck in leaving is told by time."""
        if self.node:
            return PodState.BOUND if self.deleted == _NEVER else PodState.RELEASING
        return PodState.GATED if self.held_back else PodState.PENDING


def facts_of(
    pod: Pod,
    membership: Membership | None,
    *,
    class_number: int,
    node: str,
    leaving_since: float,
    held_back: bool,
) -> PodFacts:
    """What to keep of a pod, apart from what others have found out about it."""
    meta = pod.metadata
    priority = meta.labels.get(TASK_PRIORITY_LABEL, "")
    return PodFacts(
        key=key_of(pod),
        group=membership.key if membership else None,
        subgroup=(membership.subgroup or "") if membership else "",
        class_number=class_number,
        node=node,
        held_back=held_back,
        task_priority=int(priority) if priority.removeprefix("-").isdecimal() else int(_LAST),
        created=seconds(meta.creation_timestamp),
        deleted=min(leaving_since, seconds(meta.deletion_timestamp) if meta.deletion_timestamp else _NEVER),
        told=_told(pod),
    )


def key_of(pod: Pod) -> PodKey:
    """Identity of a pod."""
    return PodKey(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid)


def _told(pod: Pod) -> tuple[str, str] | None:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason, condition.message
    return None


class PodBook:
    """All unfinished pods that matter: ours, and others' where they hold capacity."""

    def __init__(self, classes: ClassBook, leaves: Slots) -> None:
        self.facts: dict[PodKey, PodFacts] = {}
        self._classes = classes
        self._leaves = leaves
        self._nodes = Slots()
        self._rows: SortedRows[PodKey] = SortedRows(
            class_idx=np.int32,
            leaf=np.int32,
            node=np.int32,
            state=np.uint8,
            task_priority=np.int64,
            created=np.float64,
            deleted=np.float64,
        )

    def __len__(self) -> int:
        return len(self.facts)

    def put(self, facts: PodFacts) -> bool:
        """Take in a pod whose class number was taken by the caller; tells whether anything that matters changed."""
        before = self.facts.get(facts.key)
        leaf = self._leaves.take((*facts.group, facts.subgroup)) if facts.group else NONE
        node = self._nodes.take(facts.node) if facts.node else NONE
        if before is not None:
            self._release(before)
        self.facts[facts.key] = facts
        self._rows.put(
            facts.key,
            facts.class_number,
            leaf,
            node,
            facts.state,
            facts.task_priority,
            facts.created,
            facts.deleted,
        )
        return before is None or before != facts

    def drop(self, key: PodKey) -> PodFacts | None:
        """Forget a pod."""
        facts = self.facts.pop(key, None)
        if facts is not None:
            self._release(facts)
            self._rows.drop(key)
        return facts

    def exclude(self, key: PodKey, nodes: frozenset[str]) -> None:
        """Keep a pod away from some nodes, or from none."""
        facts = self.facts[key]
        demand = self._classes.demand(facts.class_number)
        if demand.constraints.excluded != nodes:
            other = Demand(demand.request, replace(demand.constraints, excluded=nodes))
            self.put(replace(facts, class_number=self._classes.take(other)))

    def _release(self, facts: PodFacts) -> None:
        self._classes.give_back(facts.class_number)
        if facts.group:
            self._leaves.give_back((*facts.group, facts.subgroup))
        if facts.node:
            self._nodes.give_back(facts.node)

    def table(self, now: float, node_rows: dict[str, int], leaf_rows: Rows) -> PodTable:
        """The pods, sorted by namespace and name."""
        self._rows.settle()
        keys, columns = self._rows.share()
        state = columns["state"]
        stuck = (state == PodState.RELEASING) & (now - columns["deleted"] > STUCK_AFTER)
        if stuck.any():
            state = np.where(stuck, np.uint8(PodState.STUCK), state)
        return PodTable(
            keys=keys,
            class_idx=columns["class_idx"],
            subgroup_idx=leaf_rows[columns["leaf"]],
            node_idx=self._nodes.rows(node_rows)[columns["node"]],
            state=state,
            task_priority=columns["task_priority"],
            created=columns["created"],
        )
