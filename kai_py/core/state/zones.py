"""NUMA nodes as the cycle changes them: what is free in each, now and once leaving pods are gone."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.tables.zones import NO_SEAT, Seat, ZoneTable


class Zones:
    """The zones of all nodes. Part of the ledger; only ``Transaction`` changes it.

    What an exporter reports lags behind: pods that were bound a moment ago are not in it. As long as less is taken on a
    node, by what it reports, than its pods ask for, the zones that are written down for its pods count as taken, too
    (KAI counts by those alone). Whoever leaves gives back the zones that are written down for it; where nothing is, no
    zone is guessed.

    Attributes:
        table: of the snapshot.
        free: ``(N, Z, K)`` free now; negative where a zone is overcommitted.
        releasing: ``(N, Z, K)`` what leaving pods will give back, minus what is nominated onto it.
        of_pod: pod row -> the zones that it takes, or last took.
    """

    def __init__(self, snapshot: Snapshot, table: ZoneTable) -> None:
        self.table = table
        self.of_pod: dict[int, Seat] = dict(table.records)
        self.free = table.available.copy()
        self._sizes: list[list[list[int]]] = table.allocatable.tolist()
        self.releasing = np.zeros_like(self.free)
        pods = snapshot.pods
        using = np.isin(pods.state, USING) & (pods.node_idx != NONE)
        behind = self._behind(snapshot, np.flatnonzero(using).astype(np.int32))
        written = np.zeros_like(self.free)
        for pod, seat in table.records.items():
            if using.item(pod):
                node = pods.node_idx.item(pod)
                _add(written[node], seat, 1)
                if pods.state.item(pod) == PodState.RELEASING:
                    _add(self.releasing[node], seat, 1)
        self.free[behind] = np.minimum(self.free, table.allocatable - written)[behind]

    def _behind(self, snapshot: Snapshot, rows: Rows) -> Rows:
        """Nodes whose exporter has not seen all pods that are there."""
        table, pods, classes = self.table, snapshot.pods, snapshot.classes.classes
        needs = np.array([table.amounts(one.alignment.pod if one.alignment else ()) for one in classes])
        shape = (len(snapshot.nodes), len(classes))
        ones = np.ones(len(rows), dtype=np.int64)
        counts = sparse.csr_array((ones, (pods.node_idx[rows], pods.class_idx[rows])), shape=shape)
        asked = np.asarray(counts @ needs.reshape(len(classes), len(table.resources)))
        seen = (table.allocatable - table.available).sum(axis=1)
        return np.flatnonzero(((asked > seen) & table.reported).any(axis=1)).astype(np.int32)

    def later(self, nodes: Rows | slice) -> Amounts:
        """``(M, Z, K)`` free once leaving pods are gone and nominated ones are there; nowhere negative."""
        free = np.minimum(self.free[nodes] + self.releasing[nodes], self.table.allocatable[nodes])
        return np.asarray(np.maximum(free, 0, out=free))

    def start(self, nodes: Rows | slice) -> Amounts:
        """``(M, Z, K)`` free now and not promised to anybody; nowhere negative."""
        return np.asarray(np.maximum(np.minimum(self.free[nodes], self.later(nodes)), 0))

    def of_one(self, node: int) -> tuple[list[list[int]] | None, list[list[int]]]:
        """Both for one node as plain numbers; None where there is no difference."""
        free, sizes = self.free[node].tolist(), self._sizes[node]
        moving = self.releasing[node].tolist()
        if not any(map(any, moving)):
            return None, _least(free, sizes)
        soon = [[now + more for now, more in zip(*rows, strict=True)] for rows in zip(free, moving, strict=True)]
        later = _least(soon, sizes)
        return _least(free, later), later

    def holds(self, node: int, seat: Seat, *, later: bool) -> bool:
        """Whether a seat can be taken."""
        rows = np.array([node])
        free = (self.later(rows) if later else self.start(rows))[0]
        return all(free.item(zone, column) >= units for zone, column, units in seat)

    def seat(self, pod: int) -> Seat:
        """The zones that a pod takes, or last took, as far as that is known."""
        return self.of_pod.get(pod, NO_SEAT)

    def sit(self, pod: int, seat: Seat) -> None:
        """Note the zones that a pod takes."""
        if seat:
            self.of_pod[pod] = seat
        else:
            self.of_pod.pop(pod, None)

    def shift(self, node: int, seat: Seat, sign: int, *, now: bool) -> None:
        """Take a seat (``sign`` 1), or give it back (-1), now or only later."""
        _add((self.free if now else self.releasing)[node], seat, -sign)


def _least(one: list[list[int]], other: list[list[int]]) -> list[list[int]]:
    """What both have in each zone, nowhere negative."""
    return [[max(0, min(pair)) for pair in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)]


def _add(zones: Amounts, seat: Seat, sign: int) -> None:
    """Add a seat to the ``(Z, K)`` of one node."""
    for zone, column, units in seat:
        zones[zone, column] += sign * units
