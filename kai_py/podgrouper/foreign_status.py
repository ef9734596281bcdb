"""What the status of somebody else's PodGroup says: as its users know it from the scheduler that they come from.

Sources: scheduler-plugins' PodGroup controller (``scheduling.x-k8s.io/v1alpha1``); KEP-4671 and the pages about the
PodGroup's life cycle (``scheduling.k8s.io``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]

#: Nothing changes any more.
_LAST: Final = frozenset({"Finished", "Failed"})
_SCHEDULED: Final = "PodGroupScheduled"


@dataclass(frozen=True, slots=True)
class Member:
    """What counts of a pod of the gang.

    Attributes:
        phase: of the pod.
        bound: whether it has a node.
        why: reason and message while it waits; empty if nobody has said.
    """

    phase: str
    bound: bool
    why: tuple[str, str] = ("", "")


def coscheduling_status(minimum: int, members: Iterable[Member], before: Mapping[str, Any], now: str) -> Json:
    """What to merge into the status of a coscheduling PodGroup; empty if it says so already.

    Phases: ``Pending`` until there are enough pods, ``Scheduling`` until enough have a node, ``Scheduled`` until
    enough run, ``Running``; ``Finished`` and ``Failed`` are for ever.

    Args:
        minimum: pods that the gang needs.
        members: its pods.
        before: the status as it is.
        now: as API objects carry it.
    """
    phase = str(before.get("phase") or "")
    if phase in _LAST:
        return {}
    listed = list(members)
    running = sum(one.phase == "Running" for one in listed)
    succeeded = sum(one.phase == "Succeeded" for one in listed)
    failed = sum(one.phase == "Failed" for one in listed)
    status: Json = {
        "phase": _phase(minimum, listed, running, succeeded, failed),
        "running": running,
        "succeeded": succeeded,
        "failed": failed,
    }
    if status["phase"] != "Pending" and not before.get("scheduleStartTime"):
        status["scheduleStartTime"] = now
    return {key: value for key, value in status.items() if value != (before.get(key) or _ZERO.get(key))}


_ZERO: Final[Mapping[str, int]] = {"running": 0, "succeeded": 0, "failed": 0}


def _phase(minimum: int, members: list[Member], running: int, succeeded: int, failed: int) -> str:
    if not members:
        return "Pending"
    if succeeded >= minimum:
        return "Finished"
    if failed and failed + running + succeeded >= minimum:
        return "Failed"
    if running + succeeded >= minimum:
        return "Running"
    if sum(one.bound for one in members) >= minimum:
        return "Scheduled"
    return "Scheduling" if len(members) >= minimum else "Pending"


def native_status(minimum: int, members: Iterable[Member], before: Mapping[str, Any], now: str) -> Json:
    """What to merge into the status of Kubernetes' own PodGroup; empty if it says so already.

    The condition ``PodGroupScheduled`` is ``True`` from the moment when enough pods have a node, whatever becomes of
    them; before, it is ``False`` as soon as it is known why they wait.

    Args:
        minimum: pods that the gang needs.
        members: its pods.
        before: the status as it is.
        now: as API objects carry it.
    """
    listed = list(members)
    conditions = list(before.get("conditions") or ())
    old: Json = next((one for one in conditions if one.get("type") == _SCHEDULED), {})
    if old.get("status") == "True":
        return {}
    if sum(one.bound for one in listed) >= minimum and listed:
        told = {"status": "True", "reason": "Scheduled", "message": f"{minimum} pods have a node"}
    elif why := next((one.why for one in listed if not one.bound and one.why[0]), None):
        told = {"status": "False", "reason": "Unschedulable", "message": why[1]}
    else:
        return {}
    if all(old.get(key) == text for key, text in told.items()):
        return {}
    since = old.get("lastTransitionTime", now) if old.get("status") == told["status"] else now
    made = {"type": _SCHEDULED, **told, "lastTransitionTime": since}
    return {"conditions": [*(one for one in conditions if one.get("type") != _SCHEDULED), made]}
