"""Queues: the tree as it is, and the part of it that can be used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kai_py.api.queue import Queue
from kai_py.cluster.encode.queue import additional_resources, queue_faults, queue_table
from kai_py.core.resources import ResourceAxis
from kai_py.core.tables.queues import QueueTable
from kai_py.errors import Fault


class QueueBook:
    """All queues by name."""

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.faults: dict[str, Fault] = {}
        self.usage: dict[str, NDArray[np.float64]] = {}
        self.row_of: dict[str, int] = {}
        self.additional: set[str] = set()
        self._table: QueueTable | None = None
        self._axis: ResourceAxis | None = None

    def put(self, queue: Queue) -> bool:
        """Take in a queue; tells whether its spec changed. Our own status writes do not."""
        before = self.queues.get(queue.name)
        self.queues[queue.name] = queue
        if before is not None and before.spec == queue.spec and before.metadata.uid == queue.metadata.uid:
            return False
        self._changed()
        return True

    def drop(self, name: str) -> bool:
        """Forget a queue."""
        if self.queues.pop(name, None) is None:
            return False
        self._changed()
        return True

    def _changed(self) -> None:
        self._table = None
        self.faults = queue_faults(self.queues)
        self.additional = additional_resources(self.queues)

    def table(self, axis: ResourceAxis) -> QueueTable:
        """The sound queues on an axis, sorted by name."""
        if self._table is None or self._axis != axis:
            sound = {name: queue for name, queue in self.queues.items() if name not in self.faults}
            self._table, self._axis = queue_table(sound, axis, self.usage), axis
            self.row_of = {name: row for row, name in enumerate(self._table.names)}
        return self._table
