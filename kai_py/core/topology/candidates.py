"""Domains that sums do not rule out, the tightest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kai_py.core.resources import Amounts, Rows, Shares
from kai_py.core.tables.domains import Topology
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.choice import Pinned, Shortfall, ShortfallCode
from kai_py.core.topology.packing import Load, greedy
from kai_py.core.topology.positions import Position

#: Domains of one level that are searched in full; the others are ranked by their room alone.
SEARCHES = 8
#: Domains of one level that are tried in vain.
TRIES = 4 * SEARCHES


@dataclass(frozen=True)
class Candidates:
    """Domains for a load.

    Attributes:
        topology: levels and domains.
        load: all pods, over all ``N`` nodes.
        pinned: members that stay.
    """

    topology: Topology
    load: Load
    pinned: Pinned

    def room(self, level: int) -> Shares:
        """``(parts,)`` what a part could give of what all pods need, over all resources: best fit has the least."""
        free = self.topology.sums(level, self.load.free)
        room: Shares = (free / np.maximum(self.load.need, 1)).sum(axis=1)
        return room

    def possible(self, level: int) -> Rows:
        """Parts of a level that sums do not rule out, those with the least room first."""
        slots = self.topology.sums(level, self.load.slots.T)
        free = self.topology.sums(level, self.load.free)
        parts = np.flatnonzero((slots >= self.load.demand).all(axis=1) & (free >= self.load.need).all(axis=1))
        if self.pinned.nodes.size:
            part = self.pinned.part(self.topology, level)
            parts = parts[parts == (NONE if part is None else part)]
        up = [self.room(wider)[self.topology.upward(level, wider)[parts]] for wider in self.topology.above(level)]
        order = np.lexsort((parts, *reversed(up), self.room(level)[parts]))
        return parts[order].astype(np.int32)

    def nearest(self, level: int, *, proven: bool) -> Shortfall:
        """The domain of a level into which a greedy packing gets the most pods."""
        slots: Amounts = self.topology.sums(level, self.load.slots.T)
        bound = np.minimum(slots, self.load.demand).sum(axis=1)
        best, fits = 0, 0
        for part in np.argsort(-bound, kind="stable")[:SEARCHES].tolist():
            found = int(greedy(self.load.at(self.topology.members(level, part))).sum())
            if found > fits:
                best, fits = part, found
        path = self.topology.name_of(level, best) if fits else ()
        return Shortfall(ShortfallCode.TOO_SMALL, level, path, fits, int(self.load.demand.sum()), proven)


def fewest_misses(domains: Sequence[int], into: Callable[[int], Position | None]) -> tuple[Position | None, bool]:
    """The position that misses the fewest preferred levels, of those in some domains of a level, best domain first.

    Args:
        domains: of the level.
        into: the best position in one of them; None where none was found.

    Returns:
        The position, the first one among equals, and whether none of the domains was left out that could be better.
    """
    best: Position | None = None
    for number, domain in enumerate(domains):
        if number >= (SEARCHES if best is not None else TRIES):
            return best, False
        position = into(domain)
        if position is not None and (best is None or position.misses < best.misses):
            best = position
        if best is not None and best.misses == 0:
            break
    return best, True
