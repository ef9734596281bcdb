"""Nodes that say they are not ready, or are on their way out, take nobody."""

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable


def node_ready(_: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)``. kube-scheduler reads only the taints that a controller derives from the condition; KAI reads both."""
    return nodes.ready
