"""Laying the books out as the tables of a snapshot."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from kai_py.api.keys import NVIDIA_GPU
from kai_py.cluster.books import Books
from kai_py.cluster.encode.axis import make_axis
from kai_py.cluster.volumes.constrain import VolumeTables
from kai_py.core.resources import ResourceAxis, Rows
from kai_py.core.tables.devices import SharedDevices
from kai_py.core.tables.podgroups import PodGroupTable
from kai_py.core.tables.pods import PodTable
from kai_py.core.tables.seal import seal
from kai_py.core.tables.snapshot import Snapshot


class Snapshots:
    """Takes snapshots of the books. What did not change since the last one is shared with it."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._volumes = VolumeTables(books.volumes)
        self._axis: ResourceAxis | None = None

    def axis(self) -> ResourceAxis:
        """The axes of the next snapshot; the very same object while they do not change."""
        books = self._books
        additional = books.accounting.additional | books.queues.additional
        accounting = dataclasses.replace(books.accounting, additional=additional)
        shared = frozenset({NVIDIA_GPU}) if books.classes.sharing else frozenset()
        axis = make_axis(books.nodes.resources | books.classes.resources | shared, accounting)
        if self._axis != axis:
            self._axis = axis
        return self._axis or axis

    def take(self, now: float, searched: Mapping[tuple[str, str], int]) -> Snapshot:
        """Lay everything out, table by table, each worked into those before it.

        Args:
            now: seconds since the epoch.
            searched: by podgroup and action, the choices of victims that the last cycle tried in vain before its
                budget ended a search.
        """
        books, axis = self._books, self.axis()
        nodes = books.nodes.table(axis)
        queues = books.queues.table(axis)
        groups = books.groups.tables(books.queues, queues)
        podgroups, topologies = books.topologies.constrain(groups, nodes)
        pods = self._pods(now, groups.leaf_rows)
        devices = self._devices(axis, pods)
        classes = books.classes.table(axis, devices.sizes if devices is not None else ())
        near = books.neighbours.constrain(pods, classes, *books.pods.label_sets())
        reached = self._volumes.constrain(near.pods, near.classes, podgroups, groups.subgroups, nodes)
        worked = books.claims.constrain(
            reached.pods,
            reached.classes,
            reached.podgroups,
            groups.subgroups,
            nodes,
            queues.names,
            axis,
            books.accounting,
        )
        snapshot = Snapshot(
            now=now,
            axis=axis,
            nodes=worked.nodes,
            classes=worked.classes,
            pods=worked.pods,
            podgroups=_with_searched(worked.podgroups, searched),
            subgroups=groups.subgroups,
            queues=queues,
            devices=devices,
            budgets=books.budgets.table(*books.pods.victims_label_sets(), books.pods.unwell_by_row),
            topologies=topologies,
            claims=worked.claims,
            volumes=reached.volumes,
            neighbours=near.neighbours,
            zones=books.zones.table(nodes.names, books.pods.seated_by_row(pods.keys), pods.node_idx),
        )
        return seal(snapshot)

    def _pods(self, now: float, leaf_rows: Rows) -> PodTable:
        """All pods, with the places that are held for them."""
        books = self._books
        pods = books.pods.table(now, books.nodes.row_of, leaf_rows)
        if not books.held:
            return pods
        return dataclasses.replace(pods, held_idx=books.held.rows(pods.keys, books.nodes.row_of))

    def _devices(self, axis: ResourceAxis, pods: PodTable) -> SharedDevices | None:
        """GPUs that pods share; None where nobody does."""
        books = self._books
        if not books.classes.sharing:
            return None
        return SharedDevices(axis.index[NVIDIA_GPU], books.nodes.device_memory, books.pods.shared_by_row(pods.keys))


def _with_searched(podgroups: PodGroupTable, searched: Mapping[tuple[str, str], int]) -> PodGroupTable:
    """The table with searches that were not finished; podgroups that are gone have none."""
    if not searched:
        return podgroups
    rows = {str(key): row for row, key in enumerate(podgroups.keys)}
    by_row = {(rows[name], action): n for (name, action), n in searched.items() if name in rows}
    return dataclasses.replace(podgroups, searched=by_row)
