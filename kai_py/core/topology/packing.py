"""Whether pods that differ fit onto some nodes together: sums refute, a greedy packing shows, a search decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.topology.choice import Offer
from kai_py.core.topology.program import Budget, Outcome, Program


@dataclass(frozen=True)
class Packing:
    """A packing, or what is known instead.

    Attributes:
        counts: ``(C, K)`` pods of a class on each of the nodes asked about; None = none found.
        proven: without counts: whether there is none.
        most: pods that the best greedy try found places for.
    """

    counts: Amounts | None
    proven: bool
    most: int


@dataclass(frozen=True)
class Load:
    """Pods to pack, in small whole numbers.

    Resources that nobody asks for are left out; each is counted in the largest unit that divides all requests:
    exact, and kind to the floats of a solver.

    Attributes:
        demand: ``(C,)`` pods.
        request: ``(C, R')``
        free: ``(N, R')``, 0 on nodes that take none of the pods.
        slots: ``(C, N)``, at most the demand.
    """

    demand: Amounts
    request: Amounts
    free: Amounts
    slots: Amounts

    @classmethod
    def of(cls, offer: Offer, demand: Amounts) -> Load:
        """Scale an offer for a demand."""
        asked = np.flatnonzero(offer.request[demand > 0].any(axis=0))
        request = np.where(demand[:, None] > 0, offer.request[:, asked], 0)
        unit = np.gcd.reduce(request, axis=0) if request.size else np.ones(len(asked), dtype=np.int64)
        request = request // unit
        slots = np.minimum(offer.slots, demand[:, None])
        takes: Mask = slots.max(axis=0, initial=0) > 0
        free: Amounts = np.maximum(offer.free[:, asked] // unit, 0)
        return cls(demand, request, np.where(takes[:, None], free, 0), slots)

    @property
    def need(self) -> Amounts:
        """``(R',)`` of all pods."""
        need: Amounts = self.demand @ self.request
        return need

    def at(self, nodes: Rows) -> Load:
        """The same pods on some of the nodes."""
        return Load(self.demand, self.request, self.free[nodes], self.slots[:, nodes])


def pack(load: Load, budget: Budget) -> Packing:
    """Find places for all pods of a load, or show that there are none."""
    if (load.slots.sum(axis=1) < load.demand).any() or (load.free.sum(axis=0) < load.need).any():
        return Packing(None, proven=True, most=int(greedy(load).sum()))
    counts = greedy(load)
    if counts.sum() == load.demand.sum():
        return Packing(counts, proven=True, most=int(counts.sum()))
    outcome, found = _search(load, budget)
    if found is not None:
        return Packing(found, proven=True, most=int(found.sum()))
    return Packing(None, proven=outcome is Outcome.INFEASIBLE, most=int(counts.sum()))


def greedy(load: Load) -> Amounts:
    """``(C, N)`` the best of a few orders: hardest class first, each onto the nodes that it fills best."""
    room = np.maximum(load.slots.sum(axis=1), 1)
    part = (load.request / np.maximum(load.free.max(axis=0, initial=0), 1)).max(axis=1, initial=0.0)
    best = np.zeros_like(load.slots)
    for hardness in (load.demand / room, part):
        counts = _fill(load, np.argsort(-hardness, kind="stable").tolist())
        if counts.sum() > best.sum():
            best = counts
        if best.sum() == load.demand.sum():
            break
    return best


def _fill(load: Load, order: list[int]) -> Amounts:
    counts, free = np.zeros_like(load.slots), load.free.copy()
    for row in order:
        request = load.request[row]
        asked = np.flatnonzero(request)
        slots = np.minimum((free[:, asked] // request[asked]).min(axis=1, initial=load.demand[row]), load.slots[row])
        # Nodes that take few first: what is left stays in one piece.
        nodes = np.argsort(slots, kind="stable")
        before = np.cumsum(slots[nodes]) - slots[nodes]
        counts[row, nodes] = np.clip(load.demand[row] - before, 0, slots[nodes])
        free -= counts[row][:, None] * request
    return counts


def add_nodes(program: Program, load: Load) -> dict[tuple[int, int], int]:
    """Add how many pods of which class go to which node, within what is free there.

    Returns:
        Column by (class, node), for those that could be positive.
    """
    columns = {
        (c, n): program.variable(most=float(load.slots[c, n]))
        for c, n in zip(*(rows.tolist() for rows in np.nonzero(load.slots)), strict=True)
    }
    by_node: dict[int, list[tuple[int, int]]] = {}
    for (c, n), column in columns.items():
        by_node.setdefault(n, []).append((c, column))
    usable = np.minimum(load.free, load.need)
    for n, here in by_node.items():
        for r, free in enumerate(usable[n].tolist()):
            terms = [(column, float(load.request[c, r])) for c, column in here if load.request[c, r]]
            # A single class is bounded by its slots already.
            if len(terms) > 1:
                program.row(terms, most=float(free))
    return columns


def add_demand(program: Program, load: Load, columns: dict[tuple[int, int], int]) -> None:
    """Add that all pods of every class have places."""
    for c, wanted in enumerate(load.demand.tolist()):
        program.row([(column, 1.0) for (own, _), column in columns.items() if own == c], least=wanted, most=wanted)


def counts_of(load: Load, columns: dict[tuple[int, int], int], solution: np.ndarray) -> Amounts | None:
    """``(C, N)`` of a solution, checked in integers; None if the solver's tolerance let something through."""
    counts = np.zeros_like(load.slots)
    for place, column in columns.items():
        counts[place] = int(solution[column])
    fits = (counts.T @ load.request <= load.free).all() and (counts <= load.slots).all()
    return counts if fits and (counts.sum(axis=1) == load.demand).all() else None


def _search(load: Load, budget: Budget) -> tuple[Outcome, Amounts | None]:
    if not budget.allows(int(np.count_nonzero(load.slots))):
        return Outcome.UNKNOWN, None
    program = Program()
    columns = add_nodes(program, load)
    add_demand(program, load, columns)
    outcome, solution = program.solve(budget)
    counts = counts_of(load, columns, solution) if solution.size else None
    return (Outcome.UNKNOWN, None) if solution.size and counts is None else (outcome, counts)
