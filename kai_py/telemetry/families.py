"""What is said of a metric before it has any value: its name, kind, labels and help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily


@dataclass(frozen=True)
class Family:
    """One metric as it is declared; the reference page and the scrape are made of the same.

    Attributes:
        name: as Prometheus shows it, ``_total`` of counters included.
        help: a sentence, with the unit.
        labels: names of its labels; their values are from a fixed vocabulary, or names of objects of administrators.
        kind: of Prometheus' types.
        section: under which the reference page lists it.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    kind: Literal["counter", "gauge", "histogram"] = "gauge"
    section: str = ""

    def gauge(self) -> GaugeMetricFamily:
        """Without values, for a collector to fill."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)

    def counter(self) -> CounterMetricFamily:
        """The same of a counter."""
        return CounterMetricFamily(self.name, self.help, labels=self.labels)
