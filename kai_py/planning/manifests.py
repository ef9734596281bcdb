"""Manifests before they are read: where each came from, lists taken apart, what the API server would have set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kai_py.api.decode import identity
from kai_py.errors import Fault, MalformedObjectError

#: Anything that a document may hold; what is not an object is reported as such.
Manifest = Any

_CLUSTER_SCOPED: Final = frozenset(
    {
        "CSINode",
        "CustomResourceDefinition",
        "DeviceClass",
        "DeviceTaintRule",
        "Namespace",
        "Node",
        "NodeResourceTopology",
        "PersistentVolume",
        "PriorityClass",
        "Queue",
        "ResourceSlice",
        "RuntimeClass",
        "StorageClass",
        "Topology",
    }
)


@dataclass(frozen=True)
class Unreadable:
    """Stands for a document of which nothing can be told but what is wrong with it."""

    message: str


@dataclass(frozen=True)
class Sourced:
    """A manifest and where it came from.

    Attributes:
        manifest: an object, a list of objects, or an ``Unreadable``.
        source: for instance ``cluster.yaml document 3``; empty for objects from Python.
        live: read from a running cluster: it has been admitted there, so that a fault of it is a warning.
    """

    manifest: Manifest
    source: str = ""
    live: bool = False

    def place(self, fault: Fault) -> Fault:
        """A fault of the object, with its source in front."""
        return Fault(": ".join(part for part in (self.source, fault.where) if part), fault.field, fault.message)


def unpacked(manifests: Iterable[Sourced | Manifest]) -> Iterator[Sourced]:
    """Single objects: ``List`` kinds are taken apart."""
    for one in manifests:
        sourced = one if isinstance(one, Sourced) else Sourced(one)
        manifest = sourced.manifest
        if not isinstance(manifest, Mapping) or not str(manifest.get("kind", "")).endswith("List"):
            yield sourced
            continue
        kind, items = str(manifest["kind"]).removesuffix("List"), manifest.get("items") or ()
        if not isinstance(items, list | tuple):
            yield Sourced(Unreadable(f"items of a {manifest['kind']} should be a list"), sourced.source, sourced.live)
            continue
        # Items of a typed list (PodList) come without apiVersion and kind.
        common = {"apiVersion": manifest.get("apiVersion"), "kind": kind} if kind else {}
        for number, item in enumerate(items, start=1):
            whole = {**common, **item} if isinstance(item, Mapping) else item
            yield Sourced(whole, f"{sourced.source} item {number}".strip(), sourced.live)


def defaulted(manifest: Manifest, position: int, now: float) -> dict[str, Any]:
    """What the API server would have made of a manifest: with uid, creationTimestamp and namespace.

    A Node's allocatable resources are its capacity, unless it says otherwise.

    Args:
        manifest: as it was given.
        position: among all objects; younger is who comes later.
        now: seconds since the epoch.

    Raises:
        MalformedObjectError: it is no object, has no name, or was created at no time.
    """
    if isinstance(manifest, Unreadable):
        raise MalformedObjectError([Fault("", "", manifest.message)])
    if not isinstance(manifest, Mapping):
        raise MalformedObjectError([Fault("", "", f"should be an object, not {repr(manifest)[:60]}")])
    missing = [field for field in ("apiVersion", "kind") if not _is_text(manifest.get(field))]
    if missing:
        raise MalformedObjectError([Fault(identity("object", manifest), field, "is required") for field in missing])
    kind, meta = manifest["kind"], manifest.get("metadata")
    if not isinstance(meta, Mapping) or not meta.get("name"):
        raise MalformedObjectError([Fault(identity(kind, manifest), "metadata.name", "is required")])
    wrong = [field for field in ("name", "namespace") if meta.get(field) and not isinstance(meta[field], str)]
    if wrong:
        where = identity(kind, manifest)
        raise MalformedObjectError([Fault(where, f"metadata.{field}", _not_text(meta[field])) for field in wrong])
    created = datetime.fromtimestamp(now + position * 1e-6, UTC).isoformat()
    own = {key: value for key, value in meta.items() if value is not None and value != ""}
    fixed = {"namespace": namespace_of(manifest)}
    merged = {"uid": f"{position:08d}-{kind.lower()}", "creationTimestamp": created, **own, **fixed}
    whole = {**manifest, **_with_allocatable(manifest), "metadata": merged}
    if not _is_time(merged["creationTimestamp"]):
        message = f"should be an RFC 3339 time such as 2026-01-31T12:00:00Z, not {merged['creationTimestamp']!r}"
        raise MalformedObjectError([Fault(identity(kind, whole), "metadata.creationTimestamp", message)])
    return whole


def _with_allocatable(manifest: Manifest) -> dict[str, Any]:
    """The status of a Node that has only a capacity; empty for everything else."""
    status = manifest.get("status")
    if group_and_kind(manifest) != ("", "Node") or not isinstance(status, Mapping) or status.get("allocatable"):
        return {}
    capacity = status.get("capacity")
    return {"status": {**status, "allocatable": capacity}} if capacity else {}


def namespace_of(manifest: Manifest) -> str:
    """The namespace that an object is in: ``default`` if it does not say, none for kinds without namespaces."""
    if manifest.get("kind") in _CLUSTER_SCOPED:
        return ""
    return str(manifest["metadata"].get("namespace") or "default")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _is_time(value: object) -> bool:
    """Whether it is a timestamp as the API server takes it: date, time and zone."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _not_text(value: object) -> str:
    return f"should be text, not {value!r}: put it in quotes"


def group_and_kind(manifest: Manifest) -> tuple[str, str]:
    """API group, empty for the core group, and kind."""
    return manifest["apiVersion"].rpartition("/")[0], manifest["kind"]
