"""What a Job's status says: counts, completed indexes, conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .mirror import Key
from .owned_pods import OwnedPod
from .pod_status import with_condition

Object = dict[str, Any]


def is_finished(job: Object) -> bool:
    """Whether a Job is complete or has failed."""
    return condition_of(job, "Complete") is not None or condition_of(job, "Failed") is not None


def condition_of(job: Object, kind: str) -> Object | None:
    """A condition of a Job, if it is true."""
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one["type"] == kind and one["status"] == "True"), None)


def add_condition(status: Object, kind: str, value: str, now: str, *, reason: str = "", message: str = "") -> None:
    """Set a condition in a Job's status, in place."""
    condition = {"type": kind, "status": value, "reason": reason, "message": message}
    shown = {key: text for key, text in condition.items() if text}
    old = next((one for one in status.get("conditions") or () if one["type"] == kind), None)
    if old is None or any(old.get(key) != text for key, text in shown.items()):
        status["conditions"] = with_condition(status, shown | {"lastProbeTime": now}, now)


def set_counts(status: Object, pods: Mapping[Key, OwnedPod]) -> None:
    """Set what can be counted now, in place. Like the real controller, zeros of plain counters are left out."""
    active = [pod for pod in pods.values() if pod.active]
    status["ready"] = sum(pod.ready for pod in active)
    status["terminating"] = sum(pod.terminating for pod in pods.values())
    status["uncountedTerminatedPods"] = {}
    status["active"] = len(active)
    for key in ("active", "succeeded", "failed"):
        if not status.get(key):
            status.pop(key, None)


def indexes_of(text: str) -> set[int]:
    """Indexes from their short form, e.g. ``0-2,5``."""
    indexes: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        indexes.update(range(int(first), int(last or first) + 1))
    return indexes


def text_of(indexes: Iterable[int]) -> str:
    """The inverse of :func:`indexes_of`."""
    runs: list[list[int]] = []
    for index in sorted(indexes):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
