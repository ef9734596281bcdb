"""Gauges that are read off the last cycle when somebody scrapes, not written in every cycle.

A hundred queues times five numbers times three resources would be 1,500 writes per cycle for one scrape a minute. Here
a cycle hands over a reference. What is gone from the snapshot is gone from the next scrape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kai_py.core.resources import CPU, GPU, Shares
from kai_py.core.result import CycleResult, Diagnosis, QueueShares
from kai_py.core.tables.snapshot import Snapshot
from kai_py.telemetry import room, waits
from kai_py.telemetry.families import Family

_UNITS: Final = "cpu in cores, memory in bytes, gpu in devices, others in their own unit"
_QUEUE_HELP: Final = {
    "fair_share": f"What the queue may hold before others can reclaim from it ({_UNITS}).",
    "allocated": f"What pods of the queue hold ({_UNITS}).",
    "allocated_non_preemptible": f"The part of allocated that cannot be preempted ({_UNITS}).",
    "requested": f"What pods of the queue hold or wait for ({_UNITS}).",
    "quota": f"What the queue is guaranteed, +Inf if unlimited ({_UNITS}).",
    "limit": f"The most that the queue may hold, +Inf if unlimited ({_UNITS}).",
}
_QUEUES: Final = {
    name: Family(f"kai_py_queue_{name}", text, ("queue", "resource")) for name, text in _QUEUE_HELP.items()
}
_DISTANCE: Final = Family(
    "kai_py_fair_share_distance_ratio",
    "What leaf queues lack of their fair shares, as a part of what all queues share; 0 = everybody has what is due.",
    ("resource",),
)
_PENDING_PODGROUPS: Final = Family(
    "kai_py_pending_podgroups",
    "Podgroups that wait, by queue and first reason (see the page of reason codes). A queue that does not exist has no "
    "name here.",
    ("queue", "reason"),
)
_PENDING_PODS: Final = Family("kai_py_pending_pods", "Pods that wait, by queue.", ("queue",))
#: By section of the reference page.
FAMILIES: Final = {
    "Queues": (*_QUEUES.values(), _DISTANCE),
    "Pods": (_PENDING_PODGROUPS, _PENDING_PODS, waits.LONGEST),
    "Devices": room.FAMILIES,
}


@dataclass(frozen=True)
class _Shown:
    shares: QueueShares
    snapshot: Snapshot
    diagnoses: tuple[Diagnosis, ...]


class Levels(Collector):
    """Collector over the last result. ``show`` and ``collect`` may run in different threads: one reference is swapped.

    Each family is present, with its help, from the first scrape on.
    """

    def __init__(self) -> None:
        self._shown: _Shown | None = None

    def show(self, result: CycleResult, snapshot: Snapshot) -> None:
        """Make a cycle's numbers the ones that a scrape sees. Arrays are kept, not copied: results are not changed."""
        self._shown = _Shown(result.shares, snapshot, result.diagnoses)

    def hide(self) -> None:
        """Show nothing until the next cycle: somebody else decides now, and these numbers grow old."""
        self._shown = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families, as of the last cycle."""
        shown = self._shown
        for name, declared in _QUEUES.items():
            family = declared.gauge()
            if shown is not None:
                _add_queues(family, name, shown)
            yield family
        yield _distance(shown)
        yield _pending_podgroups(shown)
        yield _pending_pods(shown)
        snapshot = shown.snapshot if shown is not None else None
        yield from waits.longest_waits(snapshot)
        yield from room.room(snapshot)


def units(accounted: tuple[str, ...]) -> Shares:
    """``(A,)`` base units in what a metric shows as 1."""
    return np.array([1000.0 if resource in (CPU, GPU) else 1.0 for resource in accounted])


def _add_queues(family: GaugeMetricFamily, name: str, shown: _Shown) -> None:
    accounted = shown.snapshot.axis.accounted
    source = shown.snapshot.queues if name in ("quota", "limit") else shown.shares
    values = (np.asarray(getattr(source, name), dtype=np.float64) / units(accounted)).tolist()
    for queue, row in zip(shown.snapshot.queues.names, values, strict=True):
        for resource, value in zip(accounted, row, strict=True):
            family.add_metric([queue, resource], value)


def _distance(shown: _Shown | None) -> GaugeMetricFamily:
    family = _DISTANCE.gauge()
    if shown is not None:
        shares, leaf = shown.shares, shown.snapshot.queues.leaf
        lacking = np.maximum(shares.fair_share - shares.allocated, 0.0)[leaf].sum(axis=0)
        parts = np.divide(lacking, shares.total, out=np.zeros_like(lacking), where=shares.total > 0)
        for resource, part in zip(shown.snapshot.axis.accounted, parts.tolist(), strict=True):
            family.add_metric([resource], part)
    return family


def _pending_podgroups(shown: _Shown | None) -> GaugeMetricFamily:
    family = _PENDING_PODGROUPS.gauge()
    counts: Counter[tuple[str, str]] = Counter()
    for queue, one in _waiting(shown):
        counts[queue, str(one.reasons[0].code) if one.reasons else ""] += 1
    for labels, count in sorted(counts.items()):
        family.add_metric(list(labels), count)
    return family


def _pending_pods(shown: _Shown | None) -> GaugeMetricFamily:
    family = _PENDING_PODS.gauge()
    counts: Counter[str] = Counter()
    for queue, one in _waiting(shown):
        counts[queue] += len(one.pods)
    for queue, count in sorted(counts.items()):
        family.add_metric([queue], count)
    return family


def _waiting(shown: _Shown | None) -> Iterator[tuple[str, Diagnosis]]:
    """Diagnoses and their queues. One that does not exist has no name: anybody may make up as many as they like."""
    if shown is not None:
        known = frozenset(shown.snapshot.queues.names)
        for one in shown.diagnoses:
            yield one.queue if one.queue in known else "", one
