"""The ``scale`` subresource: replicas of an object as an autoscaling/v1 Scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .options import Precondition, WriteOptions
from .refusals import Faults, invalid, not_found
from .registry import Endpoint
from .store import Object
from .writes import Writer, check_precondition

_SPEC: Final = ".spec.replicas"
_STATUS: Final = ".status.replicas"


def read_scale(endpoint: Endpoint, namespace: str, name: str) -> Object:
    """An object's scale.

    Raises:
        RefusedError: 404.
    """
    entry = endpoint.collection.entries.get((namespace, name))
    if entry is None:
        raise not_found(endpoint.kind, name)
    obj = entry.object()
    paths = endpoint.scale or {}
    meta = obj["metadata"]
    scale: Object = {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            key: meta[key]
            for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
            if key in meta
        },
        "spec": {"replicas": _get(obj, paths.get("specReplicasPath", _SPEC)) or 0},
        "status": {"replicas": _get(obj, paths.get("statusReplicasPath", _STATUS)) or 0},
    }
    selector = _selector(obj, paths)
    if selector:
        scale["status"]["selector"] = selector
    return scale


def _selector(obj: Object, paths: Object) -> str:
    if paths:
        return str(_get(obj, paths.get("labelSelectorPath", "")) or "")
    selector = obj["spec"].get("selector") or {}
    labels = selector.get("matchLabels", selector)
    return ",".join(f"{key}={value}" for key, value in labels.items() if isinstance(value, str))


def write_scale(
    writer: Writer,
    endpoint: Endpoint,
    namespace: str,
    name: str,
    change: Callable[[Object], Object],
    options: WriteOptions,
) -> Object:
    """Set the replicas of an object.

    Raises:
        RefusedError: 404, 409 or 422.
    """
    current = read_scale(endpoint, namespace, name)
    wanted = change(current)
    replicas = (wanted.get("spec") or {}).get("replicas", 0)
    faults = Faults()
    if not isinstance(replicas, int) or replicas < 0:
        faults.invalid("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid(_ScaleKind(), name, faults)
    entry = endpoint.collection.entries[namespace, name]
    check_precondition(endpoint.kind, entry, Precondition.of(wanted.get("metadata") or {}))
    path = (endpoint.scale or {}).get("specReplicasPath", _SPEC)
    writer.update(endpoint, namespace, name, lambda obj: _with(obj, path, replicas), options)
    return read_scale(endpoint, namespace, name)


class _ScaleKind:
    group = "autoscaling"
    kind = "Scale"
    plural = "scales"


def _get(obj: Any, path: str) -> Any:
    for part in path.strip(".").split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def _with(obj: Object, path: str, value: int) -> Object:
    *parents, last = path.strip(".").split(".")
    level = obj
    for part in parents:
        level = level.setdefault(part, {})
    level[last] = value
    return obj
