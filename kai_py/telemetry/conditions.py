"""Conditions of pods and podgroups, and whether one says anything new.

What counts as new: another status, another reason code, or another :func:`gist`, which is mostly the verdict of the
message with its numbers masked. The evidence behind the verdict (histogram, amounts, place in the queue) moves with
every pod that starts anywhere; writing it each time would cost a patch per waiting pod and cycle and tell nobody
anything. ``told.Told`` decides when numbers alone are refreshed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from kai_py.api.meta import Quantity
from kai_py.api.podgroup import QueueDetails, ReasonDetails, SchedulingCondition, UnschedulableReason
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import NODES_WOULD_NOT_HELP, Diagnosis, Evict, Reason, ReasonCode
from kai_py.telemetry.amounts import quantity
from kai_py.telemetry.sentences import has_numbers, headline, sentence

#: What the API server and kubectl show of an Event's note; conditions follow it to stay readable in ``describe``.
MAX_MESSAGE: Final = 1024

POD_SCHEDULED: Final = "PodScheduled"
UNSCHEDULABLE: Final = "Unschedulable"
DISRUPTION_TARGET: Final = "DisruptionTarget"
PREEMPTION_BY_SCHEDULER: Final = "PreemptionByScheduler"
ON_NODE_POOL: Final = "UnschedulableOnNodePool"
DEFAULT_NODE_POOL: Final = "default"
SCHEDULED: Final = "Scheduled"

#: A number by itself or a fraction ("0/50"), not a digit of a name ("team-1", "rack7/a100").
_NUMBER: Final = re.compile(r"(?<![\w.\-/])\d+(?:\.\d+)?(?:/\d+)?(?![\w\-/])")
_PLACE: Final = re.compile(r" It is \d+(?:st|nd|rd|th)(?: of \d+)? in (?:its queue|queue \S+)\.$")
_CODE: Final = re.compile(r" \[(?P<code>\w+)\]$")

Conditions = Sequence[Mapping[str, Any]]  # as they are in the object


def pod_condition(
    diagnosis: Diagnosis, *, now: float, axis: ResourceAxis | None = None, waiting: int = 0, generation: int = 0
) -> dict[str, Any] | None:
    """The ``PodScheduled=False`` condition of the pods of a podgroup that waits.

    Args:
        diagnosis: why it waits.
        now: seconds since the epoch.
        axis: as for ``sentences.sentence``.
        waiting: as for ``sentences.headline``.
        generation: the pod's ``metadata.generation``; 0 leaves ``observedGeneration`` out.

    Returns:
        None where the pods are held back by scheduling gates: the API server has said so itself, and "Unschedulable"
        would make an autoscaler add nodes for pods that must not start.
    """
    if not diagnosis.reasons or diagnosis.reasons[0].code == ReasonCode.GATED:
        return None
    condition: dict[str, Any] = {
        "type": POD_SCHEDULED,
        "status": "False",
        "reason": pod_reason(diagnosis.reasons[0].code),
        "message": coded_message(diagnosis, axis, waiting=waiting),
        "lastTransitionTime": timestamp(now),
    }
    return condition | ({"observedGeneration": generation} if generation else {})


def pod_reason(code: ReasonCode) -> str:
    """The ``reason`` of a waiting pod's condition: ``Unschedulable`` only where new nodes could help.

    Autoscalers (Cluster Autoscaler, Karpenter) add nodes for pods with exactly that reason. A pod over its queue's
    limit would make them buy nodes on which it still could not run; it says our own code instead.
    """
    return str(code) if code in NODES_WOULD_NOT_HELP else UNSCHEDULABLE


def coded_message(diagnosis: Diagnosis, axis: ResourceAxis | None = None, *, waiting: int = 0) -> str:
    """The headline with the reason code at its end, as ``docs/reference/reasons.md`` lists it.

    A pod's condition has no other field for the code: its ``reason`` is Kubernetes' own word.
    """
    code = f" [{diagnosis.reasons[0].code}]" if diagnosis.reasons else ""
    return clipped(headline(diagnosis, axis, waiting=waiting), MAX_MESSAGE - len(code)) + code


def code_of(message: str) -> str:
    """The code at the end of a :func:`coded_message`; empty if there is none."""
    found = _CODE.search(message)
    return found["code"] if found is not None else ""


def without_code(message: str) -> str:
    """A :func:`coded_message` without its code."""
    return _CODE.sub("", message)


def scheduling_conditions(
    existing: Conditions,
    diagnosis: Diagnosis | None,
    *,
    now: float,
    node_pool: str = DEFAULT_NODE_POOL,
    axis: ResourceAxis | None = None,
    waiting: int = 0,
    refresh: bool = False,
) -> list[dict[str, Any]] | None:
    """A podgroup's ``status.schedulingConditions`` after a cycle.

    Args:
        existing: what the status has; entries of other node pools are kept.
        diagnosis: why the podgroup waits; None when it waits no more.
        now: seconds since the epoch.
        node_pool: ours.
        axis: as for ``sentences.sentence``.
        waiting: as for ``sentences.headline``.
        refresh: write new numbers even if nothing else has changed.

    Returns:
        The whole list to be written, ours last; None if there is nothing to write.
    """
    ours = next((one for one in existing if _is_ours(one, node_pool)), None)
    if diagnosis is None:
        if ours is None or ours.get("status") != "True":
            return None
        new = SchedulingCondition(type=ON_NODE_POOL, node_pool=node_pool, status="False", reason=SCHEDULED)
    else:
        new = _unschedulable(diagnosis, node_pool, axis, waiting)
    written = new.to_dict()
    if ours is not None and not (changed(ours, written) or (refresh and _without_marks(ours) != written)):
        return None
    since = ours.get("lastTransitionTime") if ours is not None and ours.get("status") == new.status else None
    written |= {"lastTransitionTime": since or timestamp(now), "transitionID": str(_last_transition(existing) + 1)}
    return [*(dict(one) for one in existing if not _is_ours(one, node_pool)), written]


def disruption_target(evict: Evict, *, now: float) -> dict[str, Any]:
    """The condition that marks a victim before it is deleted; a Job's pod failure policy looks at it."""
    return condition(
        DISRUPTION_TARGET, status=True, reason=PREEMPTION_BY_SCHEDULER, message=eviction_note(evict), now=now
    )


def eviction_note(evict: Evict) -> str:
    """Why a pod has to go: for its Event and its ``DisruptionTarget`` condition."""
    note = f"Evicted from {evict.node} by {evict.action}"
    if evict.preemptor:
        note += f" to make room for podgroup {evict.preemptor}"
    if evict.moved:
        note += "; a place on another node is reserved for it"
    return f"{note}."


def condition(
    type: str,  # noqa: A002  # the field's own name
    *,
    status: bool,
    reason: str,
    message: str,
    now: float,
    generation: int = 0,
) -> dict[str, Any]:
    """A condition of the usual shape (``metav1.Condition``), e.g. a queue's ``Ready``."""
    written: dict[str, Any] = {
        "type": type,
        "status": "True" if status else "False",
        "reason": reason,
        "message": clipped(message),
        "lastTransitionTime": timestamp(now),
    }
    return written | ({"observedGeneration": generation} if generation else {})


def with_condition(existing: Conditions, new: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A list of conditions with one replaced by its type; None if it says nothing new.

    ``lastTransitionTime`` stays while the status does, as Kubernetes has it.
    """
    old = next((one for one in existing if one.get("type") == new["type"]), None)
    if old is not None and not changed(old, new):
        return None
    since = old.get("lastTransitionTime") if old is not None and old.get("status") == new.get("status") else None
    written = {**new, "lastTransitionTime": since or new.get("lastTransitionTime")}
    return [written if one is old else dict(one) for one in existing] + ([] if old is not None else [written])


def changed(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> bool:
    """Whether a condition says anything but other numbers; see the top of this module.

    ``observedGeneration`` counts where both have it: what we keep of pods does not.
    """
    if old is None or _essence(old) != _essence(new):
        return True
    seen, now = old.get("observedGeneration"), new.get("observedGeneration")
    return seen is not None and now is not None and seen != now


def gist(message: str, code: str) -> str:
    """What a message says, numbers masked; same gist, same reason.

    Where the evidence consists of numbers, it is the verdict. Elsewhere (a malformed object) the evidence names what
    is wrong, so it belongs to the gist; the place in the queue never does.
    """
    text = _PLACE.sub("", without_code(message))
    if has_numbers(code):
        text = text.partition(": ")[0].partition(". ")[0].rstrip(".")
    return _NUMBER.sub("#", text)


def clipped(text: str, length: int = MAX_MESSAGE) -> str:
    """The text, shortened with an ellipsis if it is longer than the API server takes."""
    return text if len(text) <= length else f"{text[: length - 1].rstrip()}…"


def timestamp(now: float) -> str:
    """RFC 3339 in UTC with whole seconds, as ``metav1.Time``."""
    return datetime.fromtimestamp(now, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unschedulable(
    diagnosis: Diagnosis, node_pool: str, axis: ResourceAxis | None, waiting: int
) -> SchedulingCondition:
    return SchedulingCondition(
        type=ON_NODE_POOL,
        node_pool=node_pool,
        status="True",
        reason=str(diagnosis.reasons[0].code) if diagnosis.reasons else UNSCHEDULABLE,
        message=clipped(headline(diagnosis, axis, waiting=waiting)),
        reasons=tuple(
            UnschedulableReason(
                reason=str(reason.code),
                message=clipped(sentence(reason, axis, queue=diagnosis.queue)),
                details=_queue_details(reason, axis),
            )
            for reason in diagnosis.reasons
        ),
    )


def _queue_details(reason: Reason, axis: ResourceAxis | None) -> ReasonDetails | None:
    """KAI's numbers for the two gates, of the resource that is short and of no other."""
    resource, name = reason.details.get("resource"), reason.details.get("queue")
    if not isinstance(resource, str) or not isinstance(name, str):
        return None
    numbers = {key: value for key, value in reason.details.items() if isinstance(value, int | float)}
    if {"held", "ceiling", "requested"} - numbers.keys():
        return None
    held, ceiling, requested = (_of(resource, numbers[key], axis) for key in ("held", "ceiling", "requested"))
    if reason.code == ReasonCode.OVER_LIMIT:
        details = QueueDetails(
            name=name,
            queue_allocated_resources=held,
            queue_resource_limits=ceiling,
            pod_group_requested_resources=requested,
        )
    elif reason.code == ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA:
        details = QueueDetails(
            name=name,
            queue_allocated_non_preemptible_resources=held,
            queue_deserved_resources=ceiling,
            pod_group_requested_non_preemptible_resources=requested,
        )
    else:
        return None
    return ReasonDetails(queue_details=details)


def _of(resource: str, value: float, axis: ResourceAxis | None) -> dict[str, Quantity]:
    return {resource: quantity(resource, value, axis)}


def _essence(one: Mapping[str, Any]) -> tuple[object, ...]:
    codes = tuple(reason.get("reason") for reason in one.get("reasons") or ())
    message = one.get("message") or ""
    reason, code = one.get("reason") or "", code_of(message)
    return one.get("status"), reason, code, codes, gist(message, code or reason)


def _is_ours(one: Mapping[str, Any], node_pool: str) -> bool:
    return one.get("type") == ON_NODE_POOL and (one.get("nodePool") or DEFAULT_NODE_POOL) == node_pool


def _without_marks(one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key not in ("lastTransitionTime", "transitionID")}


def _last_transition(existing: Conditions) -> int:
    """The highest ``transitionID`` of all node pools; others may have written anything, so only numbers count."""
    marks = (str(one.get("transitionID") or "") for one in existing)
    return max((int(mark) for mark in marks if mark.isdecimal()), default=0)
