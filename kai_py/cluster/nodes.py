"""Nodes: kept as the little that a cycle reads, laid out as a table when a snapshot is taken."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from kai_py.api.meta import NO_STRINGS
from kai_py.api.node import Node
from kai_py.api.quantity import to_units
from kai_py.cluster.encode.axis import most, per_unit
from kai_py.cluster.encode.shares import device_memory
from kai_py.core.resources import Amounts, Mask, ResourceAxis
from kai_py.core.tables.labels import LabelColumn, Labels
from kai_py.core.tables.nodes import NodeTable, Taint
from kai_py.errors import Fault, MalformedObjectError


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a cycle reads of a node. Two versions of a node with equal facts are the same to the scheduler."""

    allocatable: Mapping[str, int]
    ready: bool
    cordoned: bool
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    features: frozenset[str] = frozenset()

    @classmethod
    def of(cls, node: Node) -> NodeFacts:
        """Read a node.

        Raises:
            MalformedObjectError: a quantity cannot be read; names the resource.
        """
        conditions = {condition.type: condition.status for condition in node.status.conditions}
        return cls(
            allocatable={name: _amount(node, name) for name in node.status.allocatable},
            ready=conditions.get("Ready", "True") == "True" and node.metadata.deletion_timestamp is None,
            cordoned=node.spec.unschedulable,
            labels=node.metadata.labels,
            taints=tuple(Taint(taint.key, taint.value, taint.effect) for taint in node.spec.taints),
            features=frozenset(node.status.declared_features),
        )

    def to_keep(self) -> NodeFacts:
        """The same with shared strings: thousands of nodes have the same label keys, and mostly the same values."""
        return replace(
            self,
            allocatable={sys.intern(name): amount for name, amount in self.allocatable.items()},
            labels={sys.intern(key): sys.intern(value) for key, value in self.labels.items()},
            features=frozenset(map(sys.intern, self.features)),
        )


def _amount(node: Node, resource: str) -> int:
    quantity = node.status.allocatable[resource]
    try:
        units = to_units(quantity, per_unit=per_unit(resource))
    except ValueError as error:
        fault = Fault(f"Node {node.metadata.name}", f"status.allocatable.{resource}", str(error))
        raise MalformedObjectError([fault]) from error
    return max(0, min(units, most(resource)))


class NodeBook:
    """All nodes by name.

    Attributes:
        faults: what is wrong with nodes that cannot be read. They keep their last good state; a new one is left out.
        row_of: rows of the table that was made last.
        heeds_images: whether it is remembered which images nodes have, from the next version of each node on.
    """

    def __init__(self) -> None:
        self.faults: dict[str, tuple[Fault, ...]] = {}
        self.row_of: dict[str, int] = {}
        self.heeds_images = False
        self._images: dict[str, dict[str, int]] = {}
        self._facts: dict[str, NodeFacts] = {}
        self._resources: Counter[str] = Counter()
        self._table: NodeTable | None = None
        self._axis: ResourceAxis | None = None
        self._labels: Labels | None = None
        self._names: tuple[str, ...] | None = ()

    def __len__(self) -> int:
        return len(self._facts)

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __contains__(self, name: object) -> bool:
        return name in self._facts

    def labels_of(self, name: str) -> Mapping[str, str]:
        """Labels of a node; none of one that is not there."""
        facts = self._facts.get(name)
        return facts.labels if facts is not None else NO_STRINGS

    def put(self, node: Node) -> bool:
        """Take in a node; tells whether anything that matters changed. Heartbeats do not."""
        name = node.metadata.name
        try:
            facts = NodeFacts.of(node)
        except MalformedObjectError as error:
            self.faults[name] = error.faults
            return False
        self.faults.pop(name, None)
        self._note_images(node)
        before = self._facts.get(name)
        if facts == before:
            return False
        self._facts[name] = facts.to_keep()
        self._resources.update(facts.allocatable.keys())
        if before is not None:
            self._forget_resources(before)
        self._table = None
        if before is None or before.labels != facts.labels:
            self._labels = None
        if before is None:
            self._names = None
        return True

    def _note_images(self, node: Node) -> None:
        """Remember which images a node has. They come and go with every pod, which is no reason for a cycle."""
        name = node.metadata.name
        images = {}
        if self.heeds_images:
            images = {sys.intern(called): one.size_bytes for one in node.status.images for called in one.names}
        if images != self._images.get(name, {}):
            self._images[name] = images
            self._table = None

    def drop(self, name: str) -> bool:
        """Forget a node."""
        self.faults.pop(name, None)
        self._images.pop(name, None)
        facts = self._facts.pop(name, None)
        if facts is None:
            return False
        self._forget_resources(facts)
        self._table = self._labels = self._names = None
        return True

    @property
    def resources(self) -> AbstractSet[str]:
        """Names of all resources that any node offers."""
        return self._resources.keys()

    def _forget_resources(self, facts: NodeFacts) -> None:
        for name in facts.allocatable:
            self._resources[name] -= 1
            if not self._resources[name]:
                del self._resources[name]

    def table(self, axis: ResourceAxis) -> NodeTable:
        """The nodes on an axis, sorted by name."""
        if self._table is None or self._axis != axis:
            self._table, self._axis = self._make(axis), axis
        return self._table

    @property
    def device_memory(self) -> Amounts:
        """``(N,)`` MiB of each GPU of a node, 0 where it does not say; rows of the table that was made last."""
        names = self._names or ()
        return np.array([device_memory(self._facts[name].labels) for name in names], dtype=np.int64)

    def _image_columns(self, names: tuple[str, ...]) -> dict[str, Amounts]:
        """``(N,)`` bytes of every image that any node has."""
        columns: dict[str, Amounts] = {}
        for row, name in enumerate(names if any(self._images.values()) else ()):
            for image, size in self._images.get(name, {}).items():
                if image not in columns:
                    columns[image] = np.zeros(len(names), dtype=np.int64)
                columns[image][row] = size
        return columns

    def _make(self, axis: ResourceAxis) -> NodeTable:
        if self._names is None:
            self._names = tuple(sorted(self._facts))
            self.row_of = {name: row for row, name in enumerate(self._names)}
        names = self._names
        facts = [self._facts[name] for name in names]
        if self._labels is None:
            self._labels = label_columns([one.labels for one in facts])
        allocatable = np.zeros((len(names), len(axis)), dtype=np.int64)
        for column, resource in enumerate(axis.names):
            allocatable[:, column] = [one.allocatable.get(resource, 0) for one in facts]
        taints = tuple(
            sorted({taint for one in facts for taint in one.taints}, key=lambda t: (t.key, t.value, t.effect))
        )
        return NodeTable(
            names=names,
            allocatable=allocatable,
            ready=_mask([one.ready for one in facts]),
            cordoned=_mask([one.cordoned for one in facts]),
            labels=self._labels,
            taints=taints,
            tainted=_mask([[taint in one.taints for taint in taints] for one in facts]).reshape(
                len(names), len(taints)
            ),
            images=self._image_columns(names),
            declares={
                feature: _mask([feature in one.features for one in facts])
                for feature in sorted(set[str]().union(*(one.features for one in facts)))
            },
        )


def _mask(values: list[bool] | list[list[bool]]) -> Mask:
    return np.array(values, dtype=np.bool_)


def label_columns(labels: list[Mapping[str, str]]) -> Labels:
    """One column per label key over all nodes, values numbered from 1 in order of first appearance."""
    codes: dict[str, list[int]] = {}
    vocabularies: dict[str, dict[str, int]] = {}
    for row, own in enumerate(labels):
        for key, value in own.items():
            if key not in codes:
                codes[key], vocabularies[key] = [0] * len(labels), {}
            vocabulary = vocabularies[key]
            codes[key][row] = vocabulary.setdefault(value, len(vocabulary) + 1)
    columns = {key: LabelColumn(np.array(codes[key], dtype=np.int32), vocabularies[key]) for key in codes}
    return Labels(columns, len(labels))
