"""Part of the table of texts: claims on devices."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

from kai_py.api.keys import QUEUE_LABEL
from kai_py.api.quantity import format_quantity
from kai_py.core.dra.refusal import RefusalCode
from kai_py.core.resources import MEMORY
from kai_py.core.result import ReasonCode
from kai_py.telemetry.amounts import amount, noun
from kai_py.telemetry.case import Case
from kai_py.telemetry.places import histogram
from kai_py.telemetry.text import Text, about

#: Begins the names of details that say how much of a capacity is asked for.
_CAPACITY: Final = "capacity "
#: The same of what devices take of a resource of their node, and of what is left of it.
_OF_NODE: Final = "node "
_LEFT: Final = "left "
_WHY: Final[Mapping[str, str]] = {
    RefusalCode.TOO_MANY_DEVICES: "a claim may have 32 devices",
    RefusalCode.TOO_MANY_CONFIGURATIONS: "a claim may have 64 configurations",
    RefusalCode.POOL_INCOMPLETE: "a driver has not published all of its pool yet",
    RefusalCode.POOL_INVALID: "a driver has published a pool that contradicts itself",
    RefusalCode.SELECTOR_FAILED: "a selector cannot be evaluated",
    RefusalCode.NO_MATCH: "not enough devices match its selectors",
    RefusalCode.TAINTED: "devices have taints that are not tolerated",
    RefusalCode.TOO_SMALL: "devices are too small",
    RefusalCode.IN_USE: "devices are in use",
    RefusalCode.COUNTERS_USED_UP: "what devices are cut from is used up",
    RefusalCode.CAPACITY_USED_UP: "the capacity of shared devices is used up",
    RefusalCode.CONSTRAINT: "no devices meet its constraints together",
    RefusalCode.ALL_AGAINST_CONSTRAINT: "all devices together do not meet its constraints",
    RefusalCode.TOGETHER: "its requests compete for the same devices",
    RefusalCode.NODE_ROOM: "its devices take more of their node than is left",
    RefusalCode.NODE_UNUSED: "its devices take something of their node, and no container uses the claim",
    RefusalCode.NODE_SHARED: "its devices take something of their node, and another pod there uses the claim",
    RefusalCode.ELSEWHERE: "a claim has its devices elsewhere",
    RefusalCode.CUT: "the search for devices was ended before it was done",
}
#: What no node can help against.
_OF_CLAIM: Final = (RefusalCode.TOO_MANY_DEVICES, RefusalCode.TOO_MANY_CONFIGURATIONS)


def _verdict(case: Case) -> str:
    request = case.naming("request", "request {} of ")
    return f"{request}{case.name('claim') or 'the pod’s claims'} finds no devices"


def _asked(case: Case) -> str:
    """What a request asks of each device: `` (memory of 80Gi or more; device.driver == "x")``."""
    asked = [
        f"{key.removeprefix(_CAPACITY)} of {format_quantity(Fraction(value), binary=True)} or more"
        for key, value in sorted(case.reason.details.items())
        if key.startswith(_CAPACITY) and isinstance(value, int | float)
    ]
    if case.name("selector"):
        asked.append(case.name("selector"))
    return f" ({'; '.join(asked)})" if asked else ""


def _of_node(case: Case) -> str:
    """What devices take of a node, and what is left there: `` (64 GiB memory, 60 GiB left)``."""
    taken = [key.removeprefix(_OF_NODE) for key in sorted(case.reason.details) if key.startswith(_OF_NODE)]
    parts = []
    for resource in taken:
        asked = amount(resource, case.base_units(f"{_OF_NODE}{resource}"), case.axis, rounded="up")
        left = amount(resource, case.base_units(f"{_LEFT}{resource}"), case.axis, rounded="down")
        parts.append(f"{f'{asked} {noun(resource)}' if resource == MEMORY else asked}, {left} left")
    return f" ({'; '.join(parts)})" if parts else ""


def _evidence(case: Case) -> str:
    parts = []
    if case.name("why") in _OF_CLAIM:
        return f"{_WHY[case.name('why')]}, and it would have {case.number('needed')}"
    if why := _WHY.get(case.name("why"), ""):
        where = case.naming("node", " on {}, which comes nearest")
        needed = case.number("needed") if case.name("why") != RefusalCode.CONSTRAINT else 0
        numbers = f" ({needed} needed, {case.number('matched')} match, {case.number('available')} free)"
        parts.append(f"{why}{_asked(case)}{_of_node(case)}{where}{numbers if needed else ''}")
    if case.number("pods"):
        parts.append(f"{case.number('placed')} of {case.number('pods')} pods that start together find places")
    parts.append(histogram(case.reason))
    return ", ".join(part for part in parts if part)


def _missing(case: Case) -> str:
    if not case.name("pod_group"):
        return about("ResourceClaim", "claim", "does not exist")(case)
    if not case.name("claim"):
        return f"PodGroup {case.name('pod_group')}, which may share claims with its pods, is not there yet"
    return f"the claim from {case.name('claim')} has not been made for PodGroup {case.name('pod_group')} yet"


CLAIM_TEXTS: Final[Mapping[str, Text]] = {
    ReasonCode.CLAIM_MISSING: Text(
        _missing,
        "A pod names a ResourceClaim or a ResourceClaimTemplate that is not in its namespace, or the claim that is "
        "made from the template, for the pod or its PodGroup, is not there yet; or its PodGroup is not there yet.",
        "Create it, or correct spec.resourceClaims of the pod.",
        used=frozenset({"claim", "pod_group"}),
    ),
    ReasonCode.CLAIM_INVALID: Text(
        about("ResourceClaim", "claim", "cannot be served"),
        "The claim is being deleted, names a DeviceClass that does not exist, or asks for something that is not known "
        "here. The message says what.",
        "Correct what the message names; a claim cannot be changed, so delete it and create it again.",
        used=frozenset({"claim"}),
    ),
    ReasonCode.CLAIM_OF_OTHER_QUEUE: Text(
        lambda case: f"{case.named('ResourceClaim', 'claim')} is not labelled with {case.named('queue', 'queue')}",
        "A claim on GPUs that is not made from a template must say whose quota pays for it, and that must be the queue "
        "of the pods that use it.",
        f"Set the label {QUEUE_LABEL} of the claim to the queue of its pods.",
        used=frozenset({"claim", "queue"}),
    ),
    ReasonCode.CLAIM_IN_FULL_USE: Text(
        about("ResourceClaim", "claim", "serves as many pods as a claim can"),
        "A claim can be reserved for 256 consumers.",
        "Wait until pods that use it finish, or give these pods a claim of their own.",
        evidence=lambda case: histogram(case.reason),
        used=frozenset({"claim"}),
    ),
    ReasonCode.DEVICES_PREPARED: Text(
        lambda case: f"the devices of {case.name('claim') or 'its claims'} are being prepared",
        "The pod has a node and its claims have devices, which must be prepared before the pod is bound (binding "
        "conditions). The message says which condition is missing.",
        "Wait; if it takes long, look at status.devices of the claim, and at the driver. After the setting "
        "`dra.bindingTimeout` the devices are given back, and the pod goes elsewhere.",
        evidence=lambda case: case.naming("missing", "{} is not true yet"),
        used=frozenset({"claim", "missing"}),
    ),
    ReasonCode.DEVICES_UNAVAILABLE: Text(
        _verdict,
        "Nodes that have room for everything else do not have the devices that a claim asks for. The message tells it "
        "of the node that comes nearest, and counts the nodes by reason (table below).",
        "Ask for fewer devices or others, wait until devices are free, or look at the ResourceSlices of the nodes.",
        evidence=_evidence,
        used=frozenset({"claim", "request", "node", "why", "class", "selector"}),
    ),
}
