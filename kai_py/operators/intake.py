"""From watches to the store: translate, call, and wake the loop if it matters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeVar

import structlog
from msgspec.structs import replace

from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.api.model import CustomResource
from kai_py.api.numa import NodeResourceTopology
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.policy import PodDisruptionBudget
from kai_py.api.queue import Queue
from kai_py.api.resource import DeviceClass, ResourceSlice
from kai_py.api.topology import Topology
from kai_py.api.workload import IndexedWorkload, Workload
from kai_py.cluster.pods import FINISHED, key_of
from kai_py.cluster.store import Store
from kai_py.core.tables.pods import PodKey
from kai_py.errors import Fault, KaiError, MalformedObjectError
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType
from kai_py.operators.gang_statuses import GangStatuses
from kai_py.operators.kinds import (
    BUDGETS,
    CLAIMS,
    DEVICE_CLASSES,
    NAMESPACES,
    NODES,
    OWNER_KINDS,
    OWNERS,
    PODGROUPS,
    PODS,
    PRIORITY_CLASSES,
    RUNTIMES,
    SERVICES,
    SLICES,
    STORAGE,
    TAINT_RULES,
    VOLUME_CLAIMS,
    ZONES,
)
from kai_py.podgrouper.kinds.registry import decisive_status

_log = structlog.get_logger()

Name = tuple[str, str]
R = TypeVar("R", bound=CustomResource)
Complain = Callable[[Mapping[str, Any], Sequence[Fault]], None]


_DEVICES: Final = frozenset({CLAIMS, DEVICE_CLASSES, SLICES, *TAINT_RULES})
_API_VERSIONS: Final = {
    "Pod": PODS.api_version,
    "PodGroup": PODGROUPS.api_version,
    **{OWNER_KINDS[owner.plural]: owner.api_version for owner in OWNERS},
}


class Intake:
    """Feeds the store, one object at a time: what is wrong with one never stops the others.

    Args:
        store: the memory; this is its only writer beside the dispatcher.
        wake: called when something changed that a cycle could act upon.
        clock: seconds since the epoch.
        complain: told once about an object that cannot be read, with all its faults.
        claims_changed: told which claims, on devices or volumes, the watch has shown, after they were taken in.
        gangs: shown every pod, also those that have ended.
    """

    def __init__(
        self,
        store: Store,
        wake: Callable[[], None],
        clock: Callable[[], float] = time.time,
        complain: Complain = lambda _body, _faults: None,
        claims_changed: Callable[[Iterable[Name]], None] = lambda _names: None,
        gangs: GangStatuses | None = None,
    ) -> None:
        self._store = store
        self._wake = wake
        self._clock = clock
        self._complain = complain
        self._claims_changed = claims_changed
        self._gangs = gangs
        #: Kinds of owners, and their names: metadata alone does not say it.
        self._owner_kinds: dict[ResourceKind[Any], str] = {owner: OWNER_KINDS[owner.plural] for owner in OWNERS}
        self._api_versions = dict(_API_VERSIONS)
        #: Identities of all objects that we were told about, pods apart: the store knows these.
        self._known: dict[ResourceKind[Any], dict[Name, ObjectMeta]] = {}

    # -- kinds that come through reflectors (kube.reflector.Sink) ------------------------------------

    def replace(self, resource: ResourceKind[Any], objects: Sequence[Any], unreadable: AbstractSet[Name]) -> None:
        """These are all objects of a kind: forget the others, take these in."""
        self.forget_others(resource, {obj.metadata.uid for obj in objects}, unreadable)
        self._take(resource, [("ADDED", obj) for obj in objects])
        self._wake()

    def forget_others(self, resource: ResourceKind[Any], uids: AbstractSet[str], unreadable: AbstractSet[Name]) -> None:
        """A list is complete: what is not in it is gone."""
        for meta in self._listed(resource):
            if meta.uid not in uids and meta.key not in unreadable:
                self._drop(resource, meta)
        if resource == PODS and self._gangs is not None:
            self._gangs.keep(uids)
        self._wake()

    def apply(self, resource: ResourceKind[Any], events: Sequence[tuple[EventType, Any]]) -> None:
        """This has happened since."""
        if self._take(resource, events):
            self._wake()

    def _take(self, resource: ResourceKind[Any], events: Sequence[tuple[EventType, Any]]) -> bool:
        """Take in objects one by one; tells whether any matters to a cycle."""
        matters = [self._isolated(resource, event, obj) for event, obj in events]
        if resource == PODS:
            holding = self._store.reservations.namespace
            if reservations := [obj.metadata.key for _, obj in events if obj.metadata.namespace == holding]:
                self._claims_changed(reservations)
        if resource in (CLAIMS, VOLUME_CLAIMS):
            self._claims_changed([obj.metadata.key for _, obj in events])
        return any(matters)

    def _listed(self, resource: ResourceKind[Any]) -> Iterable[ObjectMeta]:
        if resource == PODS:
            return [ObjectMeta(key.name, key.namespace, key.uid) for key in self._store.known_pods()]
        return list(self._known.get(resource, {}).values())

    def _isolated(self, resource: ResourceKind[Any], event: EventType, obj: Any) -> bool:
        """One object; an error of ours about it is logged and goes no further."""
        try:
            if event == "DELETED":
                return self._drop(resource, obj.metadata)
            return self._put(resource, obj)
        except (KaiError, ValueError, LookupError, ArithmeticError):
            _log.exception("object passed over", kind=resource.kind, object="/".join(obj.metadata.key))
            return False

    def _put(self, resource: ResourceKind[Any], obj: Any) -> bool:
        if resource == PODS:
            if self._gangs is not None:
                self._gangs.put(obj)
            expected = self._is_expected(obj)
            matters = self._store.put_pod(obj, self._clock())
            self._tell_of_annotations()
            return matters and not expected
        self._known.setdefault(resource, {})[obj.metadata.key] = obj.metadata
        if resource == NODES:
            return self._store.put_node(obj)
        if resource == PRIORITY_CLASSES:
            return self._store.put_priority_class(obj)
        if resource == NAMESPACES:
            return self._store.put_namespace(obj)
        if resource == BUDGETS:
            self._put_budget(obj)
            return False
        if resource in _DEVICES:
            return self._put_devices(resource, obj)
        if resource in STORAGE:
            return self._store.volumes.put(obj)
        if resource == ZONES:
            return self._put_zones(obj)
        if resource == RUNTIMES:
            return self._store.put_runtime_class(obj, self._clock())
        if resource == SERVICES:
            return self._store.put_service(obj)
        return self._put_owner(resource, obj)

    def _put_devices(self, resource: ResourceKind[Any], obj: Any) -> bool:
        claims = self._store.claims
        if resource == CLAIMS:
            return claims.put(obj)
        if resource in TAINT_RULES:
            return claims.devices.put_rule(obj)
        if resource == DEVICE_CLASSES:
            return self._put_class(obj)
        return self._put_slice(obj)

    def _put_class(self, found: DeviceClass) -> bool:
        key = "DeviceClass", found.metadata.name
        known = self._store.claims.faults.get(key)
        matters = self._store.claims.put_class(found)
        faults = self._store.claims.faults.get(key, ())
        self._report(_body(DEVICE_CLASSES.api_version, DEVICE_CLASSES.kind, found.metadata), faults, _first(known))
        return matters

    def _put_slice(self, found: ResourceSlice) -> bool:
        devices, name = self._store.claims.devices, found.metadata.name
        known = devices.faults.get(name)
        matters = devices.put(found)
        faults = devices.faults.get(name, ())
        self._report(_body(SLICES.api_version, SLICES.kind, found.metadata), faults, _first(known))
        return matters

    def follow(self, resource: ResourceKind[Any], kind: str) -> None:
        """Objects of another kind of owner will come."""
        self._owner_kinds[resource] = kind
        self._api_versions[kind] = resource.api_version

    def put_owner_pod(self, pod: PartialObject) -> None:
        """A pod that owns pods was read."""
        self._woken(self._store.lineages.put(replace(pod, api_version=PODS.api_version, kind="Pod"), self._clock()))

    def _put_owner(self, resource: ResourceKind[Any], owner: PartialObject) -> bool:
        kind = self._owner_kinds.get(resource, owner.kind)
        whole = owner.whole() if isinstance(owner, IndexedWorkload) else owner
        named = replace(whole, api_version=resource.api_version, kind=kind)
        if isinstance(named, Workload):
            named = replace(named, status=decisive_status((resource.group, kind), named.status))
        matters = self._store.lineages.put(named, self._clock())
        self._tell_of_annotations()
        return matters

    def _put_budget(self, budget: PodDisruptionBudget) -> None:
        known = self._store.budgets.faults.get(budget.metadata.key)
        self._store.budgets.put(budget)
        faults = self._store.budgets.faults.get(budget.metadata.key, ())
        body = _body(BUDGETS.api_version, BUDGETS.kind, budget.metadata)
        self._report(body, faults, _first(known))

    def _put_zones(self, topology: NodeResourceTopology) -> bool:
        name = topology.metadata.name
        known = self._store.zones.faults.get(name)
        matters = self._store.zones.put(topology)
        body = _body(ZONES.api_version, ZONES.kind, topology.metadata)
        self._report(body, self._store.zones.faults.get(name, ()), known[0] if known else None)
        return matters

    def _is_expected(self, pod: Pod) -> bool:
        """Whether a pod shows no more than what we have sent and count with already: that it is bound where we said.

        A cycle for each of these would cost a busy server's core more than half of the time that the binder needs; the
        dispatcher asks for one when all are answered.
        """
        flight = self._store.assumptions.get(key_of(pod))
        arrived = flight is not None and bool(flight.node) and flight.node == pod.spec.node_name
        return arrived and pod.metadata.deletion_timestamp is None and pod.status.phase not in FINISHED

    def _drop(self, resource: ResourceKind[Any], meta: ObjectMeta) -> bool:
        if resource == PODS:
            if self._gangs is not None:
                self._gangs.drop(meta)
            return self._store.drop_pod(PodKey(meta.namespace, meta.name, meta.uid))
        self._known.get(resource, {}).pop(meta.key, None)
        if resource == NODES:
            return self._store.nodes.drop(meta.name)
        if resource == PRIORITY_CLASSES:
            return self._store.drop_priority_class(meta.name)
        if resource == NAMESPACES:
            return self._store.drop_namespace(meta.name)
        if resource == BUDGETS:
            self._store.budgets.drop(meta.key)
            return False
        if resource in _DEVICES:
            return self._drop_devices(resource, meta)
        if resource in STORAGE:
            return self._store.volumes.drop(resource.struct, meta.key)
        if resource == ZONES:
            return self._store.zones.drop(meta.name)
        if resource == RUNTIMES:
            return self._store.drop_runtime_class(meta.name, self._clock())
        if resource == SERVICES:
            return self._store.drop_service(meta.key)
        return self._store.lineages.drop(meta.uid)

    def _drop_devices(self, resource: ResourceKind[Any], meta: ObjectMeta) -> bool:
        claims = self._store.claims
        if resource == CLAIMS:
            return claims.drop(meta.key)
        if resource in TAINT_RULES:
            return claims.devices.drop_rule(meta.name)
        if resource == DEVICE_CLASSES:
            return claims.drop_class(meta.name)
        return claims.devices.drop(meta.name)

    # -- kinds that come through kopf, as plain objects ----------------------------------------------

    def put_queue(self, body: Mapping[str, Any]) -> None:
        """A Queue was made or changed."""
        queue = _parsed(Queue, body)
        if isinstance(queue, Queue):
            self._woken(self._store.put_queue(queue))
            return
        name = str(body["metadata"]["name"])
        self._report(body, queue.faults, self._store.queues.malformed.get(name))
        self._woken(self._store.queues.put_malformed(name, queue.faults[0]))

    def drop_queue(self, name: str) -> None:
        """A Queue was deleted."""
        self._woken(self._store.queues.drop(name))

    def put_topology(self, body: Mapping[str, Any]) -> None:
        """A Topology was made or changed."""
        topology = _parsed(Topology, body)
        if isinstance(topology, Topology):
            self._woken(self._store.put_topology(topology))
            return
        name = str(body["metadata"]["name"])
        self._report(body, topology.faults, self._store.topologies.malformed.get(name))
        self._woken(self._store.topologies.put_malformed(name, topology.faults[0]))

    def drop_topology(self, name: str) -> None:
        """A Topology was deleted."""
        self._woken(self._store.topologies.drop(name))

    def put_podgroup(self, body: Mapping[str, Any]) -> None:
        """A PodGroup was made or changed."""
        podgroup = _parsed(PodGroup, body)
        if isinstance(podgroup, PodGroup):
            self._woken(self._store.put_podgroup(podgroup))
            self._tell_of_annotations()
            return
        meta = body["metadata"]
        name = (str(meta.get("namespace", "")), str(meta["name"]))
        self._report(body, podgroup.faults, self._store.groups.malformed.get(name))
        self._woken(self._store.groups.put_malformed(name, podgroup.faults[0]))

    def _tell_of_annotations(self) -> None:
        """Say which annotations were passed over, and which owners of pods cannot be understood."""
        untold = self._store.history.checkpoints.untold
        while untold:
            (kind, _), (meta, fault) = untold.popitem()
            self._report(_body(self._api_versions.get(kind, ""), kind, meta), [fault], None)
        owners = self._store.lineages.untold
        while owners:
            _, (owner, faults) = owners.popitem()
            self._report(_body(owner.api_version, owner.kind, owner.metadata), faults, None)

    def _report(self, body: Mapping[str, Any], faults: Sequence[Fault], known: Fault | None) -> None:
        """Say what is wrong with an object, unless it was said before: audits read everything again."""
        if not faults or known == faults[0]:
            return
        for fault in faults:
            _log.warning("malformed object", object=fault.where, field=fault.field, why=fault.message)
        self._complain(body, faults)

    def drop_podgroup(self, name: Name) -> None:
        """A PodGroup was deleted."""
        self._woken(self._store.drop_podgroup(name))

    def retain(self, *, queues: AbstractSet[str], podgroups: AbstractSet[Name], topologies: AbstractSet[str]) -> None:
        """These exist; a deletion of any other was missed."""
        for topology in sorted({*self._store.topologies.topologies, *self._store.topologies.malformed} - topologies):
            self.drop_topology(topology)
        for queue in sorted({*self._store.queues.queues, *self._store.queues.malformed} - queues):
            self.drop_queue(queue)
        known = {*self._store.groups.objects, *self._store.groups.malformed}
        for podgroup in sorted(known - podgroups):
            self.drop_podgroup(podgroup)

    def _woken(self, matters: bool) -> None:
        if matters:
            self._wake()


def _first(faults: Sequence[Fault] | None) -> Fault | None:
    return faults[0] if faults else None


def _body(api_version: str, kind: str, meta: ObjectMeta) -> Mapping[str, Any]:
    """As much of an object as an Event needs."""
    identity = {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid}
    return {"apiVersion": api_version, "kind": kind, "metadata": identity}


def _parsed(model: type[R], body: Mapping[str, Any]) -> R | MalformedObjectError:
    """The object, or what is wrong with it."""
    try:
        return model.parse(body)
    except MalformedObjectError as error:
        return error
