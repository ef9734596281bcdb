"""What queues have held, times how long: for showing or charging costs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from kai_py.core.resources import Shares
from kai_py.core.result import QueueShares
from kai_py.telemetry.families import Family

HELD: Final = Family(
    "kai_py_queue_resource_seconds_total",
    "What pods of the queue, its children included, have held, times seconds: GPU-seconds, core-seconds, byte-seconds. "
    "Counted while this process leads.",
    ("queue", "resource"),
    "counter",
)
#: A pause between cycles that is longer than this says nothing about what was held meanwhile. Seconds.
LONGEST: Final = 60.0


class Charges(Collector):
    """Counters that one addition of arrays per cycle keeps, however many queues there are.

    A queue that is gone loses its series, and begins at 0 if it comes back: to Prometheus that is a reset.
    """

    def __init__(self) -> None:
        self._last: float | None = None
        self._names: tuple[str, ...] = ()
        self._resources: tuple[str, ...] = ()
        self._sums: Shares = np.zeros((0, 0))

    def add(self, shares: QueueShares, resources: tuple[str, ...], units: Shares, now: float) -> None:
        """Count what queues have held since the last cycle as what they hold in this one.

        Args:
            shares: of the cycle.
            resources: ``(A,)`` names of the columns.
            units: ``(A,)`` base units in one unit of each.
            now: when its snapshot was taken, seconds since the epoch.
        """
        elapsed = min(max(0.0, now - self._last), LONGEST) if self._last is not None else 0.0
        self._last = now
        if (shares.names, resources) != (self._names, self._resources):
            self._relabel(shares.names, resources)
        # A new array each time: a scrape in another thread may be reading the old one.
        self._sums = self._sums + shares.allocated * (elapsed / units)

    def pause(self) -> None:
        """Somebody else leads from now on, and counts."""
        self._last = None

    def collect(self) -> Iterator[CounterMetricFamily]:
        """The sums of all queues."""
        family = HELD.counter()
        for queue, row in zip(self._names, self._sums.tolist(), strict=False):
            for resource, value in zip(self._resources, row, strict=False):
                family.add_metric([queue, resource], value)
        yield family

    def _relabel(self, names: tuple[str, ...], resources: tuple[str, ...]) -> None:
        known = {
            (queue, resource): self._sums.item(row, column)
            for row, queue in enumerate(self._names)
            for column, resource in enumerate(self._resources)
        }
        sums = [[known.get((queue, resource), 0.0) for resource in resources] for queue in names]
        self._sums = np.array(sums, dtype=np.float64).reshape(len(names), len(resources))
        self._names, self._resources = names, resources
