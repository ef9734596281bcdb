"""Pods: kept as the little that a cycle reads, in rows that follow the watch."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from enum import IntEnum
from math import inf
from typing import Final

import msgspec
import numpy as np
from msgspec.structs import replace

from kai_py.api.keys import JOB_INDEX_LABEL, POD_INDEX_LABEL, TASK_PRIORITY_LABEL
from kai_py.api.pod import Pod
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.support import unsupported_by
from kai_py.cluster.encode.times import seconds
from kai_py.cluster.encode.zones import Seating, seating_of
from kai_py.cluster.labels import LabelBook
from kai_py.cluster.phases import InFlight
from kai_py.cluster.reservations import ReservationBook
from kai_py.cluster.rows import Slots, SortedRows
from kai_py.cluster.terms import Terms
from kai_py.core.resources import Rows
from kai_py.core.result import ReasonCode
from kai_py.core.tables.pods import NONE, PodKey, PodState, PodTable

#: After leaving for so long a pod still holds its node, but nobody counts on its place any more (KAI's threshold).
STUCK_AFTER: Final = 120.0
FINISHED: Final = ("Succeeded", "Failed")

_INT64: Final = np.iinfo(np.int64)
_LAST: Final = int(_INT64.min)
_FIRST: Final = int(_INT64.max)
#: An index has at most so many, so that it fits its column.
_DIGITS: Final = 9

#: Why a podgroup or pod cannot be scheduled as it is, and the details.
Blocked = tuple[ReasonCode, dict[str, str]]


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where a pod belongs.

    Attributes:
        group: (namespace, name) of the podgroup.
        part: the subgroup that the pod names; empty if it names none.
        terms: what the podgroup asks for according to this pod; None if that is somebody else's to say.
    """

    group: tuple[str, str]
    part: str
    terms: Terms | None


class Health(IntEnum):
    """What disruption budgets make of a pod (kubernetes.io, "Healthiness of a Pod"; ``eviction.go``).

    A running pod that says nothing of being ready is taken for ready; every kubelet does say it.
    """

    READY = 0
    UNREADY = 1  # not counted on, so that budgets may let it go
    UNSTARTED = 2  # no budget is asked about it


class PodFacts(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a pod. There are a hundred thousand of these: no dictionaries, nothing for the garbage collector.

    Attributes:
        place: where it belongs; None for pods of other schedulers.
        problem: what keeps it from being scheduled as it is.
        class_number: in the class book.
        bound: the node where it runs, or that another scheduler has promised to it; empty if none.
        gated: it has scheduling gates.
        deleted: when it was told to go, seconds; inf if it was not.
        flight: the decision of ours that is on its way for it.
        told: reason and message of its PodScheduled condition while that is False.
        replaceable: it has a controller that makes it anew when evicted, and what it asks of a node is understood.
        groups: the devices on which it has a share, while it is bound.
        rank: its index in its workload; ``NONE`` without one.
        label_set: its labels by their number in the label book.
        zones: what is written down of the NUMA nodes that it takes.
        health: what disruption budgets make of it.
        begun: when its kubelet took it on, seconds; -inf if none has.
    """

    key: PodKey
    place: Place | None
    problem: Blocked | None
    class_number: int
    bound: str
    gated: bool
    task_priority: int
    created: float
    deleted: float
    flight: InFlight | None = None
    told: tuple[str, str] | None = None
    replaceable: bool = True
    groups: tuple[str, ...] = ()
    rank: int = NONE
    label_set: int = NONE
    zones: Seating = ()
    health: Health = Health.READY
    begun: float = -inf

    @property
    def gpu_groups(self) -> tuple[str, ...]:
        """The devices on which it has a share, or is about to have one; empty for those that do not share."""
        return self.groups if self.bound or self.flight is None else self.flight.gpu_groups

    @property
    def seating(self) -> Seating:
        """What it takes of NUMA nodes, or is about to take, as far as that is known."""
        return self.zones if self.bound or self.flight is None else self.flight.zones

    @property
    def node(self) -> str:
        """Where it runs, or to where it is on its way; empty if nowhere."""
        return self.bound or (self.flight.node or "" if self.flight is not None else "")

    @property
    def leaving_since(self) -> float:
        """When it was told to go, or we decided that it should; inf if neither."""
        evicted = self.flight is not None and self.flight.node is None
        return min(self.deleted, self.flight.since) if evicted and self.flight is not None else self.deleted

    @property
    def state(self) -> PodState:
        """Where it stands; whether it is stuck in leaving is told by time."""
        if self.node:
            return PodState.BOUND if self.leaving_since == inf else PodState.RELEASING
        return PodState.GATED if self.gated or self.problem is not None else PodState.PENDING


def facts_of(
    pod: Pod,
    place: Place | None,
    *,
    bound: str,
    class_number: int,
    problem: Blocked | None,
    flight: InFlight | None,
    groups: tuple[str, ...] = (),
    label_set: int = NONE,
) -> PodFacts:
    """What to keep of a pod, apart from what others have found out about it."""
    meta = pod.metadata
    return PodFacts(
        key=key_of(pod),
        place=place,
        problem=problem,
        class_number=class_number,
        bound=sys.intern(bound),
        gated=bool(pod.spec.scheduling_gates),
        task_priority=_task_priority(meta.labels.get(TASK_PRIORITY_LABEL, "")),
        created=seconds(meta.creation_timestamp),
        deleted=seconds(meta.deletion_timestamp) if meta.deletion_timestamp else inf,
        flight=flight,
        replaceable=meta.controller is not None and unsupported_by(pod) is None,
        told=_told(pod),
        groups=groups,
        rank=_rank(meta.labels.get(JOB_INDEX_LABEL) or meta.labels.get(POD_INDEX_LABEL, "")),
        label_set=label_set,
        zones=seating_of(pod) if bound and meta.annotations else (),
        health=_health(pod),
        begun=seconds(pod.status.start_time) or -inf,
    )


def key_of(pod: Pod) -> PodKey:
    """Identity of a pod."""
    return PodKey(sys.intern(pod.metadata.namespace), pod.metadata.name, pod.metadata.uid)


def _task_priority(text: str) -> int:
    if not text or not text.isascii() or not text.removeprefix("-").isdecimal():
        return _LAST
    return max(_LAST, min(_FIRST, int(text[:64])))


def _rank(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else NONE


def _health(pod: Pod) -> Health:
    if pod.status.phase == "Pending":
        return Health.UNSTARTED
    ready = all(one.status == "True" for one in pod.status.conditions if one.type == "Ready")
    return Health.READY if ready else Health.UNREADY


def _told(pod: Pod) -> tuple[str, str] | None:
    for condition in pod.status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason, condition.message
    return None


class PodBook:
    """All unfinished pods that matter: ours, and others' where they hold capacity.

    Attributes:
        sharing: the devices on which pods have shares, for pods that have any.
        seated: what pods take of NUMA nodes, for those of which it is written down.
        unwell: pods with places of ours that are not ready. They come and go while pods start: too often for a column.

    Args:
        classes: counts who uses its numbers.
        labels: counts who uses its numbers.
        leaf_of: the slot of a place among the leaves of all podgroups.
        reservations: told who shares which device.
    """

    def __init__(
        self,
        classes: ClassBook,
        labels: LabelBook,
        leaf_of: Callable[[Place], int],
        reservations: ReservationBook | None = None,
    ) -> None:
        self._reservations = reservations or ReservationBook()
        self.facts: dict[PodKey, PodFacts] = {}
        self.sharing: dict[PodKey, tuple[str, ...]] = {}
        self.seated: dict[PodKey, Seating] = {}
        self.unwell: dict[PodKey, Health] = {}
        self._unwell_generation = 0
        self._classes = classes
        self._labels = labels
        self._leaf_of = leaf_of
        self._nodes = Slots()
        self._rows: SortedRows[PodKey] = SortedRows(
            class_idx=np.int32,
            leaf=np.int32,
            node=np.int32,
            state=np.uint8,
            task_priority=np.int64,
            created=np.float64,
            leaving_since=np.float64,
            replaceable=np.bool_,
            rank=np.int32,
            label_set=np.int32,
        )

    def __len__(self) -> int:
        return len(self.facts)

    def put(self, facts: PodFacts) -> bool:
        """Take in a pod whose numbers the caller has taken; tells whether anything that matters changed."""
        before = self.facts.get(facts.key)
        self.facts[facts.key] = facts
        node, state = facts.node, facts.state
        if groups := facts.gpu_groups:
            self.sharing[facts.key] = groups
            self._reservations.sit(facts.key, node, groups)
        elif self.sharing.pop(facts.key, None) is not None:
            self._reservations.sit(facts.key, "", ())
        if seating := facts.seating:
            self.seated[facts.key] = seating
        else:
            self.seated.pop(facts.key, None)
        self._note_health(facts.key, facts.health if node and facts.place is not None else Health.READY)
        slot = self._nodes.take(node) if node else NONE
        if before is not None:
            self._release(before)
            # What we told the pod's user is kept up to date, but does not matter; nor does how far a decision has come.
            # How well it is, and since when it runs, matters to whoever looks for victims, and starts no search.
            matters = replace(before, told=facts.told, flight=facts.flight, health=facts.health, begun=facts.begun)
            if matters == facts and (before.node, before.state) == (node, state):
                return False
        self._rows.put(
            facts.key,
            facts.class_number,
            NONE if facts.place is None else self._leaf_of(facts.place),
            slot,
            state,
            facts.task_priority,
            facts.created,
            facts.leaving_since,
            facts.replaceable,
            facts.rank,
            facts.label_set,
        )
        return True

    def fly(self, key: PodKey, flight: InFlight | None) -> None:
        """A decision about a pod is on its way, or none is any more."""
        facts = self.facts.get(key)
        if facts is not None:
            self._classes.hold(facts.class_number)
            self._labels.hold(facts.label_set)
            self.put(replace(facts, flight=flight))

    def drop(self, key: PodKey) -> PodFacts | None:
        """Forget a pod."""
        facts = self.facts.pop(key, None)
        if facts is not None:
            self._release(facts)
            self._rows.drop(key)
            if self.sharing.pop(key, None) is not None:
                self._reservations.sit(key, "", ())
            self.seated.pop(key, None)
            self._note_health(key, Health.READY)
        return facts

    def _note_health(self, key: PodKey, health: Health) -> None:
        if self.unwell.get(key, Health.READY) is health:
            return
        self._unwell_generation += 1
        if health is Health.READY:
            del self.unwell[key]
        else:
            self.unwell[key] = health

    def _release(self, facts: PodFacts) -> None:
        self._classes.give_back(facts.class_number)
        self._labels.give_back(facts.label_set)
        if facts.node:
            self._nodes.give_back(facts.node)

    def shared_by_row(self, keys: Sequence[PodKey]) -> dict[int, tuple[str, ...]]:
        """The devices on which pods have shares, by their row among sorted keys."""
        return {bisect_left(keys, key): names for key, names in self.sharing.items()}

    def seated_by_row(self, keys: Sequence[PodKey]) -> dict[int, Seating]:
        """What pods take of NUMA nodes, by their row among sorted keys."""
        return {bisect_left(keys, key): seating for key, seating in self.seated.items()}

    def table(self, now: float, node_rows: dict[str, int], leaf_rows: Rows) -> PodTable:
        """The pods, sorted by namespace and name.

        Args:
            now: seconds since the epoch.
            node_rows: node name -> row.
            leaf_rows: ``(slots + 1,)`` the row of each leaf slot; the last one serves pods without a place.
        """
        self._rows.settle()
        columns = self._rows.share()
        state = columns["state"]
        stuck = (state == PodState.RELEASING) & (now - columns["leaving_since"] > STUCK_AFTER)
        if stuck.any():
            state = np.where(stuck, np.uint8(PodState.STUCK), state)
        return PodTable(
            keys=self._rows.keys,
            class_idx=columns["class_idx"],
            subgroup_idx=leaf_rows[columns["leaf"]],
            node_idx=self._nodes.rows(node_rows)[columns["node"]],
            state=state,
            task_priority=columns["task_priority"],
            created=columns["created"],
            replaceable=columns["replaceable"],
            rank=columns["rank"],
        )

    def label_sets(self) -> tuple[Rows, int]:
        """``(P,)`` numbers of the labels of all pods, and a number that changes with the table."""
        return self._rows.share()["label_set"], self._rows.generation

    def victims_label_sets(self) -> tuple[Rows, tuple[int, int]]:
        """The same with ``NONE`` for those that cannot be victims: others' pods, and pods without a node.

        The second is another one also when some pod has become ready, or is so no longer.
        """
        columns = self._rows.share()
        ours = (columns["leaf"] != NONE) & (columns["node"] != NONE)
        generation = self._rows.generation, self._unwell_generation
        return np.where(ours, columns["label_set"], np.int32(NONE)), generation

    def unwell_by_row(self) -> dict[int, Health]:
        """Possible victims that are not ready, by row as of the last table."""
        return {bisect_left(self._rows.keys, key): health for key, health in self.unwell.items()}
