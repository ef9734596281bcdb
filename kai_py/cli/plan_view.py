"""A plan's answer as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from kai_py.cli.output import Table
from kai_py.core.resources import DEVICE, GPU
from kai_py.telemetry.amounts import amount

Json = dict[str, Any]

_STYLES: Final = {"bind": "green", "nominate": "yellow", "evict": "red"}
_NUMBERS: Final = ("fairShare", "allocated", "requested")


def headline(plan: Json) -> str:
    """The plan in one sentence."""
    cycles, counts = plan["cycles"], Counter[str]()
    for cycle in cycles:
        counts.update({kind: len(entries) for kind, entries in cycle.items()})
    parts = [f"{counted(counts['binds'], 'pod')} bound"]
    parts += [f"{counts[kind]} {word}" for kind, word in _SAID if counts[kind]]
    waiting = len(cycles[-1]["waiting"])
    return f"{', '.join(parts)} in {counted(len(cycles), 'cycle')}; {_waits(waiting)}."


_SAID: Final = (("nominations", "nominated"), ("evictions", "evicted"))


def counted(number: int, noun: str) -> str:
    """``1 pod``, ``2 pods``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _waits(number: int) -> str:
    if number == 0:
        return "nothing waits"
    return f"{counted(number, 'podgroup')} {'waits' if number == 1 else 'wait'}"


def tables(plan: Json) -> list[Table]:
    """Decisions, what waits after the last cycle and why, and the queues."""
    return [
        Table(
            "Decisions",
            ("Cycle", "Decision", "Pod", "Node", "PodGroup", "Action", "For"),
            list(_decisions(plan)),
            _STYLES,
        ),
        *_layouts(plan),
        Table("Waiting", ("PodGroup", "Queue", "Reason", "Message"), list(_waiting(plan))),
        Table("Queues", ("Queue", "Resource", "Fair share", "Allocated", "Requested"), list(_queues(plan))),
    ]


def _decisions(plan: Json) -> Iterator[tuple[str, ...]]:
    for number, cycle in enumerate(plan["cycles"], start=1):
        for one in cycle["evictions"]:
            pod = plan["pods"].get(one["pod"], {})
            node = (pod.get("node") or "") if not one["moved"] else ""
            yield str(number), "evict", one["pod"], node, one["podGroup"], one["action"], one["preemptor"] or ""
        for kind, word in (("nominations", "nominate"), ("binds", "bind")):
            for one in cycle[kind]:
                yield str(number), word, one["pod"], one["node"], one["podGroup"], one["action"], ""


def _layouts(plan: Json) -> list[Table]:
    rows = [(one["podGroup"], one["message"]) for cycle in plan["cycles"] for one in cycle.get("layouts", ())]
    return [Table("Layouts", ("PodGroup", "How near"), rows)] if rows else []


def _waiting(plan: Json) -> Iterator[tuple[str, ...]]:
    for one in plan["cycles"][-1]["waiting"]:
        for reason in one["reasons"]:
            yield one["podGroup"], one["queue"], reason["code"], reason["message"]


def _queues(plan: Json) -> Iterator[tuple[str, ...]]:
    """One row per queue and resource that anybody is entitled to, holds or asks for."""
    for name, numbers in plan["queues"].items():
        resources = [resource for resource in numbers["fairShare"] if any(numbers[kind][resource] for kind in _NUMBERS)]
        for resource in resources or [GPU]:
            yield name, resource, *(in_words(resource, numbers[kind][resource]) for kind in _NUMBERS)


def in_words(resource: str, value: float) -> str:
    """An amount in millicores, bytes or devices, for people; -1 is unlimited."""
    if value < 0:
        return "unlimited"
    return amount(resource, value * DEVICE if resource == GPU else value)
