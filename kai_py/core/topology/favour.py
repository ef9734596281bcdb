"""The best nodes of the domains that were chosen: where a pod likes to be has a say among equals."""

from __future__ import annotations

import numpy as np

from kai_py.core.resources import Amounts, Rows, Shares


def favour(parts: Rows, slots: Amounts, counts: Amounts, score: Shares) -> Amounts:
    """Lay equal pods over better nodes of the same parts.

    Args:
        parts: ``(N,)`` the domain of each node, of the level that was asked for.
        slots: ``(N,)`` how many pods each node takes.
        counts: ``(N,)`` pods on nodes, as tight as can be.
        score: ``(N,)`` how much pods like each node.

    Returns:
        ``(N,)`` as many pods in each part, on the nodes with the highest scores; of equals, on those that ``counts``
        uses most, then on the first. Where all nodes of the parts are equal, ``counts`` itself.
    """
    wanted = np.bincount(parts, weights=counts).astype(np.int64)
    rows = np.flatnonzero((slots > 0) & (wanted[parts] > 0))
    if not rows.size or score[rows].min() == score[rows].max():
        return counts
    # `lexsort` sorts by the last key first.
    rows = rows[np.lexsort((rows, -counts[rows], -score[rows], parts[rows]))]
    before = np.cumsum(slots[rows]) - slots[rows]
    first = np.concatenate([[True], np.diff(parts[rows]) != 0])
    before -= np.maximum.accumulate(np.where(first, before, 0))
    better = np.zeros_like(counts)
    better[rows] = np.clip(wanted[parts[rows]] - before, 0, slots[rows])
    return better
