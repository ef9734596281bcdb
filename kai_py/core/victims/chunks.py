"""What can be taken from a running podgroup, piece by piece: its surplus first, its core as one.

A gang that loses a member of its core is of no use, so the core goes whole or stays (kai.md, "victim tasks for one
pop"). The order within a podgroup is the reverse of the order in which it would be placed. A podgroup may say that it
is one victim with all that it has (KEP-4671's ``disruptionMode: PodGroup``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse

from kai_py.core.gangs.members import Members, Subgroup, leaves
from kai_py.core.resources import DEVICE, Amounts, Cost, Mask, Rows
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import ACTIVE, NONE, PodState

#: A class' members are compared slowly; these are asked for every pod.
_ACTIVE = frozenset(map(int, ACTIVE))


class Chunk(NamedTuple):
    """Pods that are taken together.

    Attributes:
        podgroup: row.
        pods: rows.
        cost: what they are charged, all together.
        core: whether the podgroup is below its minimum without them.
        breaks: rows of the leaves that are below their minimum without them: the rest of those is of no use.
        movable: whether they may be given other places: the podgroup has its minimum, is not blocked and requires no
            level of a topology, and somebody makes them anew when they are evicted.
    """

    podgroup: int
    pods: tuple[int, ...]
    cost: Cost
    core: bool
    breaks: tuple[int, ...] = ()
    movable: bool = True


class Running:
    """The pods that have places, by podgroup; looked up only for those that might be victims.

    Pods that were given a place in this very cycle are among them: a place can be withdrawn from the less important
    before it is used.
    """

    def __init__(self, ledger: Ledger, members: Members) -> None:
        self._ledger = ledger
        self._members = members
        self._snapshot = ledger.snapshot

    @cached_property
    def _by_subgroup(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of pods that can have a place, sorted by subgroup, and where each subgroup's begin: ``(S + 1,)``."""
        pods = self._snapshot.pods
        ours = np.flatnonzero(
            ((pods.state == PodState.BOUND) | (pods.state == PodState.PENDING)) & (pods.subgroup_idx != NONE)
        )
        order = ours[np.argsort(pods.subgroup_idx[ours], kind="stable")]
        begins = np.searchsorted(pods.subgroup_idx[order], np.arange(len(self._snapshot.subgroups) + 1))
        return order, begins

    @property
    def podgroups(self) -> Rows:
        """Rows of podgroups that have pods with places, ascending."""
        found = np.zeros(len(self._snapshot.podgroups), dtype=np.bool_)
        found[self._snapshot.subgroups.podgroup_idx[self._ledger.active > 0]] = True
        return np.flatnonzero(found).astype(np.int32)

    def pods(self, leaf: int) -> list[int]:
        """Pods of a leaf that have places at this point of the cycle, last placed first."""
        order, begins = self._by_subgroup
        rows = order[begins[leaf] : begins[leaf + 1]].tolist()
        state = self._ledger.state
        active = [pod for pod in rows if state.item(pod) in _ACTIVE]
        return sorted(active, key=self._members.placing_order, reverse=True) if len(active) > 1 else active

    @cached_property
    def costs(self) -> Amounts:
        """``(G, A)`` what the places of each podgroup were charged when victims were first asked for."""
        pods, state = self._snapshot.pods, self._ledger.state
        rows = np.flatnonzero((pods.subgroup_idx != NONE) & np.isin(state, ACTIVE))
        groups = self._snapshot.subgroups.podgroup_idx[pods.subgroup_idx[rows]]
        shape = (len(self._snapshot.podgroups), len(self._snapshot.classes))
        counts = sparse.csr_array((np.ones(len(rows), dtype=np.int64), (groups, pods.class_idx[rows])), shape=shape)
        return np.asarray(counts @ self._snapshot.classes.accounted, dtype=np.int64)

    def on_nodes(self, podgroups: Mask) -> Rows:
        """Rows of the pods of some podgroups, ``(G,)``, that have a place on a node."""
        pods, ledger = self._snapshot.pods, self._ledger
        rows = np.flatnonzero((pods.subgroup_idx != NONE) & (ledger.node != NONE) & np.isin(ledger.state, ACTIVE))
        found: Rows = rows[podgroups[self._snapshot.subgroups.podgroup_idx[pods.subgroup_idx[rows]]]].astype(np.int32)
        return found

    def given_back(self, rows: Rows) -> Amounts:
        """``(N, R)`` no less than what nodes get back if some pods that have nodes leave."""
        pods, ledger = self._snapshot.pods, self._ledger
        shape = (len(self._snapshot.nodes), len(self._snapshot.classes))
        ones = np.ones(len(rows), dtype=np.int64)
        counts = sparse.csr_array((ones, (ledger.node[rows], pods.class_idx[rows])), shape=shape)
        given = np.asarray(counts @ self._snapshot.classes.request, dtype=np.int64)
        if (devices := ledger.devices) is not None:  # as if each were the last one on its devices
            for pod in set(rows.tolist()).intersection(devices.of_pod):
                given[ledger.node.item(pod), devices.table.column] += DEVICE * len(devices.of_pod[pod])
        return given

    def chunks(self, podgroup: int) -> Iterator[Chunk]:
        """All pieces of a podgroup in the order in which they are taken."""
        root = self._members.tree(podgroup)
        if root.leaf and len(only := self.pods(root.row)) == 1:  # most podgroups, by far
            core = root.minimum > 0 or podgroup in self._snapshot.podgroups.whole
            movable = root.minimum <= 1 and self._comes_back(podgroup, only)
            yield Chunk(podgroup, (only[0],), self._cost(only), core, (root.row,) if core else (), movable)
            return
        left = {leaf.row: self.pods(leaf.row) for leaf in leaves(root)}
        whole = _satisfied(root, left)
        if podgroup in self._snapshot.podgroups.whole:
            taken = [pod for members in left.values() for pod in members]
            if taken:
                movable = whole and self._comes_back(podgroup, taken)
                yield Chunk(podgroup, tuple(taken), self._cost(taken), True, tuple(left), movable)
            return
        while any(left.values()):
            pods = _surplus(root, left)
            core = pods is None
            taken = pods if pods is not None else [pod for members in left.values() for pod in members]
            breaks = tuple(left) if core else self._broken(taken) if len(taken) > 1 else ()
            for members in left.values():
                members[:] = [pod for pod in members if pod not in taken]
            yield Chunk(
                podgroup, tuple(taken), self._cost(taken), core, breaks, whole and self._comes_back(podgroup, taken)
            )

    def _comes_back(self, podgroup: int, pods: list[int]) -> bool:
        """Whether pods that are evicted are made anew and may be placed again, no matter how near to others."""
        topologies = self._snapshot.topologies
        if podgroup in self._snapshot.podgroups.blocked or (topologies and topologies.fixed.item(podgroup)):
            return False
        return all(map(self._snapshot.pods.can_move, pods))

    def _broken(self, pods: list[int]) -> tuple[int, ...]:
        """Leaves of a child that goes as a whole."""
        return tuple(dict.fromkeys(self._snapshot.pods.subgroup_idx[pods].tolist()))

    def _cost(self, pods: list[int]) -> Cost:
        classes, of = self._snapshot.classes, self._snapshot.pods.class_idx
        if len(pods) == 1:
            return classes.costs[of.item(pods[0])]
        return tuple(classes.accounted[of[pods]].sum(axis=0).tolist())


def _surplus(subgroup: Subgroup, left: dict[int, list[int]]) -> list[int] | None:
    """One pod of a leaf that has more than its minimum, or a whole child beyond those that are needed; None if neither.

    The subgroup that would be placed last gives first.
    """
    if subgroup.leaf:
        members = left[subgroup.row]
        return members[:1] if len(members) > subgroup.minimum else None
    active = [child for child in reversed(subgroup.children) if _has_pods(child, left)]
    for child in sorted(active, key=lambda child: -_grown(child, left)):
        if (found := _surplus(child, left)) is not None:
            return found
    satisfied = [child for child in active if _satisfied(child, left)]
    if len(satisfied) > subgroup.minimum:
        return [pod for leaf in leaves(satisfied[0]) for pod in left[leaf.row]]
    return None


def _grown(subgroup: Subgroup, left: dict[int, list[int]]) -> float:
    have = sum(len(left[leaf.row]) for leaf in leaves(subgroup))
    return have / subgroup.minimum if subgroup.leaf and subgroup.minimum else have


def _has_pods(subgroup: Subgroup, left: dict[int, list[int]]) -> bool:
    return any(left[leaf.row] for leaf in leaves(subgroup))


def _satisfied(subgroup: Subgroup, left: dict[int, list[int]]) -> bool:
    if subgroup.leaf:
        return len(left[subgroup.row]) >= subgroup.minimum
    return sum(_satisfied(child, left) for child in subgroup.children) >= subgroup.minimum
