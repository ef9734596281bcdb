"""A cycle's result, told: log lines, metrics, and what is news for users."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import structlog

from kai_py.core.result import CycleResult, Decision, Evict, Layout, Nominate, Reason
from kai_py.core.tables.podgroups import PodGroupTable
from kai_py.core.tables.snapshot import Snapshot
from kai_py.telemetry import events
from kai_py.telemetry.events import EventText
from kai_py.telemetry.lost_work import lost_work
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.sentences import in_line
from kai_py.telemetry.told import Item, News, Told


@dataclass(frozen=True)
class Report:
    """What the shell has to pass on after a cycle.

    Attributes:
        news: whose conditions are to be written; compare with what the objects say (``conditions``) before writing.
        events: one for each podgroup that waits for a new reason, or begins to run in domains of a topology.
        in_line: podgroups in line by queue, for the texts of the conditions.
    """

    news: tuple[Item, ...]
    events: tuple[EventText, ...]
    in_line: dict[str, int]


class Record:
    """Tells what cycles decided. One per scheduler; not thread-safe.

    Args:
        metrics: where numbers go.
        told: what users know already.
        log: where lines go; by default the process' log.
    """

    def __init__(self, metrics: Metrics, told: Told, log: structlog.typing.FilteringBoundLogger | None = None) -> None:
        self._metrics = metrics
        self._told = told
        self._log = log if log is not None else structlog.get_logger()
        self._errors: dict[str, Reason] = {}
        self._nominations: frozenset[tuple[str, str]] = frozenset()

    def cycle(self, result: CycleResult, snapshot: Snapshot, *, number: int, seconds: float, now: float) -> Report:
        """Log and count a result, and say what is news.

        Args:
            result: of the cycle.
            snapshot: what it was computed from.
            number: of the cycle, for the log.
            seconds: how long ``run_cycle`` took.
            now: seconds on the scale of ``Told``.
        """
        self._metrics.record_cycle(result, snapshot, seconds=seconds)
        lost = lost_work(result.decisions, snapshot)
        self._log_decisions(result.decisions, snapshot, number, lost)
        for decision in result.decisions:
            if isinstance(decision, Evict):
                self._metrics.evicted_gpu_seconds.labels(str(decision.action)).inc(lost[decision.uid])
        self._log.debug(
            "cycle",
            cycle=number,
            seconds=round(seconds, 6),
            decisions=len(result.decisions),
            waiting=len(result.diagnoses),
            considered=result.stats.considered,
        )
        self._log_errors(result.errors, number)
        news = tuple(self._told.news(result.diagnoses, now))
        line = dict(in_line(result.diagnoses)) if news else {}
        told = (*_events(news, snapshot, line), *self._layouts(result.layouts, snapshot, number))
        return Report(news, told, line)

    def _layouts(self, layouts: Sequence[Layout], snapshot: Snapshot, number: int) -> Iterator[EventText]:
        """One line and one Event for each podgroup that starts in domains of a topology."""
        for layout in layouts:
            self._log.info("laid out", cycle=number, **asdict(layout))
            row = _row(snapshot.podgroups, layout.podgroup)
            yield events.laid_out(layout, snapshot.podgroups.keys[row].uid if row is not None else "")

    def _log_decisions(
        self, decisions: Sequence[Decision], snapshot: Snapshot, number: int, lost: Mapping[str, float]
    ) -> None:
        """One line for each decision that changes something: a place that a pod had in the last cycle is no news."""
        nominations = frozenset((one.uid, one.node) for one in decisions if isinstance(one, Nominate))
        for decision in decisions:
            if not isinstance(decision, Nominate) or (decision.uid, decision.node) not in self._nominations:
                more = {"gpu_seconds": round(lost[decision.uid], 1)} if isinstance(decision, Evict) else {}
                keys = decision_keys(decision, snapshot)
                self._log.info(type(decision).__name__.lower(), cycle=number, **keys, **more)
        self._nominations = nominations

    def _log_errors(self, errors: Mapping[str, Reason], number: int) -> None:
        """One line for each error of ours, when it appears: a bug may last for hours, at a hundred cycles a minute."""
        for podgroup, reason in errors.items():
            if self._errors.get(podgroup) != reason:
                self._log.error("podgroup left out of the cycle", cycle=number, podgroup=podgroup, **reason.details)
        self._errors = dict(errors)


def decision_keys(decision: Decision, snapshot: Snapshot) -> dict[str, object]:
    """The keys of a decision's log line."""
    row = _row(snapshot.podgroups, decision.podgroup)
    queue = int(snapshot.podgroups.queue_idx[row]) if row is not None else -1
    keys: dict[str, object] = {
        "queue": snapshot.queues.names[queue] if queue >= 0 else "",
        "podgroup": decision.podgroup,
        "pod": decision.pod,
        "node": decision.node,
        "action": str(decision.action),
    }
    if isinstance(decision, Evict):
        keys |= {"preemptor": decision.preemptor or "", "moved": decision.moved}
    return keys


def _events(news: tuple[Item, ...], snapshot: Snapshot, line: dict[str, int]) -> Iterator[EventText]:
    for item in news:
        if item.news is News.REASON and item.diagnosis is not None:
            row = _row(snapshot.podgroups, item.podgroup)
            yield events.waiting(
                item.diagnosis,
                axis=snapshot.axis,
                in_line=line.get(item.diagnosis.queue, 0),
                podgroup_uid=snapshot.podgroups.keys[row].uid if row is not None else "",
            )


def _row(podgroups: PodGroupTable, key: str) -> int | None:
    """Row of ``namespace/name``; the table is sorted by that."""
    namespace, _, name = key.rpartition("/")
    row = bisect_left(podgroups.keys, (namespace, name))
    return row if row < len(podgroups) and podgroups.keys[row][:2] == (namespace, name) else None
