"""The snapshot: everything a cycle may know, sealed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from kai_py.core.dra.table import ClaimTable
from kai_py.core.resources import ResourceAxis, Rows
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

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


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

    @classmethod
    def seal(
        cls,
        *,
        now: float,
        axis: ResourceAxis,
        nodes: NodeTable,
        classes: ClassTable,
        pods: PodTable,
        podgroups: PodGroupTable,
        subgroups: SubGroupTable,
        queues: QueueTable,
        devices: SharedDevices | None = None,
        budgets: Budgets | None = None,
        topologies: TopologyTable | None = None,
        claims: ClaimTable | None = None,
        neighbours: NeighbourTable | None = None,
        volumes: VolumeTable | None = None,
        zones: ZoneTable | None = None,
    ) -> Snapshot:
        """Check all shapes and references once and forbid writing to any array.

        Raises:
            ValueError: a column's length contradicts its table, or a row number points beyond one; names the column.
        """
        r, a = len(axis.names), len(axis.accounted)
        _expect("nodes.allocatable", nodes.allocatable, (len(nodes), r))
        _expect("nodes.tainted", nodes.tainted, (len(nodes), len(nodes.taints)))
        _expect("classes.request", classes.request, (len(classes), r))
        _expect("classes.accounted", classes.accounted, (len(classes), a))
        for name in ("quota", "limit", "weight", "usage"):
            _expect(f"queues.{name}", getattr(queues, name), (len(queues), a))
        _expect("podgroups.offset", podgroups.offset, (len(podgroups) + 1,))
        _seal("nodes", nodes, len(nodes))
        _seal("classes", classes, len(classes))
        _seal("pods", pods, len(pods))
        _seal("podgroups", podgroups, len(podgroups), apart_from=("offset",))
        _seal("subgroups", subgroups, len(subgroups))
        _seal("queues", queues, len(queues))
        for key, column in nodes.labels.columns.items():
            _expect(f"nodes.labels {key}", column.codes, (len(nodes),))
            column.codes.flags.writeable = False
        _refer("pods.class_idx", pods.class_idx, len(classes), none=False)
        _refer("pods.subgroup_idx", pods.subgroup_idx, len(subgroups))
        _refer("pods.node_idx", pods.node_idx, len(nodes))
        _refer("podgroups.queue_idx", podgroups.queue_idx, len(queues))
        _refer("subgroups.podgroup_idx", subgroups.podgroup_idx, len(podgroups), none=False)
        _refer("subgroups.parent", subgroups.parent, len(subgroups))
        _refer("queues.parent", queues.parent, len(queues))
        if devices is not None:
            _seal("devices", devices, len(nodes))
            if not all(0 <= pod < len(pods) for pod in devices.groups):
                raise ValueError(f"devices.groups points beyond the {len(pods)} pods")
        elif any(one.share is not None for one in classes.classes):
            raise ValueError("classes ask for shares, but there is no table of devices")
        if budgets is not None:
            _expect("budgets.of_pod", budgets.of_pod, (len(pods),))
            _refer("budgets.of_pod", budgets.of_pod, len(budgets.allowed))
            budgets.of_pod.flags.writeable = budgets.allowed.flags.writeable = False
        if topologies is not None:
            _seal_topologies(topologies, len(subgroups), len(podgroups), nodes)
        if claims is not None:
            claims.check(len(pods), len(classes))
            if claims.inventory.nodes.names != nodes.names:
                raise ValueError("claims.inventory is about other nodes")
        elif any(one.claims for one in classes.classes):
            raise ValueError("classes have claims, but there is no table of claims")
        kinds = 0 if neighbours is None else len(neighbours.kinds)
        if any(one.kind >= kinds for one in classes.classes):
            raise ValueError(f"classes are of more than the {kinds} kinds of neighbours")
        if volumes is not None:
            _seal_volumes(volumes, len(pods), len(nodes))
        elif any(one.volumes is not None for one in classes.classes):
            raise ValueError("classes ask for volumes, but there is no table of them")
        if zones is not None:
            _seal_zones(zones, len(nodes), len(pods))
        more = volumes, zones
        return cls(
            now,
            axis,
            nodes,
            classes,
            pods,
            podgroups,
            subgroups,
            queues,
            devices,
            budgets,
            topologies,
            claims,
            neighbours,
            *more,
        )


def _seal_zones(table: ZoneTable, nodes: int, pods: int) -> None:
    """Check the columns, and that whatever is written down is about pods."""
    _seal("zones", table, nodes)
    k = len(table.resources)
    shape = (nodes, table.available.shape[1], k)
    _expect("zones.available", table.available, shape)
    _expect("zones.allocatable", table.allocatable, shape)
    _expect("zones.reported", table.reported, (nodes, k))
    if not all(0 <= pod < pods for pod in table.records):
        raise ValueError(f"zones.records points beyond the {pods} pods")


def _seal_topologies(table: TopologyTable, subgroups: int, podgroups: int, nodes: NodeTable) -> None:
    """Check the columns, and that every topology is about these nodes."""
    _expect("topologies.fixed", table.fixed, (podgroups,))
    _seal("topologies", table, subgroups, apart_from=("fixed",))
    _refer("topologies.topology_idx", table.topology_idx, len(table.topologies))
    for row, topology in enumerate(table.topologies):
        if topology.nodes != nodes.names:
            raise ValueError(f"topology {topology.name} is about other nodes")
        asking = table.topology_idx == row
        for column in ("required", "preferred"):
            _refer(f"topologies.{column}", getattr(table, column)[asking], len(topology.levels))


def _seal_volumes(table: VolumeTable, pods: int, nodes: int) -> None:
    _expect("volumes.place", table.place, (len(table.names),))
    _refer("volumes.place", table.place, len(table.reach), none=False)
    if table.reach:
        _refer("volumes.reach", np.concatenate(table.reach), nodes, none=False)
    for row, choice in enumerate(table.choices):
        _expect(f"volumes.choices[{row}].made", choice.made, (nodes,))
        _refer(f"volumes.choices[{row}].candidates", choice.candidates, len(table.names), none=False)
    _expect("volumes.limits", table.limits, (nodes, len(table.drivers)))
    _refer("volumes.driver_of", table.driver_of, len(table.drivers), none=False)
    if table.of_pod and not 0 <= min(table.of_pod) <= max(table.of_pod) < pods:
        raise ValueError(f"volumes.of_pod points to row {min(table.of_pod)} to {max(table.of_pod)} of {pods}")
    for column in (table.place, table.limits, table.driver_of):
        column.flags.writeable = False


def _seal(label: str, table: DataclassInstance, rows: int, *, apart_from: tuple[str, ...] = ()) -> None:
    """Check the length of every column of a table and make it read-only."""
    for column in fields(table):
        value = getattr(table, column.name)
        if isinstance(value, np.ndarray):
            if column.name not in apart_from:
                _expect(f"{label}.{column.name}", value, (rows, *value.shape[1:]))
            value.flags.writeable = False


def _refer(name: str, rows: Rows, count: int, *, none: bool = True) -> None:
    """Check that row numbers point to rows; -1 stands for none, where that is allowed."""
    if rows.size and not (-1 if none else 0) <= rows.min() <= rows.max() < count:
        raise ValueError(f"{name} points to row {rows.min()} to {rows.max()} of {count}")


def _expect(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} is {value.shape}, expected {shape}")
