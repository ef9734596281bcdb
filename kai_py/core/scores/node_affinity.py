"""Preferred node affinity: the weights of the terms that match."""

import numpy as np

from kai_py.core.resources import Shares
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.requirements import matches_term


def node_affinity(pod: PodClass, nodes: NodeTable) -> Shares:
    """``(N,)`` in [0, 1]: the sum of matching weights, relative to the best node."""
    worth = np.zeros(len(nodes))
    for preferred in pod.preferred:
        worth += preferred.weight * matches_term(preferred.term, nodes)
    best = worth.max(initial=0.0)
    return worth / best if best > 0 else worth
