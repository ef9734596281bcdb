"""The store: what the API server has told us, and what we have told it."""

from __future__ import annotations

from kai_py.api.meta import Namespace
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.runtime import RuntimeClass
from kai_py.api.scheduling import PriorityClass
from kai_py.api.service import Service
from kai_py.api.topology import Topology
from kai_py.cluster.books import Books
from kai_py.cluster.carryover import CarryOver
from kai_py.cluster.decisions import Decisions
from kai_py.cluster.encode.axis import Accounting
from kai_py.cluster.lifecycle import PodLifecycle
from kai_py.cluster.lineages import Lineages
from kai_py.cluster.membership import Grouper
from kai_py.cluster.pods import key_of
from kai_py.cluster.scope import Scope
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.snapshots import Snapshots
from kai_py.core.tables.pods import PodKey
from kai_py.core.tables.snapshot import Snapshot
from kai_py.settings.placement import DefaultTopologySpread


class Store(Books):
    """The mutable memory: the books, and what objects that come and go mean to them. One writer; no I/O.

    Every ``put_*`` and ``drop_*`` tells whether the change can matter to a cycle, so that heartbeats and our own status
    writes wake nobody. An object that concerns one book alone is put there.

    Args:
        grouper: tells which podgroup a pod belongs to.
        scope: which objects are ours.
        accounting: what queues are charged for; may be replaced at any time.

    Attributes:
        lineages: takes in owners of pods.
        decisions: what we have told the API server.
        carryover: what one cycle leaves to the next.
        snapshots: what cycles get.
    """

    def __init__(self, grouper: Grouper, scope: Scope | None = None, accounting: Accounting | None = None) -> None:
        super().__init__(grouper, scope, accounting)
        self.lineages = Lineages(
            self.owners, self.layout, self.reader, self.history, self.claims.pod_groups, self.finished
        )
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
        self.claims.pod_groups.waits = self.decisions.waits
        self.carryover = CarryOver(self, self.decisions)
        self.snapshots = Snapshots(self)
        self._lifecycle = PodLifecycle(self, self.decisions)

    def take(self, now: float) -> Snapshot:
        """A snapshot for a cycle. What did not change since the last one is shared with it.

        Args:
            now: seconds since the epoch.
        """
        self.layout.recount_reservations(now)
        self._spread_by_services(now)
        return self.snapshots.take(now, self.carryover.searched)

    # -- pods --------------------------------------------------------------------------------------

    def put_pod(self, pod: Pod, now: float) -> bool:
        """Take in a pod as a watch reports it."""
        reserves = self.reservations.covers(pod) and self.reservations.see(pod)
        key = key_of(pod)
        if (other := self.names.get(*key[:2])) is not None and other != key:
            self.drop_pod(other)  # deleted and made anew while nobody was watching
        return self._lifecycle.put(key, pod, now) | reserves

    def drop_pod(self, key: PodKey) -> bool:
        """Forget a pod that is gone."""
        self.reservations.drop(key)
        self.finished.drop(key)
        return self._lifecycle.drop(key, over=True)

    def pod_key(self, name: str) -> PodKey | None:
        """Identity of the pod ``namespace/name``; None if there is none that matters."""
        namespace, _, own = name.partition("/")
        key = self.names.get(namespace, own)
        return key if key in self.pods.facts else None

    def known_pods(self) -> list[PodKey]:
        """All pods that are remembered, also those that are left alone or cannot be understood."""
        return [*self.names, *self.reservations.failed(), *self.finished]

    # -- what decides about how pods are read --------------------------------------------------------

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

    def heed_images(self, *, wanted: bool, now: float) -> None:
        """Whether it matters which images nodes have; known of a node from its next change on. At first it does not."""
        self.nodes.heeds_images = wanted
        self.layout.heed_images(wanted=wanted, now=now)

    def share_gpus(self, ways: Ways, now: float) -> None:
        """By which ways pods that wait may have parts of GPUs; at first all may, whether prepared or not."""
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

    def put_podgroup(self, podgroup: PodGroup) -> bool:
        """Take in a PodGroup."""
        self.history.put(podgroup)
        return self.groups.put(podgroup)

    def drop_podgroup(self, name: tuple[str, str]) -> bool:
        """Forget a PodGroup. Pods of it that still run keep its history."""
        if name not in self.groups.groups:
            self.history.drop(name)
        return self.groups.drop(name)

    def put_namespace(self, namespace: Namespace) -> bool:
        """Take in a namespace: its labels decide about queues, and whose pods affinities are about."""
        before = self.access.stamp()
        meant = self.neighbours.put_namespace(namespace.metadata.name, namespace.metadata.labels)
        return meant or self.access.stamp() != before

    def drop_namespace(self, name: str) -> bool:
        """Forget a namespace."""
        before = self.access.stamp()
        return self.neighbours.drop_namespace(name) or self.access.stamp() != before
