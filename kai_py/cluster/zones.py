"""NUMA nodes: NodeResourceTopology objects by node, laid out as a table when a snapshot is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from kai_py.api.numa import NodeResourceTopology
from kai_py.cluster.encode.zones import Seating, Zone, ZoneFacts
from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.pods import NONE
from kai_py.core.tables.zones import Policy, Seat, ZoneTable
from kai_py.errors import Fault, MalformedObjectError


class ZoneBook:
    """NodeResourceTopologies by name, which is that of their node.

    Attributes:
        faults: what is wrong with objects that cannot be read. They keep their last good state.
        facts: of those that can be read.
    """

    def __init__(self) -> None:
        self.faults: dict[str, tuple[Fault, ...]] = {}
        self.facts: dict[str, ZoneFacts] = {}
        self._table: ZoneTable | None = None
        self._nodes: tuple[str, ...] = ()

    def put(self, topology: NodeResourceTopology) -> bool:
        """Take in an object; tells whether anything that matters changed."""
        name = topology.metadata.name
        try:
            facts = ZoneFacts.of(topology)
        except MalformedObjectError as error:
            self.faults[name] = error.faults
            return False
        self.faults.pop(name, None)
        return self._set(name, facts)

    def drop(self, name: str) -> bool:
        """Forget an object."""
        self.faults.pop(name, None)
        if self.facts.pop(name, None) is None:
            return False
        self._table = None
        return True

    def take(self, name: str, seating: Seating, sign: int) -> bool:
        """Let a node's exporter see that a pod has taken its zones (``sign`` 1), or given them back (-1)."""
        facts = self.facts.get(name)
        if facts is None or not seating:
            return False
        taken = dict(seating)
        zones = tuple(
            zone._replace(available=_shifted(zone, dict(taken.get(zone.name, ())), sign)) for zone in facts.zones
        )
        return self._set(name, replace(facts, zones=zones))

    def _set(self, name: str, facts: ZoneFacts) -> bool:
        if self.facts.get(name) == facts:
            return False
        self.facts[name] = facts
        self._table = None
        return True

    def table(self, nodes: tuple[str, ...], seatings: Mapping[int, Seating], node_idx: Rows) -> ZoneTable | None:
        """The zones of some nodes; None when no kubelet of theirs aligns anything.

        Args:
            nodes: ``(N,)`` names.
            seatings: by row of a pod, what is written down of its zones.
            node_idx: ``(P,)`` where pods are.
        """
        if not self.facts:
            return None
        if self._table is None or self._nodes != nodes:
            self._table, self._nodes = self._make(nodes), nodes
        table = self._table
        if not table.policy.any():
            return None
        column = {name: number for number, name in enumerate(table.resources)}
        records = {}
        for pod, seating in seatings.items():
            node = node_idx.item(pod)
            if node != NONE and (seat := _seat(seating, table.names[node], column)):
                records[pod] = seat
        return replace(table, records=records)

    def _make(self, nodes: Sequence[str]) -> ZoneTable:
        nothing = ZoneFacts(Policy.NONE, False, ())
        facts = [self.facts.get(name, nothing) for name in nodes]
        resources = tuple(sorted({name for one in facts for zone in one.zones for name in zone.allocatable}))
        widest = max((len(one.zones) for one in facts), default=0)
        allocatable = np.zeros((len(nodes), widest, len(resources)), dtype=np.int64)
        available, reported = allocatable.copy(), np.zeros((len(nodes), len(resources)), dtype=np.bool_)
        for row, one in enumerate(facts):
            for number, zone in enumerate(one.zones):
                allocatable[row, number] = _laid(zone.allocatable, resources)
                available[row, number] = _laid(zone.available, resources)
                reported[row] |= [name in zone.allocatable for name in resources]
        return ZoneTable(
            resources=resources,
            names=tuple(tuple(zone.name for zone in one.zones) for one in facts),
            policy=np.array([one.policy if one.zones else Policy.NONE for one in facts], dtype=np.uint8),
            by_pod=np.array([one.by_pod for one in facts], dtype=np.bool_),
            allocatable=allocatable,
            available=available,
            reported=reported,
            records={},
        )


def _laid(amounts: Mapping[str, int], resources: Sequence[str]) -> Amounts:
    return np.array([amounts.get(name, 0) for name in resources], dtype=np.int64)


def _shifted(zone: Zone, taken: Mapping[str, int], sign: int) -> dict[str, int]:
    """What is available once a pod has come or gone; never more than there is."""
    return {
        name: max(0, min(zone.allocatable.get(name, 0), units - sign * taken.get(name, 0)))
        for name, units in zone.available.items()
    }


def _seat(seating: Seating, zones: Sequence[str], column: Mapping[str, int]) -> Seat:
    """A seating in numbers; nothing where it names a zone that the node does not have: no zone is guessed."""
    if any(zone not in zones for zone, _ in seating):
        return ()
    return tuple(
        (zones.index(zone), column[name], units) for zone, need in seating for name, units in need if name in column
    )
