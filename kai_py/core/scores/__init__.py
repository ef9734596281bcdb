"""Soft preferences, one file each: how good a node is for a pod class, in [0, 1].

:data:`STATIC_SCORES` depend on labels and taints only and are computed once per class and cycle; ``packing``
follows the ledger. The options weigh them by name. Must not exclude a node.
"""

from collections.abc import Callable

from kai_py.core.resources import Shares
from kai_py.core.scores.image_locality import image_locality
from kai_py.core.scores.node_affinity import node_affinity
from kai_py.core.scores.prefer_no_schedule import prefer_no_schedule
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.nodes import NodeTable

Score = Callable[[PodClass, NodeTable], Shares]

STATIC_SCORES: tuple[tuple[str, Score], ...] = (
    ("preferNoSchedule", prefer_no_schedule),
    ("nodeAffinity", node_affinity),
    ("imageLocality", image_locality),
)
