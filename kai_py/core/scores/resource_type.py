"""Pods without GPUs leave GPU nodes to those who need them."""

import numpy as np

from kai_py.core.resources import ACCOUNTED, GPU, Amounts, Mask, ResourceAxis, Rows, Shares
from kai_py.core.tables.nodes import NodeTable

_GPU = ACCOUNTED.index(GPU)
_NONE: Rows = np.zeros(0, dtype=np.int32)


def resource_type(request: Amounts, nodes: NodeTable, axis: ResourceAxis, with_devices: Rows = _NONE) -> Shares:
    """``(N,)`` 1 for nodes without GPUs when the ``(R,)`` request has none, else 0.

    Args:
        request: what the pod asks for.
        nodes: the nodes.
        axis: of the snapshot.
        with_devices: rows of nodes whose GPUs are devices that pods claim.
    """
    counts = axis.accounting[:, _GPU] > 0
    if request[counts].any():
        return np.zeros(len(nodes))
    without: Mask = np.logical_not(nodes.allocatable[:, counts].any(axis=1))
    without[with_devices] = False
    return np.asarray(without, dtype=np.float64)
