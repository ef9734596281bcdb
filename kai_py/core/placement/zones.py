"""NUMA nodes through the eyes of one pod class: where a kubelet would take it, from which zones, and how near."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kai_py.core.numa.fit import Aligner, Fit
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


class Seats(NamedTuple):
    """The same about one node, with what it would take, now and later; None where it would be refused."""

    now: Seat | None
    later: Seat | None
    near: float


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
        together, apart = ([table.amounts(need) for need in needs] for needs in (alignment.together, alignment.apart))
        whole = table.amounts(alignment.pod)
        self._of_pod = Aligner(table, [whole])
        self._of_containers = Aligner(table, together, apart)
        asked = np.sum([whole, *together, *apart], axis=0) > 0
        self.concerned: Mask = (table.policy != Policy.NONE) & (table.reported & asked).any(axis=1)
        self._by_pod: Mask = table.by_pod | ~self.concerned
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
        zones, rows = self._zones, nodes if len(nodes) < len(self.concerned) else slice(None)
        soon = self._admit(rows, zones.later(rows))
        start = self._admit(rows, zones.start(rows)) if zones.releasing[rows].any() else soon
        span = np.where(start.admitted, start.span, soon.span)
        near = np.where(span > 0, 1.0 / np.maximum(span, 1), self._unaligned[rows])
        return Judgement(start.admitted & soon.admitted, soon.admitted, near)

    def _admit(self, rows: Rows | slice, free: Amounts) -> Fit:
        """By each node's scope."""
        by_pod = self._by_pod[rows]
        if by_pod.all():
            return self._of_pod.admit(rows, free)
        if not by_pod.any():
            return self._of_containers.admit(rows, free)
        one, other = self._of_pod.admit(rows, free), self._of_containers.admit(rows, free)
        return Fit(np.where(by_pod, one.admitted, other.admitted), np.where(by_pod, one.span, other.span))

    def judge_one(self, node: int) -> Seats:
        """The same for one node, to the bit."""
        unaligned = self._unaligned.item(node)
        if not self.concerned.item(node):
            return Seats(NO_SEAT, NO_SEAT, unaligned)
        start, soon = self._zones.of_one(node)
        aligner = self._of_pod if self._by_pod.item(node) else self._of_containers
        later = aligner.seat(node, soon)
        now = later if start is None else None if later is None else aligner.seat(node, start)
        span = len({zone for zone, _, _ in (now if now is not None else later) or ()})
        return Seats(now, later, 1.0 / span if span else unaligned)

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """``(N,)`` how many pods fit one after the other, at most so many as there is room for otherwise."""
        slots = by_amounts.copy()
        for by_pod, aligner in ((True, self._of_pod), (False, self._of_containers)):
            nodes = np.flatnonzero(self.refusing & (slots > 0) & (self._by_pod == by_pod)).astype(np.int32)
            wanted, slots[nodes] = slots[nodes], 0
            free = self._zones.later(nodes) if later else self._zones.start(nodes)
            while nodes.size:
                admitted, taken = aligner.take(nodes, free)
                slots[nodes[admitted]] += 1
                more = admitted & (slots[nodes] < wanted)
                nodes, wanted, free = nodes[more], wanted[more], (free - taken)[more]
        return slots

    def refusals(self, nodes: Mask) -> tuple[dict[str, int], dict[str, object]]:
        """Why some nodes, ``(N,)``, that have room otherwise refuse the class: nodes by reason, and what it asks for.

        What leaving pods give back counts as free.
        """
        rows = np.flatnonzero(nodes & self.refusing).astype(np.int32)
        rows = rows[~self._admit(rows, self._zones.later(rows)).admitted] if rows.size else rows
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
