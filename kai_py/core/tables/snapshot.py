"""The snapshot: everything a cycle may know, sealed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from kai_py.core.resources import ResourceAxis
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.podgroups import PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import PodTable
from kai_py.core.tables.queues import QueueTable

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


@dataclass(frozen=True)
class Snapshot:
    """The cluster at one moment. Immutable and self-contained: two cycles over it decide the same.

    Attributes:
        now: seconds since the epoch.
        axis: the resource axes of all tables.
    """

    now: float
    axis: ResourceAxis
    nodes: NodeTable
    classes: ClassTable
    pods: PodTable
    podgroups: PodGroupTable
    subgroups: SubGroupTable
    queues: QueueTable

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
    ) -> Snapshot:
        """Check all shapes once and forbid writing to any array.

        Raises:
            ValueError: a column's length contradicts its table; names the column.
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
        return cls(now, axis, nodes, classes, pods, podgroups, subgroups, queues)


def _seal(label: str, table: DataclassInstance, rows: int, *, apart_from: tuple[str, ...] = ()) -> None:
    """Check the length of every column of a table and make it read-only."""
    for column in fields(table):
        value = getattr(table, column.name)
        if isinstance(value, np.ndarray):
            if column.name not in apart_from:
                _expect(f"{label}.{column.name}", value, (rows, *value.shape[1:]))
            value.flags.writeable = False


def _expect(name: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} is {value.shape}, expected {shape}")
