"""What a PyTorchJob's status says: counts by role, and conditions of which only one of some is there at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from kai_py.api.keys import KUBEFLOW_JOB_LABEL, KUBEFLOW_REPLICA_TYPE_LABEL

from .owned_pods import OwnedPod
from .pod_status import with_condition

Object = dict[str, Any]

OPERATOR_LABEL: Final = "training.kubeflow.org/operator-name"
OPERATOR: Final = "pytorchjob-controller"
#: Conditions that give way to another one.
_YIELD: Final[Mapping[str, str]] = {"Running": "Restarting", "Restarting": "Running"}
_LAST: Final = frozenset({"Succeeded", "Failed"})


def state_of(status: Object) -> str:
    """``Succeeded`` or ``Failed``; empty while neither."""
    return next((one["type"] for one in status.get("conditions") or () if _holds(one) and one["type"] in _LAST), "")


def set_condition(status: Object, kind: str, message: str, now: str, *, value: str = "True") -> None:
    """Set a condition in place. Its reason is ``PyTorchJob`` and its type, as the training operator has it."""
    reason = "PyTorchJobResumed" if (kind, value) == ("Suspended", "False") else f"PyTorchJob{kind}"
    told = {"type": kind, "status": value, "reason": reason, "message": message}
    old: Object = next((one for one in status.get("conditions") or () if one["type"] == kind), {})
    if all(old.get(key) == text for key, text in told.items()):
        return
    conditions = [one for one in status.get("conditions") or () if one["type"] not in (kind, _YIELD.get(kind))]
    if kind in _LAST or (kind, value) == ("Suspended", "True"):
        conditions = [one | {"status": "False"} if one["type"] == "Running" else one for one in conditions]
    condition = told | {"lastUpdateTime": now}
    if old:
        condition["lastTransitionTime"] = old["lastTransitionTime"]
    # The newest is the last: a column of kubectl shows it.
    [made] = with_condition({"conditions": [old] if old else []}, condition, now)
    status["conditions"] = [*conditions, made]


def counts_of(job: str, role: str, pods: Iterable[OwnedPod]) -> Object:
    """The counts of a role; as in the real status, zeros are left out."""
    pods = list(pods)
    counts: Object = {
        "active": sum(pod.phase == "Running" and not pod.deleting for pod in pods),
        "succeeded": sum(pod.phase == "Succeeded" for pod in pods),
        "failed": sum(pod.phase == "Failed" for pod in pods),
    }
    labels = {KUBEFLOW_JOB_LABEL: job, OPERATOR_LABEL: OPERATOR, KUBEFLOW_REPLICA_TYPE_LABEL: role.lower()}
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return {key: count for key, count in counts.items() if count} | {"selector": selector}


def _holds(condition: Object) -> bool:
    return bool(condition["status"] == "True")
