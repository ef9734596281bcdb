"""Nodes on which this pod failed to bind a moment ago."""

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable


def exclusion(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` False on the pod's excluded nodes."""
    if not pod.excluded:
        return np.ones(len(nodes), dtype=np.bool_)
    return np.array([name not in pod.excluded for name in nodes.names], dtype=np.bool_)
