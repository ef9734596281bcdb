"""Queues of a live cluster: their numbers, as a document and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

from kai_py.api.keys import NVIDIA_GPU
from kai_py.api.meta import Quantity
from kai_py.api.quantity import parse_quantity
from kai_py.api.queue import UNLIMITED, Queue, QueueResource
from kai_py.cli.output import Table
from kai_py.cli.plan_view import in_words
from kai_py.core.resources import CPU, GPU, MEMORY
from kai_py.errors import MalformedObjectError
from kai_py.telemetry.why_waiting import Waiter

Json = dict[str, Any]

_MEGABYTE: Final = 1_000_000.0
_MILLICORES: Final = 1000.0
_NUMBERS: Final = ("allocated", "requested", "fairShare", "quota", "limit")
_STYLES: Final = {"False": "red"}


def queue_items(queues: Iterable[Mapping[str, Any]], waiters: Iterable[Waiter]) -> list[Json]:
    """What there is to say of each queue, sorted by name.

    Amounts are in millicores, bytes and devices, -1 is unlimited, null is unknown: nobody has reported it.

    Args:
        queues: as the API server has them.
        waiters: of the whole cluster.
    """
    waiting: dict[str, Counter[str]] = {}
    for one in waiters:
        waiting.setdefault(one.queue, Counter())[one.code] += 1
    items = [_item(queue, waiting) for queue in queues]
    return sorted(items, key=lambda item: str(item["name"]))


def _item(manifest: Mapping[str, Any], waiting: Mapping[str, Counter[str]]) -> Json:
    name = str(manifest["metadata"]["name"])
    counts = dict(sorted(waiting.get(name, Counter()).items()))
    try:
        queue = Queue.parse(manifest)
    except MalformedObjectError as error:
        faults = [str(fault) for fault in error.faults]
        return {"name": name, "ready": "False", "faults": faults, "resources": {}, "waiting": counts}
    conditions = {condition.type: condition.status for condition in queue.status.conditions}
    return {
        "name": name,
        "parent": queue.spec.parent_queue or None,
        "priority": queue.spec.priority,
        "ready": conditions.get("Ready"),
        "resources": _resources(queue),
        "waiting": counts,
    }


def _resources(queue: Queue) -> Json:
    given: dict[str, QueueResource] = {
        GPU: queue.spec.resources.gpu,
        CPU: queue.spec.resources.cpu,
        MEMORY: queue.spec.resources.memory,
        **{one.name: one for one in queue.spec.resources.additional},
    }
    status = queue.status
    return {
        name: {
            "allocated": _reported(status.allocated, name),
            "requested": _reported(status.requested, name),
            "fairShare": _reported(status.fair_share, name),
            "quota": _bound(resource.quota, name),
            "limit": _bound(resource.limit, name),
        }
        for name, resource in given.items()
    }


def _reported(amounts: Mapping[str, Quantity], name: str) -> float | None:
    """An amount of the status; KAI writes GPUs under the name that pods use."""
    written = amounts.get(name, amounts.get(NVIDIA_GPU) if name == GPU else None)
    if written is None:
        return None
    return float(parse_quantity(written)) * (_MILLICORES if name == CPU else 1.0)


def _bound(value: float, name: str) -> float:
    return value * _MEGABYTE if name == MEMORY and value != UNLIMITED else value


def queue_table(items: Iterable[Json], *, wide: bool) -> Table:
    """A row per queue about its GPUs; with ``wide`` one per queue and resource, and whether the queue can be used."""
    if wide:
        columns = ("Queue", "Parent", "Priority", "Ready", "Resource", *_COLUMNS)
        return Table("Queues", columns, [row for item in items for row in wide_rows(item)], _STYLES)
    return Table("Queues (GPUs)", ("Queue", "Parent", "Priority", *_COLUMNS), [row(item) for item in items], _STYLES)


_COLUMNS: Final = ("Allocated", "Requested", "Fair share", "Quota", "Limit", "Waiting")


def row(item: Json) -> tuple[str, ...]:
    """A queue in one row: its GPUs."""
    return *_about(item), *_cells(item, GPU), _waiting(item)


def wide_rows(item: Json) -> list[tuple[str, ...]]:
    """A queue in one row per resource."""
    about = (*_about(item), item["ready"] or "Unknown")
    return [(*about, name, *_cells(item, name), _waiting(item)) for name in item["resources"] or [""]]


def _about(item: Json) -> tuple[str, str, str]:
    return item["name"], item.get("parent") or "", str(item.get("priority", ""))


def _cells(item: Json, resource: str) -> list[str]:
    numbers = item["resources"].get(resource, {})
    return [in_words(resource, value) if (value := numbers.get(kind)) is not None else "" for kind in _NUMBERS]


def _waiting(item: Json) -> str:
    """How many podgroups and single pods wait, and most of them for what."""
    if not item["waiting"]:
        return ""
    code, _ = max(item["waiting"].items(), key=lambda one: one[1])
    return f"{sum(item['waiting'].values())} ({code})"
