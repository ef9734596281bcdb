"""``nodeSelector`` and the required part of node affinity."""

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import PodClass, Requirement
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.requirements import matches_labels, matches_term


def node_affinity(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` all selector pairs, and any required term. Required terms that are given but empty match nothing."""
    matches = np.ones(len(nodes), dtype=np.bool_)
    for key, value in pod.selector:
        matches &= matches_labels(Requirement(key, "In", (value,)), nodes.labels)
    if pod.required is not None:
        anywhere = np.zeros(len(nodes), dtype=np.bool_)
        for term in pod.required:
            anywhere |= matches_term(term, nodes)
        matches &= anywhere
    return matches
