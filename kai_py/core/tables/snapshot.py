"""The snapshot: everything a cycle may know. It is used once it is sealed, see :mod:`kai_py.core.tables.seal`."""

from __future__ import annotations

from dataclasses import dataclass

from kai_py.core.dra.table import ClaimTable
from kai_py.core.resources import ResourceAxis
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.devices import SharedDevices
from kai_py.core.tables.neighbours import NeighbourTable
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.podgroups import PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import Budgets, PodTable
from kai_py.core.tables.queues import QueueTable
from kai_py.core.tables.topologies import TopologyTable
from kai_py.core.tables.volumes import VolumeTable
from kai_py.core.tables.zones import ZoneTable


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment. Immutable and self-contained: two cycles over it decide the same.

    Attributes:
        now: seconds since the epoch.
        axis: the resource axes of all tables.
        devices: what can be shared; None where nobody shares or asks for a share.
        budgets: disruption budgets; None where there are none.
        topologies: who has to be near whom; None where nobody asks for it.
        claims: claims on devices; None where no pod has any.
        neighbours: what pods ask of each other; None where nobody asks for anything.
        volumes: volumes of pods; None where no pod has any that matter.
        zones: NUMA nodes; None where no node says that its kubelet aligns pods.
    """

    now: float
    axis: ResourceAxis
    nodes: NodeTable
    classes: ClassTable
    pods: PodTable
    podgroups: PodGroupTable
    subgroups: SubGroupTable
    queues: QueueTable
    devices: SharedDevices | None = None
    budgets: Budgets | None = None
    topologies: TopologyTable | None = None
    claims: ClaimTable | None = None
    neighbours: NeighbourTable | None = None
    volumes: VolumeTable | None = None
    zones: ZoneTable | None = None
