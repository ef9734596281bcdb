"""The ledger: what is free and who has what, at this point of the cycle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.state.claims import Claims
from kai_py.core.state.devices import Devices
from kai_py.core.state.neighbours import Neighbours
from kai_py.core.state.node_shares import NodeShares
from kai_py.core.state.volumes import Volumes
from kai_py.core.state.zones import Zones
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.queues import ROOT, QueueTable
from kai_py.core.tables.snapshot import Snapshot


class Cells(NamedTuple):
    """Columns of a ledger, one number at a time: the same memory, read in a third of the time of ``item``."""

    state: memoryview
    node: memoryview
    active: memoryview
    allocated: memoryview
    pending: memoryview


class Ledger:
    """Mutable sums over a snapshot. Only ``Transaction`` writes to them.

    Attributes:
        free: ``(N, R)`` allocatable minus what every pod on the node holds, leaving pods included; negative where a
            node is overcommitted, and nothing may be placed there.
        releasing: ``(N, R)`` what leaving pods will give back, minus what is nominated onto it. Negative where a
            nomination stands on idle capacity, so that ``free + releasing`` is what is left for the next one.
        queue_allocated: ``(Q, A)`` charged to a queue and all its ancestors; leaving pods count for nothing.
        queue_non_preemptible: ``(Q, A)`` the part of it that non-preemptible podgroups hold.
        active: ``(S,)`` pods of a leaf subgroup that have a place, nominated ones included.
        allocated: ``(S,)`` the same without the nominated.
        pending: ``(S,)`` pods of a leaf subgroup that are to be placed.
        devices: devices that are shared; None where nobody shares. Each counts as a whole one in ``free``.
        claims: claims on devices; None where no pod has any.
        node_shares: what devices take of nodes; None where none takes anything.
        volumes: volumes that pods get, and what nodes attach; None where no pod has any.
        neighbours: who is near whom; None where nobody cares.
        zones: NUMA nodes; None where no kubelet aligns pods.
        state: ``(P,)`` ``PodState``.
        node: ``(P,)`` node row or -1; of a nominated pod the node it is nominated to.
        cells: ``state``, ``node`` and the counts of subgroups, for whoever asks for single numbers of many.
        touched: rows of nodes that changed, in order, with repetitions; caches remember how far they have read.
        freed: how often something was given back, by an eviction or a rollback: as long as it stands still, room only
            shrinks, and what did not fit will not fit.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        pods, classes, nodes = snapshot.pods, snapshot.classes, snapshot.nodes
        self.snapshot = snapshot
        self.state = pods.state.copy()
        self.node = pods.node_idx.copy()
        on_node = _where(pods.state, USING) & (pods.node_idx != NONE)
        leaving = on_node & (pods.state == PodState.RELEASING)
        self.free = nodes.allocatable - _sum(
            pods.node_idx[on_node], pods.class_idx[on_node], len(nodes), classes.request
        )
        self.releasing = _sum(pods.node_idx[leaving], pods.class_idx[leaving], len(nodes), classes.request)

        table = snapshot.devices
        self.devices = None if table is None else Devices(snapshot, table, self.free, self.releasing)

        held = snapshot.claims
        shares = held is not None and held.takes_of_nodes
        self.node_shares = NodeShares(snapshot, held, self.free, self.releasing) if shares and held else None
        self.claims = None if held is None else Claims(snapshot, held, self.node_shares)

        self.volumes = None if snapshot.volumes is None else Volumes(snapshot, snapshot.volumes)
        near = snapshot.neighbours
        self.neighbours = None if near is None else Neighbours(snapshot, near, self.state, self.node)
        self.zones = None if snapshot.zones is None else Zones(snapshot, snapshot.zones)

        ours = pods.subgroup_idx != NONE
        bound = ours & (pods.state == PodState.BOUND)
        self.active = _count(pods.subgroup_idx[bound], len(snapshot.subgroups))
        self.allocated = self.active.copy()
        self.pending = _count(pods.subgroup_idx[ours & (pods.state == PodState.PENDING)], len(snapshot.subgroups))
        self.queue_allocated = charge(snapshot, bound)
        self.queue_non_preemptible = charge(snapshot, bound, only=~snapshot.podgroups.preemptible)
        self.cells = Cells(self.state.data, self.node.data, self.active.data, self.allocated.data, self.pending.data)
        self.touched: list[int] = []
        self.freed = 0

    def room(self) -> Amounts:
        """``(A,)`` what is free or about to be on ready nodes, as queues are charged; parts of shared devices included.

        No more than this can be placed without evicting anybody, however the pods are moved.
        """
        nodes, accounting = self.snapshot.nodes, self.snapshot.axis.accounting
        later = np.maximum(self.free + self.releasing, 0)[nodes.ready].sum(axis=0)
        if self.devices is not None:
            for node, thousandths in self.devices.unused():
                later[self.devices.table.column] += thousandths * nodes.ready.item(node)
        room = np.asarray(later @ accounting)
        if self.claims is not None:
            for column, units in self.claims.idle():
                room[column] += units
        return room


def charge(snapshot: Snapshot, pods: Mask, *, only: Mask | None = None) -> Amounts:
    """What pods cost their queues and all ancestors.

    Args:
        snapshot: the tables.
        pods: ``(P,)`` which pods to charge.
        only: ``(G,)`` podgroups to look at; None = all.

    Returns:
        ``(Q, A)`` base units.
    """
    rows = np.flatnonzero(pods & (snapshot.pods.subgroup_idx != NONE))
    groups = snapshot.subgroups.podgroup_idx[snapshot.pods.subgroup_idx[rows]]
    queues = snapshot.podgroups.queue_idx[groups]
    counts = queues != ROOT
    if only is not None:
        counts &= only[groups]
    leaves = _sum(
        queues[counts], snapshot.pods.class_idx[rows[counts]], len(snapshot.queues), snapshot.classes.accounted
    )
    return roll_up(snapshot.queues, leaves)


def roll_up(queues: QueueTable, amounts: Amounts) -> Amounts:
    """Add every queue's amounts to all its ancestors; ``(Q, A)`` in, a new ``(Q, A)`` out."""
    sums = amounts.copy()
    for rows in queues.levels:
        np.add.at(sums, queues.parent[rows], sums[rows])
    return sums


def _sum(rows: Rows, class_idx: Rows, count: int, per_class: Amounts) -> Amounts:
    """Sum the amounts of pods by row: ``(count, K)`` from ``(C, K)``.

    Counting pods per (row, class) first keeps the sums in int64 and touches each pod once; adding the pods' vectors
    one by one (``np.add.at``) took six times as long at 50,000 pods.
    """
    if not len(rows):
        return np.zeros((count, per_class.shape[1]), dtype=np.int64)
    shape = (count, per_class.shape[0])
    pods = sparse.csr_array((np.ones(len(rows), dtype=np.int64), (rows, class_idx)), shape=shape)
    return np.asarray(pods @ per_class, dtype=np.int64)


def _count(rows: Rows, count: int) -> Rows:
    return np.bincount(rows, minlength=count).astype(np.int32)


def _where(state: NDArray[np.uint8], states: tuple[PodState, ...]) -> Mask:
    lookup = np.zeros(len(PodState), dtype=np.bool_)
    lookup[list(states)] = True
    return lookup[state]
