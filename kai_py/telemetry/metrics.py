"""Every metric, declared once with its help sentence.

Prefix ``kai_py_``, base units in the name, no label that grows with the number of pods: who waits and why is in
conditions and ``kai-py why``. Nothing here is global: a registry is handed in, so two schedulers in one process (a
test, the minicluster) do not share numbers.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter as Tally
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kai_py.core.result import CycleResult, Evict
from kai_py.core.tables.snapshot import Snapshot
from kai_py.telemetry.levels import Levels

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

#: From a millisecond (an idle cycle) to a minute.
_WORK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: One request to the API server, retries included.
_REQUEST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: From at once to two days in a queue.
_WAIT: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 172800.0)


class Metrics:
    """The metrics of one scheduler. Attributes are the instruments; label values come from fixed vocabularies.

    Args:
        registry: where they are registered; by default one of their own.
        process: also report the process (memory, CPU, file descriptors).
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, process: bool = False) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self._levels = Levels()
        self._queues: frozenset[str] = frozenset()
        self.registry.register(self._levels)
        if process:
            ProcessCollector(registry=self.registry)
        self._declare_cycle()
        self._declare_pods()
        self._declare_api()
        self.build_info.labels(installed_version(), platform.python_version()).set(1)

    def _declare_cycle(self) -> None:
        self.cycle_seconds = Histogram(
            "kai_py_cycle_seconds",
            "Time to decide one cycle, in seconds, without taking the snapshot and without writing.",
            buckets=_WORK,
            registry=self.registry,
        )
        self.action_seconds = Histogram(
            "kai_py_action_seconds",
            "Time spent in one action (allocate, reclaim, ...) of one cycle, in seconds.",
            ["action"],
            buckets=_WORK,
            registry=self.registry,
        )
        self.snapshot_seconds = Histogram(
            "kai_py_snapshot_seconds",
            "Time to take the snapshot for one cycle, in seconds.",
            buckets=_WORK,
            registry=self.registry,
        )
        self.decisions = Counter(
            "kai_py_decisions_total",
            "Decisions by action and kind (bind, nominate, evict); not all of them succeed.",
            ["action", "kind"],
            registry=self.registry,
        )
        self.considered = Counter(
            "kai_py_podgroups_considered_total",
            "Podgroups that a cycle looked at, counted each time.",
            registry=self.registry,
        )
        self.evictions = Counter(
            "kai_py_evictions_total",
            "Pods that a cycle decided to evict, by action and reason (preempted, moved, stale).",
            ["action", "reason"],
            registry=self.registry,
        )
        self.evicted_gpu_seconds = Counter(
            "kai_py_evicted_gpu_seconds_total",
            "GPU-seconds of work, since start or last checkpoint, of pods that a cycle decided to evict, by action.",
            ["action"],
            registry=self.registry,
        )

    def _declare_pods(self) -> None:
        self.bind_seconds = Histogram(
            "kai_py_bind_seconds",
            "Time from sending a binding to its answer, in seconds, retries included.",
            buckets=_REQUEST,
            registry=self.registry,
        )
        self.time_to_bind_seconds = Histogram(
            "kai_py_time_to_bind_seconds",
            "Time from a pod's creation until it is bound, in seconds, by queue.",
            ["queue"],
            buckets=_WAIT,
            registry=self.registry,
        )
        self.binds = Counter(
            "kai_py_binds_total",
            "Bindings that were sent, by outcome (bound, conflict, not found, ...).",
            ["outcome"],
            registry=self.registry,
        )

    def _declare_api(self) -> None:
        self.api_errors = Counter(
            "kai_py_api_errors_total",
            "Requests that the API server refused or did not answer, by verb and error code.",
            ["verb", "code"],
            registry=self.registry,
        )
        self.watch_restarts = Counter(
            "kai_py_watch_restarts_total",
            "Watches that had to be started again, by kind and cause.",
            ["kind", "cause"],
            registry=self.registry,
        )
        self.malformed_objects = Gauge(
            "kai_py_malformed_objects",
            "Objects that cannot be understood and are left out, by kind.",
            ["kind"],
            registry=self.registry,
        )
        self.settings_faults = Gauge(
            "kai_py_settings_faults",
            "Faults in the settings document; while there are any, the last good settings hold.",
            registry=self.registry,
        )
        self.shadow_faults = Gauge(
            "kai_py_shadow_faults",
            "Faults in the settings that are only tried out (shadow.yaml); while there are any, nothing is compared.",
            registry=self.registry,
        )
        self.shadow_differences = Gauge(
            "kai_py_shadow_differences",
            "What the settings in shadow.yaml would change: queues, and pods or podgroups by kind and change.",
            ["kind", "change"],
            registry=self.registry,
        )
        self.leader = Gauge(
            "kai_py_leader", "1 while this process holds the lease and sends decisions, else 0.", registry=self.registry
        )
        self.build_info = Gauge(
            "kai_py_build_info",
            "Always 1; the labels name the version that runs.",
            ["version", "python_version"],
            registry=self.registry,
        )

    def record_cycle(self, result: CycleResult, snapshot: Snapshot, *, seconds: float) -> None:
        """Take over what a cycle has said.

        Args:
            result: of the cycle.
            snapshot: what it was computed from.
            seconds: how long ``run_cycle`` took.
        """
        self.cycle_seconds.observe(seconds)
        for action, spent in result.stats.seconds.items():
            self.action_seconds.labels(action).observe(spent)
        self.considered.inc(result.stats.considered)
        kinds = Tally((str(decision.action), type(decision).__name__.lower()) for decision in result.decisions)
        for labels, count in kinds.items():
            self.decisions.labels(*labels).inc(count)
        evictions = Tally(
            (str(evict.action), eviction_reason(evict)) for evict in result.decisions if isinstance(evict, Evict)
        )
        for labels, count in evictions.items():
            self.evictions.labels(*labels).inc(count)
        self._levels.show(result, snapshot)
        self._forget_queues(snapshot.queues.names)

    def pod_bound(self, queue: str, *, waited: float) -> None:
        """A pod of a queue was bound, ``waited`` seconds after its creation. A queue that is gone gets no series."""
        if queue in self._queues:
            self.time_to_bind_seconds.labels(queue).observe(max(0.0, waited))

    def _forget_queues(self, names: Iterable[str]) -> None:
        """Drop the series of queues that were there in the last cycle and are gone."""
        current = frozenset(names)
        for gone in self._queues - current:
            self.time_to_bind_seconds.remove(gone)
        self._queues = current

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format, for ``CONTENT_TYPE``."""
        return generate_latest(self.registry)


def installed_version() -> str:
    """The version of the installed distribution; ``unknown`` when run from a bare source tree."""
    try:
        return importlib.metadata.version("kai-py")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def eviction_reason(evict: Evict) -> str:
    """Why a pod was chosen: it is ``moved`` elsewhere, ``preempted`` for somebody, or its gang is ``stale``."""
    if evict.moved:
        return "moved"
    return "preempted" if evict.preemptor else "stale"
