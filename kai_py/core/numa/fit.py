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
from kai_py.core.tables.zones import Policy, ZoneTable

#: In place of a set: none suits.
_REFUSED = -1
#: More nodes than anybody has: no limit.
_ANY = np.iinfo(np.int32).max


class Fit(NamedTuple):
    """What became of a pod on some nodes.

    Attributes:
        admitted: ``(M,)`` the kubelet would take it.
        taken: ``(M, Z, K)`` what it would take of which zone; all zeros where that is not known.
    """

    admitted: Mask
    taken: Amounts

    @property
    def span(self) -> Rows:
        """``(M,)`` zones that are taken from."""
        return np.asarray((self.taken > 0).any(axis=2).sum(axis=1), dtype=np.int32)


def align(
    table: ZoneTable, nodes: Rows, free: Amounts, together: Sequence[Amounts], apart: Sequence[Amounts] = ()
) -> Fit:
    """Try a pod on some nodes.

    Args:
        table: policies and sizes.
        nodes: ``(M,)`` rows.
        free: ``(M, Z, K)`` what these nodes' zones have free; not changed.
        together: each ``(K,)``; what one takes, the next one cannot have.
        apart: each ``(K,)``; they have all that is free, one after the other.
    """
    left = np.maximum(free, 0)
    admitted = np.ones(len(nodes), dtype=np.bool_)
    known = np.ones(len(nodes), dtype=np.bool_)
    taken = np.zeros_like(left)
    for need in apart:
        admitted &= _choose(table, nodes, left, need) != _REFUSED
    for need in together:
        chosen = _choose(table, nodes, left, need)
        refused = chosen == _REFUSED
        known &= ~refused
        admitted &= ~refused
        drawn = _draw(table, nodes, left, need, np.where(refused, 0, chosen))
        left -= drawn
        taken += drawn
    taken[~known] = 0
    admitted |= table.policy[nodes] < Policy.RESTRICTED
    return Fit(admitted, taken)


def _choose(table: ZoneTable, nodes: Rows, free: Amounts, need: Amounts) -> Rows:
    """``(M,)`` the set of zones for one need as bits; 0 where nothing is aligned, ``_REFUSED`` where no set suits."""
    asked = table.reported[nodes] & (need > 0)
    policy = table.policy[nodes]
    open_ = asked.any(axis=1) & (policy != Policy.NONE)
    chosen = np.where(open_, _REFUSED, 0).astype(np.int32)
    fewest = np.ones(len(nodes), dtype=np.int32)
    most = np.where(policy == Policy.BEST_EFFORT, _ANY, 1).astype(np.int32)
    restricted = open_ & (policy == Policy.RESTRICTED)
    if restricted.any():
        rows = np.flatnonzero(restricted)
        fewest[rows] = most[rows] = _widths(table.allocatable[nodes[rows]], asked[rows], need)
        open_[rows] &= fewest[rows] > 0
    for width, bits, zones in _sets(free.shape[1]):
        if not (open_ & (width <= most)).any():
            break
        rows = np.flatnonzero(open_ & (fewest <= width) & (width <= most))
        if rows.size:
            enough = (free[rows][:, zones].sum(axis=1) >= need) | ~asked[rows]
            suited = rows[enough.all(axis=1)]
            chosen[suited] = bits
            open_[suited] = False
    return chosen


def _widths(allocatable: Amounts, asked: Mask, need: Amounts) -> Rows:
    """``(M,)`` zones that every resource needs on an empty node; 0 where resources disagree, or never fit."""
    sums = np.cumsum(-np.sort(-allocatable, axis=1), axis=1)
    enough = sums >= need
    per_resource = np.where(enough.any(axis=1), enough.argmax(axis=1) + 1, 0)
    least = np.where(asked, per_resource, _ANY).min(axis=1)
    most = np.where(asked, per_resource, 0).max(axis=1)
    return np.where(least == most, most, 0).astype(np.int32)


@cache
def _sets(zones: int) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    """All sets of zones as (how many, bits, their numbers): fewer first, then lower bits."""
    found = [
        (bits.bit_count(), bits, tuple(zone for zone in range(zones) if bits >> zone & 1))
        for bits in range(1, 1 << zones)
    ]
    return tuple(sorted(found))


def _draw(table: ZoneTable, nodes: Rows, free: Amounts, need: Amounts, chosen: Rows) -> Amounts:
    """``(M, Z, K)`` what is taken of the chosen zones: all of the lowest first."""
    drawn = np.zeros_like(free)
    missing = np.where(table.reported[nodes] & (chosen > 0)[:, None], need, 0)
    for zone in range(free.shape[1]):
        inside = ((chosen >> zone) & 1).astype(np.bool_)
        take = np.where(inside[:, None], np.minimum(free[:, zone], missing), 0)
        drawn[:, zone] = take
        missing = missing - take
    return drawn
