"""What has happened to podgroups, and how patient they are: kept beside the rows, because few podgroups have any."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from math import inf, nan

import numpy as np

from kai_py.api.duration import Duration
from kai_py.api.keys import LAST_START_ANNOTATION, STALE_SINCE_ANNOTATION, STALENESS_GRACE_ANNOTATION
from kai_py.api.podgroup import PodGroup
from kai_py.cluster.encode.times import seconds
from kai_py.core.tables.podgroups import GroupKey, History, PodGroupTable

Name = tuple[str, str]


@dataclass(frozen=True)
class Past:
    """One podgroup's history; the fields are the columns of ``History``."""

    started: float = -inf
    stale_since: float = inf
    grace: float = nan
    delay: float = 0.0
    finishing: bool = False
    never_preempts: bool = False


_BLANK = Past()


class HistoryBook:
    """Histories by podgroup name."""

    def __init__(self) -> None:
        self._pasts: dict[Name, Past] = {}
        self._made: tuple[PodGroupTable, PodGroupTable] | None = None

    def put(self, podgroup: PodGroup) -> None:
        """Read an object: times that KAI and we keep in annotations, and the patience that its spec asks for."""
        annotations, spec = podgroup.metadata.annotations, podgroup.spec
        grace = spec.staleness_grace_period or _duration(annotations.get(STALENESS_GRACE_ANNOTATION))
        past = self._pasts.get(podgroup.metadata.key, _BLANK)
        started = annotations.get(LAST_START_ANNOTATION)
        stale = annotations.get(STALE_SINCE_ANNOTATION)
        self._set(
            podgroup.metadata.key,
            replace(
                past,
                started=seconds(started) if started else past.started,
                stale_since=seconds(stale) if stale else past.stale_since,
                grace=grace.seconds if grace is not None else nan,
                delay=spec.preemption_delay.seconds if spec.preemption_delay is not None else 0.0,
            ),
        )

    def started(self, name: Name, now: float) -> None:
        """A podgroup has begun to run."""
        self._set(name, replace(self._pasts.get(name, _BLANK), started=now))

    def succeeded(self, name: Name) -> None:
        """A pod of a podgroup has succeeded."""
        self._set(name, replace(self._pasts.get(name, _BLANK), finishing=True))

    def never_preempts(self, name: Name) -> None:
        """A pod of a podgroup says ``preemptionPolicy: Never``."""
        self._set(name, replace(self._pasts.get(name, _BLANK), never_preempts=True))

    def stale(self, names: Collection[Name], now: float) -> None:
        """These podgroups run below their minimum, and no others do."""
        for name, past in list(self._pasts.items()):
            if past.stale_since != inf and name not in names:
                self._set(name, replace(past, stale_since=inf))
        for name in names:
            past = self._pasts.get(name, _BLANK)
            self._set(name, replace(past, stale_since=min(past.stale_since, now)))

    def drop(self, name: Name) -> None:
        """A podgroup is gone."""
        self._made = None
        self._pasts.pop(name, None)

    def _set(self, name: Name, past: Past) -> None:
        # NaN is not equal to itself: a blank past would never be found blank.
        self._made = None
        if replace(past, grace=0.0) == replace(_BLANK, grace=0.0) and np.isnan(past.grace):
            self._pasts.pop(name, None)
        else:
            self._pasts[name] = past

    def with_history(self, podgroups: PodGroupTable) -> PodGroupTable:
        """The table with the histories of its podgroups; the same one as long as nothing changes."""
        if self._made is None or self._made[0] is not podgroups:
            history = self._columns(podgroups.keys)
            self._made = podgroups, replace(podgroups, history=history) if history is not None else podgroups
        return self._made[1]

    def _columns(self, keys: Sequence[GroupKey]) -> History | None:
        """The columns for the podgroups of a snapshot; None if none of them has a history."""
        known = [(row, past) for name, past in self._pasts.items() if (row := _row(keys, name)) is not None]
        if not known:
            return None
        count = len(keys)
        history = History(
            started=np.full(count, -inf),
            stale_since=np.full(count, inf),
            grace=np.full(count, nan),
            delay=np.zeros(count),
            finishing=np.zeros(count, dtype=np.bool_),
            never_preempts=np.zeros(count, dtype=np.bool_),
        )
        for row, past in known:
            history.started[row], history.stale_since[row] = past.started, past.stale_since
            history.grace[row], history.delay[row] = past.grace, past.delay
            history.finishing[row], history.never_preempts[row] = past.finishing, past.never_preempts
        return history


def _row(keys: Sequence[GroupKey], name: Name) -> int | None:
    row = bisect_left(keys, name)
    return row if row < len(keys) and keys[row][:2] == name else None


def _duration(text: str | None) -> Duration | None:
    try:
        return Duration.parse(text) if text else None
    except ValueError:
        return None
