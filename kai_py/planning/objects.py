"""Manifests to the store's objects: defaults as the API server would set them, all faults at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from kai_py.api.decode import convert, identity
from kai_py.api.meta import PartialObject
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.scheduling import PriorityClass
from kai_py.errors import Fault, InputError, MalformedObjectError
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

#: Anything that a document may hold; what is not an object is reported as such.
Manifest = Any

#: Kinds that own pods: their labels and annotations decide about grouping.
_OWNERS: Final = frozenset(
    {
        ("apps", "Deployment"),
        ("apps", "ReplicaSet"),
        ("apps", "StatefulSet"),
        ("apps", "DaemonSet"),
        ("batch", "Job"),
        ("batch", "CronJob"),
    }
)
#: Kinds that a cluster has and that no decision depends on yet.
_IDLE: Final = frozenset(
    {
        ("", "Namespace"),
        ("", "ConfigMap"),
        ("", "PersistentVolume"),
        ("", "PersistentVolumeClaim"),
        ("kai.scheduler", "Topology"),
        ("node.k8s.io", "RuntimeClass"),
        ("policy", "PodDisruptionBudget"),
        ("resource.k8s.io", "DeviceClass"),
        ("resource.k8s.io", "ResourceClaim"),
        ("resource.k8s.io", "ResourceClaimTemplate"),
        ("resource.k8s.io", "ResourceSlice"),
        ("storage.k8s.io", "CSINode"),
        ("storage.k8s.io", "CSIStorageCapacity"),
        ("storage.k8s.io", "StorageClass"),
        ("topology.node.k8s.io", "NodeResourceTopology"),
    }
)
_CLUSTER_SCOPED: Final = frozenset({"Node", "Queue", "PriorityClass", "Topology", "Namespace"})
SETTINGS_KEY: Final = "settings.yaml"


@dataclass
class Objects:
    """What a plan starts from, sorted by kind.

    Attributes:
        settings: from a ConfigMap among the objects, if there is one.
        warnings: sentences about what was passed over.
    """

    nodes: list[Node] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    queues: list[Queue] = field(default_factory=list)
    podgroups: list[PodGroup] = field(default_factory=list)
    priority_classes: list[PriorityClass] = field(default_factory=list)
    owners: list[PartialObject] = field(default_factory=list)
    settings: Settings | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sourced:
    """A manifest and where it came from, e.g. ``cluster.yaml document 3``; empty for objects from Python."""

    manifest: Manifest
    source: str = ""


def read_objects(manifests: Iterable[Sourced | Manifest], now: float) -> Objects:
    """Sort and read manifests.

    Args:
        manifests: objects as the API server would return them; ``List`` kinds are unpacked.
        now: seconds since the epoch; objects without a creationTimestamp are created then, in order of position.

    Raises:
        InputError: with the faults of all objects.
    """
    objects, faults = Objects(), list[Fault]()
    seen: dict[tuple[str, str, str, str], str] = {}
    for position, sourced in enumerate(_unpacked(manifests)):
        where = sourced.source
        try:
            manifest = _defaulted(sourced.manifest, position, now)
            _refuse_duplicate(manifest, where, seen)
            _sort_in(objects, manifest)
        except InputError as error:
            faults += [Fault(f"{where} {fault.where}".strip(), fault.field, fault.message) for fault in error.faults]
    if faults:
        raise InputError(faults)
    return objects


def _unpacked(manifests: Iterable[Sourced | Manifest]) -> Iterator[Sourced]:
    for one in manifests:
        sourced = one if isinstance(one, Sourced) else Sourced(one)
        manifest = sourced.manifest
        if isinstance(manifest, Mapping) and str(manifest.get("kind", "")).endswith("List") and "items" in manifest:
            kind = str(manifest["kind"]).removesuffix("List")
            for number, item in enumerate(manifest["items"] or (), start=1):
                # Items of a typed list (PodList) come without apiVersion and kind.
                typed = {"apiVersion": manifest.get("apiVersion"), "kind": kind, **item} if kind else item
                yield Sourced(typed, f"{sourced.source} item {number}".strip())
        else:
            yield sourced


def _defaulted(manifest: object, position: int, now: float) -> dict[str, Any]:
    """What the API server would have set: kind checked, uid, creationTimestamp by position, namespace, phase."""
    if not isinstance(manifest, Mapping) or not manifest.get("kind") or not manifest.get("apiVersion"):
        raise MalformedObjectError([Fault("object", "", "apiVersion and kind are required")])
    kind, meta = str(manifest["kind"]), manifest.get("metadata")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("name"), str) or not meta["name"]:
        raise MalformedObjectError([Fault(identity(kind, manifest), "metadata.name", "is required")])
    namespace = {} if kind in _CLUSTER_SCOPED else {"namespace": "default"}
    created = datetime.fromtimestamp(now + position * 1e-6, UTC).isoformat()
    own = {key: value for key, value in meta.items() if value not in (None, "")}
    merged = {"uid": f"{position:08d}-{kind.lower()}", "creationTimestamp": created, **namespace, **own}
    return {**manifest, "metadata": merged}


def _refuse_duplicate(manifest: Manifest, where: str, seen: dict[tuple[str, str, str, str], str]) -> None:
    group, kind = _kind(manifest)
    meta = manifest["metadata"]
    name = (group, kind, meta.get("namespace", ""), meta["name"])
    if name in seen:
        place = f" in {seen[name]}" if seen[name] else ""
        raise MalformedObjectError([Fault(identity(kind, manifest), "metadata.name", f"is given before{place}")])
    seen[name] = where


def _sort_in(objects: Objects, manifest: dict[str, Any]) -> None:
    group, kind = _kind(manifest)
    readers: dict[tuple[str, str], Callable[[], object]] = {
        ("", "Node"): lambda: objects.nodes.append(convert(Node, manifest)),
        ("", "Pod"): lambda: objects.pods.append(convert(Pod, manifest)),
        ("scheduling.run.ai", "Queue"): lambda: objects.queues.append(Queue.parse(manifest)),
        ("scheduling.run.ai", "PodGroup"): lambda: objects.podgroups.append(PodGroup.parse(manifest)),
        ("scheduling.k8s.io", "PriorityClass"): lambda: objects.priority_classes.append(
            convert(PriorityClass, manifest)
        ),
    }
    if (reader := readers.get((group, kind))) is not None:
        reader()
    elif _is_settings(manifest):
        where = f"ConfigMap {manifest['metadata']['namespace']}/{manifest['metadata']['name']}"
        objects.settings = load_settings(manifest["data"][SETTINGS_KEY], where=where)
    elif (group, kind) in _OWNERS:
        objects.owners.append(convert(PartialObject, manifest))
    elif (group, kind) not in _IDLE:
        objects.warnings.append(f"{identity(kind, manifest)}: kind {manifest['apiVersion']} {kind} is not known")


def _kind(manifest: Manifest) -> tuple[str, str]:
    return str(manifest["apiVersion"]).rpartition("/")[0], str(manifest["kind"])


def _is_settings(manifest: Manifest) -> bool:
    data = manifest.get("data")
    return _kind(manifest) == ("", "ConfigMap") and isinstance(data, Mapping) and SETTINGS_KEY in data
