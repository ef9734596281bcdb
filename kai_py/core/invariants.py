"""Checkers: what must hold for every result of a cycle, whoever found it.

Everything is computed again from the snapshot's tables and the decisions, with none of the solvers' bookkeeping, so
that a bug there cannot hide here. Tests check every result with it, the demo its verdict, and an operator may in
doubt (50 ms at 50,000 pods).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.filters import FILTERS
from kai_py.core.options import Action
from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.result import Bind, CycleResult, Decision, Evict, Nominate
from kai_py.core.tables.podgroups import ALL
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.queues import ROOT
from kai_py.core.tables.snapshot import Snapshot


@dataclass(frozen=True)
class Violation:
    """One thing that must never happen.

    Attributes:
        subject: the pod, podgroup, node or queue that it happened to.
        what: what happened, for a developer to read.
    """

    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"


def violations(snapshot: Snapshot, result: CycleResult) -> tuple[Violation, ...]:
    """Everything about a result that contradicts the snapshot or the rules; empty when all is well.

    When a decision names what does not exist, or a pod twice, only that is reported: the rest would be guesswork.
    """
    if malformed := tuple(_malformed(snapshot, result.decisions)):
        return malformed
    outcome = Outcome(snapshot, result.decisions)
    checks = (_rooms, _filters, _gangs, _victims, _ceilings)
    found = [violation for check in checks for violation in check(outcome)]
    return (*found, *_evictions(outcome, result.decisions), *_diagnoses(outcome, result))


class Outcome:
    """A snapshot and what decisions make of it.

    Attributes:
        bound: ``(B,)`` rows of pods that get a node now.
        bound_to: ``(B,)`` their nodes.
        nominated: ``(M,)`` rows of pods that get a node later.
        nominated_to: ``(M,)`` their nodes.
        evicted: ``(E,)`` rows of pods that must go.
    """

    def __init__(self, snapshot: Snapshot, decisions: Sequence[Decision]) -> None:
        self.snapshot = snapshot
        pods = {str(key): row for row, key in enumerate(snapshot.pods.keys)}
        nodes = {name: row for row, name in enumerate(snapshot.nodes.names)}

        def rows(kind: type[Decision]) -> tuple[Rows, Rows]:
            chosen = [(pods[d.pod], nodes.get(d.node, NONE)) for d in decisions if isinstance(d, kind)]
            pod, node = np.array(chosen, dtype=np.int32).reshape(-1, 2).T
            return pod, node

        self.bound, self.bound_to = rows(Bind)
        self.nominated, self.nominated_to = rows(Nominate)
        self.evicted, _ = rows(Evict)

    @cached_property
    def ours(self) -> Mask:
        """``(P,)`` pods that are ours to schedule."""
        return np.asarray(self.snapshot.pods.subgroup_idx != NONE)

    @cached_property
    def stays(self) -> Rows:
        """Rows of our pods that were bound and may stay."""
        stays = self.ours & (self.snapshot.pods.state == PodState.BOUND)
        stays[self.evicted] = False
        return _rows(stays)

    @cached_property
    def placed(self) -> Rows:
        """Rows of pods that get a node, now or later."""
        return _join(self.bound, self.nominated)

    def requests(self, pods: Rows, nodes: Rows) -> Amounts:
        """``(N, R)`` what some pods ask for on some nodes."""
        snapshot = self.snapshot
        sums = np.zeros_like(snapshot.nodes.allocatable)
        np.add.at(sums, nodes, snapshot.classes.request[snapshot.pods.class_idx[pods]])
        return sums

    def costs(self, pods: Rows) -> Amounts:
        """``(Q, A)`` what some pods cost their queues and all ancestors."""
        snapshot = self.snapshot
        queues = snapshot.queues
        sums = np.zeros((len(queues), len(snapshot.axis.accounted)), dtype=np.int64)
        own = self.queues(pods)
        np.add.at(sums, own[own != ROOT], snapshot.classes.accounted[snapshot.pods.class_idx[pods[own != ROOT]]])
        for row in sorted(range(len(queues)), key=lambda row: -len(queues.paths[row])):
            if queues.parent[row] != ROOT:
                sums[queues.parent[row]] += sums[row]
        return sums

    def podgroups(self, pods: Rows) -> Rows:
        """Rows of the podgroups of pods that are ours."""
        return self.snapshot.subgroups.podgroup_idx[self.snapshot.pods.subgroup_idx[pods]]

    def queues(self, pods: Rows) -> Rows:
        """Rows of the queues of pods that are ours."""
        return self.snapshot.podgroups.queue_idx[self.podgroups(pods)]

    def satisfied(self, pods: Rows) -> Mask:
        """``(S,)`` which subgroups have what they need when they have just some pods."""
        table = self.snapshot.subgroups
        count = np.bincount(self.snapshot.pods.subgroup_idx[pods], minlength=len(table))
        satisfied = np.where(table.leaf, count >= table.min_member, table.min_subgroups <= 0)
        depth = np.zeros(len(table), dtype=np.int32)
        above = table.parent
        while (inside := above != NONE).any():
            depth[inside] += 1
            above = np.where(inside, table.parent[above], NONE)
        for level in range(int(depth.max(initial=0)), 0, -1):
            # Children of this depth say all about their parents; those that are leaves have spoken for themselves.
            rows = _rows(depth == level)
            parents = np.unique(table.parent[rows])
            children = np.bincount(table.parent[rows], minlength=len(table))
            fine = np.bincount(table.parent[rows[satisfied[rows]]], minlength=len(table))
            needed = np.where(table.min_subgroups == ALL, children, table.min_subgroups)
            satisfied[parents] = fine[parents] >= needed[parents]
        return np.asarray(satisfied)


def _rows(mask: Mask) -> Rows:
    return np.flatnonzero(mask).astype(np.int32)


def _join(*rows: Rows) -> Rows:
    return np.concatenate(rows, dtype=np.int32)


def _malformed(snapshot: Snapshot, decisions: Sequence[Decision]) -> Iterator[Violation]:
    """Decisions about what does not exist, or is not in the state for them, and pods that are named twice."""
    pods, keys = snapshot.pods, snapshot.podgroups.keys
    rows = {(str(key), key.uid): row for row, key in enumerate(pods.keys)}
    nodes = {name: row for row, name in enumerate(snapshot.nodes.names)}
    placed: set[int] = set()
    evicted: set[int] = set()
    for decision in decisions:
        row = rows.get((decision.pod, decision.uid))
        subgroup = NONE if row is None else int(pods.subgroup_idx[row])
        if row is None or subgroup == NONE:
            yield Violation(decision.pod, "is not a pod that we schedule")
            continue
        state, node = pods.state[row], nodes.get(decision.node, NONE)
        if decision.podgroup != str(keys[snapshot.subgroups.podgroup_idx[subgroup]]):
            yield Violation(decision.pod, f"is not of podgroup {decision.podgroup}")
        if isinstance(decision, Evict):
            if state != PodState.BOUND or node != pods.node_idx[row]:
                yield Violation(decision.pod, f"is evicted from {decision.node!r}, where it does not run")
            seen = evicted
        else:
            moves = isinstance(decision, Nominate) and row in evicted
            if state != PodState.PENDING and not moves:
                yield Violation(decision.pod, f"is placed though it is {PodState(state).name}")
            if node == NONE:
                yield Violation(decision.pod, f"is placed on {decision.node!r}, which does not exist")
            seen = placed
        if row in seen:
            yield Violation(decision.pod, "is decided about twice")
        seen.add(row)


def _rooms(outcome: Outcome) -> Iterator[Violation]:
    """Starts fit into what is free, nominations into what is then left and what leaves; stuck pods leave nothing."""
    snapshot = outcome.snapshot
    pods = snapshot.pods
    on_node = _rows(np.isin(pods.state, USING) & (pods.node_idx != NONE))
    leaving = _join(_rows(pods.state == PodState.RELEASING), outcome.evicted)
    leaving = leaving[pods.node_idx[leaving] != NONE]
    free = snapshot.nodes.allocatable - outcome.requests(on_node, pods.node_idx[on_node])
    starting = outcome.requests(outcome.bound, outcome.bound_to)
    coming = outcome.requests(outcome.nominated, outcome.nominated_to)
    later = free - starting + outcome.requests(leaving, pods.node_idx[leaving])
    # Foreign pods may have overcommitted a node in what nobody asks for now: that is not ours to judge.
    for what, asked, room in (("starting", starting, free), ("nominated", coming, later)):
        for node, resource in np.argwhere((asked > 0) & (asked > room)).tolist():
            amounts = f"{asked[node, resource]} {snapshot.axis.names[resource]} of {room[node, resource]} left"
            yield Violation(snapshot.nodes.names[node], f"pods that are {what} take {amounts}")


def _filters(outcome: Outcome) -> Iterator[Violation]:
    """Every place is allowed by every filter."""
    snapshot = outcome.snapshot
    pods, nodes = outcome.placed, _join(outcome.bound_to, outcome.nominated_to)
    classes = snapshot.pods.class_idx[pods]
    for class_idx in np.unique(classes):
        mine = classes == class_idx
        for reason, allows in FILTERS:
            allowed = allows(snapshot.classes.classes[class_idx], snapshot.nodes)
            for pod, node in zip(pods[mine].tolist(), nodes[mine].tolist(), strict=True):
                if not allowed[node]:
                    yield Violation(
                        str(snapshot.pods.keys[pod]), f"may not go to {snapshot.nodes.names[node]}: {reason}"
                    )


def _gangs(outcome: Outcome) -> Iterator[Violation]:
    """Whole or not at all: who starts, starts in a subgroup and a podgroup that have their minimum with what runs.

    The same for whoever gets a place at all, counting nominations.
    """
    snapshot = outcome.snapshot
    table, parent = snapshot.subgroups, snapshot.subgroups.parent
    running = _join(outcome.stays, outcome.bound)
    placed = _join(running, outcome.nominated)
    for what, newcomers, satisfied in (
        ("starts", outcome.bound, outcome.satisfied(running)),
        ("is given places", outcome.placed, outcome.satisfied(placed)),
    ):
        lacking: set[int] = set()
        rows = np.unique(snapshot.pods.subgroup_idx[newcomers])
        while rows.size:
            lacking.update(rows[~satisfied[rows]].tolist())
            rows = np.unique(parent[rows[parent[rows] != NONE]])
        for row in sorted(lacking):
            podgroup = snapshot.podgroups.keys[table.podgroup_idx[row]]
            where = f"subgroup {table.names[row]}" if table.names[row] else "podgroup"
            yield Violation(str(podgroup), f"{what} though the {where} lacks its minimum")
    for podgroup in np.unique(outcome.podgroups(outcome.placed)).tolist():
        if podgroup in snapshot.podgroups.blocked or snapshot.podgroups.queue_idx[podgroup] == ROOT:
            yield Violation(str(snapshot.podgroups.keys[podgroup]), "is given places though it is blocked")


def _victims(outcome: Outcome) -> Iterator[Violation]:
    """A podgroup that had its minimum keeps it, or loses every pod."""
    snapshot = outcome.snapshot
    before = _rows(outcome.ours & (snapshot.pods.state == PodState.BOUND))
    after = _join(outcome.stays, outcome.placed)
    had, has = outcome.satisfied(before), outcome.satisfied(after)
    left = np.bincount(outcome.podgroups(after), minlength=len(snapshot.podgroups))
    for podgroup in np.unique(outcome.podgroups(outcome.evicted)).tolist():
        root = snapshot.podgroups.offset[podgroup]
        if had[root] and not has[root] and left[podgroup]:
            yield Violation(str(snapshot.podgroups.keys[podgroup]), "is left with less than its minimum")


def _ceilings(outcome: Outcome) -> Iterator[Violation]:
    """New work goes through no limit, and non-preemptible new work through no quota, of any queue above it."""
    snapshot = outcome.snapshot
    queues, preemptible = snapshot.queues, snapshot.podgroups.preemptible
    held, new = outcome.stays, outcome.placed
    firm_held, firm_new = (rows[~preemptible[outcome.podgroups(rows)]] for rows in (held, new))
    for what, before, more, ceiling in (
        ("limit", held, new, queues.limit),
        ("quota for non-preemptible work", firm_held, firm_new, queues.quota),
    ):
        added = outcome.costs(more)
        after = outcome.costs(before) + added
        for queue, a in np.argwhere((added > 0) & (after > ceiling)).tolist():
            amounts = f"{after[queue, a]} {snapshot.axis.accounted[a]} of {ceiling[queue, a]}"
            yield Violation(queues.names[queue], f"new work exceeds the {what}: {amounts}")


def _evictions(outcome: Outcome, decisions: Sequence[Decision]) -> Iterator[Violation]:
    """Only stale gangs are evicted for nobody; whoever goes for somebody is preemptible."""
    snapshot = outcome.snapshot
    preemptible = {
        str(key): mine for key, mine in zip(snapshot.podgroups.keys, snapshot.podgroups.preemptible, strict=True)
    }
    nominated = {decision.pod for decision in decisions if isinstance(decision, Nominate)}
    for evict in decisions:
        if not isinstance(evict, Evict):
            continue
        if (evict.preemptor is None) != (evict.action is Action.STALE_GANG_EVICTION):
            yield Violation(evict.pod, f"is evicted by {evict.action} for {evict.preemptor}")
        if evict.preemptor is not None and not preemptible[evict.podgroup]:
            yield Violation(evict.pod, "is evicted though it is not preemptible")
        if evict.moved != (evict.pod in nominated):
            yield Violation(evict.pod, "is said to move, and does not, or the other way round")


def _diagnoses(outcome: Outcome, result: CycleResult) -> Iterator[Violation]:
    """Every podgroup with pods that wait says why, and nobody else does."""
    snapshot = outcome.snapshot
    waits = np.isin(snapshot.pods.state, (PodState.PENDING, PodState.GATED)) & outcome.ours
    waits[outcome.bound] = False
    waiting = {str(snapshot.podgroups.keys[row]) for row in np.unique(outcome.podgroups(_rows(waits)))}
    said = [diagnosis.podgroup for diagnosis in result.diagnoses]
    for podgroup in sorted(waiting.symmetric_difference(said)):
        yield Violation(podgroup, "waits without a diagnosis" if podgroup in waiting else "does not wait, but says why")
    if len(said) != len(set(said)):
        yield Violation("diagnoses", "a podgroup is diagnosed twice")
    for diagnosis in result.diagnoses:
        if not diagnosis.reasons or not diagnosis.pods:
            yield Violation(diagnosis.podgroup, "its diagnosis has no reason or no pod")
