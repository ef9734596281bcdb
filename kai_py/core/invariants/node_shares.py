"""Checkers of what devices take of nodes: it fits beside everything else, and is told, and claimed by one pod."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.dra.node_shares import NodeRoom, OfNode, of_claim
from kai_py.core.dra.table import NO_TERMS, ClaimTable, NodeTake
from kai_py.core.invariants.outcome import Outcome, Violation
from kai_py.core.resources import Amounts
from kai_py.core.result import Bind, Nominate
from kai_py.core.tables.pods import NONE, USING, PodState

#: (pod, node, what its claims take there)
_User = tuple[int, int, tuple[NodeTake, ...]]


def node_shares(outcome: Outcome) -> Iterator[Violation]:
    """What devices take of a node is there beside what all pods ask for; who runs is reckoned with once per claim."""
    table = outcome.snapshot.claims
    if table is None or not table.takes_of_nodes:
        return
    given = {
        one.claim: one.allocation
        for decision in outcome.result.decisions
        if isinstance(decision, Bind | Nominate)
        for one in decision.claims
        if isinstance(one.allocation, ClaimAllocation)
    }
    placed: dict[int, _User] = {}
    for decision in outcome.result.decisions:
        if isinstance(decision, Bind | Nominate):
            pod, node = outcome.row_of_pod[decision.pod], outcome.snapshot.nodes.names.index(decision.node)
            parts = _parts(table, pod, given)
            yield from _terms(outcome, table, pod, parts)
            if isinstance(decision, Bind) and dict(decision.of_node) != {table.claims[row].key: p for row, p in parts}:
                yield Violation(decision.pod, f"tells that its devices take {decision.of_node} of its node")
            placed[pod] = pod, node, _takes(outcome, table, pod, parts)
    pods, evicted = outcome.snapshot.pods, set(outcome.evicted.tolist())
    stays: list[_User] = []
    leaves: list[_User] = []
    for pod in np.flatnonzero(np.isin(pods.state, USING) & (pods.node_idx != NONE)).tolist():
        gone = pod in evicted or pods.state.item(pod) == PodState.RELEASING
        (leaves if gone else stays).append((pod, pods.node_idx.item(pod), table.node_takes.get(pod, ())))
    starting = [placed[pod] for pod in outcome.bound.tolist()]
    coming = [placed[pod] for pod in outcome.nominated.tolist()]
    yield from _overfull(outcome, [*stays, *leaves, *starting], starting, "starting")
    yield from _overfull(outcome, [*stays, *starting, *coming], coming, "nominated")
    yield from _shared(outcome, [*stays, *starting, *coming], [*starting, *coming])


def _parts(table: ClaimTable, pod: int, given: dict[str, ClaimAllocation]) -> list[tuple[int, OfNode]]:
    """What each claim of a pod takes of its node."""
    found = []
    for row in table.of_pod.get(pod, ()):
        claim = table.claims[row]
        if (allocation := given.get(claim.key)) is not None:
            part = of_claim(allocation, table.inventory)
        else:
            part = claim.held.of_node if claim.held is not None else ()
        if part:
            found.append((row, part))
    return found


def _takes(outcome: Outcome, table: ClaimTable, pod: int, parts: Iterable[tuple[int, OfNode]]) -> tuple[NodeTake, ...]:
    axis = outcome.snapshot.axis
    within = dict(table.terms.get(outcome.snapshot.pods.class_idx.item(pod), NO_TERMS).within)
    room = NodeRoom({}, axis.per_unit)
    found = []
    for row, part in parts:
        units = {axis.index[name]: amount for name, amount in room.units(part).items() if name in axis.index}
        amounts = tuple(sorted((column, amount) for column, amount in units.items() if column not in within))
        found.append(NodeTake(row, amounts))
    return tuple(found)


def _terms(outcome: Outcome, table: ClaimTable, pod: int, parts: Iterable[tuple[int, OfNode]]) -> Iterator[Violation]:
    """A claim is used by some container, and what the pod as a whole asks for is enough."""
    snapshot = outcome.snapshot
    terms = table.terms.get(snapshot.pods.class_idx.item(pod), NO_TERMS)
    taken, name = Counter[int](), str(snapshot.pods.keys[pod])
    for row, part in parts:
        if table.of_pod[pod].index(row) in terms.unused:
            yield Violation(name, f"gets something of its node by {table.claims[row].key}, which no container uses")
        units = NodeRoom({}, snapshot.axis.per_unit).units(part)
        taken.update({snapshot.axis.index[one]: amount for one, amount in units.items() if one in snapshot.axis.index})
    for column, left in terms.within:
        if taken[column] and taken[column] > left:
            yield Violation(name, f"gets more {snapshot.axis.names[column]} by devices than the pod asks for")


def _overfull(outcome: Outcome, users: Iterable[_User], new: Iterable[_User], what: str) -> Iterator[Violation]:
    snapshot = outcome.snapshot
    held = _held(outcome, users)
    for _, node, takes in new:
        for column in sorted({column for take in takes for column, _ in take.amounts}):
            over = held.item(node, column) - snapshot.nodes.allocatable.item(node, column)
            if over > 0:
                name = snapshot.axis.names[column]
                yield Violation(
                    snapshot.nodes.names[node], f"devices of pods that are {what} take {over} {name} too much"
                )


def _held(outcome: Outcome, users: Iterable[_User]) -> Amounts:
    """``(N, R)`` what pods and their devices take; a claim counts once on a node."""
    snapshot, table = outcome.snapshot, outcome.snapshot.claims
    assert table is not None
    held = np.zeros_like(snapshot.nodes.allocatable)
    counted: set[tuple[int, NodeTake]] = set()
    for pod, node, takes in users:
        class_idx = snapshot.pods.class_idx.item(pod)
        held[node] += snapshot.classes.request[class_idx]
        for column, units in table.terms.get(class_idx, NO_TERMS).included:
            held[node, column] -= units
        for take in takes:
            if (node, take) not in counted:
                counted.add((node, take))
                for column, units in take.amounts:
                    held[node, column] += units
    return held


def _shared(outcome: Outcome, users: Iterable[_User], new: Iterable[_User]) -> Iterator[Violation]:
    """Nobody is placed beside somebody who uses the same claim, if its devices take anything of the node."""
    counts = Counter((node, take.claim) for _, node, takes in users for take in takes)
    assert outcome.snapshot.claims is not None
    for pod, node, takes in new:
        for take in takes:
            if counts[node, take.claim] > 1:
                key = outcome.snapshot.claims.claims[take.claim].key
                yield Violation(str(outcome.snapshot.pods.keys[pod]), f"shares {key} with another pod of its node")


NODE_SHARES = (node_shares,)
