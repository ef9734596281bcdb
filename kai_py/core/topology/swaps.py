"""Local improvement of a mapping: the best swaps of two ranks that do not touch each other, again and again."""

from __future__ import annotations

from typing import Final

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.topology.hops import Hops

#: All swaps are compared at once, in time with the square of the ranks; beyond so many, none is tried.
_RANKS: Final = 1024
#: Swaps, times the square of the ranks: about a tenth of a second.
_WORK: Final = 3 * 10**7


def improve(hops: Hops, talk: Amounts, settled: Amounts, nodes: Rows, kinds: Rows) -> Rows:
    """Swap ranks as long as that makes the mapping cheaper, within a budget. Ranks of different classes stay apart.

    Args:
        hops: distances.
        talk: ``(K, K)`` weights between ranks, symmetric.
        settled: ``(K, K)`` what each rank pays for peers that stay where they are, at the place of each rank.
        nodes: ``(K,)`` node of each rank; unchanged.
        kinds: ``(K,)`` classes.

    Returns:
        ``(K,)`` nodes, at most as expensive.
    """
    ranks = len(nodes)
    if ranks > _RANKS:
        return nodes
    places: Rows = np.arange(ranks, dtype=np.int32)
    far = hops.between(nodes[:, None], nodes[None, :])
    # ``[r, s]``: what rank r would pay at the place of rank s, its peers being where they are. Integers multiply
    # slowly, floats by the BLAS; sums stay far below 2**53.
    pays: Amounts = settled + np.rint(talk.astype(np.float64) @ far.astype(np.float64)).astype(np.int64)
    allowed = kinds[:, None] == kinds
    work = _WORK
    while work > 0:
        # Two that talk stay as far from each other as they are, which both sums take for a journey to oneself.
        own = pays.diagonal()
        change = pays + pays.T - own[:, None] - own + 2 * talk * far
        change[~allowed] = 0
        swaps = _apart(change, talk)
        if not swaps:
            break
        work -= (4 + len(swaps)) * ranks * ranks
        for one, other in swaps:
            moved = talk[:, one] - talk[:, other]
            pays += moved[:, None] * (far[other] - far[one])
            swap, back = [one, other], [other, one]
            places[swap] = places[back]
            far[swap] = far[back]
            far[:, swap] = far[:, back]
            pays[:, swap] = pays[:, back]
    return nodes[places]


def _apart(change: Amounts, talk: Amounts) -> list[tuple[int, int]]:
    """Swaps that save, the best first. No rank is in two of them, or talks to one in another: their savings add up."""
    partner = change.argmin(axis=1)
    saved = change[np.arange(len(change)), partner]
    touched = np.zeros(len(change), dtype=np.bool_)
    swaps = []
    for one in np.argsort(saved, kind="stable").tolist():
        other = int(partner[one])
        if saved[one] >= 0:
            break
        if not (touched[one] or touched[other]):
            swaps.append((one, other))
            touched |= (talk[one] > 0) | (talk[other] > 0)
            touched[[one, other]] = True
    return swaps
