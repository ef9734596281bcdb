"""Work volumes into the tables of a snapshot."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from kai_py.cluster.held_back import Problem, hold_back
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.volumes.choices import Choices
from kai_py.cluster.volumes.nodes import NodeSide
from kai_py.cluster.volumes.table import VolumeRows
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.podgroups import PodGroupTable, SubGroupTable
from kai_py.core.tables.pods import NONE, PodKey, PodState, PodTable
from kai_py.core.tables.volumes import VolumeTable

_NEW = (PodState.PENDING, PodState.GATED)


class Reached(NamedTuple):
    """Tables with volumes worked in."""

    pods: PodTable
    podgroups: PodGroupTable
    classes: ClassTable
    volumes: VolumeTable | None


class VolumeTables:
    """Makes the tables, and remembers what does not change from one snapshot to the next."""

    def __init__(self, book: VolumeBook) -> None:
        self._book = book
        self._side: NodeSide | None = None
        #: What the choices were made of.
        self._made_of: tuple[NodeSide, object] | None = None
        self._choices: Choices

    def constrain(
        self,
        pods: PodTable,
        classes: ClassTable,
        podgroups: PodGroupTable,
        subgroups: SubGroupTable,
        nodes: NodeTable,
    ) -> Reached:
        """Work volumes in; the very same tables come back where no pod has any.

        Pods whose claims cannot be served are held back, see :func:`kai_py.cluster.held_back.hold_back`.
        """
        rows = self._rows(pods)
        if not rows:
            return Reached(pods, podgroups, classes, None)
        side = self._side
        if side is None or side.nodes.names is not nodes.names or side.nodes.labels is not nodes.labels:
            side = self._side = NodeSide(self._book, nodes)
        if self._made_of != (side, self._book.revision):
            self._made_of = side, self._book.revision
            side.refresh()
            self._choices = Choices(self._book, side)
        made = VolumeRows(self._book, side, self._choices)
        problems: dict[int, Problem] = {}
        placed: dict[int, bool] = {}
        for key, row in rows:
            state = pods.state.item(row)
            waits = state in _NEW
            problem = made.add(row, key, self._book.uses[key], waits=waits)
            if problem is not None:
                problems[row] = problem
            elif waits or (state == PodState.BOUND and pods.subgroup_idx.item(row) != NONE):
                placed[row] = waits
        classes, class_idx, table = made.tables(classes, pods.class_idx, placed)
        pods, podgroups = hold_back(dataclasses.replace(pods, class_idx=class_idx), podgroups, subgroups, problems)
        return Reached(pods, podgroups, classes, table)

    def _rows(self, pods: PodTable) -> list[tuple[PodKey, int]]:
        """Pods of the snapshot that use volumes, and their rows."""
        uses = self._book.uses
        return [(key, row) for row, key in enumerate(pods.keys) if key in uses] if uses else []
