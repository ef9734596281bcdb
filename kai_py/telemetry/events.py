"""Event texts: what to say about which object, as values. Sending them is the recorder's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kai_py.api.keys import PODGROUP_API_VERSION
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Bind, Decision, Diagnosis, Layout, Nominate, Reason
from kai_py.telemetry.conditions import clipped, eviction_note
from kai_py.telemetry.layout_texts import layout_sentence
from kai_py.telemetry.sentences import headline, next_step, sentence

EventType = Literal["Normal", "Warning"]

SCHEDULED: Final = "Scheduled"
NOMINATED: Final = "Nominated"
PREEMPTED: Final = "Preempted"
LAID_OUT: Final = "LaidOut"


@dataclass(frozen=True)
class Regarding:
    """The object that an Event is about; ``uid`` may be empty where it is not known."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""


@dataclass(frozen=True)
class EventText:
    """One Event, but for its times.

    Attributes:
        regarding: the object.
        type: ``Normal`` or ``Warning``.
        reason: CamelCase, for programs: kube-scheduler's word where it has one.
        action: what was being done.
        note: for people, at most 1024 characters.
    """

    regarding: Regarding
    type: EventType
    reason: str
    action: str
    note: str


def pod(key: str, uid: str = "") -> Regarding:
    """A pod by ``namespace/name``."""
    namespace, _, name = key.rpartition("/")
    return Regarding("v1", "Pod", namespace, name, uid)


def podgroup(key: str, uid: str = "") -> Regarding:
    """A podgroup by ``namespace/name``."""
    namespace, _, name = key.rpartition("/")
    return Regarding(PODGROUP_API_VERSION, "PodGroup", namespace, name, uid)


def waiting(
    diagnosis: Diagnosis, *, axis: ResourceAxis | None = None, in_line: int = 0, podgroup_uid: str = ""
) -> EventText:
    """Why a podgroup waits, with the next step.

    Args:
        diagnosis: why it waits.
        axis: as for ``sentences.sentence``.
        in_line: as ``waiting`` for ``sentences.headline``.
        podgroup_uid: empty for a podgroup that exists in memory only: then its first pod is told.
    """
    note = headline(diagnosis, axis, waiting=in_line)
    step = next_step(diagnosis.reasons[0], axis, queue=diagnosis.queue) if diagnosis.reasons else ""
    in_memory = not podgroup_uid and diagnosis.pods
    regarding = pod(diagnosis.pods[0]) if in_memory else podgroup(diagnosis.podgroup, podgroup_uid)
    return EventText(regarding, "Warning", "FailedScheduling", "Scheduling", clipped(f"{note} {step}".rstrip()))


def laid_out(layout: Layout, podgroup_uid: str) -> EventText:
    """How near each other the pods of a podgroup start."""
    about = podgroup(layout.podgroup, podgroup_uid)
    return EventText(about, "Normal", LAID_OUT, "Scheduling", clipped(layout_sentence(layout)))


def decided(decision: Decision) -> EventText:
    """What a decision did to its pod, for when it has been carried out."""
    about = pod(decision.pod, decision.uid)
    if isinstance(decision, Bind):
        note = f"Successfully assigned {decision.pod} to {decision.node}"
        return EventText(about, "Normal", SCHEDULED, "Binding", note)
    if isinstance(decision, Nominate):
        note = f"A place on {decision.node} is reserved; the pod starts when the pods that are leaving it are gone."
        return EventText(about, "Normal", NOMINATED, "Scheduling", note)
    return EventText(about, "Normal", PREEMPTED, "Preempting", eviction_note(decision))


def preparing(bind: Bind, reason: Reason) -> EventText:
    """The devices of a pod must be prepared before it is bound."""
    note = f"{sentence(reason)} Then the pod is bound to {bind.node}."
    return EventText(pod(bind.pod, bind.uid), "Normal", "BindingConditionsPending", "Binding", clipped(note))


def bind_failed(bind: Bind, why: str) -> EventText:
    """A binding that the API server refused."""
    note = f"Could not bind {bind.pod} to {bind.node}: {why}"
    return EventText(pod(bind.pod, bind.uid), "Warning", "FailedBinding", "Binding", clipped(note))
