"""Usage over time: what each queue has held of the cluster, forgotten by half-life and window.

``U = Σ held · 0.5^((now - t) / half-life) ÷ the same sum over the capacity``, over the window. Samples are not kept:
sums are, one row per queue in each bucket. A sliding window is cut into a dozen buckets and forgets one bucket at a
time; the others are one bucket that ends with the window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import numpy as np
from cronsim import CronSim
from numpy.typing import NDArray

from kai_py.core.resources import Amounts, Shares
from kai_py.settings.fairness import Usage

#: The ConfigMap beside the settings in which the book is kept, and its key.
USAGE_NAME: Final = "kai-py-usage"
USAGE_KEY: Final = "usage.json"
#: Parts of a sliding window: it is longer than asked for by at most one of them.
PARTS: Final = 12
#: Digits that are kept when the book is written down: more than queues are told apart by.
_DIGITS: Final = 4

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Window:
    """How far back usage counts.

    Attributes:
        type: ``sliding``: the last ``size`` seconds. ``tumbling``: since the last multiple of ``size`` after ``start``.
            ``cron``: since the last time that the expression names, in UTC.
        size: seconds.
        start: seconds since the epoch.
        cron: five fields; sound.
        half_life: seconds; 0 = nothing is forgotten within the window.
    """

    type: Literal["sliding", "tumbling", "cron"] = "sliding"
    size: float = 604_800.0
    start: float = 0.0
    cron: str = ""
    half_life: float = 0.0

    def begins(self, now: float) -> float:
        """When the window of a moment began."""
        if self.type == "sliding":
            return now - self.size
        if self.type == "tumbling":
            return self.start + math.floor((now - self.start) / self.size) * self.size
        return next(CronSim(self.cron, datetime.fromtimestamp(now, UTC), reverse=True)).timestamp()

    def fading(self, seconds: float) -> float:
        """What is left of a sum after so many seconds."""
        return 0.5 ** (seconds / self.half_life) if self.half_life > 0 else 1.0


@dataclass
class Bucket:
    """Sums over a part of the window, as of ``at``: base units times seconds.

    Attributes:
        start: when the first sample came.
        at: when the last one did.
        capacity: ``(A,)``
        used: ``(A,)`` by queue.
    """

    start: float
    at: float
    capacity: Array
    used: dict[str, Array] = field(default_factory=dict)

    def fade(self, by: float) -> None:
        """Forget a part of everything."""
        self.capacity = self.capacity * by
        self.used = {name: amounts * by for name, amounts in self.used.items()}


class UsageBook:
    """Usage of all queues.

    Args:
        window: may be replaced at any time; what was recorded counts by the new one from then on.
    """

    def __init__(self, window: Window | None = None) -> None:
        self.window = window or Window()
        self._resources: tuple[str, ...] = ()
        self._buckets: list[Bucket] = []

    def record(
        self,
        now: float,
        seconds: float,
        *,
        resources: tuple[str, ...],
        queues: Sequence[str],
        held: Amounts,
        capacity: Amounts,
    ) -> None:
        """Take in what was held for a while until now.

        Args:
            now: seconds since the epoch, not before the last call's.
            seconds: how long; 0 changes nothing.
            resources: names of the columns.
            queues: names of the rows.
            held: ``(Q, A)`` base units.
            capacity: ``(A,)`` base units.
        """
        if seconds <= 0:
            return
        if resources != self._resources:
            self._relabel(resources)
        bucket = self._bucket(now)
        bucket.fade(self.window.fading(now - bucket.at))
        bucket.at = now
        bucket.capacity = bucket.capacity + capacity * seconds
        amounts = held * seconds
        for row in np.flatnonzero(amounts.any(axis=1)).tolist():
            name = queues[row]
            before = bucket.used.get(name)
            bucket.used[name] = amounts[row] if before is None else before + amounts[row]

    def usage(self, now: float) -> dict[str, Shares]:
        """``(A,)`` fractions of the capacity by queue; one that held nothing within the window is not there."""
        self._forget(now)
        total = np.zeros(len(self._resources))
        used: dict[str, Array] = {}
        for bucket in self._buckets:
            fading = self.window.fading(now - bucket.at)
            total += bucket.capacity * fading
            for name, amounts in bucket.used.items():
                used[name] = used.get(name, 0.0) + amounts * fading
        there = np.where(total > 0, total, np.inf)
        return {name: np.asarray(amounts / there) for name, amounts in used.items()}

    @property
    def resources(self) -> tuple[str, ...]:
        """Names of the columns of ``usage``."""
        return self._resources

    def retain(self, queues: Mapping[str, object]) -> None:
        """Forget queues that do not exist any more."""
        for bucket in self._buckets:
            bucket.used = {name: amounts for name, amounts in bucket.used.items() if name in queues}

    def _bucket(self, now: float) -> Bucket:
        """The bucket of a moment."""
        self._forget(now)
        length = self.window.size / PARTS if self.window.type == "sliding" else math.inf
        if not self._buckets or now - self._buckets[-1].start >= length:
            self._buckets.append(Bucket(now, now, np.zeros(len(self._resources))))
        return self._buckets[-1]

    def _forget(self, now: float) -> None:
        """Drop what lies before the window: a bucket that slides goes by its end, one that tumbles by its beginning."""
        begin, slides = self.window.begins(now), self.window.type == "sliding"
        self._buckets = [one for one in self._buckets if (one.at if slides else one.start) >= begin]

    def _relabel(self, resources: tuple[str, ...]) -> None:
        """Other resources count now: columns of those that still do are kept."""
        columns = [self._resources.index(name) if name in self._resources else None for name in resources]

        def moved(amounts: Array) -> Array:
            return np.array([0.0 if column is None else amounts[column] for column in columns])

        for bucket in self._buckets:
            bucket.capacity = moved(bucket.capacity)
            bucket.used = {name: moved(amounts) for name, amounts in bucket.used.items()}
        self._resources = resources

    # -- written down ------------------------------------------------------------------------------

    def document(self) -> dict[str, Any]:
        """Everything, for :meth:`read`: a few hundred bytes for a queue."""
        return {
            "version": 1,
            "resources": list(self._resources),
            "buckets": [
                {
                    "start": round(one.start),
                    "at": round(one.at),
                    "capacity": _rounded(one.capacity),
                    "used": {name: _rounded(amounts) for name, amounts in sorted(one.used.items())},
                }
                for one in self._buckets
            ],
        }

    def read(self, document: Mapping[str, Any]) -> None:
        """Take over what was written down, instead of what is here.

        Raises:
            ValueError, TypeError, LookupError: it is not what :meth:`document` writes. Nothing has changed.
        """
        if document["version"] != 1:
            raise ValueError(f"version {document['version']!r} is not known")
        resources = tuple(map(str, document["resources"]))
        buckets = [
            Bucket(
                float(one["start"]),
                float(one["at"]),
                _amounts(one["capacity"], len(resources)),
                {str(name): _amounts(amounts, len(resources)) for name, amounts in one["used"].items()},
            )
            for one in document["buckets"]
        ]
        self._resources, self._buckets = resources, buckets


def window_of(settings: Usage) -> Window:
    """How far back usage counts."""
    window = settings.window
    return Window(
        type=window.type,
        size=window.size.seconds,
        start=window.start.timestamp() if window.start is not None else 0.0,
        cron=window.cron,
        half_life=settings.half_life.seconds,
    )


def _rounded(amounts: Array) -> list[float]:
    return [float(f"{amount:.{_DIGITS}g}") for amount in amounts.tolist()]


def _amounts(values: Sequence[float], count: int) -> Array:
    amounts = np.array(values, dtype=np.float64)
    if amounts.shape != (count,) or not np.isfinite(amounts).all() or (amounts < 0).any():
        raise ValueError(f"expected {count} amounts, not {values!r}")
    return amounts
