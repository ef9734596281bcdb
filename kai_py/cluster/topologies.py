"""Topologies: as they are, and laid over the nodes for those that somebody asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from kai_py.api.topology import Topology as TopologyObject
from kai_py.cluster.devices.book import DeviceBook
from kai_py.cluster.encode.topology import Asked, label_of, resolve
from kai_py.cluster.group_rows import GroupTables
from kai_py.cluster.pods import Blocked
from kai_py.core.result import ReasonCode
from kai_py.core.tables.domains import Level, Topology
from kai_py.core.tables.labels import ABSENT, LabelColumn
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.patterns import RING, Pattern
from kai_py.core.tables.podgroups import PodGroupTable
from kai_py.core.tables.topologies import TopologyTable, unconstrained
from kai_py.errors import Fault


class Constrained(NamedTuple):
    """What podgroups ask of topologies; None where nobody asks. Those that cannot be served are blocked."""

    podgroups: PodGroupTable
    table: TopologyTable | None


class _Laid(NamedTuple):
    """A topology, and the columns and nodes that it was made of."""

    topology: Topology
    columns: tuple[LabelColumn, ...]
    nodes: tuple[str, ...]


class TopologyBook:
    """All Topologies by name.

    A topology is laid over the nodes when somebody asks for it, and again when it, the nodes or their labels of its
    levels have changed. Without podgroups that ask for any, a snapshot costs one look into an empty mapping.

    A level is a label of nodes, or, where no node has it, an attribute on which the devices of each node agree.

    Args:
        devices: what drivers say about devices.

    Attributes:
        topologies: as they were when they could be read last.
        malformed: what is wrong with those that cannot be read now; whoever asks for one of them waits.
    """

    def __init__(self, devices: DeviceBook | None = None) -> None:
        self._devices = DeviceBook() if devices is None else devices
        #: Whether some level is looked for among devices.
        self._asks_devices = False
        self.topologies: dict[str, TopologyObject] = {}
        self.malformed: dict[str, Fault] = {}
        self._laid: dict[str, _Laid] = {}
        #: A new object with every change of a Topology.
        self._revision = object()
        self._last: tuple[tuple[object, ...], Constrained] | None = None

    def put(self, topology: TopologyObject) -> bool:
        """Take in a Topology; tells whether it changed."""
        name = topology.name
        before, mended = self.topologies.get(name), self.malformed.pop(name, None) is not None
        self.topologies[name] = topology
        unchanged = before is not None and before.spec == topology.spec and not mended
        return not unchanged and self._changed(name)

    def put_malformed(self, name: str, fault: Fault) -> bool:
        """A Topology that cannot be read: whoever asks for it waits, because nobody knows what it says now."""
        before = self.malformed.get(name)
        self.malformed[name] = fault
        return before != fault and self._changed(name)

    def drop(self, name: str) -> bool:
        """Forget a Topology."""
        known = name in self.topologies or name in self.malformed
        self.topologies.pop(name, None)
        self.malformed.pop(name, None)
        return known and self._changed(name)

    def _changed(self, name: str) -> bool:
        self._laid.pop(name, None)
        self._revision = object()
        return True

    def constrain(self, groups: GroupTables, nodes: NodeTable) -> Constrained:
        """What podgroups ask for, shared with the last snapshot if nothing in it changed.

        Args:
            groups: tables of the podgroups.
            nodes: table of the nodes.
        """
        if not groups.constraints:
            return Constrained(groups.podgroups, None)
        devices = self._devices.revision if self._asks_devices else None
        made_of = (self._revision, groups, nodes.names, nodes.labels, devices)
        if self._last is None or any(old is not new for old, new in zip(self._last[0], made_of, strict=True)):
            self._asks_devices = False
            constrained = self._constrain(groups, nodes)
            devices = self._devices.revision if self._asks_devices else None
            self._last = (*made_of[:-1], devices), constrained
        return self._last[1]

    def _constrain(self, groups: GroupTables, nodes: NodeTable) -> Constrained:
        asked_for = {asked.topology for constraints in groups.constraints.values() for asked in constraints.asked}
        there = self.topologies.keys() | self.malformed | set(filter(label_of, asked_for))
        known = {name: self._lay(name, nodes) for name in sorted(asked_for & there)}
        laid = [topology for topology in known.values() if isinstance(topology, Topology)]
        row_of = {topology.name: row for row, topology in enumerate(laid)}
        topology_idx, required, preferred = unconstrained(len(groups.subgroups))
        fixed = np.zeros(len(groups.podgroups), dtype=np.bool_)
        blocked: dict[int, Blocked] = {}
        patterns: dict[int, Pattern] = {}
        for podgroup, (asked, pattern) in groups.constraints.items():
            key = groups.podgroups.keys[podgroup]
            found = resolve(f"PodGroup {key}", asked, known)
            if isinstance(pattern, Fault):
                found = pattern
            fixed[podgroup] = isinstance(found, Fault) or any(one.required for one in asked)
            if isinstance(found, Fault):
                blocked[podgroup] = _blocked(found, asked, known)
                continue
            if isinstance(pattern, Pattern) and pattern != RING:
                patterns[podgroup] = pattern
            for level in found:
                row = groups.podgroups.offset.item(podgroup) + level.row
                topology_idx[row] = row_of[level.topology.name]
                required[row], preferred[row] = level.required, level.preferred
        podgroups = dataclasses.replace(groups.podgroups, blocked={**blocked, **groups.podgroups.blocked})
        table = TopologyTable(tuple(laid), topology_idx, required, preferred, fixed, patterns)
        return Constrained(podgroups if blocked else groups.podgroups, table)

    def _lay(self, name: str, nodes: NodeTable) -> Topology | Fault:
        """A topology over the nodes; the very same object while labels and nodes that it is made of do not change."""
        if (fault := self.malformed.get(name)) is not None:
            return fault
        label, laid = label_of(name), self._laid.get(name)
        levels = (
            [(one.node_label, one.alias) for one in self.topologies[name].spec.levels] if not label else [(label, "")]
        )
        columns = tuple(self._column(key, nodes) for key, _ in levels)
        if laid is not None and laid.nodes == nodes.names and all(map(_equal, laid.columns, columns)):
            topology = laid.topology
        else:
            topology = Topology.of(name, [Level(*level) for level in levels], columns, nodes.names)
        self._laid[name] = _Laid(topology, columns, nodes.names)
        return topology

    def _column(self, key: str, nodes: NodeTable) -> LabelColumn:
        """The values of a level over the nodes."""
        if (found := nodes.labels.columns.get(key)) is not None:
            return found
        self._asks_devices = True
        said = self._devices.labels(key)
        number = {value: code for code, value in enumerate(sorted(set(said.values())), start=1)}
        codes = [number[said[name]] if name in said else ABSENT for name in nodes.names]
        return LabelColumn(np.array(codes, dtype=np.int32), number)


def _blocked(fault: Fault, constraints: Sequence[Asked], known: Mapping[str, Topology | Fault]) -> Blocked:
    details = {"object": fault.where, "field": fault.field, "message": fault.message}
    of_fault = (asked.topology for asked in constraints if fault.field == f"{asked.field}.topology")
    if (name := next(of_fault, "")) and name not in known:
        return ReasonCode.TOPOLOGY_MISSING, {**details, "topology": name}
    return ReasonCode.TOPOLOGY_INVALID, details


def _equal(one: LabelColumn, other: LabelColumn) -> bool:
    return one is other or (np.array_equal(one.codes, other.codes) and one.vocabulary == other.vocabulary)
