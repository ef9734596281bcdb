"""Boxes into domains, exactly: one integer program for all subgroups of a podgroup at once.

A variable says how many equal boxes are at a domain. Domains are nested or apart, so that it is enough if no domain is
asked for more than it has; which pod goes to which node inside needs no variable when all are alike. Equal boxes are
counted, not named, which leaves the search no symmetry to get lost in.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from kai_py.core.resources import Amounts
from kai_py.core.tables.domains import Topology
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.nest import allowed_domain
from kai_py.core.topology.packing import Load, add_demand, add_nodes, counts_of
from kai_py.core.topology.parts import Box
from kai_py.core.topology.positions import Position, lay_all
from kai_py.core.topology.program import Budget, Outcome, Program

#: (number of the kind of box, level of the box around it, level, domain)
_Spot = tuple[int, int, int, int]


@dataclass(frozen=True)
class _Kind:
    """A box by its place in the tree: ``count`` of it in every box of kind ``around``, ``total`` altogether."""

    box: Box
    around: int
    count: int
    total: int


@dataclass
class _Assignment:
    topology: Topology
    level: int
    domain: int
    load: Load
    kinds: list[_Kind] = field(default_factory=list)
    program: Program = field(default_factory=Program)
    spots: dict[_Spot, int] = field(default_factory=dict)

    def list_kinds(self, box: Box, number: int, total: int) -> None:
        """Number all kinds of boxes; 0 is the outermost."""
        for inner, count in box.inside:
            self.kinds.append(_Kind(inner, number, count, total * count))
            self.list_kinds(inner, len(self.kinds) - 1, total * count)

    def add_spots(self) -> bool:
        """A variable for every domain that could hold a box; returns whether no kind is left without any."""
        inside = self.topology.partition(self.level) == self.domain
        levels: dict[int, set[int]] = {0: {self.level}}
        most_missed = sum(kind.total for kind in self.kinds) + 1
        slots = {level: self.topology.sums(level, np.where(inside, self.load.slots, 0).T) for level in self._levels()}
        for number, kind in enumerate(self.kinds[1:], start=1):
            levels[number] = set()
            box = kind.box
            for around in sorted(levels[kind.around]):
                for level in range(max(box.widest, around), max(box.narrowest, around) + 1):
                    allowed = inside & allowed_domain(self.topology, box, level)
                    asked = np.flatnonzero(box.total)
                    room = (slots[level][:, asked] // box.total[asked]).min(axis=1, initial=kind.total)
                    widest = max(int(slots[level].max(initial=0)), 1)
                    for domain in np.unique(self.topology.partition(level)[allowed]).tolist():
                        if room[domain] <= 0:
                            continue
                        # Nearer first; among equals the tighter domain, which never outweighs a level.
                        tight = 0.5 * float(slots[level][domain].max()) / widest / most_missed
                        cost = max(box.narrowest - level, 0) + tight
                        self.spots[number, around, level, domain] = self.program.variable(
                            most=float(room[domain]), cost=cost
                        )
                        levels[number].add(level)
            if not levels[number]:
                return False
        return True

    def _levels(self) -> range:
        deepest = max([self.level, *(kind.box.narrowest for kind in self.kinds)])
        return range(self.level, deepest + 1)

    def add_families(self) -> None:
        """Every box has as many of each inner box as it needs, within its own domain."""
        own: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for (number, _, level, domain), column in self.spots.items():
            own[number, level, domain].append(column)
        rows: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for (number, around, level, domain), column in self.spots.items():
            rows[number, around, self.topology.upward(level, around).item(domain)].append(column)
        for number, kind in enumerate(self.kinds[1:], start=1):
            if kind.around == 0:
                here = rows[number, self.level, self.domain]
                self.program.row([(column, 1.0) for column in here], least=kind.count, most=kind.count)
                continue
            homes = {key[1:] for key in own if key[0] == kind.around} | {key[1:] for key in rows if key[0] == number}
            for home in sorted(homes):
                terms = [(column, 1.0) for column in rows.get((number, *home), ())]
                terms += [(column, -float(kind.count)) for column in own.get((kind.around, *home), ())]
                self.program.row(terms, least=0, most=0)

    def add_rooms(self, places: dict[tuple[int, int], int]) -> None:
        """No domain is asked for more than it has: its slots, or the ``places`` that are chosen there."""
        asked: dict[tuple[int, int, int], list[tuple[int, float]]] = defaultdict(list)
        used = sorted({(level, domain) for _, _, level, domain in self.spots})
        levels = sorted({level for level, _ in used})
        for (number, _, level, domain), column in self.spots.items():
            for c, demand in enumerate(self.kinds[number].box.demand):
                if demand:
                    for wider in (wider for wider in levels if wider <= level):
                        above = self.topology.upward(level, wider).item(domain)
                        asked[c, wider, above].append((column, float(demand)))
        chosen: dict[tuple[int, int, int], list[tuple[int, float]]] = defaultdict(list)
        for (c, n), column in places.items():
            for level in levels:
                chosen[c, level, self.topology.partition(level).item(n)].append((column, -1.0))
        sums = {level: self.topology.sums(level, self.load.slots.T) for level in levels}
        for (c, level, domain), terms in asked.items():
            room = 0.0 if places else float(sums[level][domain, c])
            self.program.row([*terms, *chosen[c, level, domain]], most=room)

    def position(self, solution: np.ndarray) -> Position:
        """The boxes of a solution."""
        left = {spot: round(float(solution[column])) for spot, column in self.spots.items()}
        open_spots: dict[tuple[int, int], list[_Spot]] = defaultdict(list)
        for spot, count in sorted(left.items()):
            if count:
                open_spots[spot[0], spot[1]].append(spot)
        children: dict[int, list[int]] = defaultdict(list)
        for number, kind in enumerate(self.kinds[1:], start=1):
            children[kind.around].append(number)

        def build(number: int, level: int, domain: int) -> Position:
            made = Position(self.kinds[number].box, level, domain)
            for child in children[number]:
                wanted = self.kinds[child].count
                for spot in open_spots[child, level]:
                    if self.topology.upward(spot[2], level).item(spot[3]) != domain:
                        continue
                    while wanted and left[spot]:
                        left[spot], wanted = left[spot] - 1, wanted - 1
                        made.inside.append(build(child, spot[2], spot[3]))
            return made

        return build(0, self.level, self.domain)


def assign(
    topology: Topology, box: Box, level: int, domain: int, load: Load, budget: Budget
) -> tuple[Outcome, Position | None]:
    """Arrange a box and all in it within a domain, bringing inner boxes as near to their preferred levels as possible.

    Args:
        topology: levels and domains.
        box: what to arrange.
        level: of the domain.
        domain: as a part of ``Topology.partition(level)``.
        load: all pods of the box, and the free amounts of all ``N`` nodes.
        budget: how much may be searched.

    Returns:
        What was shown, and the arrangement if there is one.
    """
    work = _Assignment(topology, level, domain, load)
    work.kinds.append(_Kind(box, NONE, 1, 1))
    work.list_kinds(box, 0, 1)
    if not work.add_spots():
        return Outcome.INFEASIBLE, None
    work.add_families()
    inside = topology.members(level, domain)
    here = Load(load.demand, load.request, load.free[inside], load.slots[:, inside])
    places: dict[tuple[int, int], int] = {}
    differ = np.count_nonzero(load.demand) > 1
    if differ:
        if not budget.allows(len(work.spots) + int(np.count_nonzero(here.slots))):
            return Outcome.UNKNOWN, None
        local = add_nodes(work.program, here)
        places = {(c, inside.item(n)): column for (c, n), column in local.items()}
        add_demand(work.program, here, local)
    elif (here.slots.sum(axis=1) < load.demand).any():
        return Outcome.INFEASIBLE, None
    work.add_rooms(places)
    outcome, solution = work.program.solve(budget)
    if outcome in (Outcome.INFEASIBLE, Outcome.UNKNOWN):
        return outcome, None
    position = work.position(solution)
    pool: Amounts = np.zeros_like(load.slots)
    if differ:
        counts = counts_of(here, local, solution)
        if counts is None:
            return Outcome.UNKNOWN, None
        pool[:, inside] = counts
    else:
        pool[:, inside] = here.slots
    lay_all(topology, position, pool)
    return outcome, position
