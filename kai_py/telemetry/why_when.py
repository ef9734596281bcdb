"""By when something that waits may start: a bound where ends are known, and otherwise that it is not known.

Ends are known of pods that are leaving (``deletionTimestamp`` is when their grace period is over) and of those with
``activeDeadlineSeconds``. Nothing is guessed from the past.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Any, Final

from kai_py.api.keys import AMD_GPU, NVIDIA_GPU
from kai_py.api.quantity import parse_quantity
from kai_py.cluster.encode.times import seconds
from kai_py.core.resources import GPU
from kai_py.core.result import Reason, ReasonCode
from kai_py.telemetry.amounts import amount, per_unit

Object = Mapping[str, Any]  # JSON of an API object

#: What waits with one of these waits for others to make room.
FOR_ROOM: Final = frozenset(
    {
        ReasonCode.OVER_LIMIT,
        ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA,
        ReasonCode.MIN_RESOURCES_MISSING,
        ReasonCode.UNSCHEDULABLE,
        ReasonCode.GANG_DOES_NOT_FIT,
        ReasonCode.DOMAINS_TOO_SMALL,
        ReasonCode.WAITING_FOR_RELEASE,
        ReasonCode.OUTRANKED,
    }
)
NOT_KNOWN: Final = "not known: nobody says how long those run that are in the way"


def reserved_nodes(pods: Iterable[Object]) -> list[str]:
    """Nodes that are reserved for pods that wait."""
    waits = (pod for pod in pods if not (pod.get("spec") or {}).get("nodeName"))
    return sorted({name for pod in waits if (name := str((pod.get("status") or {}).get("nominatedNodeName") or ""))})


def when_left(nodes: Sequence[str], pods: Iterable[Object]) -> str:
    """When the pods that leave reserved nodes are gone.

    Args:
        nodes: that are reserved.
        pods: on these.
    """
    ends = [_end(pod) for pod in pods if (pod.get("metadata") or {}).get("deletionTimestamp") and _runs(pod)]
    where = ", ".join(nodes)
    if not ends:
        return f"not known: nobody is leaving {where} at the moment"
    left = "1 pod has" if len(ends) == 1 else f"{len(ends)} pods have"
    return f"when {left} left {where}: by {_written(max(ends))}, if they keep to their grace periods"


def when_given_back(reason: Reason, pods: Iterable[Object]) -> str:
    """When a queue at its limit has room again; empty if the numbers do not say that something has to be given back.

    Args:
        reason: with ``queue``, ``resource``, and ``held``, ``requested`` and ``ceiling`` in base units.
        pods: of the queue.
    """
    details = reason.details
    resource, numbers = (
        str(details["resource"]),
        [float(str(details[name])) for name in ("held", "requested", "ceiling")],
    )
    held, requested, ceiling = numbers
    if held + requested <= ceiling:
        return ""
    if requested > ceiling:
        return "never, unless it asks for less or is allowed more"
    lacking = held + requested - ceiling
    first = f"when queue {details['queue']} has given back {amount(resource, lacking)}"
    ends = sorted((_end(pod), _holds(pod, resource)) for pod in pods if _runs(pod))
    given = 0.0
    for end, held_by_one in ends:
        given += held_by_one
        if given >= lacking and end < inf:
            return f"{first}: by {_written(end)}, when the time of enough of its pods is over, if nobody comes before"
    return f"{first}: not known when, too few of its pods have a time limit"


def _runs(pod: Object) -> bool:
    """Whether a pod has a node and has not finished."""
    done = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return bool((pod.get("spec") or {}).get("nodeName")) and not done


def _end(pod: Object) -> float:
    """When a pod is gone at the latest, seconds; inf if nobody knows."""
    deadline = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    started = seconds((pod.get("status") or {}).get("startTime"))
    own = started + float(deadline) if deadline is not None and started else inf
    return min(own, seconds((pod.get("metadata") or {}).get("deletionTimestamp")) or inf)


def _holds(pod: Object, resource: str) -> float:
    """Base units that a pod's containers ask for; no more than what is charged for it."""
    total = 0.0
    for container in (pod.get("spec") or {}).get("containers") or ():
        asked = container.get("resources") or {}
        amounts = {**(asked.get("limits") or {}), **(asked.get("requests") or {})}
        names = [name for name in amounts if name == resource or (resource == GPU and name in (NVIDIA_GPU, AMD_GPU))]
        total += sum(float(parse_quantity(amounts[name])) * per_unit(name) for name in names)
    return total


def _written(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
