"""Sentences about pods that share GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.core.result import ReasonCode
from kai_py.telemetry.case import Case
from kai_py.telemetry.text import Text


def _unprepared(case: Case) -> str:
    return f"pod {case.name('pod')} is not prepared to share a GPU" if case.name("pod") else "a pod is not prepared"


def _reserved(case: Case) -> str:
    where = f" on {case.name('node')}" if case.name("node") else ""
    return f"a GPU is being reserved{where} for pods that share it"


SHARE_TEXTS: Final[Mapping[str, Text]] = {
    ReasonCode.SHARE_UNPREPARED: Text(
        _unprepared,
        "A pod with a part of a GPU learns its device from a ConfigMap, which its container has to refer to from the "
        "start: the webhooks add that when the pod is made. This one was made while they did not answer, or they are "
        "not installed. It would see no GPU, or all of them.",
        "See that the webhooks run (kai-py webhooks) and that the MutatingWebhookConfiguration is there, then make the "
        "pod anew.",
        evidence=lambda case: f"it lacks the annotation {case.name('annotation')}" if case.name("annotation") else "",
        used=frozenset({"pod", "annotation"}),
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
