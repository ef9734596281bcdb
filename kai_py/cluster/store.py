"""The store: what the API server has told us, and what we have told it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from kai_py.api.meta import PartialObject
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.scheduling import PriorityClass
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.axis import Accounting, make_axis
from kai_py.cluster.encode.demand import Demand, demand_of
from kai_py.cluster.encode.support import unsupported_by
from kai_py.cluster.failures import Failures
from kai_py.cluster.groups import Blocked, GroupBook
from kai_py.cluster.membership import Grouper, Membership
from kai_py.cluster.nodes import NodeBook
from kai_py.cluster.phases import Assumptions, Event
from kai_py.cluster.pods import FINISHED, PodBook, facts_of, key_of
from kai_py.cluster.priorities import PriorityBook
from kai_py.cluster.queues import QueueBook
from kai_py.cluster.scope import Scope
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Bind, Evict, Nominate, ReasonCode
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.pods import PodKey
from kai_py.core.tables.snapshot import Snapshot
from kai_py.errors import Fault, MalformedObjectError

#: Seconds after which a sent decision that no watch has confirmed is given up; the watch will have told by then.
CONFIRM_WITHIN: Final = 120.0
_NEVER: Final = float("inf")
#: A pod that cannot be read holds and asks for nothing.
_NOTHING: Final = Demand((), PodClass(()))


class Store:
    """The mutable memory. One writer; no I/O.

    Every ``put_*`` and ``drop_*`` tells whether the change can matter to a cycle, so that heartbeats and our own status
    writes wake nobody. What is wrong with an object is kept in ``faults`` under its kind and name until it is mended.

    Args:
        grouper: tells which podgroup a pod belongs to.
        scope: which objects are ours.
        accounting: what queues are charged for; may be replaced at any time.
    """

    def __init__(self, grouper: Grouper, scope: Scope | None = None, accounting: Accounting | None = None) -> None:
        self._group_of = grouper
        self.scope = scope or Scope()
        self.accounting = accounting or Accounting()
        self.priorities = PriorityBook()
        self.nodes = NodeBook()
        self.queues = QueueBook()
        self.groups = GroupBook(self.priorities)
        self.classes = ClassBook()
        self.pods = PodBook(self.classes, self.groups.leaves)
        self.assumptions = Assumptions()
        self.failures = Failures()
        self.faults: dict[tuple[str, str], tuple[Fault, ...]] = {}
        self._owners: dict[str, PartialObject] = {}
        self._pods: dict[PodKey, Pod] = {}
        self._names: dict[tuple[str, str], PodKey] = {}

    # -- pods --------------------------------------------------------------------------------------

    def put_pod(self, pod: Pod, now: float) -> bool:
        """Take in a pod as a watch reports it."""
        key = key_of(pod)
        if (other := self._names.get(key[:2])) is not None and other != key:
            self.drop_pod(other)  # deleted and made anew while nobody was watching
        if pod.status.phase in FINISHED or (pod.metadata.deletion_timestamp and not pod.spec.node_name):
            return self.drop_pod(key)
        if pod.spec.node_name:
            self._confirm(key, Event.SEE, wants_node=True)
            self.failures.forget(key.uid)
        if pod.metadata.deletion_timestamp:
            self._confirm(key, Event.SEE, wants_node=False)
        ours = pod.spec.scheduler_name in self.scope.scheduler_names and self.scope.covers(pod.metadata.labels)
        if not ours and not (pod.spec.node_name or pod.status.nominated_node_name):
            return self.drop_pod(key)
        self._names[key[:2]] = key
        if ours and not pod.spec.node_name:
            self._pods[key] = pod  # read again when a decision is assumed or forgotten
        else:
            self._pods.pop(key, None)
        return self._encode(pod, now, ours=ours)

    def drop_pod(self, key: PodKey) -> bool:
        """Forget a pod."""
        self.assumptions.note(key, Event.VANISH)
        self.failures.forget(key.uid)
        self.faults.pop(("Pod", str(key)), None)
        self._pods.pop(key, None)
        if self._names.get(key[:2]) == key:
            del self._names[key[:2]]
        facts = self.pods.drop(key)
        if facts is not None and facts.group is not None:
            self.groups.leave(key, facts.group)
        return facts is not None

    def _encode(self, pod: Pod, now: float, *, ours: bool) -> bool:
        """Lay a pod out, with the decision that is on its way for it."""
        key = key_of(pod)
        flight = self.assumptions.get(key)
        node, leaving = pod.spec.node_name, _NEVER
        if not node and not ours:
            node = pod.status.nominated_node_name  # another scheduler's promise counts like a pod
        if flight is not None:
            node = node or flight.node or ""
            leaving = now if flight.node is None else _NEVER
        membership = self._membership(pod) if ours else None
        if membership is None and not node:
            return self.drop_pod(key)
        demand, problem = self._demand(pod, key, now, ours=ours)
        facts = facts_of(
            pod,
            membership,
            class_number=self.classes.take(demand),
            node=node,
            leaving_since=leaving,
            held_back=bool(pod.spec.scheduling_gates) or problem is not None,
        )
        before = self.pods.facts.get(key)
        if before is not None and before.group is not None and before.group != facts.group:
            self.groups.leave(key, before.group)
        if membership is not None:
            self.groups.join(key, membership, facts.created, None if node else problem)
        return self.pods.put(facts)

    def _membership(self, pod: Pod) -> Membership | None:
        """Where a pod of ours belongs; None when it is to be left alone, or cannot be told: that is a fault."""
        place = ("Grouping", f"{pod.metadata.namespace}/{pod.metadata.name}")
        try:
            membership = self._group_of(pod, self._owners)
        except MalformedObjectError as error:
            self.faults[place] = error.faults
            return None
        self.faults.pop(place, None)
        return membership

    def _demand(self, pod: Pod, key: PodKey, now: float, *, ours: bool) -> tuple[Demand, Blocked | None]:
        """What a pod asks for, and what keeps it from being scheduled; a malformed one asks for nothing."""
        place = ("Pod", str(key))
        try:
            demand = demand_of(pod, excluded=self.failures.excluded(key.uid, now) if ours else frozenset())
        except MalformedObjectError as error:
            self.faults[place] = error.faults
            fault = error.faults[0]
            return _NOTHING, (ReasonCode.POD_INVALID, {"pod": str(key), "field": fault.field, "message": fault.message})
        self.faults.pop(place, None)
        if not ours or pod.spec.node_name:
            return demand, None
        if (field := unsupported_by(pod)) is not None:
            return demand, (ReasonCode.UNSUPPORTED, {"object": f"Pod {key}", "field": field})
        if self.failures.paused(key.uid, now):
            return demand, (ReasonCode.BACKING_OFF, {"pod": str(key)})
        return demand, None

    # -- decisions on their way --------------------------------------------------------------------

    def assume(self, decision: Bind | Evict, now: float) -> None:
        """Count a decision as carried out, before the API server has confirmed it."""
        key = self._key(decision)
        self.assumptions.assume(key, decision.node if isinstance(decision, Bind) else None, now)
        self._again(key, now)

    def acknowledge(self, decision: Bind | Evict) -> None:
        """The API server has accepted it; the watch will show it."""
        self.assumptions.note(self._key(decision), Event.ACKNOWLEDGE)

    def forget(self, decision: Bind | Evict, now: float, *, blame_node: bool) -> None:
        """The API server has refused it: the pod is as it was, and pauses before the next attempt."""
        key = self._key(decision)
        if isinstance(decision, Bind):
            self.failures.note(key.uid, decision.node if blame_node else None, now)
        if self.assumptions.note(key, Event.FAIL):
            self._again(key, now)

    def release(self, decision: Bind | Evict, now: float) -> None:
        """It was not sent after all; nobody failed, nothing is remembered."""
        key = self._key(decision)
        if self.assumptions.note(key, Event.FAIL):
            self._again(key, now)

    def tidy(self, now: float) -> bool:
        """Give up decisions that nobody confirmed and end pauses that are over; tells whether any did."""
        changed = False
        for key, flight in self.assumptions:
            if now - flight.since > CONFIRM_WITHIN and self.assumptions.note(key, Event.EXPIRE):
                self._again(key, now)
                changed = True
        by_uid = {key.uid: key for key in self._pods} if len(self.failures) else {}
        for uid in self.failures.expiring(now):
            if (pod := by_uid.get(uid)) is not None:
                self._again(pod, now)
                changed = True
        return changed

    def _confirm(self, key: PodKey, event: Event, *, wants_node: bool) -> None:
        flight = self.assumptions.get(key)
        if flight is not None and (flight.node is not None) == wants_node:
            self.assumptions.note(key, event)

    def _again(self, key: PodKey, now: float) -> None:
        """Lay a pod out anew: a decision about it was assumed or forgotten, or a pause has ended."""
        flight = self.assumptions.get(key)
        if (pod := self._pods.get(key)) is not None:
            self._encode(pod, now, ours=True)
        elif (facts := self.pods.facts.get(key)) is not None:
            self.classes.hold(facts.class_number)
            leaving = flight is not None and flight.node is None
            self.pods.put(replace(facts, deleted=now if leaving else _NEVER))

    def _key(self, decision: Bind | Evict | Nominate) -> PodKey:
        namespace, _, name = decision.pod.partition("/")
        return PodKey(namespace, name, decision.uid)

    # -- everything else ---------------------------------------------------------------------------

    def put_node(self, node: Node) -> bool:
        """Take in a node; one that cannot be read keeps its last good state, and a new one is left out."""
        place = ("Node", node.metadata.name)
        if not self.scope.covers(node.metadata.labels):
            return self.nodes.drop(node.metadata.name)
        try:
            changed = self.nodes.put(node)
        except MalformedObjectError as error:
            self.faults[place] = error.faults
            return False
        self.faults.pop(place, None)
        return changed

    def put_queue(self, queue: Queue) -> bool:
        """Take in a queue."""
        self.faults.pop(("Queue", queue.name), None)
        if not self.scope.covers(queue.metadata.labels):
            return self.queues.drop(queue.name)
        return self.queues.put(queue)

    def put_podgroup(self, podgroup: PodGroup) -> bool:
        """Take in a PodGroup."""
        return self.groups.put(podgroup)

    def put_owner(self, owner: PartialObject, now: float) -> bool:
        """Take in the metadata of something that owns pods: its labels and annotations decide about grouping."""
        uid = owner.metadata.uid
        before = self._owners.get(uid)
        self._owners[uid] = owner
        if before is not None and _says(before) == _says(owner):
            return False
        return self._regroup(uid, now)

    def drop_owner(self, uid: str) -> bool:
        """Forget an owner; its pods keep what was derived from it."""
        return self._owners.pop(uid, None) is not None

    def _regroup(self, owner: str, now: float) -> bool:
        changed = False
        for pod in [pod for pod in self._pods.values() if any(o.uid == owner for o in pod.metadata.owner_references)]:
            changed |= self._encode(pod, now, ours=True)
        return changed

    def put_priority_class(self, priority_class: PriorityClass) -> bool:
        """Take in a PriorityClass."""
        changed = self.priorities.put(priority_class)
        if changed:
            self.groups.priorities_changed()
        return changed

    def drop_priority_class(self, name: str) -> bool:
        """Forget a PriorityClass."""
        changed = self.priorities.drop(name)
        if changed:
            self.groups.priorities_changed()
        return changed

    def replace_all(
        self, kind: str, present: Iterable[tuple[str, str]], drop: Callable[[tuple[str, str]], object]
    ) -> None:
        """After a fresh list: forget every object of a kind that is not in it.

        Args:
            kind: which of our own listings to compare with.
            present: (namespace, name) of all objects that exist.
            drop: called with (namespace, name) of each that does not.
        """
        gone = set(self._known(kind)) - set(present)
        for name in sorted(gone):
            drop(name)

    def _known(self, kind: str) -> Iterable[tuple[str, str]]:
        listings: Mapping[str, Iterable[tuple[str, str]]] = {
            "Pod": self._names,
            "Node": [("", name) for name in self.nodes],
            "Queue": [("", name) for name in self.queues.queues],
            "PodGroup": [*self.groups.objects, *self.groups.malformed],
        }
        return listings[kind]

    # -- the snapshot ------------------------------------------------------------------------------

    def axis(self) -> ResourceAxis:
        """The axes of the next snapshot."""
        accounting = replace(self.accounting, additional=self.accounting.additional | self.queues.additional)
        return make_axis(self.nodes.resources | self.classes.resources, accounting)

    def take(self, now: float) -> Snapshot:
        """A snapshot for a cycle. What did not change since the last one is shared with it.

        Args:
            now: seconds since the epoch.
        """
        axis = self.axis()
        nodes = self.nodes.table(axis)
        queues = self.queues.table(axis)
        podgroups, subgroups, leaf_rows = self.groups.tables(queues, self.queues.row_of)
        return Snapshot.seal(
            now=now,
            axis=axis,
            nodes=nodes,
            classes=self.classes.table(axis),
            pods=self.pods.table(now, self.nodes.row_of, leaf_rows),
            podgroups=podgroups,
            subgroups=subgroups,
            queues=queues,
        )


def _says(owner: PartialObject) -> tuple[Mapping[str, str], Mapping[str, str]]:
    return owner.metadata.labels, owner.metadata.annotations
