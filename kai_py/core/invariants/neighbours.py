"""Checkers of neighbours: whoever gets a place is near those whom it needs, and away from those whom it must not meet.

Told pod by pod from the table of kinds; tallies are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.filters.node_affinity import node_affinity
from kai_py.core.filters.taints import taints
from kai_py.core.invariants.outcome import Outcome, Violation
from kai_py.core.resources import Mask, Rows
from kai_py.core.tables.labels import ABSENT
from kai_py.core.tables.neighbours import Kind, NeighbourTable, Spread
from kai_py.core.tables.pods import NONE, PodState


@dataclass
class _Final:
    """Where everybody is in the end: row of the pod -> its kind and node, for pods that matter to others."""

    outcome: Outcome
    table: NeighbourTable

    @cached_property
    def kinds(self) -> Rows:
        snapshot = self.outcome.snapshot
        own = np.array([one.kind for one in snapshot.classes.classes], dtype=np.int32)
        return np.asarray(own[snapshot.pods.class_idx])

    @cached_property
    def node(self) -> Rows:
        """``(P,)`` where pods are once those that leave are gone."""
        outcome, pods = self.outcome, self.outcome.snapshot.pods
        node = np.where(np.isin(pods.state, (PodState.BOUND, PodState.STUCK)), pods.node_idx, NONE).astype(np.int32)
        node[outcome.evicted] = NONE
        node[outcome.bound], node[outcome.nominated] = outcome.bound_to, outcome.nominated_to
        return node

    @cached_property
    def turn(self) -> dict[int, int]:
        """Place among all decisions, by row of the pod."""
        row_of = self.outcome.row_of_pod
        return {row_of[one.pod]: number for number, one in enumerate(self.outcome.result.decisions)}

    @cached_property
    def leaving(self) -> Rows:
        """Rows of pods that still hold a node and will not."""
        pods, outcome = self.outcome.snapshot.pods, self.outcome
        leaving = np.isin(pods.state, (PodState.RELEASING,)) & (pods.node_idx != NONE)
        leaving[outcome.evicted] = True
        return np.flatnonzero(leaving & (pods.node_idx != NONE) & (self.kinds != NONE)).astype(np.int32)

    @cached_property
    def there(self) -> list[tuple[int, Kind, int]]:
        """Pod, kind and node of all who have a place in the end and matter to others."""
        rows = np.flatnonzero((self.node != NONE) & (self.kinds != NONE)).tolist()
        return [(row, self.table.kinds[self.kinds.item(row)], self.node.item(row)) for row in rows]

    def near(self, key: str) -> Rows:
        """``(N,)`` domains of a label; ``ABSENT`` where there is none."""
        return self.outcome.snapshot.nodes.labels.column(key).codes

    def together(self, key: str, one: int, other: int) -> bool:
        codes = self.near(key)
        return bool(codes[one] != ABSENT and codes[one] == codes[other])


def neighbours(outcome: Outcome) -> Iterator[Violation]:
    """Required rules between pods hold for everybody who gets a place, with all others where they will be.

    A pod that stays, or comes back to its own node, is not asked what it needed when it started.
    """
    snapshot = outcome.snapshot
    if (table := snapshot.neighbours) is None:
        return
    final = _Final(outcome, table)
    new = [row for row in outcome.placed.tolist() if final.kinds.item(row) != NONE]
    for pod in new:
        kind, node = table.kinds[final.kinds.item(pod)], final.node.item(pod)
        others = [one for one in final.there if one[0] != pod]
        if pod in outcome.bound:  # those who are about to leave are still there
            nodes = snapshot.pods.node_idx
            others += [(row, table.kinds[final.kinds.item(row)], nodes.item(row)) for row in final.leaving.tolist()]
        for what in (*_repelled(final, kind, node, others), *_alone(final, pod, kind, node, others)):
            yield Violation(str(snapshot.pods.keys[pod]), f"on {snapshot.nodes.names[node]} {what}")
    yield from _uneven(final, new)


def _repelled(final: _Final, kind: Kind, node: int, others: list[tuple[int, Kind, int]]) -> Iterator[str]:
    names = final.outcome.snapshot.pods.keys
    for row, other, where in others:
        if where == node and any(own.conflicts(port) for own in kind.ports for port in other.ports):
            yield f"it wants a port that {names[row]} has"
        for term, target in (*((term, other) for term in kind.anti), *((term, kind) for term in other.anti)):
            if term.matcher in target.matched and final.together(term.key, node, where):
                yield f"it is in one {term.key} with {names[row]} against an anti-affinity"


def _alone(final: _Final, pod: int, kind: Kind, node: int, others: list[tuple[int, Kind, int]]) -> Iterator[str]:
    """Whom a pod needs may be leaving, or have lost its place to somebody else since.

    The first pod of a series has nobody near it, until others come, to wherever they come.
    """
    if not kind.affinity or final.leaving.size or final.outcome.evicted.size:
        return
    meant = [(row, where) for row, one, where in others if all(term.matcher in one.matched for term in kind.affinity)]
    lacking = [term for term in kind.affinity if not any(final.together(term.key, node, where) for _, where in meant)]
    before = [where for row, where in meant if final.turn.get(row, -1) < final.turn[pod]]
    somewhere = any(final.near(term.key)[where] != ABSENT for term in kind.affinity for where in before)
    labelled = all(final.near(term.key)[node] != ABSENT for term in kind.affinity)
    if lacking and not (labelled and kind.means_itself() and not somewhere):
        yield f"it has nobody near it whom its affinity by {lacking[0].key} needs"


def _uneven(final: _Final, new: list[int]) -> Iterator[Violation]:
    """Where only pods that ask for it came, and nobody went, no domain is too far ahead."""
    outcome, table = final.outcome, final.table
    if outcome.evicted.size:
        return
    for pod in new:
        kind = table.kinds[final.kinds.item(pod)]
        hard = [spread for spread in kind.spreads if spread.hard]
        for spread in hard:
            matching = {row for row, one, _ in final.there if spread.matcher in one.matched}
            if any(final.kinds.item(row) != final.kinds.item(pod) for row in matching.intersection(new)):
                continue
            what = _skew(final, pod, spread, _counted(final, pod, spread, hard), matching)
            if what > spread.max_skew:
                name = str(outcome.snapshot.pods.keys[pod])
                yield Violation(name, f"makes its {spread.key} {what} ahead of another, of {spread.max_skew} allowed")


def _counted(final: _Final, pod: int, spread: Spread, hard: list[Spread]) -> Mask:
    """``(N,)`` nodes whose pods count for a constraint."""
    snapshot = final.outcome.snapshot
    asked = snapshot.classes.classes[snapshot.pods.class_idx.item(pod)]
    counted: Mask = np.logical_and.reduce([final.near(one.key) != ABSENT for one in hard])
    if spread.honors_affinity:
        counted = counted & node_affinity(asked, snapshot.nodes)
    if spread.honors_taints:
        counted = counted & taints(asked, snapshot.nodes)
    return counted


def _skew(final: _Final, pod: int, spread: Spread, counted: Mask, matching: set[int]) -> int:
    """How far the domain of a pod is ahead of the emptiest one."""
    codes, pods = final.near(spread.key), final.outcome.snapshot.pods
    counts = dict.fromkeys(np.unique(codes[counted]).tolist(), 0)
    for row in matching:
        node = final.node.item(row)
        if counted[node] and pods.state.item(row) != PodState.STUCK:
            counts[codes.item(node)] += 1
    least = min(counts.values(), default=0) if len(counts) >= max(spread.min_domains, 1) else 0
    return counts.get(codes.item(final.node.item(pod)), int(spread.counts_itself)) - least


NEIGHBOURS = (neighbours,)
