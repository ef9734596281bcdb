"""What neighbours make of nodes that all take a pod: preferred affinities, and spreading as far as it goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log

import numpy as np

from kai_py.core.resources import Amounts, Mask, Shares
from kai_py.core.state.neighbours import Neighbours, Tally, Use
from kai_py.core.tables.neighbours import Spread


class Likes:
    """Preferred affinity and anti-affinity, the pod's own and that of others about it (InterPodAffinity's score).

    Attributes:
        any: whether there is any.
    """

    def __init__(self, kind: int, neighbours: Neighbours) -> None:
        worth = neighbours.table.worth(kind)
        self._tallies = [neighbours.tally(Use.WISH, key, weights) for key, weights in sorted(worth.items())]
        self.any = bool(self._tallies)

    def score(self, allowed: Mask) -> Shares:
        """``(N,)`` from 0 for the worst of the ``(N,)`` allowed nodes to 1 for the best."""
        worth: Amounts = np.zeros(len(allowed), dtype=np.int64)
        for tally in self._tallies:
            worth += np.append(tally.later, 0)[tally.domain]
        considered = worth[allowed]
        if not considered.size:
            return np.zeros(len(allowed))
        least, most = int(considered.min()), int(considered.max())
        return np.asarray((worth - least) / (most - least)) if most > least else np.zeros(len(allowed))


class SoftSpread:
    """Constraints with ScheduleAnyway: the fewer pods a domain has, the better (PodTopologySpread's score).

    Attributes:
        any: whether there is any.
    """

    def __init__(
        self, spreads: Sequence[Spread], tally_of: Callable[[Spread, tuple[str, ...]], Tally], neighbours: Neighbours
    ) -> None:
        keys = tuple(dict.fromkeys(spread.key for spread in spreads))
        self._spreads = [(spread, tally_of(spread, keys), neighbours.domain(spread.key)) for spread in spreads]
        self.any = bool(spreads)

    def score(self, allowed: Mask) -> Shares:
        """``(N,)`` up to 1 for the emptiest of the ``(N,)`` allowed nodes, 0 for nodes that lack a label."""
        inside: Mask = np.logical_and.reduce([allowed, *(domain >= 0 for _, _, domain in self._spreads)])
        load = np.zeros(len(allowed))
        for spread, tally, domain in self._spreads:
            size = len(np.unique(domain[inside]))
            counts = np.zeros(int(domain.max(initial=-1)) + 2)
            counts[: len(tally.later)] = tally.later
            load += counts[domain] * log(size + 2) + (spread.max_skew - 1)
        considered = load[inside]
        if not considered.size:
            return np.zeros(len(allowed))
        least, most = float(considered.min()), float(considered.max())
        if most <= 0.0:
            return np.asarray(inside, dtype=np.float64)
        return np.asarray(np.where(inside, (most + least - load) / most, 0.0))
