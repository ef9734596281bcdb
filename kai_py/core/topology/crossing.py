"""Boxes into domains of several topologies, exactly: one integer program over domains and nodes.

Where domains cross, it is not enough that no domain is asked for more than it has: every box says how many of its pods
go to which node. Equal boxes at the same place are counted, not named.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.nest import allowed_domain
from kai_py.core.topology.packing import Load
from kai_py.core.topology.parts import Box
from kai_py.core.topology.positions import Position
from kai_py.core.topology.program import Budget, Outcome, Program


@dataclass
class _Spot:
    """A place where so many equal boxes may be: a domain within the place of the box around them.

    Attributes:
        box: of which kind.
        count: of them in one box around.
        level: of the domain.
        domain: as a part of the level.
        nodes: rows.
        copies: column of the number of boxes here.
        pods: column of the pods of a class on a node, by both.
        inside: by the row of a box in ``box.inside``: places within this one.
    """

    box: Box
    count: int
    level: int
    domain: int
    nodes: Rows
    copies: int
    pods: dict[tuple[int, int], int] = field(default_factory=dict)
    inside: list[list[_Spot]] = field(default_factory=list)


def cross(
    topologies: Sequence[Topology], box: Box, level: int, domain: int, nodes: Mask, load: Load, budget: Budget
) -> tuple[Outcome, Position | None]:
    """Arrange a box and all in it on some nodes, with as few missed levels as there can be.

    Args:
        topologies: by row.
        box: what to arrange.
        level: of its domain.
        domain: as a part of that level.
        nodes: ``(N,)`` of the domain.
        load: pods and free amounts of all nodes.
        budget: how much may be searched.

    Returns:
        What is proven, and the position if there is one.
    """
    crossing = _Crossing(topologies, load, budget.variables)
    root = crossing.root(box, level, domain, np.flatnonzero(nodes).astype(np.int32))
    if root is None:
        return Outcome.UNKNOWN if crossing.too_large else Outcome.INFEASIBLE, None
    crossing.add_rooms()
    outcome, solution = crossing.program.solve(budget)
    if not solution.size:
        return outcome, None
    position = crossing.position(root, np.round(solution).astype(np.int64))
    return (outcome, position) if position is not None else (Outcome.UNKNOWN, None)


class _Crossing:
    def __init__(self, topologies: Sequence[Topology], load: Load, most: int) -> None:
        self._topologies = topologies
        self._load = load
        self._most = most
        self.program = Program()
        self.too_large = False
        #: Columns by node: class, column.
        self._on_node: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def root(self, box: Box, level: int, domain: int, nodes: Rows) -> _Spot | None:
        """The outermost box and all that can be in it; None if something cannot, or there is too much to search."""
        spot = self._spot(box, 1, level, domain, nodes, most=1, cost=0.0)
        if spot is not None:
            self.program.row([(spot.copies, 1.0)], least=1)
        return spot

    def _spot(
        self, box: Box, count: int, level: int, domain: int, nodes: Rows, *, most: int, cost: float
    ) -> _Spot | None:
        spot = _Spot(box, count, level, domain, nodes, self.program.variable(most=float(most), cost=cost))
        for c in np.flatnonzero(box.demand).tolist():
            columns = []
            for node in nodes[self._load.slots[c, nodes] > 0].tolist():
                column = self.program.variable(most=float(self._load.slots[c, node]))
                spot.pods[c, node] = column
                self._on_node[node].append((c, column))
                columns.append(column)
            terms = [(column, 1.0) for column in columns]
            self.program.row([*terms, (spot.copies, -float(box.demand[c]))], least=0, most=0)
        for inner, times in box.inside:
            places = list(self._places(inner, times, nodes, most * times))
            self.too_large |= len(self.program.cost) > self._most
            if not places or self.too_large:
                return None
            spot.inside.append(places)
            terms = [(place.copies, 1.0) for place in places]
            self.program.row([*terms, (spot.copies, -float(times))], least=0, most=0)
        return spot

    def _places(self, box: Box, count: int, around: Rows, total: int) -> list[_Spot]:
        """All places of a box within some nodes; of domains with the same nodes the narrowest alone."""
        topology, seen, found = self._topologies[box.tree], set[bytes](), list[_Spot]()
        for level in range(box.narrowest, box.widest - 1, -1):
            here = around[allowed_domain(topology, box, level)[around]]
            parts = topology.partition(level)[here]
            for domain in np.unique(parts).tolist():
                nodes = here[parts == domain]
                room = self._room(box, nodes, total)
                if room <= 0 or nodes.tobytes() in seen:
                    continue
                seen.add(nodes.tobytes())
                if len(self.program.cost) > self._most:
                    self.too_large = True
                    return found
                cost = float(max(box.narrowest - level, 0))
                before = len(self.program.cost)
                spot = self._spot(box, count, level, domain, nodes, most=room, cost=cost)
                if spot is not None:
                    found.append(spot)
                else:  # what is inside has no place here: nobody comes
                    self.program.row([(before, 1.0)], most=0)
        return found

    def _room(self, box: Box, nodes: Rows, total: int) -> int:
        """How many copies of a box some nodes hold at most, by the slots of each class alone."""
        asked = np.flatnonzero(box.total)
        slots = self._load.slots[asked][:, nodes].sum(axis=1)
        # Slots of a class are counted up to what all pods need, so that no copy is lost.
        return min(total, int((slots // box.total[asked]).min(initial=total)))

    def add_rooms(self) -> None:
        """No node is asked for more than it has."""
        load = self._load
        for node, here in self._on_node.items():
            for c in sorted({c for c, _ in here}):
                terms = [(column, 1.0) for own, column in here if own == c]
                self.program.row(terms, most=float(load.slots[c, node]))
            for r, free in enumerate(load.free[node].tolist()):
                terms = [(column, float(load.request[c, r])) for c, column in here if load.request[c, r]]
                if terms:
                    self.program.row(terms, most=float(free))

    def position(self, root: _Spot, solution: Amounts) -> Position | None:
        """The boxes of a solution, checked in integers; None if the solver's tolerance let something through."""
        counts = np.zeros_like(self._load.slots)
        for node, here in self._on_node.items():
            for c, column in here:
                counts[c, node] += solution[column]
        fits = (counts.T @ self._load.request <= self._load.free).all() and (counts <= self._load.slots).all()
        if not fits or (counts.sum(axis=1) != self._load.demand).any():
            return None
        found = self._build(root, solution)
        return found[0] if len(found) == 1 else None

    def _build(self, spot: _Spot, solution: Amounts) -> list[Position]:
        """The boxes at a place. Equal ones divide its pods, and the boxes inside, in the order of the rows."""
        made = [Position(spot.box, spot.level, spot.domain) for _ in range(int(solution[spot.copies]))]
        if not made:
            return []
        counts = np.zeros((len(self._load.slots), len(spot.nodes)), dtype=np.int64)
        row_of = {node: row for row, node in enumerate(spot.nodes.tolist())}
        for (c, node), column in spot.pods.items():
            counts[c, row_of[node]] = solution[column]
        demand = np.array(spot.box.demand, dtype=np.int64)
        for position in made:
            before = np.cumsum(counts, axis=1) - counts
            own = np.clip(demand[:, None] - before, 0, counts)
            counts -= own
            position.put(spot.nodes, own)
        for (_, times), places in zip(spot.box.inside, spot.inside, strict=True):
            inner = [one for place in places for one in self._build(place, solution)]
            for number, position in enumerate(made):
                position.inside += inner[number * times : (number + 1) * times]
        return made
