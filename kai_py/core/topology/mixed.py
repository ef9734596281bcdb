"""Domains for pods that differ: the same order of preferences as for equal ones, each step decided by packing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.alike import required_domain
from kai_py.core.topology.candidates import SEARCHES, Candidates
from kai_py.core.topology.choice import Choice, Constraint, Offer, Pinned, Shortfall
from kai_py.core.topology.cover import fewest
from kai_py.core.topology.packing import Load, add_demand, add_nodes, counts_of, greedy, pack
from kai_py.core.topology.program import Budget, Outcome, Program


@dataclass
class _Mixed:
    """One choice; ``proven`` turns False when some search ends before its end."""

    candidates: Candidates
    constraint: Constraint
    budget: Budget
    proven: bool = True

    @property
    def topology(self) -> Topology:
        return self.candidates.topology

    @property
    def load(self) -> Load:
        return self.candidates.load

    def at(self, level: int) -> Choice | None:
        """The best choice whose domain is of a level."""
        cover_level = self.constraint.narrowest
        best: tuple[tuple[float, float], Choice] | None = None
        domains = [(self.topology.members(level, part), part) for part in self.candidates.possible(level).tolist()]
        bounds = [self._at_least(nodes) for nodes, _ in domains] if level < cover_level else [1] * len(domains)
        searched = 0
        # Stable: of domains that need as many parts, the tightest first.
        for number in sorted(range(len(domains)), key=bounds.__getitem__):
            nodes, domain = domains[number]
            if best is not None and bounds[number] > best[0][0]:
                break
            if best is not None and searched == SEARCHES:
                self.proven = False
                break
            searched += 1
            packing = pack(self.load.at(nodes), self.budget)
            if packing.counts is None:
                self.proven &= packing.proven
                continue
            counts = np.zeros_like(self.load.slots)
            counts[:, nodes] = packing.counts
            if level == cover_level:
                return self._choice(level, domain, np.array([domain], dtype=np.int32), counts)
            parts, counts = self._cover(nodes, packing.counts)
            new = parts[~np.isin(parts, self._held(cover_level))]
            cost = float(len(new)), round(float(self.candidates.room(cover_level)[new].sum()), 9)
            if best is None or cost < best[0]:
                best = cost, self._choice(level, domain, parts, counts)
        return best[1] if best is not None else None

    def _at_least(self, nodes: Rows) -> int:
        """A bound on how many parts a cover within a domain adds: by every class, and by every resource, alone."""
        level = self.constraint.narrowest
        inside = np.isin(np.arange(len(self.topology.nodes)), nodes)
        parts = np.unique(self.topology.partition(level)[nodes])
        held = np.isin(parts, self._held(level))
        slots = self.topology.sums(level, (self.load.slots * inside).T)[parts]
        free = self.topology.sums(level, self.load.free * inside[:, None])[parts]
        least = 0
        for each, wanted in ((slots, self.load.demand), (free, self.load.need)):
            missing = wanted - each[held].sum(axis=0)
            for column, amount in enumerate(missing.tolist()):
                sizes = sorted(each[~held, column].tolist(), reverse=True)
                least = max(least, fewest(sizes, amount) or 0)
        return least

    def _held(self, level: int) -> Rows:
        return np.unique(self.topology.partition(level)[self.candidates.pinned.nodes])

    def _choice(self, level: int, domain: int, cover: Rows, counts: Amounts) -> Choice:
        cover_level = self.constraint.narrowest
        mask = np.isin(self.topology.partition(cover_level), cover)
        return Choice(level, domain, cover_level, cover, mask, counts, 0, exact=True)

    def _cover(self, nodes: Rows, packed: Amounts) -> tuple[Rows, Amounts]:
        """The fewest parts within a domain that hold all, then those with the least room: one integer program."""
        part_of = self.topology.partition(self.constraint.narrowest)[nodes]
        load = self.load.at(nodes)
        counts = None
        if self.budget.allows(int(np.count_nonzero(load.slots))):
            program, columns = self._program(load, part_of)
            outcome, solution = program.solve(self.budget)
            counts = counts_of(load, columns, solution) if solution.size else None
            self.proven &= outcome is Outcome.OPTIMAL
        if counts is None:
            self.proven = False
            counts = self._prefix(nodes, part_of, packed)
        whole = np.zeros_like(self.load.slots)
        whole[:, nodes] = counts
        used = part_of[counts.any(axis=0)]
        return np.union1d(self._held(self.constraint.narrowest), used).astype(np.int32), whole

    def _program(self, load: Load, part_of: Rows) -> tuple[Program, dict[tuple[int, int], int]]:
        """Minimise the parts in use, then their room. Returns also the columns that :func:`add_nodes` made."""
        room, held = self.candidates.room(self.constraint.narrowest), self._held(self.constraint.narrowest)
        parts, program = np.unique(part_of), Program()
        columns = add_nodes(program, load)
        add_demand(program, load, columns)
        # The room of all parts together counts less than one part.
        scale = 1.0 / (1.0 + float(room[parts].sum()))
        used = {
            part: program.variable(most=1, cost=0.0 if part in held else 1 + scale * room.item(part))
            for part in parts.tolist()
        }
        inside: dict[int, list[tuple[int, int]]] = {part: [] for part in used}
        for (c, n), column in columns.items():
            part = part_of.item(n)
            inside[part].append((c, column))
            program.row([(column, 1.0), (used[part], -float(load.slots[c, n]))], most=0)
        for part, places in inside.items():
            free = np.minimum(load.free[part_of == part].sum(axis=0), load.need).tolist()
            for r, amount in enumerate(free):
                terms = [(column, float(load.request[c, r])) for c, column in places if load.request[c, r]]
                program.row([*terms, (used[part], -float(amount))], most=0)
        # Implied by the rest, but not for a solver that thinks in fractions: up to forty times as fast with it.
        for c, wanted in enumerate(load.demand.tolist()):
            sizes = [(column, float(load.slots[c, part_of == part].sum())) for part, column in used.items()]
            program.row(sizes, least=wanted)
        return program, columns

    def _prefix(self, nodes: Rows, part_of: Rows, packed: Amounts) -> Amounts:
        """Without a search: as few of the largest parts as a greedy packing needs, by all pods or by one class."""
        level, load = self.constraint.narrowest, self.load.at(nodes)
        parts, held = np.unique(part_of), self._held(level)
        best, fewest_parts = packed, len(np.unique(part_of[packed.any(axis=0)]))
        for size in (self.candidates.room(level), *self.topology.sums(level, self.load.slots.T).T):
            order = parts[np.lexsort((parts, -size[parts], ~np.isin(parts, held)))]
            enough, too_few = fewest_parts, 0
            while enough - too_few > 1:
                end = (enough + too_few) // 2
                inside = np.isin(part_of, order[:end])
                counts = greedy(Load(load.demand, load.request, load.free * inside[:, None], load.slots * inside))
                if counts.sum() < load.demand.sum():
                    too_few = end
                else:
                    best, enough, fewest_parts = counts, end, end
        return best


def choose_mixed(
    topology: Topology,
    constraint: Constraint,
    offer: Offer,
    demand: Amounts,
    pinned: Pinned,
    budget: Budget,
) -> Choice | Shortfall:
    """Choose domains for pods of several classes, all or none.

    The order of preferences is that of :func:`kai_py.core.topology.alike.choose_alike`; what is left over is
    measured as free resources, each relative to what all pods need, and compared to one part in a million. The result
    is not exact when a search ran out of its budget, or when more than a few domains of one level had to be searched.
    """
    pods = int(demand.sum())
    inside, refusal = required_domain(topology, constraint, offer.slots, pods, pinned)
    if refusal is not None:
        return refusal
    load = Load.of(offer.within(inside), demand)
    search = _Mixed(Candidates(topology, load, pinned), constraint, budget)
    for level in range(constraint.narrowest, constraint.required - 1, -1):
        if (choice := search.at(level)) is not None:
            return replace(choice, exact=search.proven)
    return search.candidates.nearest(constraint.required, proven=search.proven)
