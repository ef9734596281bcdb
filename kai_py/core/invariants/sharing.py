"""Checkers of shared devices: nobody gets more of one than there is, and no device is whole and shared at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from kai_py.core.invariants.outcome import Outcome, Violation, rows_where
from kai_py.core.resources import DEVICE, Rows
from kai_py.core.result import Evict
from kai_py.core.tables.pods import NONE, USING, PodState

#: (pod row, node row, names of its devices)
_Seat = tuple[int, int, tuple[str, ...]]


def seats(outcome: Outcome) -> Iterator[Violation]:
    """Who asks for a share gets as many different devices as it asks for, and nobody else gets any."""
    snapshot = outcome.snapshot
    for decision in outcome.result.decisions:
        if not isinstance(decision, Evict):
            pod = outcome.row_of_pod[decision.pod]
            share = snapshot.classes.classes[snapshot.pods.class_idx.item(pod)].share
            wanted = share.devices if share is not None else 0
            if not len(decision.gpu_groups) == len(set(decision.gpu_groups)) == wanted:
                yield Violation(decision.pod, f"gets devices {decision.gpu_groups} and asks for {wanted}")


def devices(outcome: Outcome) -> Iterator[Violation]:
    """Where somebody is placed, no device is beyond its memory, and there are enough devices, now and later."""
    snapshot = outcome.snapshot
    if snapshot.devices is None:
        return
    pods, given = snapshot.pods, _given(outcome)
    using = rows_where(np.isin(pods.state, USING) & (pods.node_idx != NONE))
    staying = rows_where(np.isin(pods.state, (PodState.BOUND, PodState.STUCK)) & (pods.node_idx != NONE))
    staying = staying[~np.isin(staying, outcome.evicted)]
    starts = list(_placed(outcome.bound, outcome.bound_to, given))
    waits = list(_placed(outcome.nominated, outcome.nominated_to, given))
    yield from _overfull(outcome, [*_held(outcome, using), *starts], starts, "now")
    yield from _overfull(outcome, [*_held(outcome, staying), *starts, *waits], waits, "later")


def _given(outcome: Outcome) -> dict[int, tuple[str, ...]]:
    return {
        outcome.row_of_pod[one.pod]: one.gpu_groups for one in outcome.result.decisions if not isinstance(one, Evict)
    }


def _placed(pods: Rows, nodes: Rows, given: dict[int, tuple[str, ...]]) -> Iterator[_Seat]:
    return ((pod, node, given[pod]) for pod, node in zip(pods.tolist(), nodes.tolist(), strict=True))


def _held(outcome: Outcome, pods: Rows) -> Iterator[_Seat]:
    table, node_idx = outcome.snapshot.devices, outcome.snapshot.pods.node_idx
    assert table is not None
    return ((pod, node_idx.item(pod), table.groups.get(pod, ())) for pod in pods.tolist())


def _overfull(outcome: Outcome, everybody: Iterable[_Seat], new: Iterable[_Seat], when: str) -> Iterator[Violation]:
    snapshot, table = outcome.snapshot, outcome.snapshot.devices
    assert table is not None
    taken: Counter[tuple[int, str]] = Counter()
    whole: Counter[int] = Counter()
    for pod, node, names in everybody:
        class_idx = snapshot.pods.class_idx.item(pod)
        whole[node] += snapshot.classes.request.item(class_idx, table.column)
        share = snapshot.classes.classes[class_idx].share
        for name in names if share is not None else ():
            assert share is not None
            if not taken[node, name]:
                whole[node] += DEVICE
            taken[node, name] += share.amount(table.memory.item(node))
    for pod, node, names in new:
        where = f"on {snapshot.nodes.names[node]} {when}"
        for name in names:
            if taken[node, name] > table.capacity(node):
                yield Violation(str(snapshot.pods.keys[pod]), f"gets a share of {name}, beyond its memory, {where}")
        asks = names or snapshot.classes.request.item(snapshot.pods.class_idx.item(pod), table.column)
        if asks and whole[node] > snapshot.nodes.allocatable.item(node, table.column):
            yield Violation(str(snapshot.pods.keys[pod]), f"gets devices that are not there, {where}")


SHARING = (seats, devices)
