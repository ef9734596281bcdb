"""Taints and tolerations (Kubernetes: TaintToleration and NodeUnschedulable)."""

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable, Taint
from kai_py.core.tables.tolerations import tolerated

#: What a cordoned node would carry; the node controller adds it with a delay, ``spec.unschedulable`` has none.
CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


def taints(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` no NoSchedule or NoExecute taint that the pod does not tolerate."""
    repelling = [row for row, taint in enumerate(nodes.taints) if taint.hard and not tolerated(taint, pod)]
    if not repelling:
        return np.ones(len(nodes), dtype=np.bool_)
    return np.asarray(~nodes.tainted[:, repelling].any(axis=1))


def cordoned(pod: PodClass, nodes: NodeTable) -> Mask:
    """``(N,)`` not cordoned, unless the pod tolerates that."""
    return np.ones(len(nodes), dtype=np.bool_) if tolerated(CORDON, pod) else ~nodes.cordoned
