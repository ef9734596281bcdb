"""Integer programs of moderate size, with budgets that are counted and not timed.

The same snapshot decides the same on a slow machine, so nothing here looks at a clock: a program that is too large is
not begun, and the search ends after a number of branches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from kai_py.core.resources import Shares

#: Variables of one program; HiGHS needs up to a second for so many.
VARIABLES: Final = 1500
#: Branches of one search.
BRANCHES: Final = 400
#: Programs altogether.
SEARCHES: Final = 32

_OPTIMAL, _LIMIT, _INFEASIBLE = 0, 1, 2


class Outcome(Enum):
    """What a search has shown."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"  # a solution, but perhaps not the best
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"  # the budget ended first


@dataclass
class Budget:
    """How much may be searched. Used up by the calls that it is handed to, so that a cycle may share one.

    Attributes:
        searches: programs that may still be begun.
        variables: of one program.
        branches: of the search in one program.
    """

    searches: int = SEARCHES
    variables: int = VARIABLES
    branches: int = BRANCHES

    def allows(self, variables: int) -> bool:
        """Whether a program of so many variables may be begun."""
        return self.searches > 0 and variables <= self.variables


@dataclass
class Program:
    """Minimise a cost over non-negative integers, subject to rows ``least <= sum <= most``."""

    cost: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    _rows: list[int] = field(default_factory=list)
    _columns: list[int] = field(default_factory=list)
    _values: list[float] = field(default_factory=list)
    _least: list[float] = field(default_factory=list)
    _most: list[float] = field(default_factory=list)

    def variable(self, *, most: float, cost: float = 0.0) -> int:
        """Add a variable; returns its column."""
        self.cost.append(cost)
        self.upper.append(most)
        return len(self.cost) - 1

    def row(self, terms: list[tuple[int, float]], *, least: float = -np.inf, most: float = np.inf) -> None:
        """Add a constraint over (column, factor)."""
        for column, value in terms:
            self._rows.append(len(self._least))
            self._columns.append(column)
            self._values.append(value)
        self._least.append(least)
        self._most.append(most)

    def solve(self, budget: Budget) -> tuple[Outcome, Shares]:
        """Search.

        Returns:
            The solution as whole floats; empty without one. Who needs it exact checks it in integers.
        """
        nothing: Shares = np.zeros(0)
        if not self.cost:
            possible = all(least <= 0 <= most for least, most in zip(self._least, self._most, strict=True))
            return Outcome.OPTIMAL if possible else Outcome.INFEASIBLE, nothing
        if not budget.allows(len(self.cost)):
            return Outcome.UNKNOWN, nothing
        budget.searches -= 1
        matrix = csr_array((self._values, (self._rows, self._columns)), shape=(len(self._least), len(self.cost)))
        found = milp(
            np.array(self.cost),
            integrality=np.ones(len(self.cost), dtype=np.int32),
            bounds=Bounds(0, np.array(self.upper)),
            constraints=LinearConstraint(matrix, np.array(self._least), np.array(self._most)),
            options={"node_limit": budget.branches, "mip_rel_gap": 0.0},
        )
        if found.status == _INFEASIBLE:
            return Outcome.INFEASIBLE, nothing
        if found.x is None:
            return Outcome.UNKNOWN, nothing
        return Outcome.OPTIMAL if found.status == _OPTIMAL else Outcome.FEASIBLE, np.round(found.x)
