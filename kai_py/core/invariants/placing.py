"""Checkers of places: decisions that make sense, room, filters, whole gangs, limits and quotas, and who says why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from kai_py.core.filters import FILTERS
from kai_py.core.invariants.outcome import Outcome, Violation, joined, rows_where
from kai_py.core.result import Decision, Evict, Nominate
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.queues import ROOT
from kai_py.core.tables.snapshot import Snapshot


def malformed(snapshot: Snapshot, decisions: Sequence[Decision]) -> Iterator[Violation]:
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


def rooms(outcome: Outcome) -> Iterator[Violation]:
    """Starts fit into what is free, nominations into what is then left and what leaves; stuck pods leave nothing."""
    snapshot = outcome.snapshot
    pods = snapshot.pods
    on_node = rows_where(np.isin(pods.state, USING) & (pods.node_idx != NONE))
    leaving = joined(rows_where(pods.state == PodState.RELEASING), outcome.evicted)
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


def filters(outcome: Outcome) -> Iterator[Violation]:
    """Every place is allowed by every filter."""
    snapshot = outcome.snapshot
    pods, nodes = outcome.placed, joined(outcome.bound_to, outcome.nominated_to)
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


def gangs(outcome: Outcome) -> Iterator[Violation]:
    """Whole or not at all: who starts, starts in a subgroup and a podgroup that have their minimum with what runs.

    The same for whoever gets a place at all, counting nominations.
    """
    snapshot = outcome.snapshot
    table, parent = snapshot.subgroups, snapshot.subgroups.parent
    running = joined(outcome.stays, outcome.bound)
    placed = joined(running, outcome.nominated)
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


def ceilings(outcome: Outcome) -> Iterator[Violation]:
    """New work goes through no limit, and non-preemptible new work through no quota, of any queue above it.

    A pod that moves is not new: its queue may be beyond a limit that was lowered.
    """
    snapshot = outcome.snapshot
    queues, preemptible = snapshot.queues, snapshot.podgroups.preemptible
    moving = np.isin(outcome.placed, outcome.evicted)
    held, new = joined(outcome.stays, outcome.placed[moving]), outcome.placed[~moving]
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


def diagnoses(outcome: Outcome) -> Iterator[Violation]:
    """Every podgroup with pods that wait says why, and nobody else does."""
    snapshot, result = outcome.snapshot, outcome.result
    waits = np.isin(snapshot.pods.state, (PodState.PENDING, PodState.GATED)) & outcome.ours
    waits[outcome.bound] = False
    waiting = {str(snapshot.podgroups.keys[row]) for row in np.unique(outcome.podgroups(rows_where(waits)))}
    said = [diagnosis.podgroup for diagnosis in result.diagnoses]
    for podgroup in sorted(waiting.symmetric_difference(said)):
        yield Violation(podgroup, "waits without a diagnosis" if podgroup in waiting else "does not wait, but says why")
    if len(said) != len(set(said)):
        yield Violation("diagnoses", "a podgroup is diagnosed twice")
    for diagnosis in result.diagnoses:
        if not diagnosis.reasons or not diagnosis.pods:
            yield Violation(diagnosis.podgroup, "its diagnosis has no reason or no pod")


PLACING = (rooms, filters, gangs, ceilings)
