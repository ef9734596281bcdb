"""kube-scheduler's scores of cpu and memory: least allocated, most allocated, balanced. Off unless weights say so.

Sources: the plugins NodeResourcesFit and NodeResourcesBalancedAllocation. What leaving pods have counts as free, as it
does for packing. Like there, a pod that asks for nothing counts with 100 millicores and 200 MiB where nodes are
compared by how much is left; unlike there, pods that run already count with what they ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.core.options import Options
from kai_py.core.resources import CPU, MEMORY, Amounts, ResourceAxis, Rows, Shares
from kai_py.core.tables.nodes import NodeTable

#: What a pod that asks for nothing is believed to need.
_DEFAULTS: Final = (100.0, 200.0 * 2**20)


@dataclass(frozen=True)
class Allocation:
    """The three scores for one pod class.

    Attributes:
        least, most, balanced: their weights.
        asked: what a pod asks for, per resource.
        needed: the same, with defaults for nothing.
        columns: of cpu and memory in R.
        sizes: ``(N, 2)`` what nodes have of them.
    """

    least: float
    most: float
    balanced: float
    asked: tuple[float, ...]
    needed: tuple[float, ...]
    columns: tuple[int, ...]
    sizes: Shares

    @classmethod
    def of(cls, request: Amounts, nodes: NodeTable, axis: ResourceAxis, options: Options) -> Allocation | None:
        """For a class' ``(R,)`` request; None when no weight is above zero."""
        names = ("leastAllocated", "mostAllocated", "balancedAllocation")
        least, most, balanced = (options.weights.get(name, 0.0) for name in names)
        if not (least or most or balanced):
            return None
        columns = (axis.index[CPU], axis.index[MEMORY])
        asked = tuple(float(request[column]) for column in columns)
        needed = tuple(have or default for have, default in zip(asked, _DEFAULTS, strict=True))
        sizes = nodes.allocatable[:, list(columns)].astype(np.float64)
        return cls(least, most, balanced, asked, needed, columns, sizes)

    def score(self, rows: Rows | slice, later: Amounts) -> Shares:
        """``(M,)`` the weighted sum for some nodes, each score in [0, 1].

        Args:
            rows: which nodes.
            later: ``(M, R)`` what is free of them now or soon.
        """
        sizes = self.sizes[rows]
        used = [sizes[:, number] - later[:, column] for number, column in enumerate(self.columns)]
        total = np.zeros(len(sizes))
        if self.least or self.most:
            filled, count = np.zeros(len(sizes)), np.zeros(len(sizes))
            for number, held in enumerate(used):
                share = _share(held + self.needed[number], sizes[:, number])
                filled += share
                count += sizes[:, number] > 0
            filled /= np.maximum(count, 1.0)
            total += self.least * (1.0 - filled) + self.most * filled
        if self.balanced and any(self.asked):  # who asks for nothing would all go to one node
            after = self._spread([held + more for held, more in zip(used, self.asked, strict=True)], sizes)
            total += self.balanced * (0.5 + self._spread(used, sizes) - after)
        return total

    def _spread(self, used: list[Shares], sizes: Shares) -> Shares:
        """``(M,)`` the standard deviation of how full the two are; 0 where a node has only one of them."""
        one, other = (_share(held, sizes[:, number]) for number, held in enumerate(used))
        return np.asarray(np.where((sizes > 0).all(axis=1), np.abs(one - other) / 2.0, 0.0))


def _share(part: Shares, whole: Shares) -> Shares:
    """A part of a whole in [0, 1]; 0 of what is not there."""
    return np.asarray(np.where(whole > 0, np.clip(part / np.maximum(whole, 1.0), 0.0, 1.0), 0.0))
