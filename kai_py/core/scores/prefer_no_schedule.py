"""PreferNoSchedule taints that the pod does not tolerate: the fewer, the better."""

import numpy as np

from kai_py.core.resources import Shares
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.tolerations import tolerated


def prefer_no_schedule(pod: PodClass, nodes: NodeTable) -> Shares:
    """``(N,)`` in [0, 1]: 1 without such taints, 0 on the node with the most."""
    soft = [row for row, taint in enumerate(nodes.taints) if not taint.hard and not tolerated(taint, pod)]
    if not soft:
        return np.ones(len(nodes))
    unwelcome = nodes.tainted[:, soft].sum(axis=1).astype(np.float64)
    most = unwelcome.max(initial=0.0)
    return 1.0 - unwelcome / most if most > 0 else np.ones(len(nodes))
