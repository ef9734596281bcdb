"""The claim that a part of a GPU is.

An amount of memory is the same on whatever card. A fraction is not: a claim says one amount, so that each size of card
is an alternative of its own, which a selector keeps to that size.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import msgspec

from kai_py.api.keys import (
    POD_CLAIM_ANNOTATION,
    SHARE_CLAIM,
    SHARE_CONTENT_ANNOTATION,
    SHARE_TEMPLATE_LABEL,
)
from kai_py.api.resource import (
    CapacityRequirements,
    CelSelector,
    DeviceClaim,
    DeviceRequest,
    DeviceSelector,
    ExactRequest,
    SubRequest,
)
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.devices.amounts import amounts, quantity
from kai_py.cluster.shares.asks import ShareAsk
from kai_py.cluster.shares.kinds import DeviceKind, can_give, part_of
from kai_py.core.dra.devices import UNIT
from kai_py.core.tables.devices import MILLION
from kai_py.core.tables.pods import PodKey

#: Alternatives of a request (``resource.k8s.io/v1``).
MOST_ALTERNATIVES: Final = 8
#: The name of the request.
REQUEST: Final = "share"
_MEBIBYTE: Final = 2**20 * UNIT
_SHAREABLE: Final = "device.allowMultipleAllocations"
_DIGITS: Final = 16
# What an object leaves out is one immutable map for all, which the encoder does not know.
_encode: Final = msgspec.json.Encoder(enc_hook=dict).encode


def claim_of(ask: ShareAsk, kinds: Sequence[DeviceKind]) -> DeviceClaim | None:
    """The claim that gets what was asked for; None while there is no device by which to say it.

    Args:
        ask: what a pod wants.
        kinds: of devices that the class has, with the ask's capacities, the memory first; at most eight.
    """
    ways = [_exactly(ask, kind, found) for kind in kinds if (found := _amounts(ask, kind)) is not None]
    if ask.share.memory and (not ways or not ask.in_proportion):
        # Any device will do that has so much; if none has, the claim waits and says so.
        ways = [_exactly(ask, None, {ask.memory: ask.share.memory * _MEBIBYTE})]
    if len(ways) == 1:
        return DeviceClaim((DeviceRequest(REQUEST, exactly=ExactRequest(**ways[0])),))
    named = tuple(SubRequest(name=f"kind-{row}", **one) for row, one in enumerate(ways))
    return DeviceClaim((DeviceRequest(REQUEST, first_available=named),)) if named else None


def _amounts(ask: ShareAsk, kind: DeviceKind) -> dict[str, int] | None:
    """What to ask a device of a kind for, by capacity; None if it cannot give that."""
    (_, memory), *others = kind.capacities
    wanted: int | None = ask.share.memory * _MEBIBYTE
    if not memory.value:
        return None
    if wanted:
        part = Fraction(wanted, memory.value)
        wanted = wanted if can_give(memory, wanted) else None
    else:
        part = Fraction(ask.share.millionths, MILLION)
        wanted = part_of(memory, part)
    if wanted is None:
        return None
    found = {ask.memory: wanted}
    for name, capacity in others:
        if (amount := part_of(capacity, part)) is None:
            return None
        found[name] = amount
    return found


def _exactly(ask: ShareAsk, kind: DeviceKind | None, wanted: dict[str, int]) -> dict[str, Any]:
    """A request for parts of devices of a kind, or of any."""
    expression = _SHAREABLE if kind is None else " && ".join((_SHAREABLE, *_conditions(kind)))
    return {
        "device_class_name": ask.device_class,
        "selectors": (DeviceSelector(CelSelector(expression)),),
        "count": ask.share.devices,
        "capacity": CapacityRequirements({name: quantity(amount) for name, amount in wanted.items()}),
    }


def _conditions(kind: DeviceKind) -> list[str]:
    """What is true of the devices of a kind alone. Whether a capacity is there comes before what it is."""
    driver = json.dumps(kind.driver)
    conditions = [f"device.driver == {driver}"]
    for name, capacity in kind.capacities:
        domain, _, own = name.rpartition("/")
        at, key = f"device.capacity[{json.dumps(domain) if domain else driver}]", json.dumps(own)
        amount = json.dumps(quantity(capacity.value))
        conditions += [f"{key} in {at}", f"{at}[{key}].compareTo(quantity({amount})) == 0"]
    return conditions


def content_of(claim: DeviceClaim) -> str:
    """A hash of what is claimed: the API server writes quantities in its own way, so that specs cannot be compared."""
    return hashlib.sha256(_encode(claim)).hexdigest()[:_DIGITS]


def covers(made: DeviceClaim, wanted: DeviceClaim) -> bool:
    """Whether a claim says all that another one does. A size of card that has gone harms nobody, and may come back.

    Amounts are compared as numbers.
    """
    return _said(wanted) <= _said(made)


def _said(claim: DeviceClaim) -> set[tuple[object, ...]]:
    ways = [way for one in claim.requests for way in ((one.exactly,) if one.exactly else one.first_available)]
    return {
        (
            way.device_class_name,
            tuple(one.cel.expression for one in way.selectors if one.cel is not None),
            way.count,
            frozenset(amounts(way.capacity.requests, "", "").items()) if way.capacity is not None else None,
        )
        for way in ways
    }


def template_of(name: Name, claim: DeviceClaim, maker: str) -> dict[str, Any]:
    """The ResourceClaimTemplate.

    Args:
        name: namespace and name.
        claim: what its claims are.
        maker: our name, as a label can have it.
    """
    namespace, own = name
    content = {SHARE_CONTENT_ANNOTATION: content_of(claim)}
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {
            "name": own,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "kai-py", SHARE_TEMPLATE_LABEL: maker},
            "annotations": content,
        },
        "spec": {
            "metadata": {"annotations": content},
            "spec": {"devices": msgspec.json.decode(_encode(claim))},
        },
    }


def claim_metadata(name: Name, pod: PodKey, content: str) -> dict[str, Any]:
    """Metadata of a claim as the claim controller makes it of a template, under a name that the pod's status has."""
    namespace, own = name
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
    return {
        "name": own,
        "namespace": namespace,
        "annotations": {SHARE_CONTENT_ANNOTATION: content, POD_CLAIM_ANNOTATION: SHARE_CLAIM},
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
    }
