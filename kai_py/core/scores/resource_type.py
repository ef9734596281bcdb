"""Pods without GPUs leave GPU nodes to those who need them."""

import numpy as np

from kai_py.core.resources import ACCOUNTED, GPU, Amounts, ResourceAxis, Shares
from kai_py.core.tables.nodes import NodeTable

_GPU = ACCOUNTED.index(GPU)


def resource_type(request: Amounts, nodes: NodeTable, axis: ResourceAxis) -> Shares:
    """``(N,)`` 1 for nodes without GPUs when the ``(R,)`` request has none, else 0."""
    counts = axis.accounting[:, _GPU] > 0
    if request[counts].any():
        return np.zeros(len(nodes))
    return np.asarray(~nodes.allocatable[:, counts].any(axis=1), dtype=np.float64)
