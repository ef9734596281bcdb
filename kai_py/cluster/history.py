"""What has happened to podgroups, and how patient they are; podgroups that are gone may still have a past."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import inf, isfinite, isnan, nan

from kai_py.api.duration import Duration
from kai_py.api.keys import (
    LAST_EVICTION_ANNOTATION,
    LAST_START_ANNOTATION,
    STALE_SINCE_ANNOTATION,
    STALENESS_GRACE_ANNOTATION,
)
from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.api.podgroup import PodGroup
from kai_py.cluster.checkpoints import CheckpointBook
from kai_py.cluster.encode.times import seconds

Name = tuple[str, str]
#: Annotations to write; None removes one.
Stamps = dict[str, str | None]


@dataclass(frozen=True)
class Past:
    """One podgroup's history; the fields are the columns of ``History``."""

    started: float = -inf
    stale_since: float = inf
    evicted: float = -inf
    grace: float = nan
    delay: float = 0.0
    finishing: bool = False
    never_preempts: bool = False
    checkpointed: float = -inf


_BLANK = Past()


#: Annotations of the PodGroup, in the order of ``_times``.
_STAMPS = (LAST_START_ANNOTATION, LAST_EVICTION_ANNOTATION, STALE_SINCE_ANNOTATION)


class HistoryBook:
    """Histories by podgroup name.

    Three times of each are kept in annotations of its PodGroup, so that whoever leads next knows them. An annotation
    that changes is taken over; one that stays as it was may lag behind, and what we know counts.

    Attributes:
        checkpoints: what podgroups and pods say of their work; nobody else writes that down.
    """

    def __init__(self) -> None:
        self.checkpoints = CheckpointBook()
        self._pasts: dict[Name, Past] = {}
        self._shown: dict[Name, tuple[str | None, ...]] = {}
        self._marked: dict[Name, None] = {}
        self._changed: dict[Name, None] = {}
        #: Those that run below their minimum: few, and asked for in every cycle.
        self._stale: dict[Name, None] = {}

    def put(self, podgroup: PodGroup) -> None:
        """Read an object: times that KAI and we keep in annotations, and the patience that its spec asks for."""
        annotations, spec, name = podgroup.metadata.annotations, podgroup.spec, podgroup.metadata.key
        grace = spec.staleness_grace_period or _duration(annotations.get(STALENESS_GRACE_ANNOTATION))
        before = self.of(name)
        self.checkpoints.put_podgroup(podgroup.metadata)
        past = replace(
            self._with_annotations(podgroup, before),
            grace=grace.seconds if grace is not None else nan,
            delay=spec.preemption_delay.seconds if spec.preemption_delay is not None else 0.0,
            checkpointed=self.checkpoints.of(name),
        )
        self._set(name, past)

    def _with_annotations(self, podgroup: PodGroup, past: Past) -> Past:
        """A history with those times that the object says now and did not say when it was seen last."""
        name, shown = podgroup.metadata.key, tuple(map(podgroup.metadata.annotations.get, _STAMPS))
        if name not in self._shown:
            self._marked[name] = None  # the object may have come later than what happened
        before = self._shown.get(name, (None,) * len(_STAMPS))
        if shown == before:
            self._shown.setdefault(name, shown)
            return past
        self._shown[name] = shown
        started, evicted, stale_since = (
            # Annotations are written in whole seconds: the echo of our own is no news.
            value if text in (old, _written(value)) else seconds(text) if text else blank
            for value, blank, text, old in zip(_times(past), _times(_BLANK), shown, before, strict=True)
        )
        return replace(past, started=started, evicted=evicted, stale_since=stale_since)

    def changes(self, podgroup: PodGroup) -> Stamps:
        """Annotations that the object should have, where they differ from those that it has."""
        past = self.of(podgroup.metadata.key)
        wanted = dict(zip(_STAMPS, map(_written, _times(past)), strict=True))
        annotations = podgroup.metadata.annotations
        return {key: text for key, text in wanted.items() if text != annotations.get(key)}

    def of(self, name: Name) -> Past:
        """The history of a podgroup."""
        return self._pasts.get(name, _BLANK)

    def changed(self) -> list[Name]:
        """Podgroups whose history is another one than at the last call."""
        changed, self._changed = list(self._changed), {}
        return changed

    def marked(self) -> list[Name]:
        """Podgroups to whose annotations something happened since the last call."""
        marked, self._marked = list(self._marked), {}
        return marked

    def evicted(self, name: Name, now: float) -> None:
        """A pod of a podgroup was evicted."""
        self._stamp(name, replace(self.of(name), evicted=now))

    def started(self, name: Name, now: float) -> None:
        """A podgroup has begun to run."""
        self._stamp(name, replace(self.of(name), started=now))

    def begun(self, name: Name, moment: float) -> None:
        """The only pod of a podgroup that lives in memory says when it started: news after a restart of ours."""
        past = self.of(name)
        if past.started == -inf < moment:
            self._set(name, replace(past, started=moment))

    def heed(self, name: Name, pod: ObjectMeta) -> None:
        """A pod of a podgroup may tell when its work was saved."""
        if self.checkpoints.put_pod(name, pod):
            self._set(name, replace(self.of(name), checkpointed=self.checkpoints.of(name)))

    def heed_owner(self, owner: PartialObject) -> None:
        """An owner of podgroups may tell it as well."""
        for name in self.checkpoints.put_owner(owner):
            self._set(name, replace(self.of(name), checkpointed=self.checkpoints.of(name)))

    def succeeded(self, name: Name) -> None:
        """A pod of a podgroup has succeeded."""
        self._set(name, replace(self.of(name), finishing=True))

    def never_preempts(self, name: Name) -> None:
        """A pod of a podgroup says ``preemptionPolicy: Never``."""
        self._set(name, replace(self.of(name), never_preempts=True))

    def stale(self, names: Collection[Name], now: float) -> None:
        """These podgroups run below their minimum, and no others do."""
        for name in [name for name in self._stale if name not in names]:
            self._stamp(name, replace(self.of(name), stale_since=inf))
        for name in names:
            past = self.of(name)
            if now < past.stale_since:
                self._stamp(name, replace(past, stale_since=now))

    def drop(self, name: Name) -> None:
        """A podgroup is gone."""
        for book in (self._shown, self._marked, self._stale):
            book.pop(name, None)
        self.checkpoints.drop(name)
        if self._pasts.pop(name, None) is not None:
            self._changed[name] = None

    def retain(self, lives: Callable[[Name], bool]) -> None:
        """Forget all podgroups that are gone."""
        for name in [name for name in {**self._pasts, **self._shown} if not lives(name)]:
            self.drop(name)

    def _stamp(self, name: Name, past: Past) -> None:
        self._marked[name] = None
        self._set(name, past)

    def _set(self, name: Name, past: Past) -> None:
        if _same(past, self.of(name)):
            return
        self._changed[name] = None
        if past.stale_since != inf:
            self._stale[name] = None
        else:
            self._stale.pop(name, None)
        if _same(past, _BLANK):
            self._pasts.pop(name, None)
        else:
            self._pasts[name] = past


def _times(past: Past) -> tuple[float, float, float]:
    """What is kept in annotations of the PodGroup."""
    return past.started, past.evicted, past.stale_since


def _same(one: Past, other: Past) -> bool:
    """Whether two histories are equal. NaN is not equal to itself: a blank past would never be found blank."""
    if one.grace is not other.grace and isnan(one.grace) and isnan(other.grace):
        other = replace(other, grace=one.grace)
    return one == other  # field by field, and what is the very same object is equal


def _written(moment: float) -> str | None:
    """A time as an annotation: whole seconds, as KAI writes them; None for one that has not come."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isfinite(moment) else None


def _duration(text: str | None) -> Duration | None:
    try:
        return Duration.parse(text) if text else None
    except ValueError:
        return None
