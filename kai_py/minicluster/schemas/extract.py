"""Make ``builtin.json`` from the OpenAPI document of a running kube-apiserver.

Only what a machine needs is kept (types, required fields, merge keys, list types); prose is left out. Run once per
Kubernetes version, with what is alpha and served here on::

    kube-apiserver … --feature-gates=GenericWorkload=true --runtime-config=scheduling.k8s.io/v1alpha2=true
    kubectl get --raw /openapi/v2 | python -m kai_py.minicluster.schemas.extract > builtin.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

#: The kinds we serve, by group. Everything they refer to comes along.
KINDS: dict[str, tuple[str, ...]] = {
    "": (
        "Namespace", "Node", "Pod", "Event", "ConfigMap", "Secret", "Service", "ServiceAccount", "Binding",
        "PersistentVolumeClaim", "PersistentVolume", "PodTemplate", "ReplicationController", "Status", "DeleteOptions",
    ),
    "apps": ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"),
    "autoscaling": ("Scale",),
    "batch": ("Job", "CronJob"),
    "scheduling.k8s.io": ("PriorityClass",),
    "policy": ("PodDisruptionBudget", "Eviction"),
    "coordination.k8s.io": ("Lease",),
    "events.k8s.io": ("Event",),
    "storage.k8s.io": ("StorageClass", "CSINode", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment"),
    "node.k8s.io": ("RuntimeClass",),
    "resource.k8s.io": ("DeviceClass", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"),
    "rbac.authorization.k8s.io": ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"),
    "authorization.k8s.io": ("SelfSubjectAccessReview", "SubjectAccessReview"),
    "apiextensions.k8s.io": ("CustomResourceDefinition",),
}  # fmt: skip
#: Those of other versions than ``v1``.
ALPHA: frozenset[tuple[str, str, str]] = frozenset({("scheduling.k8s.io", "v1alpha2", "PodGroup")})


def extract(document: dict[str, Any]) -> dict[str, Any]:
    """The definitions of :data:`KINDS` (``v1``) and :data:`ALPHA` and all they refer to, no prose, sorted by name."""
    definitions: dict[str, Any] = document["definitions"]
    pending = [name for name, schema in definitions.items() if _is_wanted(schema)]
    kept: set[str] = set()
    while pending:
        name = pending.pop()
        if name not in kept:
            kept.add(name)
            pending.extend(_references(definitions[name]))
    return {name: _without_prose(definitions[name]) for name in sorted(kept)}


def _is_wanted(schema: dict[str, Any]) -> bool:
    served = schema.get("x-kubernetes-group-version-kind", ())
    stable = any(gvk["version"] == "v1" and gvk["kind"] in KINDS.get(gvk["group"], ()) for gvk in served)
    return stable or any((gvk["group"], gvk["version"], gvk["kind"]) in ALPHA for gvk in served)


def _references(schema: dict[str, Any]) -> Iterator[str]:
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            yield value.rpartition("/")[2]
        elif isinstance(value, dict):
            yield from _references(value)


def _without_prose(schema: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _without_prose(field) for name, field in value.items()}
        elif key != "description":
            kept[key] = _without_prose(value) if isinstance(value, dict) else value
    return kept


if __name__ == "__main__":
    json.dump(extract(json.load(sys.stdin)), sys.stdout, separators=(",", ":"))
