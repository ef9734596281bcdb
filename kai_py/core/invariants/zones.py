"""Checkers of NUMA nodes: nobody is given more of a zone than there is, nor zones that its kubelet would not allow."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from kai_py.core.invariants.outcome import Outcome, Violation
from kai_py.core.result import Bind, Evict
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.zones import Alignment, Need, Policy, Seat, ZoneTable

#: (node, zone, column in K)
_Part = tuple[int, int, int]


def zones(outcome: Outcome) -> Iterator[Violation]:
    """Where a kubelet refuses what is not aligned, everybody's zones have room now, or once leaving pods are gone."""
    table = outcome.snapshot.zones
    if table is None:
        return
    starts, waits = list[tuple[str, int, Seat]](), list[tuple[str, int, Seat]]()
    for decision in outcome.result.decisions:
        if isinstance(decision, Evict):
            continue
        pod, node = outcome.row_of_pod[decision.pod], outcome.snapshot.nodes.names.index(decision.node)
        alignment = outcome.snapshot.classes.classes[outcome.snapshot.pods.class_idx.item(pod)].alignment
        seat = tuple(
            (table.names[node].index(zone), table.resources.index(name), units)
            for zone, need in decision.zones
            for name, units in need
        )
        (starts if isinstance(decision, Bind) else waits).append((decision.pod, node, seat))
        if alignment is not None and table.policy.item(node) >= Policy.RESTRICTED:
            yield from _suits(table, decision.pod, node, alignment, seat)
    free, given = _free(outcome, table), _given(outcome, table)
    starting, all_new = _sums(starts), _sums([*starts, *waits])
    for part, units in starting.items():
        if units > free[part]:
            yield Violation(outcome.snapshot.nodes.names[part[0]], f"{_what(table, part)}: {units} of {free[part]} now")
    for part, units in all_new.items():
        if units > (soon := min(free[part] + given[part], table.allocatable.item(part))):
            yield Violation(outcome.snapshot.nodes.names[part[0]], f"{_what(table, part)}: {units} of {soon} later")


def _what(table: ZoneTable, part: _Part) -> str:
    node, zone, column = part
    return f"more {table.resources[column]} is given than zone {table.names[node][zone]} has"


def _suits(table: ZoneTable, pod: str, node: int, alignment: Alignment, seat: Seat) -> Iterator[Violation]:
    """All that is aligned is there, and nothing else; and from as many zones as the policy allows."""
    units = (alignment.pod,) if table.by_pod.item(node) else alignment.together
    asked = Counter[int]()
    for need in units:
        asked.update(dict(_columns(table, node, need)))
    taken = Counter[int]()
    for _, column, amount in seat:
        taken[column] += amount
    if taken != asked:
        yield Violation(pod, f"takes {dict(taken)} of zones and asks for {dict(asked)}")
    most = sum(_most_zones(table, node, need) for need in units)
    if len({zone for zone, _, _ in seat}) > most:
        yield Violation(pod, f"is spread over more than {most} zones")


def _columns(table: ZoneTable, node: int, need: Need) -> list[tuple[int, int]]:
    """What of a need some zone of a node has."""
    columns = [(table.resources.index(name), units) for name, units in need if name in table.resources]
    return [(column, units) for column, units in columns if table.reported.item(node, column)]


def _most_zones(table: ZoneTable, node: int, need: Need) -> int:
    """Zones that a need may come from."""
    if table.policy.item(node) == Policy.SINGLE:
        return 1
    fewest = 0
    for column, units in _columns(table, node, need):
        count, left = 0, units
        for size in sorted(table.allocatable[node, :, column].tolist(), reverse=True):
            if left > 0:
                count, left = count + 1, left - size
        fewest = max(fewest, count)
    return fewest


def _free(outcome: Outcome, table: ZoneTable) -> dict[_Part, int]:
    """What is free in every zone: as its exporter says, or less where it lags behind what pods ask for."""
    pods, classes = outcome.snapshot.pods, outcome.snapshot.classes.classes
    asked, written = Counter[tuple[int, int]](), Counter[_Part]()
    for pod, (state, node) in enumerate(zip(pods.state.tolist(), pods.node_idx.tolist(), strict=True)):
        if state not in USING or node == NONE:
            continue
        alignment = classes[pods.class_idx.item(pod)].alignment
        for column, units in _columns(table, node, alignment.pod) if alignment is not None else ():
            asked[node, column] += units
        for zone, column, units in table.records.get(pod, ()):
            written[node, zone, column] += units
    sizes, seen = table.allocatable.tolist(), table.available.tolist()
    free = dict[_Part, int]()
    for node in range(len(sizes)):
        lags = any(
            asked[node, column]
            > sum(size[column] - left[column] for size, left in zip(sizes[node], seen[node], strict=True))
            for column in range(len(table.resources))
        )
        for zone, left in enumerate(seen[node]):
            for column, units in enumerate(left):
                part = node, zone, column
                free[part] = min(units, sizes[node][zone][column] - written[part]) if lags else units
    return free


def _given(outcome: Outcome, table: ZoneTable) -> dict[_Part, int]:
    """What leaving pods will give back, as far as it is written down what they have."""
    pods, given = outcome.snapshot.pods, defaultdict[_Part, int](int)
    leaving = {*outcome.evicted.tolist()}
    for pod, seat in table.records.items():
        if pod in leaving or pods.state.item(pod) == PodState.RELEASING:
            for zone, column, units in seat:
                given[pods.node_idx.item(pod), zone, column] += units
    return given


def _sums(seats: Sequence[tuple[str, int, Seat]]) -> Counter[_Part]:
    sums = Counter[_Part]()
    for _, node, seat in seats:
        for zone, column, units in seat:
            sums[node, zone, column] += units
    return sums


ZONES = (zones,)
