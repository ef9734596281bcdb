"""The columns of ``kubectl get`` for built-in kinds. Priority 1 is shown with ``-o wide``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from . import cells
from .cells import NONE, Object, age, at, count, joined, selector, since


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and what it shows of an object."""

    name: str
    cell: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


_AGE: Final = Column("Age", age)


def _containers(path: str) -> tuple[Column, Column]:
    read = at(path, ())
    return (
        Column("Containers", lambda obj: ",".join(c["name"] for c in read(obj)), priority=1),
        Column("Images", lambda obj: ",".join(c.get("image", "") for c in read(obj)), priority=1),
    )


def _counts(desired: str, current: str, ready: str) -> tuple[Column, ...]:
    """How many pods there should be, are, and are ready."""
    paths = {"Desired": desired, "Current": current, "Ready": ready}
    return tuple(Column(name, at(path, 0), type="integer") for name, path in paths.items())


COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "pods": (
        Column("Ready", cells.pod_ready),
        Column("Status", cells.pod_status),
        Column("Restarts", cells.pod_restarts),
        _AGE,
        Column("IP", at("status.podIP"), priority=1),
        Column("Node", at("spec.nodeName"), priority=1),
        Column("Nominated Node", at("status.nominatedNodeName"), priority=1),
        Column("Readiness Gates", cells.pod_gates, priority=1),
    ),
    "nodes": (
        Column("Status", cells.node_status),
        Column("Roles", cells.node_roles),
        _AGE,
        Column("Version", at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", cells.node_address("InternalIP"), priority=1),
        Column("External-IP", cells.node_address("ExternalIP"), priority=1),
        Column("OS-Image", at("status.nodeInfo.osImage", "<unknown>"), priority=1),
        Column("Kernel-Version", at("status.nodeInfo.kernelVersion", "<unknown>"), priority=1),
        Column("Container-Runtime", at("status.nodeInfo.containerRuntimeVersion", "<unknown>"), priority=1),
    ),
    "namespaces": (Column("Status", at("status.phase")), _AGE),
    "events": (
        Column("Last Seen", cells.event_seen),
        Column("Type", at("type", "")),
        Column("Reason", at("reason", "")),
        Column("Object", cells.event_object),
        Column("Message", lambda event: event.get("message") or event.get("note") or ""),
    ),
    "configmaps": (Column("Data", lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ())), _AGE),
    "secrets": (Column("Type", at("type")), Column("Data", count("data"), type="integer"), _AGE),
    "services": (
        Column("Type", at("spec.type")),
        Column("Cluster-IP", at("spec.clusterIP")),
        Column("Port(s)", lambda obj: ",".join(
            f"{p['port']}/{p.get('protocol', 'TCP')}" for p in obj["spec"].get("ports") or ()) or NONE),
        _AGE,
        Column("Selector", selector("spec.selector"), priority=1),
    ),
    "serviceaccounts": (Column("Secrets", count("secrets"), type="integer"), _AGE),
    "persistentvolumeclaims": (
        Column("Status", at("status.phase")),
        Column("Volume", at("spec.volumeName", "")),
        Column("Capacity", at("status.capacity.storage", "")),
        Column("Access Modes", joined("spec.accessModes")),
        Column("StorageClass", at("spec.storageClassName", "")),
        _AGE,
    ),
    "persistentvolumes": (
        Column("Capacity", at("spec.capacity.storage", "")),
        Column("Access Modes", joined("spec.accessModes")),
        Column("Reclaim Policy", at("spec.persistentVolumeReclaimPolicy", "")),
        Column("Status", at("status.phase")),
        Column("Claim", lambda obj: "/".join(
            filter(None, ((obj["spec"].get("claimRef") or {}).get(k, "") for k in ("namespace", "name"))))),
        _AGE,
    ),
    "deployments.apps": (
        Column("Ready", cells.ready_of("spec.replicas")),
        Column("Up-to-date", at("status.updatedReplicas", 0)),
        Column("Available", at("status.availableReplicas", 0)),
        _AGE,
        *_containers("spec.template.spec.containers"),
        Column("Selector", selector("spec.selector"), priority=1),
    ),
    "replicasets.apps": (
        *_counts("spec.replicas", "status.replicas", "status.readyReplicas"),
        _AGE,
        *_containers("spec.template.spec.containers"),
    ),
    "statefulsets.apps": (
        Column("Ready", cells.ready_of("spec.replicas")),
        _AGE,
        *_containers("spec.template.spec.containers"),
    ),
    "daemonsets.apps": (
        *_counts("status.desiredNumberScheduled", "status.currentNumberScheduled", "status.numberReady"),
        _AGE,
    ),
    "jobs.batch": (
        Column("Status", cells.job_status),
        Column("Completions", cells.job_completions),
        Column("Duration", cells.job_duration),
        _AGE,
        *_containers("spec.template.spec.containers"),
    ),
    "cronjobs.batch": (
        Column("Schedule", at("spec.schedule")),
        Column("Suspend", at("spec.suspend", False), type="boolean"),
        Column("Active", count("status.active"), type="integer"),
        Column("Last Schedule", since("status.lastScheduleTime")),
        _AGE,
    ),
    "priorityclasses.scheduling.k8s.io": (
        Column("Value", at("value", 0), type="integer"),
        Column("Global-Default", at("globalDefault", False), type="boolean"),
        _AGE,
        Column("PreemptionPolicy", at("preemptionPolicy")),
    ),
    "poddisruptionbudgets.policy": (
        Column("Min Available", at("spec.minAvailable", "N/A")),
        Column("Max Unavailable", at("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", at("status.disruptionsAllowed", 0), type="integer"),
        _AGE,
    ),
    "leases.coordination.k8s.io": (Column("Holder", at("spec.holderIdentity", "")), _AGE),
    "storageclasses.storage.k8s.io": (
        Column("Provisioner", at("provisioner")),
        Column("ReclaimPolicy", at("reclaimPolicy")),
        Column("VolumeBindingMode", at("volumeBindingMode")),
        Column("AllowVolumeExpansion", at("allowVolumeExpansion", False), type="boolean"),
        _AGE,
    ),
    "csinodes.storage.k8s.io": (Column("Drivers", count("spec.drivers"), type="integer"), _AGE),
    "runtimeclasses.node.k8s.io": (Column("Handler", at("handler")), _AGE),
    "resourceclaims.resource.k8s.io": (Column("State", cells.claim_state), _AGE),
    "resourceslices.resource.k8s.io": (
        Column("Node", at("spec.nodeName", "")),
        Column("Driver", at("spec.driver", "")),
        Column("Pool", at("spec.pool.name", "")),
        _AGE,
    ),
    "customresourcedefinitions.apiextensions.k8s.io": (Column("Created At", at("metadata.creationTimestamp")),),
}  # fmt: skip
