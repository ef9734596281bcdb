"""What ``kubectl get`` shows of an object, cell by cell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

Object = dict[str, Any]
#: For what is not there.
NONE: Final = "<none>"


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


def at(path: str, default: Any = NONE) -> Callable[[Object], Any]:
    """What is at a path; the default where it ends before."""
    parts = path.split(".")

    def cell(obj: Object) -> Any:
        value: Any = obj
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        return default if value is None else value

    return cell


def count(path: str) -> Callable[[Object], Any]:
    """How many things are at a path."""
    read = at(path, ())
    return lambda obj: len(read(obj))


def joined(path: str) -> Callable[[Object], str]:
    """The things at a path, with commas between."""
    read = at(path, ())
    return lambda obj: ",".join(map(str, read(obj))) or NONE


def selector(path: str) -> Callable[[Object], str]:
    """The labels that a selector at a path wants."""
    read = at(path, {})

    def cell(obj: Object) -> str:
        selector = read(obj)
        labels = selector.get("matchLabels", selector) if isinstance(selector, dict) else {}
        return ",".join(f"{key}={value}" for key, value in labels.items() if isinstance(value, str)) or NONE

    return cell


def since(path: str) -> Callable[[Object], str]:
    """How long ago the time at a path was."""
    read = at(path, "")
    return lambda obj: duration(_seconds_since(read(obj))) if read(obj) else NONE


def pod_ready(pod: Object) -> str:
    """Containers that are ready, of all."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(pod['spec']['containers'])}"


def pod_status(pod: Object) -> str:
    """In one word, how a pod is doing: the first that applies of what kubectl's users know."""
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


def pod_restarts(pod: Object) -> str:
    """Restarts of all containers."""
    return str(sum(s.get("restartCount", 0) for s in pod.get("status", {}).get("containerStatuses") or ()))


def pod_gates(pod: Object) -> str:
    """Readiness gates that are open, of all."""
    gates = pod["spec"].get("readinessGates") or ()
    conditions = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions") or ()}
    ready = sum(conditions.get(gate["conditionType"]) == "True" for gate in gates)
    return f"{ready}/{len(gates)}" if gates else NONE


def node_status(node: Object) -> str:
    """Whether a node is ready, and whether it takes pods."""
    conditions = {c["type"]: c["status"] for c in node.get("status", {}).get("conditions") or ()}
    text = {"True": "Ready", "False": "NotReady"}.get(conditions.get("Ready", ""), "Unknown")
    return text + (",SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else "")


def node_roles(node: Object) -> str:
    """The roles that a node's labels give it."""
    prefix = "node-role.kubernetes.io/"
    roles = sorted(k.removeprefix(prefix) for k in node["metadata"].get("labels") or () if k.startswith(prefix))
    return ",".join(roles) or NONE


def node_address(kind: str) -> Callable[[Object], str]:
    """A node's first address of a kind."""

    def cell(node: Object) -> str:
        addresses = node.get("status", {}).get("addresses") or ()
        return next((str(a["address"]) for a in addresses if a["type"] == kind), NONE)

    return cell


def event_object(event: Object) -> str:
    """What an Event is about."""
    regarding = event.get("involvedObject") or event.get("regarding") or {}
    return f"{regarding.get('kind', '').lower()}/{regarding.get('name', '')}"


def event_seen(event: Object) -> str:
    """When an Event was seen last, whichever of its fields says so."""
    series = event.get("series") or {}
    for text in (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("deprecatedLastTimestamp"),
                 event.get("eventTime")):  # fmt: skip
        if text:
            return duration(_seconds_since(text))
    return "<unknown>"


def job_completions(job: Object) -> str:
    """Pods of a Job that have succeeded, of those that shall."""
    wanted = job["spec"].get("completions")
    done = job.get("status", {}).get("succeeded", 0)
    return f"{done}/{wanted if wanted is not None else '1 of ' + str(job['spec'].get('parallelism', 1))}"


def job_status(job: Object) -> str:
    """How a Job has ended, if it has."""
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed", "Suspended"):
            return str(condition["type"])
    return "Running"


def job_duration(job: Object) -> str:
    """How long a Job runs, or ran."""
    status = job.get("status", {})
    if not status.get("startTime"):
        return ""
    start = datetime.fromisoformat(status["startTime"])
    end = datetime.fromisoformat(status["completionTime"]) if status.get("completionTime") else datetime.now(UTC)
    return duration((end - start).total_seconds())


def claim_state(claim: Object) -> str:
    """How far a ResourceClaim is."""
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


def ready_of(path: str) -> Callable[[Object], str]:
    """Replicas that are ready, of the number at a path."""
    return lambda obj: f"{at('status.readyReplicas', 0)(obj)}/{at(path, 0)(obj)}"
