"""The kinds that the scheduler watches or writes, and how."""

from __future__ import annotations

from typing import Any, Final

from kai_py.api.configmap import ConfigMap
from kai_py.api.dra_taint_rule import DeviceTaintRule
from kai_py.api.meta import Namespace, PartialObject
from kai_py.api.node import Node
from kai_py.api.numa import NodeResourceTopology
from kai_py.api.pod import Pod
from kai_py.api.policy import PodDisruptionBudget
from kai_py.api.resource import DeviceClass, ResourceSlice
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
from kai_py.api.workload import IndexedWorkload
from kai_py.kube.claims import CLAIMS
from kai_py.kube.resource import ResourceKind

__all__ = [
    "BUDGETS",
    "CLAIMS",
    "CONFIG_MAPS",
    "DEVICE_CLASSES",
    "NODES",
    "OWNERS",
    "OWNER_KINDS",
    "PODGROUPS",
    "PODS",
    "PRIORITY_CLASSES",
    "QUEUES",
    "RUNTIMES",
    "SERVICES",
    "SLICES",
    "STORAGE",
    "TAINT_RULES",
    "TOPOLOGIES",
    "VOLUMES",
    "VOLUME_CLAIMS",
    "ZONES",
]

PODS: Final = ResourceKind("", "v1", "pods", Pod)
NODES: Final = ResourceKind("", "v1", "nodes", Node, namespaced=False)
PRIORITY_CLASSES: Final = ResourceKind("scheduling.k8s.io", "v1", "priorityclasses", PriorityClass, namespaced=False)
NAMESPACES: Final = ResourceKind("", "v1", "namespaces", Namespace, namespaced=False)
BUDGETS: Final = ResourceKind("policy", "v1", "poddisruptionbudgets", PodDisruptionBudget)
SERVICES: Final = ResourceKind("", "v1", "services", Service)
RUNTIMES: Final = ResourceKind("node.k8s.io", "v1", "runtimeclasses", RuntimeClass, namespaced=False)
ZONES: Final = ResourceKind(
    "topology.node.k8s.io", "v1alpha2", "noderesourcetopologies", NodeResourceTopology, namespaced=False
)

#: Dynamic resource allocation, which a server need not have.
DEVICE_CLASSES: Final = ResourceKind(CLAIMS.group, "v1", "deviceclasses", DeviceClass, namespaced=False)
SLICES: Final = ResourceKind(CLAIMS.group, "v1", "resourceslices", ResourceSlice, namespaced=False)
#: In the order in which they are looked for; where there are none, the first is watched in case it comes.
TAINT_RULES: Final = tuple(
    ResourceKind(CLAIMS.group, version, "devicetaintrules", DeviceTaintRule, namespaced=False)
    for version in ("v1beta2", "v1", "v1alpha3")
)

#: Volumes, and what decides about them.
VOLUMES: Final = ResourceKind("", "v1", "persistentvolumes", PersistentVolume, namespaced=False)
VOLUME_CLAIMS: Final = ResourceKind("", "v1", "persistentvolumeclaims", PersistentVolumeClaim)
STORAGE: Final[tuple[ResourceKind[Any], ...]] = (
    VOLUMES,
    VOLUME_CLAIMS,
    ResourceKind("storage.k8s.io", "v1", "storageclasses", StorageClass, namespaced=False),
    ResourceKind("storage.k8s.io", "v1", "csidrivers", CSIDriver, namespaced=False),
    ResourceKind("storage.k8s.io", "v1", "csinodes", CSINode, namespaced=False),
    ResourceKind("storage.k8s.io", "v1", "csistoragecapacities", CSIStorageCapacity),
    ResourceKind("storage.k8s.io", "v1", "volumeattachments", VolumeAttachment, namespaced=False),
)

#: Owners of pods: labels and annotations decide about queue and grouping. Of ReplicaSets nothing else is asked for; of
#: kinds whose pods have an index, it is read how many there are.
OWNERS: Final[tuple[ResourceKind[Any], ...]] = (
    ResourceKind("batch", "v1", "jobs", IndexedWorkload),
    ResourceKind("apps", "v1", "replicasets", PartialObject),
    ResourceKind("apps", "v1", "statefulsets", IndexedWorkload),
)
#: Their kinds: metadata alone does not say it.
OWNER_KINDS: Final = {"jobs": "Job", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet"}

#: Kinds that come through kopf; read and written as plain objects.
QUEUES: Final = ResourceKind("scheduling.run.ai", "v2", "queues", PartialObject, namespaced=False)
PODGROUPS: Final = ResourceKind("scheduling.run.ai", "v2alpha2", "podgroups", PartialObject)
TOPOLOGIES: Final = ResourceKind("kai.scheduler", "v1alpha1", "topologies", PartialObject, namespaced=False)
CONFIG_MAPS: Final = ResourceKind("", "v1", "configmaps", ConfigMap)
