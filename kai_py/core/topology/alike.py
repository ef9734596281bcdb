"""Domains for pods that are all alike, in closed form: only how many fit on each node matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import ROOT, Topology
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.choice import Choice, Constraint, Pinned, Shortfall, ShortfallCode
from kai_py.core.topology.cover import Cover, fewest, smallest_cover
from kai_py.core.topology.layout import lay, pick


def choose_alike(
    topology: Topology, constraint: Constraint, slots: Amounts, demand: int, pinned: Pinned
) -> Choice | Shortfall:
    """Choose domains for pods of one class.

    In this order: the required level; the narrowest level, from the preferred upward, of which a domain holds all; the
    fewest domains of the preferred level; the least left over in them; the domain with the least room, then the one
    in the wider domains with the least room, so that large ones stay whole; of equally large parts those that share
    wider domains; by path the first domain, but the last parts where several are needed.

    Args:
        topology: levels and domains.
        constraint: levels.
        slots: ``(N,)`` pods that fit on each node.
        demand: pods, at least 1.
        pinned: members that stay. What they use is not in ``slots``. Parts that have some come first and cost nothing.

    Returns:
        Exact but for "those that share wider domains", which is greedy.
    """
    inside, refusal = required_domain(topology, constraint, slots, demand, pinned)
    if refusal is not None:
        return refusal
    search = _Alike(topology, constraint.narrowest, np.where(inside, slots, 0), demand, pinned)
    for level in range(constraint.narrowest, constraint.required - 1, -1):
        domains = search.domains(level)
        if domains.size:
            return search.tightest(level, domains) if level == constraint.narrowest else search.covered(level, domains)
    return search.nearest(constraint.required)


def required_domain(
    topology: Topology, constraint: Constraint, slots: Amounts, demand: int, pinned: Pinned
) -> tuple[np.ndarray, Shortfall | None]:
    """``(N,)`` nodes that the required level leaves, and why there are none."""
    level = constraint.required
    if level == ROOT:
        return np.ones(slots.shape[-1], dtype=np.bool_), None
    inside = topology.domain_idx[level] != NONE
    if not inside.any():
        return inside, Shortfall(ShortfallCode.NO_DOMAIN, level, (), 0, demand)
    if not pinned.nodes.size:
        return inside, None
    if not pinned.within(topology, level):
        return inside, Shortfall(ShortfallCode.PINNED_APART, level, (), 0, demand)
    return topology.domain_idx[level] == topology.domain_idx[level, pinned.nodes[0]], None


@dataclass(frozen=True)
class _Alike:
    """One choice for pods of one class; ``cover_level`` is the preferred level."""

    topology: Topology
    cover_level: int
    slots: Amounts
    demand: int
    pinned: Pinned

    @cached_property
    def room(self) -> dict[int, Amounts]:
        """Slots in each part, by level, down to the preferred one."""
        return {level: self.topology.sums(level, self.slots) for level in range(ROOT, self.cover_level + 1)}

    def domains(self, level: int) -> Rows:
        """Domains of a level that hold all, and all members that stay; the tightest first, large wider ones last."""
        room, topology = self.room, self.topology
        domains = np.flatnonzero(room[level] >= self.demand).astype(np.int32)
        if self.pinned.nodes.size:
            part = self.pinned.part(topology, level)
            domains = domains[domains == (NONE if part is None else part)]
        up: list[Amounts] = [room[wider][topology.upward(level, wider)[domains]] for wider in topology.above(level)]
        # `lexsort` sorts by the last key first.
        keys: list[Amounts | Rows] = [domains, *reversed(up), room[level][domains]]
        return domains[np.lexsort(keys)]

    def tightest(self, level: int, domains: Rows) -> Choice:
        """The first of the domains: it is of the preferred level."""
        counts = lay(self.topology, level, domains[:1], self.slots, self.demand)
        return self._choice(level, domains.item(0), domains[:1], counts, exact=True)

    def covered(self, level: int, domains: Rows) -> Choice:
        """The domain with the smallest cover by parts of the preferred level, the first of equals."""
        room, held = self.room[self.cover_level], self._held()
        missing = max(self.demand - int(room[held].sum()), 0)
        offers = [
            (domain, parts, tuple(sorted(room[parts].tolist()))) for domain, parts in self._parts(level, domains, held)
        ]
        needed = [fewest(sorted(sizes, reverse=True), missing) for _, _, sizes in offers]
        least = min(count for count in needed if count is not None)
        covers: dict[tuple[int, ...], Cover] = {}  # empty clusters have many equal domains
        for (_, _, sizes), count in zip(offers, needed, strict=True):
            if count == least and sizes not in covers:
                cover = smallest_cover(sizes, missing)
                assert cover is not None, "the domain holds all"
                covers[sizes] = cover
        domain, parts, sizes = min(
            (offer for offer in offers if offer[2] in covers), key=lambda offer: covers[offer[2]].leftover
        )
        chosen = pick(self.topology, self.cover_level, level, parts, room, covers[sizes].sizes, held)
        counts = self._counts(held, chosen, missing)
        exact = all(cover.exact for cover in covers.values())
        return self._choice(level, domain, np.union1d(held, chosen), counts, exact=exact)

    def _held(self) -> Rows:
        """Parts of the preferred level where members stay and more fit."""
        held = np.unique(self.topology.partition(self.cover_level)[self.pinned.nodes])
        return held[self.room[self.cover_level][held] > 0]

    def _parts(self, level: int, domains: Rows, held: Rows) -> Iterator[tuple[int, Rows]]:
        """Domains, and the parts in them that take any pods; those that are held apart."""
        owner = self.topology.upward(self.cover_level, level)
        members = np.argsort(owner, kind="stable").astype(np.int32)
        begin = np.searchsorted(owner[members], domains, side="left")
        end = np.searchsorted(owner[members], domains, side="right")
        free = self.room[self.cover_level] > 0
        free[held] = False
        for domain, first, last in zip(domains.tolist(), begin.tolist(), end.tolist(), strict=True):
            parts = members[first:last]
            yield domain, parts[free[parts]]

    def _counts(self, held: Rows, chosen: Rows, missing: int) -> Amounts:
        """``(N,)`` pods on nodes: parts that are held are filled before others are used."""
        if not missing:
            return lay(self.topology, self.cover_level, held, self.slots, self.demand)
        full = np.where(self.topology.inside(self.cover_level, held), self.slots, 0)
        counts: Amounts = full + lay(self.topology, self.cover_level, chosen, self.slots, missing)
        return counts

    def _choice(self, level: int, domain: int, cover: Rows, counts: Amounts, *, exact: bool) -> Choice:
        mask = self.topology.inside(self.cover_level, cover)
        left = int(self.slots[mask].sum() - counts.sum())
        return Choice(level, domain, self.cover_level, cover.astype(np.int32), mask, counts[None, :], left, exact)

    def nearest(self, level: int) -> Shortfall:
        """The domain of a level that takes the most pods."""
        best = int(self.room[level].argmax())
        most = int(self.room[level][best])
        path = self.topology.name_of(level, best) if most else ()
        return Shortfall(ShortfallCode.TOO_SMALL, level, path, most, self.demand)
