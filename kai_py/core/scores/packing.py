"""Packing: fill nodes (binpack) or level them (spread), by the one resource that matters to the pod.

With ``leastFragmentation``, nodes that are equal otherwise are filled; see ``scores.usable``.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.options import Options, Strategy
from kai_py.core.resources import ACCOUNTED, CPU, GPU, Amounts, ResourceAxis, Rows, Shares
from kai_py.core.tables.nodes import NodeTable

_GPU = ACCOUNTED.index(GPU)


@dataclass(frozen=True)
class Packing:
    """How a pod class is packed.

    Attributes:
        columns: the columns of R that count: the GPU resources that it asks for, else cpu.
        ratio: ``(K,)`` what a base unit of each column is worth; whole numbers, so that sums are exact and nodes that
            are equally full score equally, to the bit.
        scale: ``(N,)`` what free amounts are divided by: the largest node, or each node's own size (spread).
        strategy: how the class is packed.
        by_gpus: whether the columns are GPU resources.
    """

    columns: Rows
    ratio: Amounts
    scale: Shares
    strategy: Strategy
    by_gpus: bool = False

    @classmethod
    def of(cls, request: Amounts, nodes: NodeTable, axis: ResourceAxis, options: Options) -> "Packing":
        """Choose the resource and the strategy for a class' ``(R,)`` request."""
        gpus = np.flatnonzero((request > 0) & (axis.accounting[:, _GPU] > 0))
        strategy = options.gpu if gpus.size else options.cpu
        columns = gpus if gpus.size else np.array([axis.index[CPU]])
        ratio = axis.accounting[columns, _GPU] if gpus.size else np.ones(1, dtype=np.int64)
        size = (nodes.allocatable[:, columns] @ ratio).astype(np.float64)
        scale = np.full(len(nodes), size.max(initial=0.0)) if strategy is not Strategy.SPREAD else size
        return cls(columns.astype(np.int32), ratio, np.maximum(scale, 1.0), strategy, by_gpus=bool(gpus.size))

    def score(self, rows: Rows | slice, free: Amounts) -> Shares:
        """``(K,)`` in [0, 1] for some nodes.

        Args:
            rows: which nodes.
            free: ``(K, R)`` of these nodes, what is free now or soon.
        """
        level = (free[:, self.columns] @ self.ratio) / self.scale[rows]
        return np.clip(1.0 - level if self._binpack else level, 0.0, 1.0)

    def score_one(self, row: int, free: list[int]) -> float:
        """The same for one node, to the bit."""
        level = sum([free[column] * worth for column, worth in self._counting]) / self.scale.item(row)
        return min(max(1.0 - level if self._binpack else level, 0.0), 1.0)

    @cached_property
    def _counting(self) -> list[tuple[int, int]]:
        return list(zip(self.columns.tolist(), self.ratio.tolist(), strict=True))

    @cached_property
    def _binpack(self) -> bool:
        return self.strategy is not Strategy.SPREAD
