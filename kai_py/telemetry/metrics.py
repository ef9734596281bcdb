"""Every metric, declared once with its help sentence.

Prefix ``kai_py_``, base units in the name, no label that grows with the number of pods: who waits and why is in
conditions and ``kai-py why``. Nothing here is global: a registry is handed in, so two schedulers in one process (a
test, the minicluster) do not share numbers. What is read off at a scrape is declared beside its collector: ``levels``,
``charges``, ``watched``.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from kai_py.core.result import Bind, CycleResult, Evict
from kai_py.core.tables.snapshot import Snapshot
from kai_py.telemetry import charges, levels, watched
from kai_py.telemetry.charges import Charges
from kai_py.telemetry.families import Family
from kai_py.telemetry.levels import Levels
from kai_py.telemetry.sizes import SIZES
from kai_py.telemetry.waits import Waits
from kai_py.telemetry.watched import Watches

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST

#: From a millisecond (an idle cycle) to a minute.
_WORK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
#: One request to the API server, retries included.
_REQUEST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: From at once to two days in a queue.
_WAIT: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 172800.0)


class Metrics:
    """The metrics of one scheduler. Attributes are the instruments; label values come from fixed vocabularies.

    It is also the ``kube.observer.Observer`` of the API client.

    Args:
        registry: where they are registered; by default one of their own.
        process: also report the process (memory, CPU, file descriptors).

    Attributes:
        families: all of them but the process', as declared, by section.
        charges: what queues have held over time.
        watches: asked about the watches at a scrape.
    """

    def __init__(self, registry: CollectorRegistry | None = None, *, process: bool = False) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.families: dict[str, list[Family]] = {}
        self._section = ""
        self._levels = Levels()
        self._waits = Waits()
        self.charges = Charges()
        self.watches = Watches()
        self._queues: frozenset[str] = frozenset()
        #: Series of requests by method and code, and of their times by method: to look one up costs more than to count.
        self._answers: dict[tuple[str, str], Counter] = {}
        self._times: dict[str, Histogram] = {}
        for collector in (self._levels, self.charges, self.watches):
            self.registry.register(collector)
        if process:
            ProcessCollector(registry=self.registry)
        self._declare_cycle()
        self._declare_pods()
        self._declare_api()
        self._declare_process()
        for section, found in levels.FAMILIES.items():
            self._known(section, found)
        self._known("Queues", [charges.HELD])
        self._known("API server", watched.FAMILIES)
        self.build_info.labels(installed_version(), platform.python_version()).set(1)

    def _known(self, section: str, families: Iterable[Family]) -> None:
        self.families.setdefault(section, []).extend(families)

    def _histogram(self, name: str, text: str, labels: Sequence[str] = (), *, buckets: Sequence[float]) -> Histogram:
        self._known(self._section, [Family(name, text, tuple(labels), "histogram")])
        return Histogram(name, text, labels, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        self._known(self._section, [Family(name, text, tuple(labels), "counter")])
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        self._known(self._section, [Family(name, text, tuple(labels))])
        return Gauge(name, text, labels, registry=self.registry)

    def _declare_cycle(self) -> None:
        self._section = "Cycles and decisions"
        self.cycle_seconds = self._histogram(
            "kai_py_cycle_seconds",
            "Time to decide one cycle, in seconds, without taking the snapshot and without writing.",
            buckets=_WORK,
        )
        self.action_seconds = self._histogram(
            "kai_py_action_seconds",
            "Time spent in one action (allocate, reclaim, ...) of one cycle, in seconds.",
            ["action"],
            buckets=_WORK,
        )
        self.snapshot_seconds = self._histogram(
            "kai_py_snapshot_seconds", "Time to take the snapshot for one cycle, in seconds.", buckets=_WORK
        )
        self.decisions = self._counter(
            "kai_py_decisions_total",
            "Decisions by action and kind (bind, nominate, evict); not all of them succeed.",
            ["action", "kind"],
        )
        self.considered = self._counter(
            "kai_py_podgroups_considered_total", "Podgroups that a cycle looked at, counted each time."
        )
        self.evictions = self._counter(
            "kai_py_evictions_total",
            "Pods that a cycle decided to evict, by action and reason (preempted, moved, stale).",
            ["action", "reason"],
        )
        self.evicted_gpu_seconds = self._counter(
            "kai_py_evicted_gpu_seconds_total",
            "GPU-seconds of work, since start or last checkpoint, of pods that a cycle decided to evict, by action.",
            ["action"],
        )

    def _declare_pods(self) -> None:
        self._section = "Pods"
        self.bind_seconds = self._histogram(
            "kai_py_bind_seconds",
            "Time from sending a binding to its answer, in seconds, retries included.",
            buckets=_REQUEST,
        )
        self.time_to_bind_seconds = self._histogram(
            "kai_py_time_to_bind_seconds",
            "Time from a pod's creation, which servers note in whole seconds, until it is bound, in seconds, by queue "
            "and GPUs of its podgroup.",
            ["queue", "size"],
            buckets=_WAIT,
        )
        self.binds = self._counter(
            "kai_py_binds_total", "Bindings that were sent, by outcome (bound, conflict, not found, ...).", ["outcome"]
        )

    def _declare_api(self) -> None:
        self._section = "API server"
        self.api_requests = self._counter(
            "kai_py_api_requests_total",
            "Requests to the API server, each try counted, by HTTP method (WATCH = the beginning of one) and code: "
            "2xx, the status of a refusal, or none where there was no answer. Those of kopf are not among them.",
            ["method", "code"],
        )
        self.api_request_seconds = self._histogram(
            "kai_py_api_request_seconds",
            "Time until the API server has answered a request, in seconds, by HTTP method; watches apart.",
            ["method"],
            buckets=_REQUEST,
        )
        self.api_errors = self._counter(
            "kai_py_api_errors_total",
            "Decisions that the API server refused for good, by what was to be written (bind, evict, claim) and error "
            "code.",
            ["verb", "code"],
        )
        self.watch_restarts = self._counter(
            "kai_py_watch_restarts_total",
            "Watches that ended or could not be begun, and are tried again, by kind and cause: ended = the server ends "
            "each after some minutes; empty = at once, and without a word; else the error's code.",
            ["kind", "cause"],
        )

    def _declare_process(self) -> None:
        self._section = "The process"
        self.settings_faults = self._gauge(
            "kai_py_settings_faults",
            "Faults in the settings document; while there are any, the last good settings hold.",
        )
        self.settings_info = self._gauge(
            "kai_py_settings_info",
            "Always 1; the digest names the settings in force, and is the same where these are.",
            ["digest"],
        )
        self.settings_since = self._gauge(
            "kai_py_settings_timestamp_seconds", "Since when the settings are in force, in seconds since the epoch."
        )
        self.shadow_faults = self._gauge(
            "kai_py_shadow_faults",
            "Faults in the settings that are only tried out (shadow.yaml); while there are any, nothing is compared.",
        )
        self.shadow_differences = self._gauge(
            "kai_py_shadow_differences",
            "What the settings in shadow.yaml would change: queues, and pods or podgroups by kind and change.",
            ["kind", "change"],
        )
        self.leader = self._gauge("kai_py_leader", "1 while this process holds the lease and sends decisions, else 0.")
        self.build_info = self._gauge(
            "kai_py_build_info",
            "Always 1; the labels name the version that runs.",
            ["version", "python_version"],
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
        self._waits.show(snapshot)
        accounted = snapshot.axis.accounted
        self.charges.add(result.shares, accounted, levels.units(accounted), snapshot.now)
        self._forget_queues(snapshot.queues.names)

    def pod_bound(self, bind: Bind, now: float) -> None:
        """A pod was bound at ``now``, seconds since the epoch. A queue that is gone gets no series."""
        waited = self._waits.bound(bind, now)
        if waited is not None:
            self.time_to_bind_seconds.labels(waited.queue, waited.size).observe(waited.seconds)

    def begin_to_lead(self) -> None:
        """This process decides from now on."""
        self.leader.set(1)

    def stop_leading(self) -> None:
        """Somebody else decides from now on: what this process' last cycle has said is not shown any more."""
        self.leader.set(0)
        self._levels.hide()
        self.charges.pause()

    def answered(self, method: str, status: int, seconds: float | None) -> None:
        """The API server has answered a request (see ``kube.observer``)."""
        code = "none" if not status else str(status) if status >= 300 else "2xx"
        if (count := self._answers.get((method, code))) is None:
            count = self._answers[method, code] = self.api_requests.labels(method, code)
        count.inc()
        if seconds is not None:
            if (took := self._times.get(method)) is None:
                took = self._times[method] = self.api_request_seconds.labels(method)
            took.observe(seconds)

    def restarted(self, kind: str, cause: str) -> None:
        """A watch has ended (see ``kube.observer``)."""
        self.watch_restarts.labels(kind, cause).inc()

    def settings_in_force(self, digest: str, now: float) -> None:
        """Other settings are in force since ``now``, seconds since the epoch."""
        self.settings_info.clear()
        self.settings_info.labels(digest).set(1)
        self.settings_since.set(now)

    def _forget_queues(self, names: Iterable[str]) -> None:
        """Drop the series of queues that were there in the last cycle and are gone."""
        current = frozenset(names)
        for gone in self._queues - current:
            for size in SIZES:
                self.time_to_bind_seconds.remove(gone, size)
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
