"""Queues: the tree as it is, and the part of it that can be used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kai_py.api.queue import Queue
from kai_py.cluster.encode.queue import additional_resources, queue_faults, queue_table
from kai_py.core.resources import ResourceAxis
from kai_py.core.tables.queues import QueueTable
from kai_py.errors import Fault

#: Usage that moved by less than this fraction of the cluster is left as it was.
NOTICEABLE: Final = 0.001


class QueueBook:
    """All queues by name.

    Attributes:
        queues: as they were when they could be read last.
        malformed: what is wrong with those that cannot be read now; not all of them are in ``queues``.
        usage: past usage by queue, ``(A,)`` fractions of the capacity; ``A`` as in ``usage_of``.
        usage_of: the resources that it is about.
        row_of: rows of the table that was made last.
        revision: grows with every change.
    """

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.malformed: dict[str, Fault] = {}
        self.usage: dict[str, NDArray[np.float64]] = {}
        self.usage_of: tuple[str, ...] = ()
        self.row_of: dict[str, int] = {}
        self.revision = 0
        self._faults: dict[str, Fault] | None = {}
        self._additional: frozenset[str] | None = frozenset()
        self._table: QueueTable | None = None
        self._axis: ResourceAxis | None = None

    def put(self, queue: Queue) -> bool:
        """Take in a queue; tells whether its spec changed. Our own status writes do not."""
        before = self.queues.get(queue.name)
        self.queues[queue.name] = queue
        mended = self.malformed.pop(queue.name, None) is not None
        if before is not None and before.spec == queue.spec and before.metadata.uid == queue.metadata.uid:
            self.revision += mended
            return mended
        self._changed()
        return True

    def put_malformed(self, name: str, fault: Fault) -> bool:
        """A queue that cannot be read keeps its last good spec; without one it is as good as missing."""
        before = self.malformed.get(name)
        self.malformed[name] = fault
        self.revision += 1
        return before != fault

    def drop(self, name: str) -> bool:
        """Forget a queue."""
        mended = self.malformed.pop(name, None) is not None
        if self.queues.pop(name, None) is None:
            self.revision += mended
            return mended
        self._changed()
        return True

    def remember_usage(self, usage: dict[str, NDArray[np.float64]], resources: tuple[str, ...]) -> bool:
        """Take in how much queues have used; tells whether any number has moved enough to matter.

        The table is made anew only then, so that a cluster at rest stays at rest.
        """
        moved = resources != self.usage_of or usage.keys() != self.usage.keys()
        if not moved and all(np.abs(usage[name] - self.usage[name]).max() <= NOTICEABLE for name in usage):
            return False
        self.usage, self.usage_of, self._table = usage, resources, None
        return True

    def _changed(self) -> None:
        self.revision += 1
        self._table = self._faults = self._additional = None

    @property
    def faults(self) -> Mapping[str, Fault]:
        """Queues that cannot be used because of their place in the tree."""
        if self._faults is None:
            self._faults = queue_faults(self.queues)
        return self._faults

    @property
    def additional(self) -> frozenset[str]:
        """Names of all resources that queues account for beyond cpu, memory and gpu."""
        if self._additional is None:
            self._additional = frozenset(additional_resources(self.queues))
        return self._additional

    def is_unsound(self, name: str) -> bool:
        """Whether there is such a queue, but it cannot be used."""
        return name in self.faults or (name in self.malformed and name not in self.queues)

    def table(self, axis: ResourceAxis) -> QueueTable:
        """The sound queues on an axis, sorted by name."""
        if self._table is None or self._axis != axis:
            sound = {name: queue for name, queue in self.queues.items() if name not in self.faults}
            # Columns of another axis mean nothing here: the next numbers are a moment away.
            usage = self.usage if self.usage_of == axis.accounted else {}
            self._table, self._axis = queue_table(sound, axis, usage), axis
            self.row_of = {name: row for row, name in enumerate(self._table.names)}
        return self._table
