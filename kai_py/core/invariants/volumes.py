"""Checkers of volumes: nobody's volume is given twice, all can be reached, and nodes attach no more than they can."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from kai_py.core.invariants.outcome import Outcome, Violation, rows_where
from kai_py.core.result import Evict
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.volumes import PodVolumes, VolumeTable

#: (pod row, node row)
_Seat = tuple[int, int]


def picks(outcome: Outcome) -> Iterator[Violation]:
    """Every claim that gets a volume with its node gets one that is there, or one that can be made, and no other's."""
    snapshot, table = outcome.snapshot, outcome.snapshot.volumes
    if table is None:
        return
    row_of = {name: row for row, name in enumerate(table.names)}
    node_of = {name: row for row, name in enumerate(snapshot.nodes.names)}
    owner: dict[str, str] = {}
    for decision in outcome.result.decisions:
        if isinstance(decision, Evict):
            continue
        pod, node = outcome.row_of_pod[decision.pod], node_of[decision.node]
        ask = snapshot.classes.classes[snapshot.pods.class_idx.item(pod)].volumes
        asked = ask.picks if ask is not None else ()
        if tuple(claim for claim, _ in decision.volumes) != table.of_pod.get(pod, PodVolumes()).claims:
            yield Violation(decision.pod, f"gets volumes for {decision.volumes}, not for all its claims")
            continue
        for choice, (claim, name) in zip((table.choices[row] for row in asked), decision.volumes, strict=True):
            if not name and not choice.made.item(node):
                yield Violation(decision.pod, f"waits for a volume that cannot be made on {decision.node}")
            elif name and (
                row_of[name] not in choice.candidates or node not in table.reach[table.place.item(row_of[name])]
            ):
                yield Violation(decision.pod, f"gets volume {name}, which does not suit or is not reached")
            if name and owner.setdefault(name, claim) != claim:
                yield Violation(decision.pod, f"gets volume {name}, which is given to {owner[name]}")


def attached(outcome: Outcome) -> Iterator[Violation]:
    """Where somebody is placed, the node can attach all volumes, and shares none that cannot be shared."""
    snapshot, table = outcome.snapshot, outcome.snapshot.volumes
    if table is None:
        return
    pods = snapshot.pods
    using = rows_where(np.isin(pods.state, USING) & (pods.node_idx != NONE))
    staying = rows_where(np.isin(pods.state, (PodState.BOUND, PodState.STUCK)) & (pods.node_idx != NONE))
    staying = staying[~np.isin(staying, outcome.evicted)]
    starts = list(zip(outcome.bound.tolist(), outcome.bound_to.tolist(), strict=True))
    waits = list(zip(outcome.nominated.tolist(), outcome.nominated_to.tolist(), strict=True))
    yield from _refused(outcome, table, [*_held(outcome, using), *starts], starts)
    yield from _refused(outcome, table, [*_held(outcome, staying), *starts, *waits], waits)


def _held(outcome: Outcome, pods: np.ndarray) -> Iterator[_Seat]:
    return ((pod, outcome.snapshot.pods.node_idx.item(pod)) for pod in pods.tolist())


def _refused(outcome: Outcome, table: VolumeTable, everybody: Iterable[_Seat], new: list[_Seat]) -> Iterator[Violation]:
    handles: defaultdict[int, set[int]] = defaultdict(set)
    for node, handle in table.attached:
        handles[node].add(handle)
    users: defaultdict[int, list[int]] = defaultdict(list)
    disks: defaultdict[tuple[int, int], list[bool]] = defaultdict(list)
    for pod, node in everybody:
        used = table.of_pod.get(pod, PodVolumes())
        handles[node].update(used.handles)
        for row in used.exclusive:
            users[row].append(pod)
        for row, read_only in used.disks:
            disks[node, row].append(read_only)
    for pod, node in new:
        used, name = table.of_pod.get(pod, PodVolumes()), str(outcome.snapshot.pods.keys[pod])
        for driver in {table.driver_of.item(handle) for handle in used.handles}:
            count = sum(table.driver_of.item(handle) == driver for handle in handles[node])
            if count > table.limits.item(node, driver):
                yield Violation(name, f"has node {node} attach {count} volumes of {table.drivers[driver]}")
        if any(len(users[row]) > 1 for row in used.exclusive):
            yield Violation(name, "shares a claim that one pod alone may use")
        if any(len(disks[node, row]) > 1 and not all(disks[node, row]) for row, _ in used.disks):
            yield Violation(name, "shares a disk that somebody writes")


VOLUMES = (picks, attached)
