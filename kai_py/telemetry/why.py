"""Why something waits, as a record: a verdict, the evidence, the next step.

Made from a ``Diagnosis`` (simulation, dashboard) or from what the objects of a live cluster say (``kai-py why``). The
objects are JSON as the API server sends it, so that this works against any version of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kai_py.api.keys import PODGROUP_ANNOTATION, QUEUE_LABEL, SCHEDULER_NAME
from kai_py.api.quantity import parse_quantity
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Diagnosis, Reason, ReasonCode
from kai_py.telemetry.amounts import per_unit
from kai_py.telemetry.conditions import ON_NODE_POOL, POD_SCHEDULED, code_of, without_code
from kai_py.telemetry.places import histogram, nearest_miss
from kai_py.telemetry.sentences import has_numbers, next_step, place_in_line, sentence, todo, verdict
from kai_py.telemetry.why_age import ages

Object = Mapping[str, Any]  # JSON of an API object

_NOT_SEEN: Final = "Nobody has looked at it yet."
_CHECK_SCHEDULER: Final = "Check that the scheduler runs and holds its lease (metric kai_py_leader)."
_MISS: Final = re.compile(r" on one node would (do|take the next one)$")
_PLACE: Final = re.compile(r"^It is \d+(st|nd|rd|th) ")


@dataclass(frozen=True)
class Why:
    """The answer.

    Attributes:
        subject: ``pod team-a/train-0``.
        verdict: one sentence.
        evidence: ``(name, text)`` rows, most telling first.
        next_step: what the reader can do; empty if there is nothing to do.
        code: the reason's code, as in docs/reference/reasons.md; empty if nothing waits.
    """

    subject: str
    verdict: str
    evidence: tuple[tuple[str, str], ...] = ()
    next_step: str = ""
    code: str = ""

    def to_dict(self) -> dict[str, object]:
        """For ``--output json``."""
        return {
            "subject": self.subject,
            "verdict": self.verdict,
            "code": self.code,
            "evidence": [{"name": name, "text": text} for name, text in self.evidence],
            "nextStep": self.next_step,
        }

    def lines(self) -> list[str]:
        """Plain text: verdict first, evidence after, next step last."""
        width = max((len(name) for name, _ in self.evidence), default=0)
        rows = [f"  {name:<{width}}  {text}" for name, text in self.evidence]
        return [f"{self.subject}: {self.verdict}", *rows, *([f"Next: {self.next_step}"] if self.next_step else [])]


def why_diagnosis(diagnosis: Diagnosis, axis: ResourceAxis | None = None, *, waiting: int = 0) -> Why:
    """Why a podgroup waits, straight from a cycle.

    Args:
        diagnosis: of the podgroup.
        axis: as for ``sentences.sentence``.
        waiting: as for ``sentences.headline``.
    """
    subject = f"podgroup {diagnosis.podgroup}"
    if not diagnosis.reasons:
        return Why(subject, _NOT_SEEN)
    first = diagnosis.reasons[0]
    rows = [
        ("nodes", histogram(first)),
        ("nearest miss", nearest_miss(first, axis)),
        ("place in line", place_in_line(diagnosis, waiting)),
        ("queue", diagnosis.queue),
        ("waiting pods", str(len(diagnosis.pods)) if diagnosis.pods else ""),
        *(("also", sentence(reason, axis, queue=diagnosis.queue)) for reason in diagnosis.reasons[1:]),
    ]
    said = sentence(first, axis, queue=diagnosis.queue)
    short = f"{verdict(first, axis, queue=diagnosis.queue)}." if first.nodes else said
    step = next_step(first, axis, queue=diagnosis.queue)
    return Why(subject, short, tuple((name, text) for name, text in rows if text), step, str(first.code))


def why_pod(
    pod: Object,
    podgroup: Object | None = None,
    *,
    scheduler_names: Sequence[str] = (SCHEDULER_NAME,),
    now: float | None = None,
) -> Why:
    """Why a pod waits, or that it does not.

    Args:
        pod: as the API server has it.
        podgroup: the one it belongs to, if there is such an object.
        scheduler_names: what pods for us name in ``spec.schedulerName``.
        now: seconds since the epoch, to tell how old it all is.
    """
    subject = f"pod {_key(pod)}"
    if (settled := _settled(pod, scheduler_names)) is not None:
        return Why(subject, settled)
    gates = [str(gate.get("name")) for gate in _items(pod, "spec", "schedulingGates")]
    if gates:
        held = f"Scheduling gates hold it back: {', '.join(gates)}."
        return Why(subject, held, _about_pod(pod, podgroup), todo(ReasonCode.GATED), str(ReasonCode.GATED))
    rows = _about_pod(pod, podgroup)
    condition = _newest(podgroup) if podgroup is not None else None
    if podgroup is not None and condition is not None:
        return _from_scheduling_condition(subject, podgroup, condition, rows, now)
    said = _scheduled(pod)
    message = str(said.get("message") or "")
    if said.get("status") != "False" or not message:
        return Why(subject, _NOT_SEEN, rows, _CHECK_SCHEDULER)
    code = code_of(message)
    old = tuple(ages(pod, "conditions", said, now, numbers=has_numbers(code)))
    return _from_message(subject, without_code(message), (*rows, *old), code, todo(code))


def why_podgroup(podgroup: Object, pods: Sequence[Object] = (), *, now: float | None = None) -> Why:
    """Why a podgroup waits, or that it does not.

    Args:
        podgroup: as the API server has it.
        pods: its pods, if known.
        now: seconds since the epoch, to tell how old it all is.
    """
    subject = f"podgroup {_key(podgroup)}"
    placed = [pod for pod in pods if _field(pod, "spec").get("nodeName")]
    rows = [("queue", str(_field(podgroup, "spec").get("queue") or ""))]
    if pods:
        rows.append(("pods", f"{len(placed)} of {len(pods)} have a node"))
    evidence = tuple((name, text) for name, text in rows if text)
    condition = _newest(podgroup)
    if condition is not None:
        return _from_scheduling_condition(subject, podgroup, condition, evidence, now)
    if pods and len(placed) == len(pods):
        return Why(subject, "It does not wait: all its pods have a node.", evidence)
    if not pods:
        return Why(subject, "It has not been reported to wait.", evidence)
    return Why(subject, _NOT_SEEN, evidence, _CHECK_SCHEDULER)


def waiting_code(podgroup: Object) -> str:
    """The code of the reason why a podgroup waits, by its status; empty if it does not."""
    condition = _newest(podgroup)
    return str(condition.get("reason") or "") if condition is not None else ""


def over_limit(podgroup: Object) -> Reason | None:
    """The numbers of a podgroup that waits at a queue's limit; None for others, and where nobody has written them."""
    condition = _newest(podgroup)
    if condition is None or condition.get("reason") != ReasonCode.OVER_LIMIT:
        return None
    reasons = [one for one in condition.get("reasons") or () if isinstance(one, Mapping)]
    return _rebuilt(ReasonCode.OVER_LIMIT, reasons[0]) if reasons else None


def pod_code(pod: Object, scheduler_names: Sequence[str] = (SCHEDULER_NAME,)) -> str:
    """The code of the reason why a pod waits, by its own condition; empty if it does not, or nobody has said so."""
    said = _scheduled(pod)
    if said.get("status") != "False" or _settled(pod, scheduler_names) is not None:
        return ""
    return code_of(str(said.get("message") or "")) or str(said.get("reason") or "")


def _scheduled(pod: Object) -> Object:
    """The pod's PodScheduled condition; empty if it has none."""
    return next((one for one in _items(pod, "status", "conditions") if one.get("type") == POD_SCHEDULED), {})


def _settled(pod: Object, scheduler_names: Sequence[str]) -> str | None:
    """Why a pod does not wait for us; None if it does."""
    spec, phase = _field(pod, "spec"), str(_field(pod, "status").get("phase") or "")
    node, scheduler = spec.get("nodeName"), spec.get("schedulerName") or "default-scheduler"
    if phase in ("Succeeded", "Failed"):
        return f"It has finished ({phase})."
    if _field(pod, "metadata").get("deletionTimestamp"):
        return f"It is being deleted{f' on node {node}' if node else ''}."
    if node:
        return f"It runs on node {node}." if phase == "Running" else f"It is bound to node {node} and starts there."
    if scheduler not in scheduler_names:
        return f"It is left to another scheduler: its schedulerName is {scheduler}."
    return None


def _about_pod(pod: Object, podgroup: Object | None) -> tuple[tuple[str, str], ...]:
    metadata = _field(pod, "metadata")
    labels, annotations = _field(metadata, "labels"), _field(metadata, "annotations")
    spec = _field(podgroup, "spec") if podgroup is not None else {}
    rows = (
        ("reserved node", _field(pod, "status").get("nominatedNodeName")),
        ("queue", spec.get("queue") or labels.get(QUEUE_LABEL)),
        ("podgroup", _field(podgroup or {}, "metadata").get("name") or annotations.get(PODGROUP_ANNOTATION)),
        ("created", metadata.get("creationTimestamp")),
    )
    return tuple((name, str(text)) for name, text in rows if text)


def _from_scheduling_condition(
    subject: str, podgroup: Object, condition: Object, rows: tuple[tuple[str, str], ...], now: float | None
) -> Why:
    code = str(condition.get("reason") or "")
    reasons = [one for one in condition.get("reasons") or () if isinstance(one, Mapping)]
    message = str(condition.get("message") or (reasons[0].get("message") if reasons else "") or "")
    others = (str(one.get("message") or one.get("reason")) for one in reasons[1:])
    also = tuple(("also", other) for other in others if other not in message)
    old = ages(podgroup, "schedulingConditions", condition, now, numbers=has_numbers(code))
    rebuilt = _rebuilt(code, reasons[0]) if reasons else None
    step = next_step(rebuilt) if rebuilt is not None else todo(code)
    return _from_message(subject, message or f"It waits with reason {code}.", (*also, *rows, *old), code, step)


def _from_message(subject: str, message: str, rows: tuple[tuple[str, str], ...], code: str, step: str) -> Why:
    """Take a message apart at its full stops: the verdict, and what the other sentences are about."""
    first, *others = message.rstrip(".").split(". ")
    return Why(subject, f"{first}.", (*_named(others), *rows), step, code)


def _named(sentences: Sequence[str]) -> Iterator[tuple[str, str]]:
    for one in sentences:
        name = "nearest miss" if _MISS.search(one) else "place in line" if _PLACE.match(one) else "details"
        yield name, one


def _rebuilt(code: str, written: Object) -> Reason | None:
    """The reason behind KAI's ``queueDetails``, for a next step with numbers; None without them."""
    details = _field(_field(written, "details"), "queueDetails")
    held, ceiling, requested = _NUMBERS.get(code, ("", "", ""))
    resources = _field(details, ceiling)
    if not resources:
        return None
    resource = str(next(iter(resources)))
    try:
        numbers = {
            name: float(parse_quantity(_field(details, key)[resource]) * per_unit(resource))
            for name, key in (("held", held), ("ceiling", ceiling), ("requested", requested))
        }
    except (KeyError, ValueError):
        return None  # another scheduler's numbers, of which we know no more than the code
    return Reason(ReasonCode(code), {"queue": str(details.get("name") or ""), "resource": resource, **numbers})


_NUMBERS: Final[Mapping[str, tuple[str, str, str]]] = {
    ReasonCode.OVER_LIMIT: ("queueAllocatedResources", "queueResourceLimits", "podGroupRequestedResources"),
    ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA: (
        "queueAllocatedNonPreemptibleResources",
        "queueDeservedResources",
        "podGroupRequestedNonPreemptibleResources",
    ),
}


def _newest(podgroup: Object) -> Object | None:
    """The scheduling condition with the highest ``transitionID``, if it says that the podgroup waits."""
    ours = [one for one in _items(podgroup, "status", "schedulingConditions") if one.get("type") == ON_NODE_POOL]
    if not ours:
        return None
    newest = max(ours, key=_transition)
    return newest if newest.get("status") == "True" else None


def _transition(condition: Object) -> int:
    mark = str(condition.get("transitionID") or "")
    return int(mark) if mark.isdecimal() else 0


def _key(obj: Object) -> str:
    metadata = _field(obj, "metadata")
    return "/".join(str(part) for part in (metadata.get("namespace"), metadata.get("name")) if part)


def _field(obj: Object, name: str) -> Object:
    """A field that is an object; empty if it is missing or something else."""
    value = obj.get(name)
    return value if isinstance(value, Mapping) else {}


def _items(obj: Object, field: str, name: str) -> list[Object]:
    """The objects of a list below a field."""
    value = _field(obj, field).get(name)
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []
