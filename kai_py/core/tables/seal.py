"""Sealing a snapshot: all shapes and references are checked once, and nothing is written to any array after that."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from kai_py.core.resources import Rows
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.tables.topologies import TopologyTable
from kai_py.core.tables.volumes import VolumeTable
from kai_py.core.tables.zones import ZoneTable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def seal(snapshot: Snapshot) -> Snapshot:
    """The very same snapshot, checked and read-only.

    Raises:
        ValueError: a column's length contradicts its table, or a row number points beyond one; names the column.
    """
    _check_columns(snapshot)
    _check_references(snapshot)
    _check_missing(snapshot)
    nodes, pods = len(snapshot.nodes), len(snapshot.pods)
    if snapshot.devices is not None:
        _seal("devices", snapshot.devices, nodes)
        if not all(0 <= pod < pods for pod in snapshot.devices.groups):
            raise ValueError(f"devices.groups points beyond the {pods} pods")
    if (budgets := snapshot.budgets) is not None:
        _expect("budgets.of_pod", budgets.of_pod, (pods,))
        _refer("budgets.of_pod", budgets.of_pod, len(budgets.allowed))
        budgets.of_pod.flags.writeable = budgets.allowed.flags.writeable = False
    if snapshot.topologies is not None:
        _seal_topologies(snapshot.topologies, len(snapshot.subgroups), len(snapshot.podgroups), snapshot.nodes)
    if snapshot.claims is not None:
        snapshot.claims.check(pods, len(snapshot.classes))
        if snapshot.claims.inventory.nodes.names != snapshot.nodes.names:
            raise ValueError("claims.inventory is about other nodes")
    if snapshot.volumes is not None:
        _seal_volumes(snapshot.volumes, pods, nodes)
    if snapshot.zones is not None:
        _seal_zones(snapshot.zones, nodes, pods)
    return snapshot


def _check_columns(snapshot: Snapshot) -> None:
    """Columns of the tables that are always there are as long as these, and as wide as the axes."""
    nodes, classes, queues, podgroups = snapshot.nodes, snapshot.classes, snapshot.queues, snapshot.podgroups
    r, a = len(snapshot.axis.names), len(snapshot.axis.accounted)
    _expect("nodes.allocatable", nodes.allocatable, (len(nodes), r))
    _expect("nodes.tainted", nodes.tainted, (len(nodes), len(nodes.taints)))
    _expect("classes.request", classes.request, (len(classes), r))
    _expect("classes.accounted", classes.accounted, (len(classes), a))
    for name in ("quota", "limit", "weight", "usage"):
        _expect(f"queues.{name}", getattr(queues, name), (len(queues), a))
    _expect("podgroups.offset", podgroups.offset, (len(podgroups) + 1,))
    _seal("nodes", nodes, len(nodes))
    _seal("classes", classes, len(classes))
    _seal("pods", snapshot.pods, len(snapshot.pods))
    _seal("podgroups", podgroups, len(podgroups), apart_from=("offset",))
    _seal("subgroups", snapshot.subgroups, len(snapshot.subgroups))
    _seal("queues", queues, len(queues))
    for key, column in nodes.labels.columns.items():
        _expect(f"nodes.labels {key}", column.codes, (len(nodes),))
        column.codes.flags.writeable = False


def _check_references(snapshot: Snapshot) -> None:
    """Rows that the tables which are always there name in each other exist."""
    pods, podgroups, subgroups, queues = snapshot.pods, snapshot.podgroups, snapshot.subgroups, snapshot.queues
    _refer("pods.class_idx", pods.class_idx, len(snapshot.classes), none=False)
    _refer("pods.subgroup_idx", pods.subgroup_idx, len(subgroups))
    _refer("pods.node_idx", pods.node_idx, len(snapshot.nodes))
    _refer("podgroups.queue_idx", podgroups.queue_idx, len(queues))
    _refer("subgroups.podgroup_idx", subgroups.podgroup_idx, len(podgroups), none=False)
    _refer("subgroups.parent", subgroups.parent, len(subgroups))
    _refer("queues.parent", queues.parent, len(queues))


def _check_missing(snapshot: Snapshot) -> None:
    """A table that classes ask for is there."""
    classes = snapshot.classes.classes
    if snapshot.devices is None and any(one.share is not None for one in classes):
        raise ValueError("classes ask for shares, but there is no table of devices")
    if snapshot.claims is None and any(one.claims for one in classes):
        raise ValueError("classes have claims, but there is no table of claims")
    kinds = 0 if snapshot.neighbours is None else len(snapshot.neighbours.kinds)
    if any(one.kind >= kinds for one in classes):
        raise ValueError(f"classes are of more than the {kinds} kinds of neighbours")
    if snapshot.volumes is None and any(one.volumes is not None for one in classes):
        raise ValueError("classes ask for volumes, but there is no table of them")


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
