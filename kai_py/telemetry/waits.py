"""How long pods wait: those that have a node by now, and those that have none yet."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from prometheus_client.core import GaugeMetricFamily

from kai_py.core.resources import Rows
from kai_py.core.result import Bind
from kai_py.core.tables.pods import NONE, PodKey, PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.telemetry.families import Family
from kai_py.telemetry.sizes import SIZES, size_idx

LONGEST: Final = Family(
    "kai_py_longest_wait_seconds",
    "For how long the oldest pod waits that could be placed, in seconds since its creation, by queue and GPUs of its "
    "podgroup.",
    ("queue", "size"),
)


class Waited(NamedTuple):
    """A pod that got its node: the queue and the size of its podgroup, and seconds since its creation."""

    queue: str
    size: str
    seconds: float


class Waits:
    """Knows the pods of the last cycle. Nothing is kept of single pods: answers come while the snapshot has them."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None
        self._sizes: Rows | None = None

    def show(self, snapshot: Snapshot) -> None:
        """Take the next snapshot."""
        self._snapshot, self._sizes = snapshot, None

    def bound(self, bind: Bind, now: float) -> Waited | None:
        """A pod was bound at ``now``, seconds since the epoch; None if the last snapshot does not know it any more."""
        snapshot = self._snapshot
        if snapshot is None:
            return None
        namespace, _, name = bind.pod.partition("/")
        pods, groups, key = snapshot.pods, snapshot.podgroups, PodKey(namespace, name, bind.uid)
        row = bisect_left(pods.keys, key)
        if row == len(pods) or pods.keys[row] != key or (part := pods.subgroup_idx.item(row)) == NONE:
            return None
        group = snapshot.subgroups.podgroup_idx.item(part)
        if (queue := groups.queue_idx.item(group)) == NONE:
            return None
        if self._sizes is None:
            self._sizes = size_idx(snapshot)
        seconds = max(0.0, now - pods.created.item(row))
        return Waited(snapshot.queues.names[queue], SIZES[self._sizes.item(group)], seconds)


def longest_waits(snapshot: Snapshot | None) -> Iterator[GaugeMetricFamily]:
    """Of pods that are to be placed, as of a snapshot."""
    family = LONGEST.gauge()
    if snapshot is not None and len(snapshot.queues):
        pods, groups = snapshot.pods, snapshot.podgroups
        rows = np.flatnonzero((pods.state == PodState.PENDING) & (pods.subgroup_idx != NONE))
        group = snapshot.subgroups.podgroup_idx[pods.subgroup_idx[rows]]
        known = groups.queue_idx[group] != NONE
        rows, group = rows[known], group[known]
        longest = np.full((len(snapshot.queues), len(SIZES)), -1.0)
        waited = np.maximum(snapshot.now - pods.created[rows], 0.0)
        np.maximum.at(longest, (groups.queue_idx[group], size_idx(snapshot)[group]), waited)
        for queue, size in np.argwhere(longest >= 0).tolist():
            family.add_metric([snapshot.queues.names[queue], SIZES[size]], longest.item(queue, size))
    yield family
