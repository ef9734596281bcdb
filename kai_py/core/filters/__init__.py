"""Hard constraints, one file each: which pod class may go to which node, and if not, why.

A filter returns a mask over nodes and owns one reason code. The order of :data:`FILTERS` is the order in which
a node's first reason is reported. Filters see labels, taints and names, which a cycle does not change; room on a node,
which it does, is ``filters.resources``. Must not look at scores.
"""

from collections.abc import Callable

from kai_py.core.filters.declared_features import declared_features
from kai_py.core.filters.exclusion import exclusion
from kai_py.core.filters.node_affinity import node_affinity
from kai_py.core.filters.node_name import node_name
from kai_py.core.filters.node_ready import node_ready
from kai_py.core.filters.taints import cordoned, taints
from kai_py.core.filters.volumes import volume_affinity, volume_zone
from kai_py.core.resources import Mask
from kai_py.core.result import FilterReason
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable

Filter = Callable[[PodClass, NodeTable], Mask]

FILTERS: tuple[tuple[FilterReason, Filter], ...] = (
    (FilterReason.NOT_READY, node_ready),
    (FilterReason.NODE_NAME, node_name),
    (FilterReason.CORDONED, cordoned),
    (FilterReason.TAINT, taints),
    (FilterReason.NODE_AFFINITY, node_affinity),
    (FilterReason.VOLUME_AFFINITY, volume_affinity),
    (FilterReason.VOLUME_ZONE, volume_zone),
    (FilterReason.FEATURES, declared_features),
    (FilterReason.EXCLUDED, exclusion),
)
