"""Nodes that have pulled the pod's images already (kube-scheduler's ImageLocality): the more bytes, the better."""

from typing import Final

import numpy as np

from kai_py.core.resources import Shares
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable

_MIB: Final = 2**20
#: Less than this is not worth a thought; what is more, per container, does not count.
_LEAST: Final = 23 * _MIB
_MOST: Final = 1000 * _MIB


def image_locality(pod: PodClass, nodes: NodeTable) -> Shares:
    """``(N,)`` in [0, 1]. An image counts by the part of the nodes that have it: no crowd for one that few have."""
    total = np.zeros(len(nodes))
    if not pod.images or not len(nodes):
        return total
    for image in pod.images:
        sizes = nodes.images.get(image)
        if sizes is not None:
            total += sizes * (np.count_nonzero(sizes) / len(nodes))
    most = max(_MOST * len(pod.images), _LEAST + 1)
    return np.asarray((np.clip(total, _LEAST, most) - _LEAST) / (most - _LEAST))
