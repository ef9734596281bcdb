"""What neighbours make of nodes that all take a pod: preferred affinities, and spreading as far as it goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from math import log

import numpy as np

from kai_py.core.resources import Mask, Rows, Shares
from kai_py.core.state.neighbours import Neighbours, Tally, Use
from kai_py.core.tables.neighbours import Spread


class Wishes(ABC):
    """A score that follows tallies, computed again when any of them has changed.

    One tally is worked out by domain and then laid over the nodes; of several, the sums are by node.

    Attributes:
        any: whether anybody wishes for anything.

    Args:
        tallies: what it follows.
        domains: for each of them ``(N,)`` the domain of each node, -1 = none; a tally may leave out some of these.
        considered: ``(N,)`` the nodes of which the best and the worst make the scale.
    """

    def __init__(self, tallies: Sequence[Tally], domains: Sequence[Rows], considered: Mask) -> None:
        self.any = bool(tallies)
        self._tallies = tuple(tallies)
        self._domains = tuple(domains)
        self._sizes = [int(domain.max(initial=-1)) + 2 for domain in domains]
        rows: slice | Rows = slice(None) if considered.all() else np.flatnonzero(considered).astype(np.int32)
        if len(domains) == 1:
            found = np.unique(domains[0][considered])
            rows = slice(None) if len(found) == self._sizes[0] else found
        self._considered = rows
        self._seen: tuple[int, ...] | None = None
        self._worth: Shares = np.zeros(len(considered))

    def worth(self, weight: float) -> Shares:
        """``(N,)`` up to ``weight``, always the same one, for the best node."""
        versions = tuple([tally.version for tally in self._tallies])
        if versions == self._seen:
            return self._worth
        self._seen = versions
        sums = [self._by_domain(row) for row in range(len(self._tallies))]
        alone = len(sums) == 1
        raw = sums[0] if alone else np.add.reduce([own[at] for own, at in zip(sums, self._domains, strict=True)])
        considered = raw[self._considered]
        if considered.size:
            relative = weight * self._relative(raw, float(considered.min()), float(considered.max()))
            if alone:  # a node without a domain has -1, which is the last one
                np.take(relative, self._domains[0], out=self._worth, mode="wrap")
            else:
                self._worth = relative
        return self._worth

    def _by_domain(self, row: int) -> Shares:
        """``(D + 1,)`` what a tally says about domains, and at last about nodes without one."""
        sums = np.zeros(self._sizes[row])
        counts = self._tallies[row].later
        sums[: len(counts)] = counts
        return sums

    @abstractmethod
    def _relative(self, raw: Shares, least: float, most: float) -> Shares:
        """The same in [0, 1], between the extremes that are considered."""


class Likes(Wishes):
    """Preferred affinity and anti-affinity, the pod's own and that of others about it (InterPodAffinity's score)."""

    def __init__(self, kind: int, neighbours: Neighbours, considered: Mask) -> None:
        worth = sorted(neighbours.table.worth(kind).items())
        tallies = [neighbours.tally(Use.WISH, key, own) for key, own in worth]
        super().__init__(tallies, [neighbours.domain(key) for key, _ in worth], considered)

    def _relative(self, raw: Shares, least: float, most: float) -> Shares:
        return np.asarray((raw - least) / (most - least)) if most > least else np.zeros(len(raw))


class SoftSpread(Wishes):
    """Constraints with ScheduleAnyway: the fewer pods a domain has, the better (PodTopologySpread's score).

    Nodes that lack a label are worth nothing, or, where constraints are lenient, what the labels that they have say.
    """

    def __init__(
        self,
        spreads: Sequence[Spread],
        tally_of: Callable[[Spread, tuple[str, ...]], Tally],
        neighbours: Neighbours,
        considered: Mask,
    ) -> None:
        keys = tuple(dict.fromkeys(spread.key for spread in spreads))
        domains = [neighbours.domain(spread.key) for spread in spreads]
        self._lenient = [spread.lenient for spread in spreads]
        needed = [domain >= 0 for domain, lenient in zip(domains, self._lenient, strict=True) if not lenient]
        self._inside: Mask = np.logical_and.reduce([considered, *needed])
        super().__init__([tally_of(spread, keys) for spread in spreads], domains, self._inside)
        self._factors = [log(_domains(domain[self._inside]) + 2) for domain in domains]
        self._floors = [float(spread.max_skew - 1) for spread in spreads]

    def worth(self, weight: float) -> Shares:
        """See :meth:`Wishes.worth`."""
        worth = super().worth(weight)
        if not self._inside.all():
            worth[~self._inside] = 0.0
        return worth

    def _by_domain(self, row: int) -> Shares:
        sums = super()._by_domain(row) * self._factors[row] + self._floors[row]
        if self._lenient[row]:
            sums[-1] = 0.0
        return sums

    def _relative(self, raw: Shares, least: float, most: float) -> Shares:
        return np.asarray((most + least - raw) / most) if most > 0.0 else np.ones(len(raw))


def _domains(found: Rows) -> int:
    """How many domains there are among those of some nodes; -1 is none."""
    return int(np.count_nonzero(np.bincount(found[found >= 0])))
