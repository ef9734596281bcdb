"""Which zones a kubelet would choose for a pod: the Topology Manager's rules, for many nodes at once.

For every container (or the pod as one, by scope) the kubelet looks for a set of NUMA nodes that has enough free of
every resource that it aligns. Fewer nodes are better; of equally many, those with the lower numbers.

* ``single-numa-node``: the set has one node, or the pod is refused.
* ``restricted``: the set has for each resource as few nodes as an empty machine would need; where resources disagree
  on that number, no set suits them all.
* ``best-effort``: any set will do, and none is fine as well.

Sources: https://kubernetes.io/docs/tasks/administer-cluster/topology-manager/ and KAI's page "NUMA-Aware Scheduling".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.tables.zones import NO_SEAT, Policy, Seat, ZoneTable

#: In place of a set: none suits.
_REFUSED = -1
#: More zones than anybody has.
_ANY = np.iinfo(np.int32).max
#: What is free in each zone of one node, by column.
ZonesOfOne = list[list[int]]


class Fit(NamedTuple):
    """What became of a pod on some nodes.

    Attributes:
        admitted: ``(M,)`` the kubelet would take it.
        span: ``(M,)`` zones that it would take from; 0 where that is not known.
    """

    admitted: Mask
    span: Rows


class Unit:
    """What is aligned at once: a pod, or a container.

    Args:
        table: policies and sizes.
        need: ``(K,)``
    """

    def __init__(self, table: ZoneTable, need: Amounts) -> None:
        asked = table.reported & (need > 0)
        self._needs: list[tuple[int, int]] = [(k, need.item(k)) for k in np.flatnonzero(asked.any(axis=0)).tolist()]
        #: Where no zone has the resource, it is not aligned.
        self._exempt = [None if table.reported[:, k].all() else ~table.reported[:, k] for k, _ in self._needs]
        self._open: Mask = asked.any(axis=1) & (table.policy != Policy.NONE)
        self._fewest: Rows = np.ones(len(table.policy), dtype=np.int32)
        self._most: Rows = np.where(table.policy == Policy.BEST_EFFORT, _ANY, 1).astype(np.int32)
        if (restricted := np.flatnonzero(self._open & (table.policy == Policy.RESTRICTED))).size:
            widths = self._widths(table.allocatable[restricted], asked[restricted])
            self._fewest[restricted] = self._most[restricted] = widths
        self._sets = _sets(table.available.shape[1])

    def _widths(self, allocatable: Amounts, asked: Mask) -> Rows:
        """``(M,)`` zones that every resource needs on an empty node; 0 where resources disagree, or never fit."""
        least, most = np.full(len(asked), _ANY, dtype=np.int32), np.zeros(len(asked), dtype=np.int32)
        for k, need in self._needs:
            width = (allocatable[:, :, k].max(axis=1) >= need).astype(np.int32)
            if (wider := np.flatnonzero(width == 0)).size:
                sums = np.cumsum(-np.sort(-allocatable[wider, :, k], axis=1), axis=1)
                enough = sums >= need
                width[wider] = np.where(enough[:, -1], enough.argmax(axis=1) + 1, 0)
            least = np.where(asked[:, k], np.minimum(least, width), least)
            most = np.where(asked[:, k], np.maximum(most, width), most)
        return np.where(least == most, most, 0).astype(np.int32)

    def choose(self, nodes: Rows | slice, free: Amounts) -> Rows:
        """``(M,)`` sets of zones as bits; 0 where nothing is aligned, ``_REFUSED`` where no set suits.

        Args:
            nodes: which.
            free: ``(M, Z, K)`` of them.
        """
        left, fewest, most = self._open[nodes].copy(), self._fewest[nodes], self._most[nodes]
        exempt = [None if mask is None else mask[nodes] for mask in self._exempt]
        chosen = np.where(left, _REFUSED, 0).astype(np.int32)
        widest = int(most[left].max(initial=0))
        for width, bits, zones in self._sets:
            if width > widest or not left.any():
                break
            suited = left & (fewest <= width) & (width <= most)
            for (k, need), spared in zip(self._needs, exempt, strict=True):
                column = free[:, zones[0], k] if width == 1 else free[:, list(zones), k].sum(axis=1)
                enough = column >= need
                suited &= enough if spared is None else enough | spared
            chosen[suited] = bits
            left &= ~suited
        return chosen

    def choose_one(self, node: int, free: ZonesOfOne) -> int:
        """The same for one node: plain numbers are far faster than arrays of length one."""
        if not self._open.item(node):
            return 0
        fewest, most = self._fewest.item(node), self._most.item(node)
        needs = self._needs_of(node)
        for width, bits, zones in self._sets:
            if width > most:
                break
            if width >= fewest and _enough(free, zones, needs):
                return bits
        return _REFUSED

    def _needs_of(self, node: int) -> list[tuple[int, int]]:
        """What is aligned on a node."""
        return [
            need
            for need, spared in zip(self._needs, self._exempt, strict=True)
            if spared is None or not spared.item(node)
        ]

    def draw(self, nodes: Rows | slice, free: Amounts, chosen: Rows) -> Amounts:
        """``(M, Z, K)`` what is taken of the chosen zones: all of the lowest first."""
        drawn = np.zeros_like(free)
        for (k, need), spared in zip(self._needs, self._exempt, strict=True):
            missing = np.where(chosen > 0, need, 0)
            if spared is not None:
                missing[spared[nodes]] = 0
            for zone in range(free.shape[1]):
                take = np.where((chosen >> zone) & 1, np.minimum(free[:, zone, k], missing), 0)
                drawn[:, zone, k] = take
                missing = missing - take
        return drawn

    def draw_one(self, node: int, free: ZonesOfOne, bits: int) -> Seat:
        """The same for one node; ``free`` is less by it."""
        seat = []
        for k, need in self._needs_of(node):
            missing = need
            for zone, amounts in enumerate(free):
                if bits >> zone & 1 and (take := min(amounts[k], missing)) > 0:
                    amounts[k] -= take
                    missing -= take
                    seat.append((zone, k, take))
        return tuple(seat)


class Aligner:
    """A pod as a kubelet sees it.

    Args:
        table: policies and sizes.
        together: each ``(K,)``; what one takes, the next one cannot have.
        apart: each ``(K,)``; they have all that is free, one after the other.
    """

    def __init__(self, table: ZoneTable, together: Sequence[Amounts], apart: Sequence[Amounts] = ()) -> None:
        self._together = [Unit(table, need) for need in together]
        self._apart = [Unit(table, need) for need in apart]
        self._lenient: Mask = table.policy < Policy.RESTRICTED

    def admit(self, nodes: Rows | slice, free: Amounts) -> Fit:
        """Try a pod on some nodes, of which ``free`` is ``(M, Z, K)``, nowhere negative; it is not changed."""
        return self._try(nodes, free)[0]

    def take(self, nodes: Rows | slice, free: Amounts) -> tuple[Mask, Amounts]:
        """``(M,)`` whether a pod is admitted, and ``(M, Z, K)`` what it takes, zeros where that is not known."""
        fit, taken = self._try(nodes, free, draw_last=True)
        taken[fit.span == 0] = 0
        return fit.admitted, taken

    def _try(self, nodes: Rows | slice, free: Amounts, *, draw_last: bool = False) -> tuple[Fit, Amounts]:
        """What has to be drawn to go on; of the last unit on demand."""
        known = np.ones(len(free), dtype=np.bool_)
        for unit in self._apart:
            known &= unit.choose(nodes, free) != _REFUSED
        admitted, taken = known.copy(), np.zeros_like(free) if draw_last or len(self._together) > 1 else free[:0]
        zones = np.zeros(len(free), dtype=np.int32)
        settled = np.ones(len(free), dtype=np.bool_)
        for number, unit in enumerate(self._together):
            chosen = unit.choose(nodes, free)
            settled &= chosen != _REFUSED
            chosen[chosen == _REFUSED] = 0
            zones |= chosen
            if draw_last or number < len(self._together) - 1:
                drawn = unit.draw(nodes, free, chosen)
                free = free - drawn
                taken += drawn
        # Of sets that are as small as can be every zone is drawn from.
        span = np.where(settled, np.bitwise_count(zones), 0).astype(np.int32)
        return Fit((admitted & settled) | self._lenient[nodes], span), taken

    def seat(self, node: int, free: ZonesOfOne) -> Seat | None:
        """What a pod would take on one node; nothing where that is not known, None where it is refused.

        Args:
            node: row.
            free: of it, nowhere negative; changed.
        """
        refused = any(unit.choose_one(node, free) == _REFUSED for unit in self._apart)
        taken: dict[tuple[int, int], int] = {}
        known = True
        for unit in self._together:
            bits = unit.choose_one(node, free)
            if bits == _REFUSED:
                known = False
                continue
            for zone, k, units in unit.draw_one(node, free, bits):
                taken[zone, k] = taken.get((zone, k), 0) + units
        if (refused or not known) and not self._lenient.item(node):
            return None
        return tuple((zone, k, units) for (zone, k), units in sorted(taken.items())) if known else NO_SEAT


def _enough(free: ZonesOfOne, zones: tuple[int, ...], needs: Sequence[tuple[int, int]]) -> bool:
    for k, need in needs:  # noqa: SIM110  # a generator costs as much as the loop
        if sum([free[zone][k] for zone in zones]) < need:
            return False
    return True


@cache
def _sets(zones: int) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    """All sets of zones as (how many, bits, their numbers): fewer first, then lower bits."""
    found = [
        (bits.bit_count(), bits, tuple(zone for zone in range(zones) if bits >> zone & 1))
        for bits in range(1, 1 << zones)
    ]
    return tuple(sorted(found))
