"""A pod may insist on one node by name."""

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable


def node_name(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` True everywhere unless the pod names its node."""
    if not pod.node_name:
        return np.ones(len(nodes), dtype=np.bool_)
    return np.array([name == pod.node_name for name in nodes.names], dtype=np.bool_)
