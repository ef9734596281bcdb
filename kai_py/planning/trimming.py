"""What a snapshot of a cluster leaves out, always: whatever no decision reads, above all what containers run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from kai_py.api.decode import convert
from kai_py.api.keys import LAST_APPLIED_ANNOTATION
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.policy import PodDisruptionBudget
from kai_py.api.resource import ResourceSlice
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
from kai_py.planning.manifests import Manifest, group_and_kind

Json = dict[str, Any]

#: Kinds of which only what our structs have is kept.
_STRUCTS: Final[Mapping[tuple[str, str], type[msgspec.Struct]]] = {
    ("", "Node"): Node,
    ("", "Pod"): Pod,
    ("", "Service"): Service,
    ("policy", "PodDisruptionBudget"): PodDisruptionBudget,
    ("resource.k8s.io", "ResourceSlice"): ResourceSlice,
    ("", "PersistentVolume"): PersistentVolume,
    ("", "PersistentVolumeClaim"): PersistentVolumeClaim,
    ("storage.k8s.io", "StorageClass"): StorageClass,
    ("storage.k8s.io", "CSIDriver"): CSIDriver,
    ("storage.k8s.io", "CSINode"): CSINode,
    ("storage.k8s.io", "CSIStorageCapacity"): CSIStorageCapacity,
    ("storage.k8s.io", "VolumeAttachment"): VolumeAttachment,
}
_CONTAINERS: Final = frozenset({"containers", "initContainers", "ephemeralContainers"})
#: Of containers, also of those in templates of workloads, no more than this is kept.
_OF_CONTAINERS: Final = frozenset({"name", "resources", "ports", "restartPolicy", "restartPolicyRules"})
_LEFT_OUT: Final = frozenset(
    {"managedFields", "selfLink", "images", "message", "parameters", "imagePullSecrets", "serviceAccountName"}
)


def trimmed(manifest: Manifest) -> Json:
    """An object without what decisions do not read: commands, environments, images, messages, who wrote which field.

    Args:
        manifest: as the API server has it, with apiVersion and kind.

    Raises:
        MalformedObjectError: it cannot be read, so that nothing can be told of what may stay.
    """
    struct = _STRUCTS.get(group_and_kind(manifest))
    if struct is not None:
        known = msgspec.to_builtins(convert(struct, manifest), enc_hook=dict)
        manifest = {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **known}
    whole: Json = _trimmed(manifest)
    annotations = whole.get("metadata", {}).get("annotations")
    if annotations:
        annotations.pop(LAST_APPLIED_ANNOTATION, None)
    return whole


def _trimmed(value: Any, field: str = "") -> Any:
    if isinstance(value, Mapping):
        return {
            key: _containers(item) if key in _CONTAINERS and isinstance(item, list | tuple) else _trimmed(item, key)
            for key, item in value.items()
            if key not in _LEFT_OUT or field in ("labels", "annotations", "data")
        }
    if isinstance(value, list | tuple):
        return [_trimmed(item, field) for item in value]
    return value


def _containers(containers: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [
        {key: _trimmed(item, key) for key, item in one.items() if key in _OF_CONTAINERS}
        if isinstance(one, Mapping)
        else one
        for one in containers
    ]
