"""What cycles have found and what has become of decisions, told wherever somebody looks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from kai_py.cluster.store import Store
from kai_py.core.result import Bind, Decision, Evict, Reason
from kai_py.kube.pods import Result
from kai_py.operators.loop import Done
from kai_py.operators.queue_status import queue_statuses
from kai_py.operators.statuses import StatusWriter
from kai_py.operators.usage import UsageKeeper
from kai_py.telemetry import events
from kai_py.telemetry.decision_log import DecisionLog
from kai_py.telemetry.events import EventText
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.record import Record
from kai_py.telemetry.told import Told

#: A reason to wait must hold for so long before users are told; seconds.
PATIENCE: Final = 1.0


class Reporter:
    """Feeds Events, statuses, metrics, the log and the decision log.

    Args:
        store: names queues, and remembers evictions.
        metrics: where numbers go.
        tell: takes an Event.
        statuses: writes conditions and the numbers of queues.
        usage: of queues over time.
        wake: called when something has to be told with a later cycle.
        clock: seconds since the epoch.

    Attributes:
        decisions: the decision log.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        *,
        tell: Callable[[EventText], None],
        statuses: StatusWriter,
        usage: UsageKeeper,
        wake: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._tell = tell
        self._statuses = statuses
        self._usage = usage
        self._wake = wake
        self._clock = clock
        self._told = Told(patience=PATIENCE)
        self._record = Record(metrics, self._told)
        self.decisions = DecisionLog()

    def lead_anew(self) -> None:
        """Another process may have told users about the waiting; what it said is compared anew."""
        self._told.clear()

    def cycle(self, done: Done) -> None:
        """A cycle is over, and its decisions are on their way."""
        result, snapshot, now = done.result, done.snapshot, self._clock()
        report = self._record.cycle(result, snapshot, number=done.number, seconds=done.seconds, now=time.monotonic())
        self.decisions.cycle(result, snapshot, report, number=done.number, now=now)
        for text in report.events:
            self._tell(text)
        self._statuses.take(report, snapshot.axis)
        self._statuses.memory()
        self._usage.record(result.shares, snapshot.axis.accounted)
        numbers = queue_statuses(self._store.queues, snapshot.queues, result.shares, snapshot.axis, now)
        self._statuses.queues(numbers)
        if self._told.pending or self._statuses.pending:
            asyncio.get_running_loop().call_later(PATIENCE, self._wake)

    def answered(self, decision: Decision, result: Result | None, why: str) -> None:
        """The API server has answered a decision; ``result`` is None if it could not be sent as it was."""
        self.decisions.answered(decision, ok=result is not None and result.ok, why=why)
        if result is not None and result.ok:
            self._tell(events.decided(decision))
            if isinstance(decision, Evict):
                self._store.carryover.evicted(decision, self._clock())
            elif isinstance(decision, Bind):
                self._metrics.pod_bound(decision, self._clock())
        elif isinstance(decision, Bind):
            self._tell(events.bind_failed(decision, why))

    def preparing(self, binds: Sequence[Bind], reason: Reason) -> None:
        """Tell users why pods that have a node are not bound yet."""
        for bind in binds:
            self._tell(events.preparing(bind, reason))
            self._statuses.preparing(bind, reason)
