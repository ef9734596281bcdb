"""What a scrape finds out about the watches: how long each was silent, and what could not be understood."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kai_py.telemetry.families import Family

SILENCE: Final = Family(
    "kai_py_watch_silence_seconds",
    "Seconds since the API server has last said anything about a kind; it does so once a minute at least. +Inf before "
    "the first list.",
    ("kind",),
)
MALFORMED: Final = Family(
    "kai_py_malformed_objects",
    "Objects that cannot be understood as they are now, by kind: what was known of them before holds, if anything.",
    ("kind",),
)
FAMILIES: Final = (SILENCE, MALFORMED)


class Watched(NamedTuple):
    """A kind that is watched.

    Attributes:
        kind: plural and group, as in ``kubectl get``: ``pods``, ``jobs.batch``.
        silence: seconds; None where nobody knows.
        malformed: how many objects cannot be understood.
    """

    kind: str
    silence: float | None
    malformed: int


class Watches(Collector):
    """Asks when somebody scrapes, in the thread that does."""

    def __init__(self) -> None:
        self._ask: Callable[[], Iterable[Watched]] = lambda: ()

    def of(self, ask: Callable[[], Iterable[Watched]]) -> None:
        """Say whom to ask; the answer may name a kind more than once."""
        self._ask = ask

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One value per kind: the longest silence, the sum of malformed objects."""
        silences: dict[str, float] = {}
        malformed: dict[str, int] = {}
        for one in self._ask():
            malformed[one.kind] = malformed.get(one.kind, 0) + one.malformed
            if one.silence is not None:
                silences[one.kind] = max(silences.get(one.kind, 0.0), one.silence)
        silence, unread = SILENCE.gauge(), MALFORMED.gauge()
        for kind, seconds in sorted(silences.items()):
            silence.add_metric([kind], seconds)
        for kind, count in sorted(malformed.items()):
            unread.add_metric([kind], count)
        yield from (silence, unread)
