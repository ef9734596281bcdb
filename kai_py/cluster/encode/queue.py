"""Queues to a table: amounts in base units, the tree checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from kai_py.api.duration import Duration
from kai_py.api.queue import UNLIMITED, Queue, QueueResource
from kai_py.cluster.encode.times import seconds
from kai_py.core.resources import CPU, DEVICE, GPU, MEMORY, ResourceAxis, Shares
from kai_py.core.tables.queues import ROOT, QueueTable
from kai_py.errors import Fault

_MEGABYTE: Final = 1_000_000.0
#: A resource that a queue does not mention is not limited by it in any way, and has no surplus weight.
_UNMENTIONED: Final = QueueResource(quota=-1.0, limit=-1.0)


def queue_faults(queues: Mapping[str, Queue]) -> dict[str, Fault]:
    """Queues that cannot be used, because they or an ancestor have a missing parent or are part of a cycle."""
    faults: dict[str, Fault] = {}
    for name in sorted(queues):
        trail: dict[str, None] = {}
        at = name
        while at in queues and at not in trail and at not in faults and queues[at].spec.parent_queue:
            trail[at] = None
            at = queues[at].spec.parent_queue
        if at in trail:
            cycle = [*trail][[*trail].index(at) :]
            found = Fault("", "spec.parentQueue", f"the parents form a cycle: {' → '.join([*cycle, at])}")
        elif at not in queues:
            found = Fault("", "spec.parentQueue", f"there is no queue {at!r}")
        elif at in faults:
            found = faults[at]
        else:
            continue
        for one in trail:
            faults.setdefault(one, Fault(f"Queue {one}", found.field, found.message))
    return faults


def queue_warnings(queues: Mapping[str, Queue]) -> dict[str, list[Fault]]:
    """Settings that are legal but surprising, by queue: limits below quotas, children that are promised too much."""
    promised: dict[str, dict[str, float]] = {}
    for queue in queues.values():
        sums = promised.setdefault(queue.spec.parent_queue, {})
        for name, resource in _named(queue).items():
            sums[name] = sums.get(name, 0.0) + max(0.0, resource.quota)
    warnings: dict[str, list[Fault]] = {}
    for name, queue in queues.items():
        own = [*_limits_below_quotas(queue), *_more_than_is_there(queue, promised.get(name, {}))]
        if own:
            warnings[name] = own
    return warnings


def _limits_below_quotas(queue: Queue) -> Iterator[Fault]:
    for name, resource in _named(queue).items():
        if resource.limit != UNLIMITED and (resource.quota == UNLIMITED or resource.quota > resource.limit):
            quota = "unlimited" if resource.quota == UNLIMITED else f"{resource.quota:g}"
            message = f"the limit {resource.limit:g} is below the quota ({quota}); the limit wins"
            yield Fault(f"Queue {queue.name}", f"spec.resources.{name}.limit", message)


def _more_than_is_there(queue: Queue, promised: Mapping[str, float]) -> Iterator[Fault]:
    for name, resource in _named(queue).items():
        total = promised.get(name, 0.0)
        if resource.quota != UNLIMITED and total > resource.quota:
            message = f"the quotas of its children add up to {total:g}, more than its own {resource.quota:g}"
            yield Fault(f"Queue {queue.name}", f"spec.resources.{name}.quota", message)


def queue_table(queues: Mapping[str, Queue], axis: ResourceAxis, usage: Mapping[str, Shares]) -> QueueTable:
    """The table of sound queues.

    Args:
        queues: without those that ``queue_faults`` names.
        axis: its accounted resources are the columns.
        usage: past usage by queue, ``(A,)`` fractions of the capacity; missing = 0.
    """
    names = sorted(queues)
    row_of = {name: row for row, name in enumerate(names)}
    shape = (len(names), len(axis.accounted))
    quota, limit, weight = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for row, name in enumerate(names):
        resources = _named(queues[name])
        for column, resource in enumerate(axis.accounted):
            given = resources.get(resource, _UNMENTIONED)
            quota[row, column] = _units(given.quota, resource)
            limit[row, column] = _units(given.limit, resource)
            weight[row, column] = given.over_quota_weight
    return QueueTable(
        names=tuple(names),
        uids=tuple(queues[name].metadata.uid for name in names),
        parent=np.array([row_of.get(queues[name].spec.parent_queue, ROOT) for name in names], dtype=np.int32),
        priority=np.array([queues[name].spec.priority for name in names], dtype=np.int32),
        created=np.array([seconds(queues[name].metadata.creation_timestamp) for name in names], dtype=np.float64),
        quota=quota,
        limit=limit,
        weight=weight,
        usage=np.array([usage.get(name, np.zeros(shape[1])) for name in names]).reshape(shape),
        preempt_min_runtime=_seconds([queues[name].spec.preempt_min_runtime for name in names]),
        reclaim_min_runtime=_seconds([queues[name].spec.reclaim_min_runtime for name in names]),
    )


def additional_resources(queues: Mapping[str, Queue]) -> set[str]:
    """Names of all resources that queues account for beyond cpu, memory and gpu."""
    return {resource.name for queue in queues.values() for resource in queue.spec.resources.additional}


def _named(queue: Queue) -> dict[str, QueueResource]:
    resources = queue.spec.resources
    named: dict[str, QueueResource] = {CPU: resources.cpu, MEMORY: resources.memory, GPU: resources.gpu}
    return named | {resource.name: resource for resource in resources.additional}


def _seconds(durations: list[Duration | None]) -> Shares | None:
    """``(Q,)`` seconds, NaN where a queue says nothing; None if none says anything."""
    if all(one is None for one in durations):
        return None
    return np.array([float("nan") if one is None else one.seconds for one in durations], dtype=np.float64)


def _units(value: float, resource: str) -> float:
    """Base units of a Queue's number: cpu is in millicores already, memory in MB, GPUs in devices; -1 is inf."""
    if value == -1:
        return float("inf")
    units = value * {MEMORY: _MEGABYTE, GPU: float(DEVICE)}.get(resource, 1.0)
    return float(round(units)) if math.isfinite(units) else units
