"""Kubelets declare what they can do; a pod that needs a feature goes only where it is declared (KEP-5328)."""

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable


def declared_features(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` all features that the pod needs are declared."""
    declared = np.ones(len(nodes), dtype=np.bool_)
    for feature in pod.features:
        declared &= nodes.declares.get(feature, False)
    return declared
