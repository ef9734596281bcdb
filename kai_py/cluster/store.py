"""The store: what the API server has told us, and what we have told it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from msgspec.structs import replace

from kai_py.api.keys import NVIDIA_GPU
from kai_py.api.meta import PartialObject
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.scheduling import PriorityClass
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.axis import Accounting, make_axis
from kai_py.cluster.encode.shares import groups_of, names_device
from kai_py.cluster.failures import Failures
from kai_py.cluster.groups import GroupBook
from kai_py.cluster.held import HeldBook
from kai_py.cluster.history import HistoryBook, Stamps
from kai_py.cluster.membership import DerivedGroup, Grouper
from kai_py.cluster.nodes import NodeBook
from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.phases import Assumptions, Event
from kai_py.cluster.pods import FINISHED, PodBook, PodFacts, facts_of, key_of
from kai_py.cluster.priorities import PriorityBook
from kai_py.cluster.queues import QueueBook
from kai_py.cluster.reading import PodReader, Stubs
from kai_py.cluster.scope import Scope
from kai_py.core.options import Action
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Bind, CycleResult, Decision, Evict, Nominate
from kai_py.core.tables.devices import SharedDevices
from kai_py.core.tables.pods import PodKey, PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.errors import Fault

#: Seconds after which a sent decision that no watch has confirmed is given up; the watch will have told by then.
CONFIRM_WITHIN: Final = 120.0
#: How often the histories of podgroups that are gone are thrown away, in seconds.
SWEEP: Final = 60.0


class Store:
    """The mutable memory. One writer; no I/O.

    Every ``put_*`` and ``drop_*`` tells whether the change can matter to a cycle, so that heartbeats and our own status
    writes wake nobody.

    Args:
        grouper: tells which podgroup a pod belongs to.
        scope: which objects are ours.
        accounting: what queues are charged for; may be replaced at any time.
    """

    def __init__(self, grouper: Grouper, scope: Scope | None = None, accounting: Accounting | None = None) -> None:
        self.scope = scope or Scope()
        self.accounting = accounting or Accounting()
        self.priorities = PriorityBook()
        self.nodes = NodeBook()
        self.queues = QueueBook()
        self.groups = GroupBook(self.priorities)
        self.classes = ClassBook()
        self.pods = PodBook(self.classes, self.groups.leaf_of)
        self.groups.facts = self.pods.facts
        self.owners = OwnerBook()
        self.assumptions = Assumptions()
        self.failures = Failures()
        self._reader = PodReader(grouper, self.owners, self.groups, self.failures)
        self._stubs = Stubs()
        #: Pods of ours that may have to be read again: those that wait, whole; of those that run the part that decides
        #: about grouping, as long as an owner of theirs is not known.
        self._kept: dict[PodKey, Pod] = {}
        #: By namespace and name, which are fewer strings than keys.
        self._names: dict[str, dict[str, PodKey]] = {}
        self._axis: ResourceAxis | None = None
        self.history = HistoryBook()
        self.held = HeldBook()
        self._swept = 0.0

    @property
    def faults(self) -> Mapping[tuple[str, str], tuple[Fault, ...]]:
        """What is wrong with which object, by its kind and name, until it is mended or gone."""
        return {
            **self._reader.faults,
            **{("Node", name): faults for name, faults in self.nodes.faults.items()},
            **{("Queue", name): (fault,) for name, fault in self.queues.malformed.items()},
            **{("PodGroup", "/".join(name)): (fault,) for name, fault in self.groups.malformed.items()},
        }

    # -- pods --------------------------------------------------------------------------------------

    def put_pod(self, pod: Pod, now: float) -> bool:
        """Take in a pod as a watch reports it."""
        key, leaving = key_of(pod), pod.metadata.deletion_timestamp is not None
        if (other := self._named(*key[:2])) is not None and other != key:
            self.drop_pod(other)  # deleted and made anew while nobody was watching
        if pod.status.phase in FINISHED or (leaving and not pod.spec.node_name):
            self._note_success(pod)
            return self.drop_pod(key)
        if pod.spec.node_name:
            self._confirm(key, wants_node=True)
            self.failures.forget(key)
            self.held.drop(key)
        if leaving:
            self._confirm(key, wants_node=False)
        ours = pod.spec.scheduler_name in self.scope.scheduler_names and self.scope.covers(pod.metadata.labels)
        if not (ours or pod.spec.node_name or pod.status.nominated_node_name):
            return self.drop_pod(key)
        if ours and not pod.spec.node_name:
            self.held.see(key, pod.status.nominated_node_name)
        self._names.setdefault(key.namespace, {})[key.name] = key
        self._keep(key, pod, ours=ours)
        return self._read(key, pod, now, ours=ours)

    def _note_success(self, pod: Pod) -> None:
        """A gang of which somebody has succeeded is on its way to its end."""
        if pod.status.phase == "Succeeded" and pod.spec.scheduler_name in self.scope.scheduler_names:
            place = self._reader.place(pod, None)
            if place is not None:
                self.history.succeeded(place.group)

    def drop_pod(self, key: PodKey) -> bool:
        """Forget a pod."""
        self.held.drop(key)
        self.assumptions.note(key, Event.VANISH)
        self.failures.forget(key)
        self._reader.forget(key)
        self._unkeep(key)
        if self._named(*key[:2]) == key:
            del self._names[key.namespace][key.name]
            if not self._names[key.namespace]:
                del self._names[key.namespace]
        return self._drop_facts(key)

    def pod_key(self, name: str) -> PodKey | None:
        """Identity of the pod ``namespace/name``; None if there is none that matters."""
        namespace, _, own = name.partition("/")
        key = self._named(namespace, own)
        return key if key in self.pods.facts else None

    def known_pods(self) -> list[PodKey]:
        """All pods that are remembered, also those that are left alone or cannot be understood."""
        return [key for names in self._names.values() for key in names.values()]

    def _named(self, namespace: str, name: str) -> PodKey | None:
        names = self._names.get(namespace)
        return names.get(name) if names is not None else None

    def _keep(self, key: PodKey, pod: Pod, *, ours: bool) -> None:
        """Keep of a pod what may have to be read again."""
        self._unkeep(key)
        if not ours or (pod.spec.node_name and self.owners.knows_all_above(pod.metadata)):
            return
        self._kept[key] = self._stubs.of(pod) if pod.spec.node_name else pod
        self.owners.attach(key, pod.metadata)

    def _unkeep(self, key: PodKey) -> None:
        if (pod := self._kept.pop(key, None)) is not None:
            self.owners.detach(key, pod.metadata)

    def _read(self, key: PodKey, pod: Pod, now: float, *, ours: bool) -> bool:
        """Lay a pod out, with the decision that is on its way for it."""
        before, flight = self.pods.facts.get(key), self.assumptions.get(key)
        holds = bool(pod.spec.node_name) or flight is not None
        place = self._reader.place(pod, before.place if before is not None and holds else None) if ours else None
        promised = "" if ours else pod.status.nominated_node_name  # by another scheduler: counts like a pod
        if place is None and not (holds or promised):
            return self._drop_facts(key)
        if place is not None and pod.spec.preemption_policy == "Never":
            self.history.never_preempts(place.group)
        demand, problem = self._reader.demand(pod, key, now, ours=place is not None)
        share = demand.constraints.share
        facts = facts_of(
            pod,
            place,
            bound=pod.spec.node_name or promised,
            class_number=self.classes.take(demand),
            problem=problem,
            flight=flight,
            groups=groups_of(pod, share.devices) if share is not None and (pod.spec.node_name or promised) else (),
        )
        return self._lay(before, facts)

    def _lay(self, before: PodFacts | None, facts: PodFacts) -> bool:
        """Write down what is known of a pod now; its class number is counted already."""
        if before is not None and before.place is not None:
            if facts.place is None or facts.place.group != before.place.group:
                self.groups.leave(before)
                before = None
        else:
            before = None
        if facts.place is not None:
            self.groups.join(before, facts)
        return self.pods.put(facts)

    def _drop_facts(self, key: PodKey) -> bool:
        facts = self.pods.drop(key)
        if facts is not None and facts.place is not None:
            self.groups.leave(facts)
        return facts is not None

    # -- decisions on their way --------------------------------------------------------------------

    def assume(self, decision: Bind | Evict, now: float) -> None:
        """Count a decision as carried out, before the API server has confirmed it."""
        key = _pod_of(decision)
        if isinstance(decision, Bind):
            self.assumptions.assume(key, decision.node, now, decision.gpu_groups)
        else:
            self.assumptions.assume(key, None, now)
        self.pods.fly(key, self.assumptions.get(key))

    def remember(self, result: CycleResult, now: float) -> None:
        """What the next cycle has to know of this one: places that are held, gangs that are stale, starts."""
        held = {}
        for decision in result.decisions:
            if isinstance(decision, Nominate):
                key = _pod_of(decision)
                if decision.action is not Action.ALLOCATE or key in self.held:
                    held[key] = decision.node
        self.held.replace(held)
        self.history.stale({_split(name) for name in result.stale}, now)
        for name in result.started:
            self.history.started(_split(name), now)

    def evicted(self, decision: Evict, now: float) -> None:
        """A pod of a podgroup has been told to go."""
        self.history.evicted(_split(decision.podgroup), now)

    def stamps(self) -> Iterator[tuple[tuple[str, str], Stamps]]:
        """PodGroup objects whose annotations lag behind what has happened, with those to write; each is told once."""
        for name in self.history.marked():
            podgroup = self.groups.objects.get(name)
            if podgroup is not None and (changes := self.history.changes(podgroup)):
                yield name, changes

    def acknowledge(self, decision: Bind | Evict) -> None:
        """The API server has accepted it; the watch will show it."""
        self.assumptions.note(_pod_of(decision), Event.ACKNOWLEDGE)

    def forget(self, decision: Bind | Evict, now: float, *, blame_node: bool) -> None:
        """The API server has refused it: the pod is as it was, and pauses before the next attempt."""
        key = _pod_of(decision)
        if not self.assumptions.note(key, Event.FAIL):
            return  # the watch was faster: the pod is bound or gone, and nothing has to be tried again
        if isinstance(decision, Bind) and key in self.pods.facts:
            self.failures.note(key, decision.node if blame_node else None, now)
        self._again(key, now)

    def give_up(self, podgroup: str, now: float, why: str = "") -> None:
        """The evictions that a podgroup needs cannot be had now: nothing is held for it any more.

        Args:
            podgroup: ``namespace/name``.
            now: seconds since the epoch.
            why: they were refused, and the podgroup pauses; empty if they are only postponed.
        """
        group = self.groups.groups.get(_split(podgroup))
        for key in tuple(group.members) if group is not None else ():
            self.held.give_up(key)
            if why and self.pods.facts[key].state == PodState.PENDING:
                self.failures.note(key, None, now, why)
                self._again(key, now)

    def release(self, decision: Bind | Evict, now: float) -> None:
        """It was not sent after all; nobody failed, nothing is remembered."""
        key = _pod_of(decision)
        if self.assumptions.note(key, Event.FAIL):
            self._again(key, now)

    def tidy(self, now: float) -> bool:
        """Give up decisions that nobody confirmed and end pauses that are over; tells whether any did."""
        if now - self._swept >= SWEEP:
            self._swept = now
            self.history.retain(lambda name: name in self.groups.groups or name in self.groups.objects)
        late = [key for key, flight in self.assumptions if now - flight.since > CONFIRM_WITHIN]
        ended = [key for key in late if self.assumptions.note(key, Event.EXPIRE)] + self.failures.expiring(now)
        for key in ended:
            self._again(key, now)
        return bool(ended)

    def _confirm(self, key: PodKey, *, wants_node: bool) -> None:
        flight = self.assumptions.get(key)
        if flight is not None and (flight.node is not None) == wants_node:
            self.assumptions.note(key, Event.SEE)

    def _again(self, key: PodKey, now: float) -> None:
        """Lay a pod out anew: a decision about it was given up, or a pause has ended."""
        pod, facts = self._kept.get(key), self.pods.facts.get(key)
        if pod is not None and not (facts is not None and facts.bound):
            self._read(key, pod, now, ours=True)
        else:
            self.pods.fly(key, self.assumptions.get(key))

    # -- owners and priorities: they decide about grouping -------------------------------------------

    def put_owner(self, owner: PartialObject, now: float) -> bool:
        """Take in the metadata of something that owns pods: its labels and annotations decide about grouping."""
        if not self.owners.put(owner):
            return False
        changed = [self._regroup(key, now) for key in self.owners.below(owner.metadata.uid)]
        return any(changed)

    def drop_owner(self, uid: str) -> bool:
        """Forget an owner; its pods keep what was derived from it until they change themselves."""
        return self.owners.drop(uid)

    def put_priority_class(self, priority_class: PriorityClass) -> bool:
        """Take in a PriorityClass."""
        return self._priorities_changed(self.priorities.put(priority_class))

    def drop_priority_class(self, name: str) -> bool:
        """Forget a PriorityClass."""
        return self._priorities_changed(self.priorities.drop(name))

    def _priorities_changed(self, changed: bool) -> bool:
        if changed:
            self.groups.priorities_changed()
            for key in list(self._kept):  # a grouper may pass over classes that do not exist
                self._regroup(key, None)
        return changed

    def _regroup(self, key: PodKey, now: float | None) -> bool:
        """Find a pod's place anew. Without ``now``, one that had none stays without."""
        pod, before = self._kept[key], self.pods.facts.get(key)
        if before is not None and before.bound and self.owners.knows_all_above(pod.metadata):
            self._unkeep(key)
        if before is None:
            return now is not None and self._read(key, pod, now, ours=True)
        place = self._reader.place(pod, before.place if before.node else None)
        if place is None and not before.node:
            return self._drop_facts(key)
        self.classes.hold(before.class_number)
        return self._lay(before, replace(before, place=place))

    def share_gpus(self, *, allowed: bool, now: float) -> None:
        """Whether pods that wait may have parts of GPUs, from now on; at first they may."""
        if allowed != self._reader.gpu_sharing:
            self._reader.gpu_sharing = allowed
            for key in list(self._kept):
                self._again(key, now)

    def device_labels(self, key: PodKey) -> list[str]:
        """The labels by which a pod that waits names devices, from an earlier attempt to bind it."""
        pod = self._kept.get(key)
        return [label for label in pod.metadata.labels if names_device(label)] if pod is not None else []

    # -- everything else ---------------------------------------------------------------------------

    def put_node(self, node: Node) -> bool:
        """Take in a node; one that cannot be read keeps its last good state, and a new one is left out."""
        if not self.scope.covers(node.metadata.labels):
            return self.nodes.drop(node.metadata.name)
        return self.nodes.put(node)

    def put_queue(self, queue: Queue) -> bool:
        """Take in a queue."""
        if not self.scope.covers(queue.metadata.labels):
            return self.queues.drop(queue.name)
        return self.queues.put(queue)

    def put_malformed_queue(self, name: str, fault: Fault) -> bool:
        """Take in a queue that cannot be read: it keeps its last good spec; without one it is as good as missing."""
        return self.queues.put_malformed(name, fault)

    def drop_queue(self, name: str) -> bool:
        """Forget a queue."""
        return self.queues.drop(name)

    def put_podgroup(self, podgroup: PodGroup) -> bool:
        """Take in a PodGroup."""
        self.history.put(podgroup)
        return self.groups.put(podgroup)

    def drop_podgroup(self, name: tuple[str, str]) -> bool:
        """Forget a PodGroup. Pods of it that still run keep its history."""
        if name not in self.groups.groups:
            self.history.drop(name)
        return self.groups.drop(name)

    def unwritten(self) -> list[DerivedGroup]:
        """Derived podgroups of more than one pod for which no object exists yet, but should; sorted by name."""
        return self.groups.unwritten()

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
        match kind:
            case "Pod":
                return [key[:2] for key in self.known_pods()]
            case "Node":
                return [("", name) for name in (*self.nodes, *self.nodes.faults)]
            case "Queue":
                return [("", name) for name in (*self.queues.queues, *self.queues.malformed)]
            case "PodGroup":
                return [*self.groups.objects, *self.groups.malformed]
            case "PriorityClass":
                return [("", name) for name in self.priorities]
            case _:
                raise ValueError(f"no listing of kind {kind!r}")

    # -- the snapshot ------------------------------------------------------------------------------

    def axis(self) -> ResourceAxis:
        """The axes of the next snapshot; the very same object while they do not change."""
        additional = self.accounting.additional | self.queues.additional
        accounting = dataclasses.replace(self.accounting, additional=additional)
        axis = make_axis(self.nodes.resources | self.classes.resources | self._shared_resource, accounting)
        if self._axis != axis:
            self._axis = axis
        return self._axis or axis

    @property
    def _shared_resource(self) -> frozenset[str]:
        return frozenset({NVIDIA_GPU}) if self.classes.sharing else frozenset()

    def take(self, now: float) -> Snapshot:
        """A snapshot for a cycle. What did not change since the last one is shared with it.

        Args:
            now: seconds since the epoch.
        """
        axis = self.axis()
        nodes = self.nodes.table(axis)
        queues = self.queues.table(axis)
        groups = self.groups.tables(self.queues, queues)
        pods = self.pods.table(now, self.nodes.row_of, groups.leaf_rows)
        if self.held:
            pods = dataclasses.replace(pods, held_idx=self.held.rows(pods.keys, self.nodes.row_of))
        devices = None
        if self.classes.sharing:
            groups_by_row = self.pods.shared_by_row(pods.keys)
            devices = SharedDevices(axis.index[NVIDIA_GPU], self.nodes.device_memory, groups_by_row)
        return Snapshot.seal(
            now=now,
            axis=axis,
            nodes=nodes,
            classes=self.classes.table(axis, devices.sizes if devices is not None else ()),
            pods=pods,
            podgroups=self.history.with_history(groups.podgroups),
            subgroups=groups.subgroups,
            queues=queues,
            devices=devices,
        )


def _split(name: str) -> tuple[str, str]:
    namespace, _, own = name.partition("/")
    return namespace, own


def _pod_of(decision: Decision) -> PodKey:
    namespace, _, name = decision.pod.partition("/")
    return PodKey(namespace, name, decision.uid)
