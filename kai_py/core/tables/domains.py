"""Levels of node labels as partitions of the nodes: who shares a rack, a block, a zone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.tables.labels import ABSENT, LabelColumn
from kai_py.core.tables.pods import NONE
from kai_py.errors import Fault, InputError

#: The level above all others: its one domain is the whole cluster.
ROOT: Final = -1
#: Kueue's and KAI's Topology allow as many.
MAX_LEVELS: Final = 16


@dataclass(frozen=True)
class Level:
    """Nodes with the same value of ``label``, and of the labels of all wider levels, are one domain."""

    label: str
    alias: str = ""

    def __str__(self) -> str:
        return self.alias or self.label


@dataclass(frozen=True)
class Topology:
    """The domains of all levels, widest level first.

    A domain is known by its path: the same rack name in two blocks makes two domains. The domains of a level are
    sorted by path, so that their rows do not depend on the order of the nodes.

    A node belongs to domains down to the last level before the first label that it lacks, and to none below.

    Attributes:
        name: of the Topology.
        levels: ``(L,)``
        nodes: ``(N,)`` names.
        domain_idx: ``(L, N)`` row of the node's domain on each level; ``NONE`` where it has none.
        parents: ``(L,)`` of ``(D,)``: row of each domain's parent on the level above; 0 on the widest.
        paths: ``(L,)`` of ``(D,)``: label values from the widest level down to the domain.
    """

    name: str
    levels: tuple[Level, ...]
    nodes: tuple[str, ...]
    domain_idx: Rows
    parents: tuple[Rows, ...]
    paths: tuple[tuple[tuple[str, ...], ...], ...]

    @classmethod
    def of(cls, name: str, levels: Sequence[Level], columns: Sequence[LabelColumn], nodes: Sequence[str]) -> Topology:
        """Lay out a topology.

        Args:
            name: of the Topology, for errors.
            levels: ``(L,)`` widest first.
            columns: ``(L,)`` the nodes' values of each level's label, ``(N,)`` each.
            nodes: ``(N,)`` names, all different.

        Raises:
            InputError: no level, too many, or two of the same name.
        """
        _check(name, levels)
        count = len(nodes)
        domain_idx = np.full((len(levels), count), NONE, dtype=np.int32)
        parents: list[Rows] = []
        paths: list[tuple[tuple[str, ...], ...]] = []
        above = np.zeros(count, dtype=np.int64)
        above_paths: tuple[tuple[str, ...], ...] = ((),)
        inside = np.ones(count, dtype=np.bool_)
        for number, column in enumerate(columns):
            inside &= column.codes != ABSENT
            values = sorted(column.vocabulary)
            by_code = np.zeros(max(column.vocabulary.values(), default=0) + 1, dtype=np.int64)
            by_code[[column.vocabulary[value] for value in values]] = np.arange(len(values))
            keys = above[inside] * max(len(values), 1) + by_code[column.codes[inside]]
            found, rows = np.unique(keys, return_inverse=True)
            owner, value = np.divmod(found, max(len(values), 1))
            domain_idx[number, inside] = rows
            parents.append(owner.astype(np.int32))
            above_paths = tuple(
                (*above_paths[row], values[v]) for row, v in zip(owner.tolist(), value.tolist(), strict=True)
            )
            paths.append(above_paths)
            above = domain_idx[number].astype(np.int64)
        return cls(name, tuple(levels), tuple(nodes), domain_idx, tuple(parents), tuple(paths))

    def level(self, name: str) -> int | None:
        """The level that a constraint names by node label or alias; None when there is none.

        A label is found before an alias: Topology refuses aliases that are labels, but may have been there before us.
        """
        for number, level in enumerate(self.levels):
            if level.label == name:
                return number
        return next((number for number, level in enumerate(self.levels) if level.alias == name), None)

    @cached_property
    def depth(self) -> Rows:
        """``(N,)`` how many levels each node belongs to; ``L`` = all."""
        depth: Rows = (self.domain_idx != NONE).sum(axis=0, dtype=np.int32)
        return depth

    def outside(self, level: int) -> Rows:
        """Rows of the nodes that belong to no domain of a level, for reports."""
        return np.flatnonzero(self.depth <= level).astype(np.int32)

    def name_of(self, level: int, part: int) -> tuple[str, ...]:
        """The path of a part of :meth:`partition`, or the node's name if it stands alone; empty for the cluster."""
        if level == ROOT:
            return ()
        if level < len(self.levels) and part < len(self.paths[level]):
            return self.paths[level][part]
        return (self.nodes[int(np.flatnonzero(self.partition(level) == part)[0])],)

    @cached_property
    def by_name(self) -> Rows:
        """``(N,)`` place of each node in the order of names; ties are broken by it, not by rows."""
        order = np.empty(len(self.nodes), dtype=np.int32)
        order[sorted(range(len(self.nodes)), key=self.nodes.__getitem__)] = np.arange(len(self.nodes), dtype=np.int32)
        return order

    def partition(self, level: int) -> Rows:
        """``(N,)`` which part of the cluster each node is in at a level; every level refines the one above.

        Args:
            level: ``ROOT`` (all nodes are one part), a level, or ``L`` (every node is a part of its own).

        Returns:
            Rows of domains; a node without a domain is a part of its own, numbered behind them by name: nothing is
            known to be near it.
        """
        return self._partitions[level + 1]

    def parts(self, level: int) -> int:
        """How many parts :meth:`partition` has, at least one."""
        return self._counts[level + 1]

    @cached_property
    def _partitions(self) -> tuple[Rows, ...]:
        return tuple(self._partition(level) for level in range(ROOT, len(self.levels) + 1))

    @cached_property
    def _counts(self) -> tuple[int, ...]:
        return tuple(int(partition.max(initial=0)) + 1 for partition in self._partitions)

    def _partition(self, level: int) -> Rows:
        if level == ROOT:
            return np.zeros(len(self.nodes), dtype=np.int32)
        if level == len(self.levels):
            return self.by_name
        rows: Rows = self.domain_idx[level].copy()
        alone = np.flatnonzero(rows == NONE)
        rows[alone[np.argsort(self.by_name[alone])]] = len(self.paths[level]) + np.arange(len(alone), dtype=np.int32)
        return rows

    def members(self, level: int, part: int) -> Rows:
        """Nodes of a part by name, so that what is found among them does not depend on the order of rows."""
        nodes = np.flatnonzero(self.partition(level) == part).astype(np.int32)
        return nodes[np.argsort(self.by_name[nodes])]

    def above(self, level: int) -> Iterator[int]:
        """The levels above a level, from the nearest to ``ROOT``."""
        return iter(range(level - 1, ROOT - 1, -1))

    def upward(self, level: int, wider: int) -> Rows:
        """``(parts of level,)`` the part of a wider level that each part of a level lies in."""
        rows = self._upward.get((level, wider))
        if rows is None:
            rows = self._upward[level, wider] = np.zeros(self.parts(level), dtype=np.int32)
            rows[self.partition(level)] = self.partition(wider)
        return rows

    @cached_property
    def _upward(self) -> dict[tuple[int, int], Rows]:
        return {}

    def inside(self, level: int, parts: Rows) -> Mask:
        """``(N,)`` which nodes are in some parts of a level."""
        chosen = np.zeros(self.parts(level), dtype=np.bool_)
        chosen[parts] = True
        mask: Mask = chosen[self.partition(level)]
        return mask

    def sums(self, level: int, amounts: Amounts) -> Amounts:
        """``(parts, …)`` sums of ``(N, …)`` integers over the parts of a level. Exact, whatever the order of nodes."""
        totals = np.zeros((self.parts(level), *amounts.shape[1:]), dtype=np.int64)
        np.add.at(totals, self.partition(level), amounts)
        return totals


def _check(name: str, levels: Sequence[Level]) -> None:
    where, faults = f"Topology {name}", []
    if not 1 <= len(levels) <= MAX_LEVELS:
        faults.append(Fault(where, "spec.levels", f"{len(levels)} levels; there may be 1 to {MAX_LEVELS}"))
    labels = [level.label for level in levels]
    faults += [
        Fault(where, f"spec.levels[{row}].nodeLabel", f"{label} is a level already")
        for row, label in enumerate(labels)
        if label in labels[:row]
    ]
    if faults:
        raise InputError(faults)
