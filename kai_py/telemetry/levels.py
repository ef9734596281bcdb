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

from kai_py.core.resources import CPU, GPU
from kai_py.core.result import CycleResult, Diagnosis, QueueShares
from kai_py.core.tables.queues import QueueTable
from kai_py.core.tables.snapshot import Snapshot

_UNITS: Final = "cpu in cores, memory in bytes, gpu in devices, others in their own unit"
_QUEUE_HELP: Final = {
    "fair_share": f"What the queue may hold before others can reclaim from it ({_UNITS}).",
    "allocated": f"What pods of the queue hold ({_UNITS}).",
    "allocated_non_preemptible": f"The part of allocated that cannot be preempted ({_UNITS}).",
    "requested": f"What pods of the queue hold or wait for ({_UNITS}).",
    "quota": f"What the queue is guaranteed, +Inf if unlimited ({_UNITS}).",
    "limit": f"The most that the queue may hold, +Inf if unlimited ({_UNITS}).",
}


@dataclass(frozen=True)
class _Shown:
    shares: QueueShares
    queues: QueueTable
    accounted: tuple[str, ...]
    diagnoses: tuple[Diagnosis, ...]


class Levels(Collector):
    """Collector over the last result. ``show`` and ``collect`` may run in different threads: one reference is swapped.

    Each family is present, with its help, from the first scrape on.
    """

    def __init__(self) -> None:
        self._shown: _Shown | None = None

    def show(self, result: CycleResult, snapshot: Snapshot) -> None:
        """Make a cycle's numbers the ones that a scrape sees. Arrays are kept, not copied: results are not changed."""
        self._shown = _Shown(result.shares, snapshot.queues, snapshot.axis.accounted, result.diagnoses)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All families, as of the last cycle."""
        shown = self._shown
        for name, text in _QUEUE_HELP.items():
            family = GaugeMetricFamily(f"kai_py_queue_{name}", text, labels=["queue", "resource"])
            if shown is not None:
                _add_queues(family, name, shown)
            yield family
        diagnoses = shown.diagnoses if shown is not None else ()
        yield _pending_podgroups(diagnoses)
        yield _pending_pods(diagnoses)


def _add_queues(family: GaugeMetricFamily, name: str, shown: _Shown) -> None:
    source = shown.queues if name in ("quota", "limit") else shown.shares
    units = np.array([1000.0 if resource in (CPU, GPU) else 1.0 for resource in shown.accounted])
    values = (np.asarray(getattr(source, name), dtype=np.float64) / units).tolist()
    for queue, row in zip(shown.queues.names, values, strict=True):
        for resource, value in zip(shown.accounted, row, strict=True):
            family.add_metric([queue, resource], value)


def _pending_podgroups(diagnoses: tuple[Diagnosis, ...]) -> GaugeMetricFamily:
    text = "Podgroups that wait, by queue and first reason (see docs/reference/reasons.md)."
    family = GaugeMetricFamily("kai_py_pending_podgroups", text, labels=["queue", "reason"])
    counts = Counter((one.queue, str(one.reasons[0].code) if one.reasons else "") for one in diagnoses)
    for labels, count in sorted(counts.items()):
        family.add_metric(list(labels), count)
    return family


def _pending_pods(diagnoses: tuple[Diagnosis, ...]) -> GaugeMetricFamily:
    family = GaugeMetricFamily("kai_py_pending_pods", "Pods that wait, by queue.", labels=["queue"])
    counts: Counter[str] = Counter()
    for one in diagnoses:
        counts[one.queue] += len(one.pods)
    for queue, count in sorted(counts.items()):
        family.add_metric([queue], count)
    return family
