"""What a Queue's status says: its numbers after a cycle, and whether it can be used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kai_py.api.queue import Queue
from kai_py.cluster.encode.queue import queue_warnings
from kai_py.cluster.queues import QueueBook
from kai_py.core.resources import Amounts, ResourceAxis, Shares
from kai_py.core.result import QueueShares
from kai_py.core.tables.queues import QueueTable
from kai_py.errors import Fault
from kai_py.telemetry.amounts import quantity
from kai_py.telemetry.conditions import condition, with_condition

#: A queue's numbers move with every pod; they are written this often at most, in seconds. Conditions are not numbers.
EVERY: Final = 5.0


class QueueStatuses:
    """What was written last, so that nothing is written twice."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[float, dict[str, Any]]] = {}
        #: Whether something differs but is not due yet.
        self.pending = False

    def changes(self, statuses: dict[str, dict[str, Any]], now: float) -> Iterator[tuple[str, dict[str, Any]]]:
        """Those that differ from what was written, and are due."""
        self.pending = False
        for name in [name for name in self._written if name not in statuses]:
            del self._written[name]
        for name, status in statuses.items():
            at, written = self._written.get(name, (-EVERY, {}))
            if status == written:
                continue
            if now - at < EVERY and "conditions" not in status:
                self.pending = True
                continue
            self._written[name] = (now, status)
            yield name, status


def queue_statuses(
    book: QueueBook, table: QueueTable, shares: QueueShares, axis: ResourceAxis, now: float
) -> dict[str, dict[str, Any]]:
    """The status of every queue after a cycle, by name; lists are whole, as a merge patch needs them.

    Args:
        book: all queues, unsound ones included.
        table: the sound ones, as the cycle had them.
        shares: its numbers, rows as in the table.
        axis: names and units of the columns.
        now: seconds since the epoch.
    """
    row_of = {name: row for row, name in enumerate(table.names)}
    warnings = queue_warnings(book.queues)
    children: dict[str, list[str]] = {}
    for name, queue in book.queues.items():
        children.setdefault(queue.spec.parent_queue, []).append(name)
    statuses = {}
    for name, queue in book.queues.items():
        row = row_of.get(name)
        over = row is not None and bool((shares.allocated[row] > table.quota[row]).any())
        status: dict[str, Any] = {"childQueues": sorted(children.get(name, []))}
        conditions = _conditions(queue, book.faults.get(name), warnings.get(name, []), now, over_quota=over)
        if conditions is not None:
            status["conditions"] = conditions
        if row is not None:
            status |= {
                "fairShare": _amounts(shares.fair_share, row, axis),
                "allocated": _amounts(shares.allocated, row, axis),
                "allocatedNonPreemptible": _amounts(shares.allocated_non_preemptible, row, axis),
                "requested": _amounts(shares.requested, row, axis),
            }
        statuses[name] = status
    return statuses


def _amounts(amounts: Amounts | Shares, row: int, axis: ResourceAxis) -> dict[str, Any]:
    return {name: quantity(name, float(amounts[row, a]), axis) for a, name in enumerate(axis.accounted)}


def _conditions(
    queue: Queue, fault: Fault | None, surprises: list[Fault], now: float, *, over_quota: bool
) -> list[dict[str, Any]] | None:
    """The whole list with Ready, Orphan and OverQuota; None if they say nothing new."""
    warnings = "; ".join(f"{warning.field}: {warning.message}" for warning in surprises)
    trouble = f"{fault.field}: {fault.message}" if fault is not None else ""
    orphan = fault is not None and fault.message.startswith("there is no queue")
    wanted = (
        ("Ready", fault is None, "Ready" if fault is None else "Invalid", trouble or warnings),
        ("Orphan", orphan, "ParentMissing" if orphan else "ParentFound", trouble if orphan else ""),
        ("OverQuota", over_quota, "OverQuota" if over_quota else "WithinQuota", ""),
    )
    conditions = [one.to_dict() for one in queue.status.conditions]
    any_new = False
    for kind, status, reason, message in wanted:
        new = condition(kind, status=status, reason=reason, message=message, now=now)
        updated = with_condition(conditions, new)
        if updated is not None:
            conditions, any_new = updated, True
    return conditions if any_new else None
