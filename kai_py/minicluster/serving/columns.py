"""The columns of ``kubectl get`` for built-in kinds. Priority 1 is shown with ``-o wide``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

Object = dict[str, Any]
_NONE: Final = "<none>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and what it shows of an object."""

    name: str
    cell: Callable[[Object], Any]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


def age(obj: Object) -> str:
    """Time since creation, as ``5d``, ``3h12m``, ``45s``."""
    text = obj["metadata"].get("creationTimestamp")
    return "<unknown>" if not text else duration(_seconds_since(text))


def _seconds_since(text: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()


def duration(seconds: float) -> str:
    """A duration with at most two units, coarser the longer it is."""
    total = max(int(seconds), 0)
    minutes, hours, days = total // 60, total // 3600, total // 86400
    if total < 120:
        return f"{total}s"
    if minutes < 10:
        return f"{minutes}m{total % 60}s" if total % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if days < 2:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d" if days < 730 else f"{days // 365}y{days % 365}d"


def _at(path: str, default: Any = _NONE) -> Callable[[Object], Any]:
    parts = path.split(".")

    def cell(obj: Object) -> Any:
        value: Any = obj
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value

    return cell


def _count(path: str) -> Callable[[Object], Any]:
    read = _at(path, ())
    return lambda obj: len(read(obj))


def _joined(path: str) -> Callable[[Object], str]:
    read = _at(path, ())
    return lambda obj: ",".join(map(str, read(obj))) or _NONE


def _selector(path: str) -> Callable[[Object], str]:
    read = _at(path, {})

    def cell(obj: Object) -> str:
        selector = read(obj)
        labels = selector.get("matchLabels", selector) if isinstance(selector, dict) else {}
        return ",".join(f"{key}={value}" for key, value in labels.items() if isinstance(value, str)) or _NONE

    return cell


def _since(path: str) -> Callable[[Object], str]:
    read = _at(path, "")
    return lambda obj: duration(_seconds_since(read(obj))) if read(obj) else _NONE


_AGE: Final = Column("Age", age)


def _containers(path: str) -> tuple[Column, Column]:
    read = _at(path, ())
    return (
        Column("Containers", lambda obj: ",".join(c["name"] for c in read(obj)), priority=1),
        Column("Images", lambda obj: ",".join(c.get("image", "") for c in read(obj)), priority=1),
    )


def _pod_ready(pod: Object) -> str:
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Object) -> str:
    status = pod.get("status", {})
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    if conditions.get("PodScheduled", {}).get("reason") == "SchedulingGated":
        return "SchedulingGated"
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        for key in ("waiting", "terminated"):
            if (state.get(key) or {}).get("reason"):
                return str(state[key]["reason"])
    if status.get("reason"):
        return str(status["reason"])
    return "Completed" if status.get("phase") == "Succeeded" else str(status.get("phase", ""))


def _pod_restarts(pod: Object) -> str:
    return str(sum(s.get("restartCount", 0) for s in pod.get("status", {}).get("containerStatuses") or ()))


def _pod_gates(pod: Object) -> str:
    gates = pod["spec"].get("readinessGates") or ()
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions") or ()}
    ready = sum(conditions.get(gate["conditionType"]) == "True" for gate in gates)
    return f"{ready}/{len(gates)}" if gates else _NONE


def _node_status(node: Object) -> str:
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions") or ()}
    text = {"True": "Ready", "False": "NotReady"}.get(conditions.get("Ready", ""), "Unknown")
    return text + (",SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else "")


def _node_roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k.removeprefix(prefix) for k in node["metadata"].get("labels") or () if k.startswith(prefix))
    return ",".join(roles) or _NONE


def _node_address(kind: str) -> Callable[[Object], str]:
    def cell(node: Object) -> str:
        addresses = node.get("status", {}).get("addresses") or ()
        return next((str(a["address"]) for a in addresses if a["type"] == kind), _NONE)

    return cell


def _event_object(event: Object) -> str:
    regarding = event.get("involvedObject") or event.get("regarding") or {}
    return f"{regarding.get('kind', '').lower()}/{regarding.get('name', '')}"


def _event_seen(event: Object) -> str:
    series = event.get("series") or {}
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("deprecatedLastTimestamp"),
                 event.get("eventTime")):  # fmt: skip
        if text:
            return duration(_seconds_since(text))
    return "<unknown>"


def _job_completions(job: Object) -> str:
    wanted = job["spec"].get("completions")
    done = job.get("status", {}).get("succeeded", 0)
    return f"{done}/{wanted if wanted is not None else '1 of ' + str(job['spec'].get('parallelism', 1))}"


def _job_status(job: Object) -> str:
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed", "Suspended"):
            return str(condition["type"])
    return "Running"


def _job_duration(job: Object) -> str:
    status = job.get("status", {})
    if not status.get("startTime"):
        return ""
    start = datetime.fromisoformat(status["startTime"])
    end = datetime.fromisoformat(status["completionTime"]) if status.get("completionTime") else datetime.now(UTC)
    return duration((end - start).total_seconds())


def _claim_state(claim: Object) -> str:
    status = claim.get("status") or {}
    states = [
        word
        for word, holds in (
            ("deleted", "deletionTimestamp" in claim["metadata"]),
            ("allocated", status.get("allocation")),
            ("reserved", status.get("reservedFor")),
        )
        if holds
    ]
    return ",".join(states) or "pending"


def _ready_of(path: str) -> Callable[[Object], str]:
    return lambda obj: f"{_at('status.readyReplicas', 0)(obj)}/{_at(path, 0)(obj)}"


COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "pods": (
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _pod_restarts),
        _AGE,
        Column("IP", _at("status.podIP"), priority=1),
        Column("Node", _at("spec.nodeName"), priority=1),
        Column("Nominated Node", _at("status.nominatedNodeName"), priority=1),
        Column("Readiness Gates", _pod_gates, priority=1),
    ),
    "nodes": (
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        _AGE,
        Column("Version", _at("status.nodeInfo.kubeletVersion", "")),
        Column("Internal-IP", _node_address("InternalIP"), priority=1),
        Column("External-IP", _node_address("ExternalIP"), priority=1),
        Column("OS-Image", _at("status.nodeInfo.osImage", "<unknown>"), priority=1),
        Column("Kernel-Version", _at("status.nodeInfo.kernelVersion", "<unknown>"), priority=1),
        Column("Container-Runtime", _at("status.nodeInfo.containerRuntimeVersion", "<unknown>"), priority=1),
    ),
    "namespaces": (Column("Status", _at("status.phase")), _AGE),
    "events": (
        Column("Last Seen", _event_seen),
        Column("Type", _at("type", "")),
        Column("Reason", _at("reason", "")),
        Column("Object", _event_object),
        Column("Message", lambda event: event.get("message") or event.get("note") or ""),
    ),
    "configmaps": (Column("Data", lambda obj: len(obj.get("data") or ()) + len(obj.get("binaryData") or ())), _AGE),
    "secrets": (Column("Type", _at("type")), Column("Data", _count("data"), type="integer"), _AGE),
    "services": (
        Column("Type", _at("spec.type")),
        Column("Cluster-IP", _at("spec.clusterIP")),
        Column("Port(s)", lambda obj: ",".join(
            f"{p['port']}/{p.get('protocol', 'TCP')}" for p in obj["spec"].get("ports") or ()) or _NONE),
        _AGE,
        Column("Selector", _selector("spec.selector"), priority=1),
    ),
    "serviceaccounts": (Column("Secrets", _count("secrets"), type="integer"), _AGE),
    "persistentvolumeclaims": (
        Column("Status", _at("status.phase")),
        Column("Volume", _at("spec.volumeName", "")),
        Column("Capacity", _at("status.capacity.storage", "")),
        Column("Access Modes", _joined("spec.accessModes")),
        Column("StorageClass", _at("spec.storageClassName", "")),
        _AGE,
    ),
    "persistentvolumes": (
        Column("Capacity", _at("spec.capacity.storage", "")),
        Column("Access Modes", _joined("spec.accessModes")),
        Column("Reclaim Policy", _at("spec.persistentVolumeReclaimPolicy", "")),
        Column("Status", _at("status.phase")),
        Column("Claim", lambda obj: "/".join(
            filter(None, ((obj["spec"].get("claimRef") or {}).get(k, "") for k in ("namespace", "name"))))),
        _AGE,
    ),
    "deployments.apps": (
        Column("Ready", _ready_of("spec.replicas")),
        Column("Up-to-date", _at("status.updatedReplicas", 0)),
        Column("Available", _at("status.availableReplicas", 0)),
        _AGE,
        *_containers("spec.template.spec.containers"),
        Column("Selector", _selector("spec.selector"), priority=1),
    ),
    "replicasets.apps": (
        Column("Desired", _at("spec.replicas", 0), type="integer"),
        Column("Current", _at("status.replicas", 0), type="integer"),
        Column("Ready", _at("status.readyReplicas", 0), type="integer"),
        _AGE,
        *_containers("spec.template.spec.containers"),
    ),
    "statefulsets.apps": (
        Column("Ready", _ready_of("spec.replicas")),
        _AGE,
        *_containers("spec.template.spec.containers"),
    ),
    "daemonsets.apps": (
        Column("Desired", _at("status.desiredNumberScheduled", 0), type="integer"),
        Column("Current", _at("status.currentNumberScheduled", 0), type="integer"),
        Column("Ready", _at("status.numberReady", 0), type="integer"),
        _AGE,
    ),
    "jobs.batch": (
        Column("Status", _job_status),
        Column("Completions", _job_completions),
        Column("Duration", _job_duration),
        _AGE,
        *_containers("spec.template.spec.containers"),
    ),
    "cronjobs.batch": (
        Column("Schedule", _at("spec.schedule")),
        Column("Suspend", _at("spec.suspend", False), type="boolean"),
        Column("Active", _count("status.active"), type="integer"),
        Column("Last Schedule", _since("status.lastScheduleTime")),
        _AGE,
    ),
    "priorityclasses.scheduling.k8s.io": (
        Column("Value", _at("value", 0), type="integer"),
        Column("Global-Default", _at("globalDefault", False), type="boolean"),
        _AGE,
        Column("PreemptionPolicy", _at("preemptionPolicy")),
    ),
    "poddisruptionbudgets.policy": (
        Column("Min Available", _at("spec.minAvailable", "N/A")),
        Column("Max Unavailable", _at("spec.maxUnavailable", "N/A")),
        Column("Allowed Disruptions", _at("status.disruptionsAllowed", 0), type="integer"),
        _AGE,
    ),
    "leases.coordination.k8s.io": (Column("Holder", _at("spec.holderIdentity", "")), _AGE),
    "storageclasses.storage.k8s.io": (
        Column("Provisioner", _at("provisioner")),
        Column("ReclaimPolicy", _at("reclaimPolicy")),
        Column("VolumeBindingMode", _at("volumeBindingMode")),
        Column("AllowVolumeExpansion", _at("allowVolumeExpansion", False), type="boolean"),
        _AGE,
    ),
    "csinodes.storage.k8s.io": (Column("Drivers", _count("spec.drivers"), type="integer"), _AGE),
    "runtimeclasses.node.k8s.io": (Column("Handler", _at("handler")), _AGE),
    "resourceclaims.resource.k8s.io": (Column("State", _claim_state), _AGE),
    "resourceslices.resource.k8s.io": (
        Column("Node", _at("spec.nodeName", "")),
        Column("Driver", _at("spec.driver", "")),
        Column("Pool", _at("spec.pool.name", "")),
        _AGE,
    ),
    "customresourcedefinitions.apiextensions.k8s.io": (Column("Created At", _at("metadata.creationTimestamp")),),
}  # fmt: skip
