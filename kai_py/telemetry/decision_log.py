"""The last decisions with their reasons: who, by whom, why, and what else there was. A ring, so its size is bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from kai_py.core.result import Bind, CycleResult, Decision, Diagnosis, Evict, Nominate
from kai_py.core.tables.snapshot import Snapshot
from kai_py.telemetry.conditions import eviction_note
from kai_py.telemetry.lost_work import lost_work
from kai_py.telemetry.record import Report, decision_keys
from kai_py.telemetry.sentences import headline, sentence

Json = dict[str, Any]

#: How many entries are kept: some hundred bytes each.
LENGTH: Final = 10_000
#: Of those who share a decision, so many are named.
_NAMED: Final = 20

#: What may be asked for, and where an entry has it.
FILTERS: Final = {"pod": "pod", "podgroup": "podGroup", "queue": "queue", "kind": "kind", "node": "node"}


@dataclass
class Entry:
    """One decision, or the news that a podgroup waits for another reason.

    Attributes:
        number: counts up; a gap at the beginning means that older entries were dropped.
        facts: as JSON.
        uid: of the pod, to find the entry again when the decision was answered; empty for one that waits.
    """

    number: int
    facts: Json
    uid: str = ""


@dataclass
class DecisionLog:
    """The ring. Belongs to one event loop.

    Args:
        length: how many entries are kept.
    """

    length: int = LENGTH
    last: int = 0
    _ring: deque[Entry] = field(default_factory=deque)
    _open: dict[tuple[str, str], Entry] = field(default_factory=dict)
    _waited: Mapping[str, Diagnosis] = field(default_factory=dict)
    _nominations: frozenset[tuple[str, str]] = frozenset()

    def cycle(self, result: CycleResult, snapshot: Snapshot, report: Report, *, number: int, now: float) -> None:
        """Take in what a cycle decided, and who waits for a new reason.

        Args:
            result: of the cycle.
            snapshot: what it was computed from.
            report: what was news in it.
            number: of the cycle.
            now: seconds since the epoch.
        """
        if result.decisions:
            self._decisions(result.decisions, snapshot, number, now)
        for text in report.news:
            if text.diagnosis is not None:
                facts = _waits(text.diagnosis, snapshot)
                self._add({"cycle": number, "time": _time(now), "kind": "wait", **facts})
        self._nominations = frozenset((one.uid, one.node) for one in result.decisions if isinstance(one, Nominate))
        self._waited = {one.podgroup: one for one in result.diagnoses}

    def _decisions(self, decisions: Sequence[Decision], snapshot: Snapshot, number: int, now: float) -> None:
        victims: dict[str, list[str]] = {}
        for one in decisions:
            if isinstance(one, Evict) and one.preemptor:
                victims.setdefault(one.preemptor, []).append(one.pod)
        lost, time = lost_work(decisions, snapshot), _time(now)
        for one in decisions:
            if isinstance(one, Nominate) and (one.uid, one.node) in self._nominations:
                continue  # it had this place already
            keys = decision_keys(one, snapshot)
            facts = {
                "cycle": number,
                "time": time,
                "kind": type(one).__name__.lower(),
                "pod": one.pod,
                "podGroup": one.podgroup,
                "queue": keys["queue"],
                "node": one.node,
                "action": str(one.action),
                "outcome": "decided",
                **self._why(one, snapshot, victims, lost),
            }
            self._open[one.uid, type(one).__name__] = self._add(facts, one.uid)

    def _why(
        self, one: Decision, snapshot: Snapshot, victims: Mapping[str, Sequence[str]], lost: Mapping[str, float]
    ) -> Json:
        """A sentence, and what else there was: who goes together, what was in the way before."""
        if isinstance(one, Evict):
            together = victims.get(one.preemptor or "", [])
            return {
                "for": one.preemptor,
                "moved": one.moved,
                "why": eviction_note(one),
                "gpuSecondsLost": round(lost.get(one.uid, 0.0), 1),
                "together": {"pods": len(together), "named": list(together[:_NAMED])},
                "alternatives": self._before(one.preemptor or "", snapshot),
            }
        freed = len(victims.get(one.podgroup, ()))
        found = "It fits there now." if isinstance(one, Bind) else "It fits there once others have left."
        made = f" Room was made by evicting {freed} pod{'' if freed == 1 else 's'}." if freed else ""
        return {"why": found + made, "alternatives": self._before(one.podgroup, snapshot)}

    def _before(self, podgroup: str, snapshot: Snapshot) -> Json | None:
        """Why the podgroup had to wait until now, and what kept it from the nodes; None if it did not wait."""
        before = self._waited.get(podgroup)
        if before is None:
            return None
        return {"waitedFor": headline(before, snapshot.axis), "nodes": _nodes(before)}

    def answered(self, decision: Decision, *, ok: bool, why: str) -> None:
        """A decision was carried out, or could not be.

        Args:
            decision: which.
            ok: whether the cluster is as it was decided.
            why: if not.
        """
        entry = self._open.pop((decision.uid, type(decision).__name__), None)
        if entry is not None:
            entry.facts["outcome"] = "done" if ok else f"failed: {why}"

    def entries(self, wanted: Mapping[str, str], *, since: int = 0, limit: int = 100) -> list[Json]:
        """The last entries, oldest first.

        Args:
            wanted: values by the names of ``FILTERS``; a podgroup also finds evictions for it.
            since: only those with a larger number.
            limit: at most so many.
        """
        found: list[Json] = []
        for entry in reversed(self._ring):
            if entry.number <= since or len(found) == limit:
                break
            if _matches(entry.facts, wanted):
                found.append({"id": entry.number, **entry.facts})
        return found[::-1]

    def _add(self, facts: Json, uid: str = "") -> Entry:
        self.last += 1
        entry = Entry(self.last, facts, uid)
        self._ring.append(entry)
        if len(self._ring) > self.length:
            dropped = self._ring.popleft()
            for kind in (Bind, Nominate, Evict):
                if self._open.get((dropped.uid, kind.__name__)) is dropped:
                    del self._open[dropped.uid, kind.__name__]
        return entry


def _matches(facts: Json, wanted: Mapping[str, str]) -> bool:
    for name, value in wanted.items():
        if name == "podgroup" and facts.get("for") == value:
            continue
        if name == "pod" and value in facts.get("pods", ()):
            continue
        if facts.get(FILTERS[name]) != value:
            return False
    return True


def _waits(diagnosis: Diagnosis, snapshot: Snapshot) -> Json:
    reasons = [
        {"code": str(reason.code), "message": sentence(reason, snapshot.axis, queue=diagnosis.queue)}
        for reason in diagnosis.reasons
    ]
    return {
        "podGroup": diagnosis.podgroup,
        "queue": diagnosis.queue,
        "pods": list(diagnosis.pods[:_NAMED]),
        "why": headline(diagnosis, snapshot.axis),
        "reasons": reasons,
        "alternatives": {"nodes": _nodes(diagnosis)},
    }


def _nodes(diagnosis: Diagnosis) -> Json:
    """How many nodes were ruled out by what, of the first reason that knows."""
    return next((dict(reason.nodes) for reason in diagnosis.reasons if reason.nodes), {})


def _time(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")


def rows(items: Sequence[Json]) -> Iterator[tuple[str, ...]]:
    """Entries as lines for people: time, kind, who, where, by which action for whom, what became of it, why."""
    for one in items:
        who = one.get("pod") or one["podGroup"]
        yield (
            one["time"],
            one["kind"],
            who,
            one.get("node") or "",
            one.get("action") or "",
            one.get("for") or "",
            one.get("outcome") or "",
            one["why"],
        )
