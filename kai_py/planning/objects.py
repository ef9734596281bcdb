"""Manifests to the store's objects, all faults at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec.structs import replace

from kai_py.api.decode import convert, identity
from kai_py.api.dra_taint_rule import DeviceTaintRule
from kai_py.api.meta import Namespace, ObjectMeta, OwnerReference, PartialObject
from kai_py.api.node import Node
from kai_py.api.numa import NodeResourceTopology
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.resource import DeviceClass, ResourceClaim, ResourceClaimTemplate, ResourceSlice
from kai_py.api.runtime import RuntimeClass
from kai_py.api.scheduling import PriorityClass
from kai_py.api.service import Service
from kai_py.api.storage import (
    CSIDriver,
    CSINode,
    CSIStorageCapacity,
    PersistentVolume,
    PersistentVolumeClaim,
    StorageClass,
    VolumeAttachment,
)
from kai_py.api.topology import Topology
from kai_py.api.workload import Workload
from kai_py.cluster.volumes.book import Stored
from kai_py.errors import Fault, InputError, MalformedObjectError
from kai_py.planning.budgets import Budget, read_budget
from kai_py.planning.manifests import Manifest, Sourced, defaulted, group_and_kind, unpacked
from kai_py.podgrouper.foreign import FOREIGN
from kai_py.podgrouper.kinds.registry import COMPANIONS
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

#: The ConfigMap that holds the settings, and its key.
SETTINGS_NAME: Final = "kai-py-settings"
SETTINGS_KEY: Final = "settings.yaml"

#: Kinds that make pods in a cluster. A plan makes none: without pods among the objects they do nothing.
_WORKLOADS: Final = frozenset(
    {
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("batch", "Job"),
        ("batch", "CronJob"),
    }
)
#: Kinds that grouping looks up although they own no pods.
_LOOKED_UP: Final = FOREIGN | set(COMPANIONS.values())

#: API group, kind, namespace and name.
Identity = tuple[str, str, str, str]


@dataclass
class Objects:
    """What a plan starts from, sorted by kind.

    Attributes:
        volumes: PersistentVolumes, claims on them, and what nodes and drivers say about volumes.
        owners: whatever pods belong to.
        settings: from the ConfigMap among the objects, if there is one.
        sources: where each object came from.
        faults: of objects that cannot be read; those of a live cluster are among the warnings.
        unread: kinds of which at least one object could not be read.
        warnings: sentences about what was passed over.
    """

    nodes: list[Node] = field(default_factory=list)
    namespaces: list[Namespace] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    podgroups: list[PodGroup] = field(default_factory=list)
    topologies: list[Topology] = field(default_factory=list)
    priority_classes: list[PriorityClass] = field(default_factory=list)
    budgets: list[Budget] = field(default_factory=list)
    device_classes: list[DeviceClass] = field(default_factory=list)
    device_taints: list[DeviceTaintRule] = field(default_factory=list)
    slices: list[ResourceSlice] = field(default_factory=list)
    claims: list[ResourceClaim] = field(default_factory=list)
    claim_templates: list[ResourceClaimTemplate] = field(default_factory=list)
    volumes: list[Stored] = field(default_factory=list)
    zones: list[NodeResourceTopology] = field(default_factory=list)
    runtime_classes: list[RuntimeClass] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    owners: list[PartialObject] = field(default_factory=list)
    settings: Settings | None = None
    config_maps: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    sources: dict[Identity, Sourced] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)

    def complain(self, faults: Iterable[Fault], about: Sourced) -> None:
        """Note what is wrong with an object. A live one has been admitted: the scheduler goes on without it."""
        placed = [about.place(fault) for fault in faults]
        if about.live:
            self.warnings += map(str, placed)
        else:
            self.faults += placed


def read_objects(manifests: Iterable[Sourced | Manifest], now: float) -> Objects:
    """Sort and read manifests; what is wrong with them is in the answer's ``faults``.

    Args:
        manifests: objects as the API server would return them; ``List`` kinds are unpacked.
        now: seconds since the epoch; objects without a creationTimestamp are created then, in order of position.
    """
    objects = Objects()
    others: list[Sourced] = []
    for position, sourced in enumerate(unpacked(manifests)):
        try:
            manifest = defaulted(sourced.manifest, position, now)
            _note_source(objects, manifest, sourced)
            if not _sort_in(objects, manifest):
                others.append(Sourced(manifest, sourced.source, sourced.live))
        except InputError as error:
            objects.unread.add(_kind_of(sourced.manifest))
            objects.complain(error.faults, sourced)
    _sort_out_owners(objects, others)
    return objects


def _note_source(objects: Objects, manifest: Manifest, sourced: Sourced) -> None:
    """Remember where an object came from.

    Raises:
        MalformedObjectError: there is another one of its name.
    """
    before = objects.sources.setdefault(_identity(manifest), sourced)
    if before is not sourced:
        where = f": in {before.source}" if before.source else ""
        fault = Fault(identity(manifest["kind"], manifest), "metadata.name", f"is given before{where}")
        raise MalformedObjectError([fault])


def _identity(manifest: Manifest) -> Identity:
    meta = manifest["metadata"]
    return *group_and_kind(manifest), meta.get("namespace", ""), meta["name"]


def _kind_of(manifest: Manifest) -> str:
    return str(manifest.get("kind", "")) if isinstance(manifest, Mapping) else ""


def _sort_in(objects: Objects, manifest: dict[str, Any]) -> bool:
    """Read an object of a kind that we know; tells whether it is one."""
    readers: dict[tuple[str, str], Callable[[], object]] = {
        ("", "Node"): lambda: objects.nodes.append(convert(Node, manifest)),
        ("", "Namespace"): lambda: objects.namespaces.append(convert(Namespace, manifest)),
        ("", "Pod"): lambda: objects.pods.append(convert(Pod, manifest)),
        ("scheduling.run.ai", "Queue"): lambda: objects.queues.append(Queue.parse(manifest)),
        ("scheduling.run.ai", "PodGroup"): lambda: objects.podgroups.append(PodGroup.parse(manifest)),
        ("kai.scheduler", "Topology"): lambda: objects.topologies.append(Topology.parse(manifest)),
        ("scheduling.k8s.io", "PriorityClass"): lambda: objects.priority_classes.append(
            convert(PriorityClass, manifest)
        ),
        ("resource.k8s.io", "DeviceClass"): lambda: objects.device_classes.append(convert(DeviceClass, manifest)),
        ("resource.k8s.io", "DeviceTaintRule"): lambda: objects.device_taints.append(
            convert(DeviceTaintRule, manifest)
        ),
        ("resource.k8s.io", "ResourceSlice"): lambda: objects.slices.append(convert(ResourceSlice, manifest)),
        ("resource.k8s.io", "ResourceClaim"): lambda: objects.claims.append(convert(ResourceClaim, manifest)),
        ("resource.k8s.io", "ResourceClaimTemplate"): lambda: objects.claim_templates.append(
            convert(ResourceClaimTemplate, manifest)
        ),
        ("", "PersistentVolume"): lambda: objects.volumes.append(convert(PersistentVolume, manifest)),
        ("", "PersistentVolumeClaim"): lambda: objects.volumes.append(convert(PersistentVolumeClaim, manifest)),
        ("storage.k8s.io", "StorageClass"): lambda: objects.volumes.append(convert(StorageClass, manifest)),
        ("storage.k8s.io", "CSIDriver"): lambda: objects.volumes.append(convert(CSIDriver, manifest)),
        ("storage.k8s.io", "CSINode"): lambda: objects.volumes.append(convert(CSINode, manifest)),
        ("storage.k8s.io", "CSIStorageCapacity"): lambda: objects.volumes.append(convert(CSIStorageCapacity, manifest)),
        ("storage.k8s.io", "VolumeAttachment"): lambda: objects.volumes.append(convert(VolumeAttachment, manifest)),
        ("", "Service"): lambda: objects.services.append(convert(Service, manifest)),
        ("node.k8s.io", "RuntimeClass"): lambda: objects.runtime_classes.append(convert(RuntimeClass, manifest)),
        ("topology.node.k8s.io", "NodeResourceTopology"): lambda: objects.zones.append(
            convert(NodeResourceTopology, manifest)
        ),
        ("policy", "PodDisruptionBudget"): lambda: objects.budgets.append(read_budget(manifest)),
    }
    key = group_and_kind(manifest)
    if (reader := readers.get(key)) is not None:
        reader()
    elif _is_settings(manifest):
        _read_settings(objects, manifest)
    elif key == ("", "ConfigMap"):
        objects.config_maps[manifest["metadata"]["namespace"], manifest["metadata"]["name"]] = manifest
    else:
        return False
    return True


def _is_settings(manifest: Manifest) -> bool:
    return group_and_kind(manifest) == ("", "ConfigMap") and manifest["metadata"]["name"] == SETTINGS_NAME


def _read_settings(objects: Objects, manifest: Manifest) -> None:
    where, data = identity("ConfigMap", manifest), manifest.get("data")
    text = data.get(SETTINGS_KEY) if isinstance(data, Mapping) else None
    if not isinstance(text, str):
        raise MalformedObjectError([Fault(where, f"data[{SETTINGS_KEY}]", "is required, and should be text")])
    if objects.settings is not None:
        raise MalformedObjectError([Fault(where, "metadata.name", "there are two ConfigMaps with settings")])
    objects.settings = load_settings(text, where=where)


def _sort_out_owners(objects: Objects, others: list[Sourced]) -> None:
    """What pods belong to is an owner, whatever its kind; the rest is passed over, but not without a word."""
    named = set(_references([*(pod.metadata for pod in objects.pods), *_readable_metadata(others)]))
    for sourced in others:
        if _identity(sourced.manifest) in named or group_and_kind(sourced.manifest) in _LOOKED_UP:
            try:
                objects.owners.append(convert(Workload, sourced.manifest))
            except MalformedObjectError as error:
                objects.complain(error.faults, sourced)
        elif not sourced.live:
            objects.warnings.append(_passed_over(sourced))
    uids = {(*_group_and_kind(owner), *owner.metadata.key): owner.metadata.uid for owner in objects.owners}
    objects.pods = [replace(pod, metadata=_linked(pod.metadata, uids)) for pod in objects.pods]
    objects.owners = [replace(owner, metadata=_linked(owner.metadata, uids)) for owner in objects.owners]


def _readable_metadata(others: Iterable[Sourced]) -> Iterator[ObjectMeta]:
    for sourced in others:
        try:
            yield convert(PartialObject, sourced.manifest).metadata
        except MalformedObjectError:
            continue  # reported where it is used


def _references(metas: Iterable[ObjectMeta]) -> Iterator[Identity]:
    """Group, kind, namespace and name of all owners; an owner without a namespace may own what has one."""
    for meta in metas:
        for owner in meta.owner_references:
            yield owner.group, owner.kind, meta.namespace, owner.name
            yield owner.group, owner.kind, "", owner.name


def _linked(meta: ObjectMeta, uids: Mapping[Identity, str]) -> ObjectMeta:
    """References that were written by hand have no uid; the API server would not have let them in without."""
    if all(owner.uid for owner in meta.owner_references):
        return meta
    return replace(meta, owner_references=tuple(_with_uid(owner, meta, uids) for owner in meta.owner_references))


def _with_uid(owner: OwnerReference, meta: ObjectMeta, uids: Mapping[Identity, str]) -> OwnerReference:
    uid = owner.uid or uids.get((owner.group, owner.kind, meta.namespace, owner.name), "")
    return replace(owner, uid=uid) if uid else owner


def _group_and_kind(owner: PartialObject) -> tuple[str, str]:
    return owner.api_version.rpartition("/")[0], owner.kind


def _passed_over(sourced: Sourced) -> str:
    manifest, kind = sourced.manifest, sourced.manifest["kind"]
    if group_and_kind(manifest) in _WORKLOADS:
        said = Fault(identity(kind, manifest), "", "no pod among the objects belongs to it, and a plan makes none")
    else:
        said = Fault(identity(kind, manifest), "", f"kind {kind} of {manifest['apiVersion']} is not known: passed over")
    return str(sourced.place(said))
