"""The store: what the API server has told us, and what we have told it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Final

from kai_py.api.keys import NVIDIA_GPU
from kai_py.api.meta import Namespace, PartialObject
from kai_py.api.node import Node
from kai_py.api.numa import NodeResourceTopology
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.policy import PodDisruptionBudget
from kai_py.api.queue import Queue
from kai_py.api.runtime import RuntimeClass
from kai_py.api.scheduling import PriorityClass
from kai_py.api.service import Service
from kai_py.api.topology import Topology
from kai_py.cluster.access import AccessBook
from kai_py.cluster.around import Around
from kai_py.cluster.budgets import BudgetBook
from kai_py.cluster.claims import ClaimBook
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.decisions import Decisions, pod_of
from kai_py.cluster.encode.axis import Accounting, make_axis
from kai_py.cluster.failures import Failures
from kai_py.cluster.groups import GroupBook
from kai_py.cluster.held import HeldBook
from kai_py.cluster.history import HistoryBook, Stamps
from kai_py.cluster.labels import LabelBook
from kai_py.cluster.layout import PodLayout
from kai_py.cluster.lineages import Lineages
from kai_py.cluster.membership import Grouper
from kai_py.cluster.namespaces import NamespaceBook
from kai_py.cluster.neighbours import NeighbourBook
from kai_py.cluster.nodes import NodeBook
from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.phases import Assumptions, Event
from kai_py.cluster.pods import FINISHED, PodBook, key_of
from kai_py.cluster.priorities import PriorityBook
from kai_py.cluster.queues import QueueBook
from kai_py.cluster.reading import PodReader
from kai_py.cluster.reservations import ReservationBook
from kai_py.cluster.rollouts import RolloutBook
from kai_py.cluster.scope import Scope
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.topologies import TopologyBook
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.volumes.constrain import VolumeTables
from kai_py.cluster.zones import ZoneBook
from kai_py.core.options import Action
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import CycleResult, Evict, Nominate
from kai_py.core.tables.devices import SharedDevices
from kai_py.core.tables.podgroups import PodGroupTable
from kai_py.core.tables.pods import PodKey
from kai_py.core.tables.snapshot import Snapshot
from kai_py.errors import Fault
from kai_py.settings.placement import DefaultTopologySpread

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
        self.claims = ClaimBook(self.scope.name)
        self.topologies = TopologyBook(self.claims.devices)
        self.zones = ZoneBook()
        self.history = HistoryBook()
        namespaces = NamespaceBook()
        self.rollouts = RolloutBook()
        self.access = AccessBook(self.queues, namespaces)
        self.groups = GroupBook(self.priorities, self.history, self.access, self.rollouts)
        self.classes = ClassBook()
        labels = LabelBook()
        self.budgets = BudgetBook(labels)
        self.neighbours = NeighbourBook(self.classes, labels, namespaces)
        self.reservations = ReservationBook(self.scope.name)
        self.pods = PodBook(self.classes, labels, self.groups.leaf_of, self.reservations)
        self.groups.facts = self.pods.facts
        self.owners = OwnerBook()
        self.around = Around(self.owners, self.topologies.topologies)
        self.assumptions = Assumptions()
        self.failures = Failures()
        self.volumes = VolumeBook()
        self._volume_tables = VolumeTables(self.volumes)
        self.held = HeldBook()
        self._reader = PodReader(grouper, self.owners, self.groups, self.failures)
        self.runtimes = self._reader.runtimes
        self.spreading = self._reader.spreading
        self.layout = PodLayout(
            self._reader,
            classes=self.classes,
            labels=labels,
            owners=self.owners,
            groups=self.groups,
            pods=self.pods,
            assumptions=self.assumptions,
            history=self.history,
            reservations=self.reservations,
        )
        self.lineages = Lineages(self.owners, self.layout, self._reader, self.history)
        self.decisions = Decisions(
            self.assumptions,
            self.failures,
            self.held,
            groups=self.groups,
            pods=self.pods,
            layout=self.layout,
            claims=self.claims,
            volumes=self.volumes,
        )
        self._searched: Mapping[tuple[str, str], int] = {}
        #: By namespace and name, which are fewer strings than keys.
        self._names: dict[str, dict[str, PodKey]] = {}
        self._axis: ResourceAxis | None = None
        self._swept = 0.0

    @property
    def faults(self) -> Mapping[tuple[str, str], tuple[Fault, ...]]:
        """What is wrong with which object, by its kind and name, until it is mended or gone."""
        return {
            **self._reader.faults,
            **{("Node", name): faults for name, faults in self.nodes.faults.items()},
            **{("NodeResourceTopology", name): faults for name, faults in self.zones.faults.items()},
            **{("Queue", name): (fault,) for name, fault in self.queues.malformed.items()},
            **{("Topology", name): (fault,) for name, fault in self.topologies.malformed.items()},
            **{("PodGroup", "/".join(name)): (fault,) for name, fault in self.groups.malformed.items()},
            **{("ResourceSlice", name): faults for name, faults in self.claims.devices.faults.items()},
            **self.claims.faults,
            **{("PodDisruptionBudget", "/".join(name)): faults for name, faults in self.budgets.faults.items()},
        }

    # -- pods --------------------------------------------------------------------------------------

    def put_pod(self, pod: Pod, now: float) -> bool:
        """Take in a pod as a watch reports it."""
        reserves = self.reservations.covers(pod) and self.reservations.see(pod)
        return self._put_pod(pod, now) | reserves

    def _put_pod(self, pod: Pod, now: float) -> bool:
        key, leaving = key_of(pod), pod.metadata.deletion_timestamp is not None
        if (other := self._named(*key[:2])) is not None and other != key:
            self.drop_pod(other)  # deleted and made anew while nobody was watching
        if pod.status.phase in FINISHED or (leaving and not pod.spec.node_name):
            self._note_success(pod)
            return self._drop_pod(key)
        if pod.spec.node_name:
            self.decisions.confirm(key, wants_node=True)
            self.failures.forget(key)
            self.held.drop(key)
        if leaving:
            self.decisions.confirm(key, wants_node=False)
        ours = pod.spec.scheduler_name in self.scope.scheduler_names and self.scope.covers(pod.metadata.labels)
        ours = ours and not self.reservations.covers(pod)  # nobody schedules them, and nobody ends them
        if not (ours or pod.spec.node_name or pod.status.nominated_node_name):
            return self._drop_pod(key, over=False)
        if ours and not pod.spec.node_name:
            self.held.see(key, pod.status.nominated_node_name)
        self._names.setdefault(key.namespace, {})[key.name] = key
        self.volumes.see(key, pod)
        needs_changed = self.claims.see(key, pod)
        if ours:
            self.rollouts.see(key, pod)
        else:
            self.rollouts.drop(key)
            self.held.drop(key)
        fellows = self.around.put_pod(key, pod.metadata) if ours else ""
        changed = self.layout.put(key, pod, now, ours=ours) or needs_changed
        return changed | (bool(fellows) and self.layout.regroup(self.owners.below(fellows), now))

    def _note_success(self, pod: Pod) -> None:
        """A gang of which somebody has succeeded is on its way to its end."""
        if pod.status.phase == "Succeeded" and pod.spec.scheduler_name in self.scope.scheduler_names:
            place = self._reader.place(pod, None)
            if place is not None:
                self.history.succeeded(place.group)

    def drop_pod(self, key: PodKey, *, over: bool = True) -> bool:
        """Forget a pod that is gone."""
        self.reservations.drop(key)
        return self._drop_pod(key, over=over)

    def _drop_pod(self, key: PodKey, *, over: bool = True) -> bool:
        """Forget what is known of a pod, because it is over or because it does not matter any more."""
        self.held.drop(key)
        self.volumes.forget(key)
        self.rollouts.drop(key)
        self.claims.release(key)
        self.claims.forget(key, over=over)
        self.assumptions.note(key, Event.VANISH)
        self.failures.forget(key)
        if self._named(*key[:2]) == key:
            del self._names[key.namespace][key.name]
            if not self._names[key.namespace]:
                del self._names[key.namespace]
        if key.uid in self.owners.objects:  # it has owned pods
            self.owners.drop(key.uid)
        fellows = self.around.drop_pod(key)
        changed = self.layout.drop(key)
        return changed | (bool(fellows) and self.layout.regroup(self.owners.below(fellows), self._swept))

    def pod_key(self, name: str) -> PodKey | None:
        """Identity of the pod ``namespace/name``; None if there is none that matters."""
        namespace, _, own = name.partition("/")
        key = self._named(namespace, own)
        return key if key in self.pods.facts else None

    def known_pods(self) -> list[PodKey]:
        """All pods that are remembered, also those that are left alone or cannot be understood."""
        named = [key for names in self._names.values() for key in names.values()]
        return [*named, *self.reservations.failed()]

    def _named(self, namespace: str, name: str) -> PodKey | None:
        names = self._names.get(namespace)
        return names.get(name) if names is not None else None

    # -- what outlives a cycle ---------------------------------------------------------------------

    def remember(self, result: CycleResult, now: float) -> None:
        """What the next cycle has to know of this one: places that are held, gangs that are stale, starts."""
        held = {}
        for decision in result.decisions:
            if isinstance(decision, Nominate):
                key = pod_of(decision)
                if decision.action is not Action.ALLOCATE or key in self.held:
                    held[key] = decision.node
        self.held.replace(held)
        self._searched = result.searched
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

    def tidy(self, now: float) -> bool:
        """Give up decisions that nobody confirmed and end pauses that are over; tells whether any did."""
        if now - self._swept >= SWEEP:
            self._swept = now
            self.history.retain(lambda name: name in self.groups.groups or name in self.groups.objects)
        return self.decisions.expire(now)

    # -- owners and priorities: they decide about grouping -------------------------------------------

    def put_owner(self, owner: PartialObject, now: float) -> bool:
        """Take in something that owns pods, or describes a gang: it decides about grouping."""
        return self.lineages.put(owner, now)

    def drop_owner(self, uid: str) -> bool:
        """Forget an owner."""
        return self.lineages.drop(uid)

    def put_priority_class(self, priority_class: PriorityClass) -> bool:
        """Take in a PriorityClass."""
        return self._priorities_changed(self.priorities.put(priority_class))

    def drop_priority_class(self, name: str) -> bool:
        """Forget a PriorityClass."""
        return self._priorities_changed(self.priorities.drop(name))

    def _priorities_changed(self, changed: bool) -> bool:
        if changed:
            self.groups.priorities_changed()
            self.layout.regroup_all()  # a grouper may pass over classes that do not exist
        return changed

    # -- everything else ---------------------------------------------------------------------------

    def put_node(self, node: Node) -> bool:
        """Take in a node; one that cannot be read keeps its last good state, and a new one is left out."""
        if not self.scope.covers(node.metadata.labels):
            return self.nodes.drop(node.metadata.name)
        return self.nodes.put(node)

    def heed_images(self, *, wanted: bool, now: float) -> None:
        """Whether it matters which images nodes have; known of a node from its next change on. At first it does not."""
        self.nodes.heeds_images = wanted
        self.layout.heed_images(wanted=wanted, now=now)

    def share_gpus(self, ways: Ways, now: float) -> None:
        """By which ways pods that wait may have parts of GPUs. At first all may, and nobody asks how they learn which."""
        self.claims.shares.ways = ways
        self.layout.share_gpus(ways, now)

    def spread_by_default(self, wanted: DefaultTopologySpread, now: float) -> None:
        """How pods are spread that do not say it themselves. At first they are not."""
        if self.spreading.configure(wanted):
            self.layout.spread_anew(None, now)

    def put_service(self, service: Service) -> bool:
        """Take in a Service: its pods are replicas. Pods that wait are read anew before the next snapshot."""
        return self.spreading.services.put(service) and self.spreading.wanted

    def drop_service(self, name: tuple[str, str]) -> bool:
        """Forget a Service."""
        return self.spreading.services.drop(name) and self.spreading.wanted

    def _spread_by_services(self, now: float) -> None:
        """Read pods anew that wait where Services have changed: once, however many have."""
        changed = self.spreading.services.changed
        if changed and self.spreading.wanted:
            self.layout.spread_anew(frozenset(changed), now)
        changed.clear()

    def put_queue(self, queue: Queue) -> bool:
        """Take in a queue."""
        if not self.scope.covers(queue.metadata.labels):
            return self.queues.drop(queue.name)
        return self.queues.put(queue)

    def put_topology(self, topology: Topology) -> bool:
        """Take in a topology."""
        changed = self.topologies.put(topology)
        if changed and self.around.asked_for_topologies:
            self.layout.regroup_all()
        return changed

    def put_runtime_class(self, runtime_class: RuntimeClass, now: float) -> bool:
        """Take in a RuntimeClass."""
        return self.runtimes.put(runtime_class) and self._runtimes_changed(runtime_class.metadata.name, now)

    def drop_runtime_class(self, name: str, now: float) -> bool:
        """Forget a RuntimeClass."""
        return self.runtimes.drop(name) and self._runtimes_changed(name, now)

    def _runtimes_changed(self, name: str, now: float) -> bool:
        few = len(self.runtimes.classes) <= 1  # the first one, or the last: now it is known that there are no others
        self.layout.again_with(None if few else name, now)
        return True

    def put_zones(self, topology: NodeResourceTopology) -> bool:
        """Take in what a node's exporter says about its NUMA nodes."""
        return self.zones.put(topology)

    def put_podgroup(self, podgroup: PodGroup) -> bool:
        """Take in a PodGroup."""
        self.history.put(podgroup)
        return self.groups.put(podgroup)

    def drop_podgroup(self, name: tuple[str, str]) -> bool:
        """Forget a PodGroup. Pods of it that still run keep its history."""
        if name not in self.groups.groups:
            self.history.drop(name)
        return self.groups.drop(name)

    def put_budget(self, budget: PodDisruptionBudget) -> None:
        """Take in a PodDisruptionBudget. It matters to the choice of victims, but is never a reason for a cycle."""
        self.budgets.put(budget)

    def drop_budget(self, name: tuple[str, str]) -> None:
        """Forget a PodDisruptionBudget."""
        self.budgets.drop(name)

    def put_namespace(self, namespace: Namespace) -> bool:
        """Take in a namespace: its labels decide about queues, and whose pods affinities are about."""
        before = self.access.stamp()
        meant = self.neighbours.put_namespace(namespace.metadata.name, namespace.metadata.labels)
        return meant or self.access.stamp() != before

    def drop_namespace(self, name: str) -> bool:
        """Forget a namespace."""
        before = self.access.stamp()
        return self.neighbours.drop_namespace(name) or self.access.stamp() != before

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
        self.layout.recount_reservations(now)
        self._spread_by_services(now)
        axis = self.axis()
        nodes = self.nodes.table(axis)
        queues = self.queues.table(axis)
        groups = self.groups.tables(self.queues, queues)
        podgroups, topologies = self.topologies.constrain(groups, nodes)
        pods = self.pods.table(now, self.nodes.row_of, groups.leaf_rows)
        if self.held:
            pods = dataclasses.replace(pods, held_idx=self.held.rows(pods.keys, self.nodes.row_of))
        devices = None
        if self.classes.sharing:
            groups_by_row = self.pods.shared_by_row(pods.keys)
            devices = SharedDevices(axis.index[NVIDIA_GPU], self.nodes.device_memory, groups_by_row)
        classes = self.classes.table(axis, devices.sizes if devices is not None else ())
        near = self.neighbours.constrain(pods, classes, *self.pods.label_sets())
        reached = self._volume_tables.constrain(near.pods, near.classes, podgroups, groups.subgroups, nodes)
        worked = self.claims.constrain(
            reached.pods,
            reached.classes,
            reached.podgroups,
            groups.subgroups,
            nodes,
            queues.names,
            axis,
            self.accounting,
        )
        return Snapshot.seal(
            now=now,
            axis=axis,
            nodes=worked.nodes,
            classes=worked.classes,
            pods=worked.pods,
            podgroups=self._with_searched(worked.podgroups),
            subgroups=groups.subgroups,
            queues=queues,
            devices=devices,
            budgets=self.budgets.table(*self.pods.victims_label_sets(), self.pods.unwell_by_row),
            topologies=topologies,
            claims=worked.claims,
            volumes=reached.volumes,
            neighbours=near.neighbours,
            zones=self.zones.table(nodes.names, self.pods.seated_by_row(pods.keys), pods.node_idx),
        )

    def _with_searched(self, podgroups: PodGroupTable) -> PodGroupTable:
        """The table with the choices of victims that the last cycle tried in vain before its budget ended a search."""
        if not self._searched:
            return podgroups
        rows = {str(key): row for row, key in enumerate(podgroups.keys)}
        searched = {(rows[name], action): n for (name, action), n in self._searched.items() if name in rows}
        return dataclasses.replace(podgroups, searched=searched)


def _split(name: str) -> tuple[str, str]:
    namespace, _, own = name.partition("/")
    return namespace, own
