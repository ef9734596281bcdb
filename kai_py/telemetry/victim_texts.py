"""Why nobody has to make room for a podgroup: what the reasons of reclaim, preemption and consolidation say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.api.keys import PREEMPTION_DELAY_ANNOTATION
from kai_py.core.result import ReasonCode
from kai_py.telemetry.amounts import amount, amount_of
from kai_py.telemetry.case import Case
from kai_py.telemetry.text import Text, fixed


def _over_fair_share(case: Case) -> str:
    return f"{case.named('queue', 'queue')} may not take back more than its {case.resource_noun}fair share"


def _over_fair_share_evidence(case: Case) -> str:
    if not case.resource:
        return ""
    held, share = case.amount("held"), case.amount("ceiling")
    return f"that is {share}, it holds {held} and {case.amount('requested')} more are asked for"


def _whose(case: Case) -> str:
    return f" in {case.named('queue', 'queue')}" if case.name("queue") else ""


def _enough_victims(case: Case) -> str:
    if not case.number("fits"):
        return ""
    placed, pods = case.number("fits"), case.number("pods")
    return f"with all of them gone, {placed} of {pods} {'pod' if pods == 1 else 'pods'} would fit"


def _available(case: Case) -> str:
    """``79 of 80 GPUs are free or reclaimable``; by moving pods nothing is gained but what is free already."""
    how = "free or reclaimable" if "reclaimable" in case.reason.details else "free on all nodes together"
    if not case.resource:
        return f"too little is {how}"
    available = case.base_units("free") + case.base_units("reclaimable")
    return f"{amount_of(case.resource, available, case.base_units('requested'), case.axis)} are {how}"


def _available_evidence(case: Case) -> str:
    parts = []
    if "reclaimable" in case.reason.details and case.resource:
        free, taken = (amount(case.resource, case.base_units(key), case.axis) for key in ("free", "reclaimable"))
        parts.append(f"free {free}, reclaimable {taken}")
    if case.name("queue"):
        parts.append(f"with more, queue {case.name('queue')} would fall below what it is entitled to")
    return "; ".join(parts)


def _without_place(case: Case) -> str:
    podgroups = case.number("podGroups")
    if not podgroups:
        return "more podgroups would have to move than may be moved for one"
    whom = "1 podgroup that" if podgroups == 1 else f"{podgroups} podgroups that"
    return f"{whom} would have to move {'finds' if podgroups == 1 else 'find'} no other place"


def _delay(case: Case) -> str:
    left = case.base_units("seconds")
    return f"{left:g} s of the delay are left" if left > 0 else ""


VICTIM_TEXTS: Final[Mapping[str, Text]] = {
    ReasonCode.OVER_FAIR_SHARE: Text(
        _over_fair_share,
        "Only what a queue is owed is taken from others: up to its fair share. Beyond that, podgroups start on what is "
        "free, and nobody has to make room.",
        "Wait until capacity is free; or raise the queue's quota or its over-quota weight.",
        evidence=_over_fair_share_evidence,
        used=frozenset({"queue", "resource"}),
    ),
    ReasonCode.NO_VICTIMS: Text(
        lambda case: f"nobody has to make room for what waits{_whose(case)}",
        "No running podgroup may be evicted or moved for this one: other queues are within their shares or protected "
        "by their minimum run time, nothing in the same queue is preemptible and of lower priority.",
        "Wait until pods finish, or give the podgroup a higher priority.",
        used=frozenset({"queue"}),
    ),
    ReasonCode.NOT_ENOUGH_VICTIMS: Text(
        fixed("those who may be evicted for it do not make enough room"),
        "Even with all podgroups evicted that may be, its pods would not fit the nodes they may run on.",
        "Ask for less per pod, wait until running pods finish, or add nodes.",
        evidence=_enough_victims,
    ),
    ReasonCode.NOT_ENOUGH_RECLAIMABLE: Text(
        _available,
        "What is free and what may be taken from others add up to less than is asked for. It is proved from sums, "
        "without a search: no choice of victims can help. The queue, if one is named, is where it ends.",
        "Ask for less, wait until running pods finish, or look at the quotas of the queues (kai-py queues).",
        evidence=_available_evidence,
        used=frozenset({"queue", "resource"}),
    ),
    ReasonCode.VICTIM_WITHIN_SHARE: Text(
        lambda case: f"{case.named('queue', 'queue')} would fall below what it is entitled to",
        "To make room, a queue would lose more than what it has beyond its fair share or its quota.",
        "Wait until pods finish, or look at the quotas of the queues (kai-py queues).",
        used=frozenset({"queue"}),
    ),
    ReasonCode.RECLAIMER_OVER_SHARE: Text(
        lambda case: f"it would leave its own queue better served than {case.named('queue', 'queue')}",
        "Afterwards the podgroup's queue, or one above it, would be beyond its fair share and fuller, in proportion, "
        "than a queue that lost something for it.",
        "Wait until capacity is free; or raise the queue's quota or its over-quota weight.",
        used=frozenset({"queue"}),
    ),
    ReasonCode.VICTIMS_WITHOUT_PLACE: Text(
        _without_place,
        "Running podgroups could be moved so that this one fits, but only if each of them finds another place, and "
        "not more than a few for one.",
        "Wait until pods finish, or add nodes.",
    ),
    ReasonCode.PREEMPTION_DELAY: Text(
        fixed("it may not have others evicted yet"),
        "The podgroup waits for its preemption delay before others are evicted for it: capacity may become free, or a "
        "node may be added, in the meantime.",
        f"Wait, or shorten the delay (annotation {PREEMPTION_DELAY_ANNOTATION} of the workload).",
        evidence=_delay,
    ),
    ReasonCode.NEVER_PREEMPTS: Text(
        fixed("it never has others evicted"),
        "Its pods have preemptionPolicy Never: they wait until there is room.",
        "Wait until pods finish, or use a priority class whose preemptionPolicy is PreemptLowerPriority.",
    ),
    ReasonCode.OUTRANKED: Text(
        fixed("its place went to a podgroup that comes first"),
        "A place was found for it, and then another podgroup, more important or owed more, needed that place.",
        "Wait until pods finish, or give the podgroup a higher priority.",
    ),
}
