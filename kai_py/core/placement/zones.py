"""NUMA nodes through the eyes of one pod class: where a kubelet would take it, from which zones, and how near."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kai_py.core.numa.fit import Fit, align
from kai_py.core.resources import Amounts, Mask, Rows, Shares
from kai_py.core.result import FilterReason
from kai_py.core.state.zones import Zones
from kai_py.core.tables.zones import NO_SEAT, Alignment, Need, Policy, Seat


class Judgement(NamedTuple):
    """What zones say about a pod on some nodes.

    Attributes:
        now: ``(M,)`` it would be admitted with what is free now.
        later: ``(M,)`` the same once leaving pods are gone.
        near: ``(M,)`` in (0, 1]: one over the zones that it would span.
    """

    now: Mask
    later: Mask
    near: Shares


class ZoneEye:
    """All nodes' zones for one pod class that a kubelet would align.

    Args:
        alignment: what is aligned of a pod of the class.
        zones: as the ledger has them.

    Attributes:
        concerned: ``(N,)`` nodes whose kubelet aligns something of it.
    """

    def __init__(self, alignment: Alignment, zones: Zones) -> None:
        self._alignment = alignment
        self._zones = zones
        table = zones.table
        self._pod = (table.amounts(alignment.pod),)
        self._together = tuple(map(table.amounts, alignment.together))
        self._apart = tuple(map(table.amounts, alignment.apart))
        asked = np.sum([self._pod[0], *self._together, *self._apart], axis=0) > 0
        self.concerned: Mask = (table.policy != Policy.NONE) & (table.reported & asked).any(axis=1)
        counts = table.counts
        most = max(1, int(counts.max(initial=0)))
        # Where nobody aligns anything, a pod may be spread over all zones; where we know of none, over as many as most.
        self._unaligned: Shares = 1.0 / np.where(counts > 0, counts, most)

    @property
    def refusing(self) -> Mask:
        """``(N,)`` nodes that may refuse a pod of the class over zones."""
        return self.concerned & (self._zones.table.policy >= Policy.RESTRICTED)

    def judge(self, nodes: Rows) -> Judgement:
        """Look at some nodes."""
        now, later = np.ones(len(nodes), dtype=np.bool_), np.ones(len(nodes), dtype=np.bool_)
        near = self._unaligned[nodes]
        here = np.flatnonzero(self.concerned[nodes])
        if here.size:
            start, soon = self._fit(nodes[here], later=False), self._fit(nodes[here], later=True)
            now[here], later[here] = start.admitted & soon.admitted, soon.admitted
            span = np.where(start.admitted, start.span, soon.span)
            near[here] = np.where(span > 0, 1.0 / np.maximum(span, 1), near[here])
        return Judgement(now, later, near)

    def _fit(self, nodes: Rows, *, later: bool) -> Fit:
        return self._align(nodes, self._zones.later(nodes) if later else self._zones.start(nodes))

    def _align(self, nodes: Rows, free: Amounts) -> Fit:
        """By each node's scope."""
        table = self._zones.table
        by_pod = table.by_pod[nodes]
        if by_pod.all():
            return align(table, nodes, free, self._pod)
        if not by_pod.any():
            return align(table, nodes, free, self._together, self._apart)
        admitted, taken = np.ones(len(nodes), dtype=np.bool_), np.zeros_like(free)
        for rows in (np.flatnonzero(by_pod), np.flatnonzero(~by_pod)):
            admitted[rows], taken[rows] = self._align(nodes[rows], free[rows])
        return Fit(admitted, taken)

    def seat(self, node: int, *, later: bool) -> Seat:
        """The zones that a pod would take on a node."""
        if not self.concerned.item(node):
            return NO_SEAT
        taken = self._fit(np.array([node], dtype=np.int32), later=later).taken[0]
        return tuple((zone, column, taken.item(zone, column)) for zone, column in np.argwhere(taken > 0).tolist())

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """``(N,)`` how many pods fit one after the other, at most so many as there is room for otherwise."""
        slots = by_amounts.copy()
        nodes = np.flatnonzero(self.refusing & (slots > 0)).astype(np.int32)
        wanted, slots[nodes] = slots[nodes], 0
        free = self._zones.later(nodes) if later else self._zones.start(nodes)
        while nodes.size:
            fit = self._align(nodes, free)
            slots[nodes[fit.admitted]] += 1
            more = fit.admitted & (slots[nodes] < wanted)
            nodes, wanted, free = nodes[more], wanted[more], (free - fit.taken)[more]
        return slots

    def refusals(self, nodes: Mask) -> tuple[dict[str, int], dict[str, object]]:
        """Why some nodes, ``(N,)``, that have room otherwise refuse the class: nodes by reason, and what it asks for.

        What leaving pods give back counts as free.
        """
        rows = np.flatnonzero(nodes & self.refusing).astype(np.int32)
        rows = rows[~self._fit(rows, later=True).admitted] if rows.size else rows
        if not rows.size:
            return {}, {}
        table = self._zones.table
        single = int((table.policy[rows] == Policy.SINGLE).sum())
        counts = {str(FilterReason.NUMA_NODE): single, str(FilterReason.NUMA_NODES): len(rows) - single}
        return counts, {"numa": dict(self._largest(by_pod=bool(table.by_pod[rows].all())))}

    def _largest(self, *, by_pod: bool) -> Need:
        """What has to be aligned at once, as far as zones have it: the pod, or the container that asks for most."""
        units = [self._alignment.pod] if by_pod else [*self._alignment.together, *self._alignment.apart]
        needs = [tuple((name, asked) for name, asked in unit if name in self._zones.table.resources) for unit in units]
        return max(needs, key=lambda need: (sum(asked for _, asked in need), need))
