"""What nodes have to do with volumes: what they reach, what they attach and may attach."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kai_py.api.storage import CSIDriver, CSINode, CSIStorageCapacity, PersistentVolume, StorageClass, VolumeAttachment
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.volumes.matching import can_make, nodes_of
from kai_py.core.resources import Amounts, Mask
from kai_py.core.tables.classes import NodeTerm
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.volumes import UNLIMITED

#: Driver and what it calls the volume.
Handle = tuple[str, str]


class Limits(NamedTuple):
    """How many volumes nodes attach.

    Attributes:
        drivers: those that limit it somewhere.
        most: ``(N, D)``
        attached: (node, handle) of what is attached.
    """

    drivers: tuple[str, ...]
    most: Amounts
    attached: tuple[tuple[int, Handle], ...]


class NodeSide:
    """Answers about nodes, each computed once for the nodes as they are."""

    def __init__(self, book: VolumeBook, nodes: NodeTable) -> None:
        self._book = book
        self.nodes = nodes
        self._reached: dict[tuple[NodeTerm, ...] | None, Mask] = {}
        self._made: dict[tuple[str, int], Mask] = {}
        self._revision = book.revision
        self._limits: Limits | None = None

    def refresh(self) -> None:
        """Forget what depends on objects that have changed."""
        if self._revision is not self._book.revision:
            self._revision = self._book.revision
            self._made.clear()
            self._limits = None

    def reached(self, terms: tuple[NodeTerm, ...] | None) -> Mask:
        """``(N,)`` nodes that a volume with a node affinity can be reached from."""
        mask = self._reached.get(terms)
        if mask is None:
            mask = self._reached[terms] = nodes_of(terms, self.nodes)
        return mask

    def makes(self, storage_class: StorageClass | None, size: int) -> Mask:
        """``(N,)`` where a volume can be made."""
        if storage_class is None:
            return np.zeros(len(self.nodes), dtype=np.bool_)
        key = storage_class.metadata.name, size
        mask = self._made.get(key)
        if mask is None:
            drivers = {found.metadata.name: found for found in self._book.all(CSIDriver)}
            driver = drivers.get(storage_class.provisioner)
            mask = can_make(storage_class, size, driver, self._book.all(CSIStorageCapacity), self.nodes)
            self._made[key] = mask
        return mask

    @property
    def limits(self) -> Limits:
        """How many volumes each node attaches, and which are."""
        if self._limits is None:
            self._limits = self._count()
        return self._limits

    def _count(self) -> Limits:
        counts: dict[str, dict[int, int]] = {}
        row_of = {name: row for row, name in enumerate(self.nodes.names)}
        for found in self._book.all(CSINode):
            row = row_of.get(found.metadata.name)
            for driver in found.spec.drivers if row is not None else ():
                if driver.allocatable.count is not None and row is not None:
                    counts.setdefault(driver.name, {})[row] = driver.allocatable.count
        drivers = tuple(sorted(counts))
        most = np.full((len(self.nodes), len(drivers)), UNLIMITED, dtype=np.int64)
        for column, name in enumerate(drivers):
            for row, count in counts[name].items():
                most[row, column] = count
        attached = []
        for found in self._book.all(VolumeAttachment) if drivers else ():
            row, name = row_of.get(found.spec.node_name), found.spec.source.persistent_volume_name
            volume = self._book.volume(name) if name else None
            if row is not None and volume is not None and (handle := handle_of(volume)) is not None:
                attached.append((row, handle))
        return Limits(drivers, most, tuple(one for one in attached if one[1][0] in drivers))


def handle_of(volume: PersistentVolume) -> Handle | None:
    """What is attached to a node for a volume; None if that is not a CSI driver's."""
    csi = volume.spec.csi
    return None if csi is None else (csi.driver, csi.volume_handle)
