"""The statuses that a kubelet writes, as changes of a pod's status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Object = dict[str, Any]

_CONTAINERS_DOWN: Final = ("Ready", "ContainersReady")
_UP: Final = ("PodReadyToStartContainers", "Initialized", *_CONTAINERS_DOWN)


def running(pod: Object, *, now: str, host_ip: str, pod_ip: str) -> Object:
    """All containers run and are ready."""
    status = _status(pod)
    return (
        status
        | {
            "phase": "Running",
            "startTime": status.get("startTime", now),
            "hostIP": host_ip,
            "hostIPs": [{"ip": host_ip}],
            "podIP": pod_ip,
            "podIPs": [{"ip": pod_ip}],
            "conditions": _conditions(pod, dict.fromkeys(_UP, ("True", "")), now),
            "containerStatuses": [_running(each, now) for each in pod["spec"]["containers"]],
        }
        | _init_statuses(pod, now)
    )


def finished(pod: Object, *, now: str, exit_code: int, reason: str = "", message: str = "") -> Object:
    """All containers have ended, with this exit code."""
    phase = "Failed" if exit_code else "Succeeded"
    why = "PodFailed" if exit_code else "PodCompleted"
    status = _status(pod)
    was_running = {one["name"]: one for one in status.get("containerStatuses") or ()}
    told = {key: text for key, text in (("reason", reason), ("message", message)) if text}
    return (
        status
        | told
        | {
            "phase": phase,
            "conditions": _conditions(pod, dict.fromkeys(_CONTAINERS_DOWN, ("False", why)), now),
            "containerStatuses": [
                _ended(each, was_running.get(each["name"]) or {}, now, exit_code) for each in pod["spec"]["containers"]
            ],
        }
    )


def refused(pod: Object, *, now: str, reason: str, message: str) -> Object:
    """The node does not take the pod: it has never run."""
    return _status(pod) | {
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "startTime": now,
    }


def not_ready(pod: Object, *, now: str) -> Object:
    """Nobody knows how the pod is: its node went away."""
    return _status(pod) | {"conditions": _conditions(pod, {"Ready": ("False", "")}, now)}


def with_condition(status: Object, condition: Mapping[str, str], now: str) -> list[Object]:
    """The conditions of any status with one of them set; its transition time moves only with its status."""
    conditions = list(status.get("conditions") or ())
    row = next((i for i, one in enumerate(conditions) if one["type"] == condition["type"]), None)
    if row is None:
        return [*conditions, {**condition, "lastTransitionTime": now}]
    stayed = conditions[row]["status"] == condition["status"]
    since = conditions[row].get("lastTransitionTime", now) if stayed else now
    conditions[row] = {**condition, "lastTransitionTime": since}
    return conditions


def _status(pod: Object) -> Object:
    return dict(pod.get("status") or {})


def _conditions(pod: Object, wanted: Mapping[str, tuple[str, str]], now: str) -> list[Object]:
    status = _status(pod)
    for kind, (value, reason) in wanted.items():
        condition = {"type": kind, "status": value} | ({"reason": reason} if reason else {})
        status["conditions"] = with_condition(status, condition, now)
    return list(status["conditions"])


def _running(container: Object, now: str) -> Object:
    return _container(container) | {"ready": True, "started": True, "state": {"running": {"startedAt": now}}}


def _ended(container: Object, before: Object, now: str, exit_code: int) -> Object:
    began = ((before.get("state") or {}).get("running") or {}).get("startedAt", now)
    end = {
        "exitCode": exit_code,
        "reason": "Error" if exit_code else "Completed",
        "startedAt": began,
        "finishedAt": now,
    }
    return _container(container) | {"ready": False, "started": False, "state": {"terminated": end}}


def _container(container: Object) -> Object:
    image = container.get("image", "")
    return {"name": container["name"], "image": image, "imageID": f"fake://{image}", "restartCount": 0}


def _init_statuses(pod: Object, now: str) -> Object:
    statuses = list(_init_containers(pod, now))
    return {"initContainerStatuses": statuses} if statuses else {}


def _init_containers(pod: Object, now: str) -> Iterator[Object]:
    for container in pod["spec"].get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            yield _running(container, now)
        else:
            yield _ended(container, {}, now, 0) | {"ready": True}
