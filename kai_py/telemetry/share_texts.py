"""Sentences about pods that share GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.core.result import ReasonCode
from kai_py.telemetry.case import Case
from kai_py.telemetry.text import Text


def _unprepared(case: Case) -> str:
    return f"pod {case.name('pod')} is not prepared to share a GPU" if case.name("pod") else "a pod is not prepared"


def _lacking(case: Case) -> str:
    if case.name("annotation"):
        return f"it lacks the annotation {case.name('annotation')}"
    if case.name("claim"):
        return f"it lacks the claim {case.name('claim')}"
    if case.name("template"):
        return f"by the settings of now, no claim is made from {case.name('template')}"
    return ""


def _not_offered(case: Case) -> str:
    said = "no parts of GPUs can be claimed"
    return f"{said}: {case.name('message')}" if case.name("message") else said


def _reserved(case: Case) -> str:
    where = f" on {case.name('node')}" if case.name("node") else ""
    return f"a GPU is being reserved{where} for pods that share it"


SHARE_TEXTS: Final[Mapping[str, Text]] = {
    ReasonCode.SHARE_UNPREPARED: Text(
        _unprepared,
        "A pod with a part of a GPU learns its device from a ConfigMap, or gets it by a claim. Its container has to "
        "refer to that from the start: the webhooks add it when the pod is made. This one was made while they did not "
        "answer, or they are not installed, or the settings have changed since, so that nobody makes what it refers "
        "to. It would see no GPU, or all of them.",
        "See that the webhooks run (kai-py webhooks) and that the MutatingWebhookConfiguration is there, then make the "
        "pod anew.",
        evidence=_lacking,
        used=frozenset({"pod", "annotation", "claim", "template"}),
    ),
    ReasonCode.SHARE_NOT_OFFERED: Text(
        _not_offered,
        "The pod's part of a GPU is a claim on a device that several pods may use at once, made from a template that "
        "follows from the setting `gpuShareClaims` and from the devices that there are. As things are, it cannot be "
        "made.",
        "Compare the setting gpuShareClaims with what the driver offers: kubectl get deviceclasses, and the capacities "
        "in kubectl get resourceslices -o yaml.",
        used=frozenset({"message"}),
    ),
    ReasonCode.SHARE_RESERVED: Text(
        _reserved,
        "The pod has a node. A reservation pod there asks the device plugin for a whole GPU, and says which one it "
        "got. Then the pod is bound, and sees that GPU alone.",
        "Wait; if it takes long, look at the reservation pod. After the setting `gpuReservation.timeout` the pod goes "
        "elsewhere.",
        evidence=lambda case: f"{case.name('reservation')} has not said its device" if case.name("reservation") else "",
        used=frozenset({"node", "reservation"}),
    ),
}
