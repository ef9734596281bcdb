"""A cycle's result as the JSON that plans, previews and the shadow of other settings are told in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from kai_py.cluster.devices.results import written
from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Bind, CycleResult, Diagnosis, Evict, Granted, Layout, Nominate, QueueShares
from kai_py.errors import Fault
from kai_py.telemetry.layout_texts import layout_sentence
from kai_py.telemetry.sentences import sentence

Json = dict[str, Any]


def render_cycle(result: CycleResult, axis: ResourceAxis) -> Json:
    """One cycle as JSON. Layouts are only there where a podgroup that starts asks something of a topology."""
    binds = [_bind(one) for one in result.decisions if isinstance(one, Bind)]
    nominations = [_place(one) for one in result.decisions if isinstance(one, Nominate)]
    evictions = [_eviction(one) for one in result.decisions if isinstance(one, Evict)]
    waiting = [_waiting(diagnosis, axis) for diagnosis in result.diagnoses]
    return {
        "binds": _by_name(binds, "pod"),
        "nominations": _by_name(nominations, "pod"),
        "evictions": _by_name(evictions, "pod"),
        "waiting": _by_name(waiting, "podGroup"),
        **({"layouts": _by_name([_layout(one) for one in result.layouts], "podGroup")} if result.layouts else {}),
    }


def _layout(layout: Layout) -> Json:
    return {
        "podGroup": layout.podgroup,
        "topology": layout.topology,
        "pods": layout.pods,
        "domains": dict(layout.domains),
        "pattern": layout.pattern,
        "hops": layout.hops,
        "least": layout.least,
        "message": layout_sentence(layout),
    }


def _place(decision: Bind | Nominate) -> Json:
    return {
        "pod": decision.pod,
        "node": decision.node,
        "podGroup": decision.podgroup,
        "action": str(decision.action),
    }


def _bind(decision: Bind) -> Json:
    claims = [{"claim": one.claim, "allocation": _allocation(one)} for one in decision.claims]
    return _place(decision) | {"claims": _by_name(claims, "claim"), "gpuGroups": list(decision.gpu_groups)}


def _allocation(granted: Granted) -> Json:
    """``AllocationResult`` as it would be written, but for the time."""
    assert isinstance(granted.allocation, ClaimAllocation)
    text = msgspec.json.encode(written(granted.allocation, uid=granted.uid), enc_hook=dict)
    allocation: Json = msgspec.json.decode(text)
    return allocation


def _eviction(decision: Evict) -> Json:
    return {
        "pod": decision.pod,
        "podGroup": decision.podgroup,
        "action": str(decision.action),
        "preemptor": decision.preemptor,
        "moved": decision.moved,
    }


def _waiting(diagnosis: Diagnosis, axis: ResourceAxis) -> Json:
    return {
        "podGroup": diagnosis.podgroup,
        "queue": diagnosis.queue or _asked_for(diagnosis),
        "reasons": [
            {
                "code": str(reason.code),
                "message": sentence(reason, axis, queue=diagnosis.queue),
                "details": _details(reason.details),
            }
            for reason in diagnosis.reasons
        ],
    }


def _asked_for(diagnosis: Diagnosis) -> str:
    """The queue that a podgroup names although it is not there, or takes no pods; empty if it names none."""
    named = (str(reason.details["queue"]) for reason in diagnosis.reasons if reason.details.get("queue"))
    return next(named, "")


def _by_name(entries: list[Json], key: str) -> list[Json]:
    return sorted(entries, key=lambda entry: tuple(entry[key].split("/")))


def _details(details: Mapping[str, object]) -> Json:
    """JSON has no infinity: an unlimited amount is -1, as in the API."""
    return {key: -1 if value == float("inf") else value for key, value in details.items()}


def render_queues(
    names: Iterable[str], shares: QueueShares, axis: ResourceAxis, faults: Mapping[str, Fault] | None = None
) -> Json:
    """Numbers of every queue: those that take no part in the division have zeros, and the fault if there is one.

    Args:
        names: of all queues.
        shares: of those that take part.
        axis: names the columns of ``shares``.
        faults: why others do not.
    """
    row_of = {name: row for row, name in enumerate(shares.names)}
    nothing = dict.fromkeys(axis.accounted, 0)
    numbers: Json = {}
    for name in sorted(names):
        if (row := row_of.get(name)) is not None:
            numbers[name] = _numbers(shares, row, axis)
            continue
        numbers[name] = {label: dict(nothing) for label in ("fairShare", "allocated", "requested")}
        if (fault := (faults or {}).get(name)) is not None:
            numbers[name]["fault"] = str(fault)
    return numbers


def _numbers(shares: QueueShares, row: int, axis: ResourceAxis) -> Json:
    """In millicores, bytes and devices."""
    tables = (("fairShare", shares.fair_share), ("allocated", shares.allocated), ("requested", shares.requested))
    return {
        label: {
            name: _in_units(amounts[row, column].item(), axis.accounted_per_unit(name))
            for column, name in enumerate(axis.accounted)
        }
        for label, amounts in tables
    }


def _in_units(amount: float, per_unit: int) -> float:
    return amount if per_unit == 1 else amount / per_unit
