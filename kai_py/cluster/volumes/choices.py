"""What claims choose from: worked out once for all that want the same, as long as volumes stay as they are."""

from __future__ import annotations

import numpy as np

from kai_py.api.storage import PersistentVolume, PersistentVolumeClaim
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.volumes.matching import (
    Wanted,
    affinity_of,
    is_candidate,
    size_of,
    storage_class_of,
    suits,
)
from kai_py.cluster.volumes.nodes import NodeSide
from kai_py.core.resources import Rows
from kai_py.core.tables.classes import NodeTerm
from kai_py.core.tables.volumes import Choice


class Choices:
    """Choices, and the volumes in them.

    Args:
        book: all objects; of one revision.
        side: what nodes reach.

    Attributes:
        made: all choices.
        names: of the volumes.
        place: of each volume a row of ``reach``.
        reach: rows of nodes.
    """

    def __init__(self, book: VolumeBook, side: NodeSide) -> None:
        self.made: list[Choice] = []
        self.names: list[str] = []
        self.place: list[int] = []
        self.reach: list[Rows] = []
        self._book = book
        self._side = side
        self._classes = book.storage_classes
        self._row_of: dict[str, int] = {}
        self._place_of: dict[tuple[NodeTerm, ...] | None, int] = {}
        self._choice_of: dict[object, int] = {}
        self._by_class: dict[str, list[PersistentVolume]] | None = None

    def of(self, claim: PersistentVolumeClaim, want: Wanted, *, shared: bool) -> int:
        """Row of what a claim chooses from; ``shared`` by several pods, it has a choice of its own."""
        reserved = self._book.reserved_for(claim)
        pinned = bool(self._book.selected_for(claim))
        own = reserved.metadata.name if reserved is not None else ""
        key = want, own, pinned, claim.metadata.key if shared else ("", "")
        row = self._choice_of.get(key)
        if row is None:
            row = self._choice_of[key] = len(self.made)
            rows = [self._row(one) for one in ([] if pinned else self._candidates(want, reserved))]
            made = self._side.makes(self._classes.get(want.storage_class), want.size)
            self.made.append(Choice(np.array(rows, dtype=np.int32), made, shared))
        return row

    def _candidates(self, want: Wanted, reserved: PersistentVolume | None) -> list[PersistentVolume]:
        if reserved is not None:
            return [reserved] if suits(reserved, want) else []
        free = (one for one in self._volumes_of(want.storage_class) if is_candidate(one, want))
        return sorted(free, key=lambda one: (size_of(one), one.metadata.name))

    def _volumes_of(self, storage_class: str) -> list[PersistentVolume]:
        """Volumes of a class that are not promised to anybody."""
        if self._by_class is None:
            self._by_class = {}
            given = {promise.volume for promise in self._book.promised.values()}
            for volume in self._book.all(PersistentVolume):
                if volume.metadata.name not in given:
                    self._by_class.setdefault(storage_class_of(volume), []).append(volume)
        return self._by_class.get(storage_class, [])

    def _row(self, volume: PersistentVolume) -> int:
        name = volume.metadata.name
        row = self._row_of.get(name)
        if row is None:
            row = self._row_of[name] = len(self.names)
            self.names.append(name)
            self.place.append(self._place(affinity_of(volume)))
        return row

    def _place(self, terms: tuple[NodeTerm, ...] | None) -> int:
        row = self._place_of.get(terms)
        if row is None:
            row = self._place_of[terms] = len(self.reach)
            self.reach.append(np.flatnonzero(self._side.reached(terms)).astype(np.int32))
        return row
