"""Volumes by the nodes from which they are reached: most are on one node, or in one zone with thousands of others."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.pods import NONE
from kai_py.core.tables.volumes import VolumeTable


class Shelves:
    """Looks volumes up by node.

    Args:
        table: of the snapshot.
        nodes: how many there are.
    """

    def __init__(self, table: VolumeTable, nodes: int) -> None:
        self._table = table
        self._nodes = nodes
        self._rows: dict[int, frozenset[int]] = {}
        self._order: dict[int, tuple[Rows, Rows]] = {}

    def count(self, volumes: Rows) -> Amounts:
        """``(N,)`` how many of some volumes each node reaches."""
        per_place = np.bincount(self._table.place[volumes], minlength=len(self._table.reach))
        places, nodes = self._pairs
        return np.bincount(nodes, weights=per_place[places], minlength=self._nodes).astype(np.int64)

    def best(self, choice: int, node: int, taken: Rows, but: Collection[int]) -> int:
        """The first volume of a choice that a node reaches and nobody has, apart from some; ``NONE`` without any."""
        places, nodes = self._by_node
        begin, end = np.searchsorted(nodes, [node, node + 1]).tolist()
        order, place = self._ordered(choice)
        first = len(order)
        for one in places[begin:end].tolist():
            left, right = np.searchsorted(place, [one, one + 1]).tolist()
            there = order[left:right]
            rows = self._table.choices[choice].candidates[there]
            for position, row in zip(there[taken[rows] == 0].tolist(), rows[taken[rows] == 0].tolist(), strict=True):
                if row not in but:
                    first = min(first, position)
                    break
        return self._table.choices[choice].candidates.item(first) if first < len(order) else NONE

    def _ordered(self, choice: int) -> tuple[Rows, Rows]:
        """Positions of the candidates of a choice by the place from where they are reached, and those places."""
        found = self._order.get(choice)
        if found is None:
            place = self._table.place[self._table.choices[choice].candidates]
            order = np.argsort(place, kind="stable").astype(np.int32)
            found = self._order[choice] = order, place[order]
        return found

    def rows_of(self, choice: int) -> frozenset[int]:
        """The candidates of a choice, to look up."""
        found = self._rows.get(choice)
        if found is None:
            found = self._rows[choice] = frozenset(self._table.choices[choice].candidates.tolist())
        return found

    @cached_property
    def _pairs(self) -> tuple[Rows, Rows]:
        """Every place with every node that reaches it."""
        reach = self._table.reach
        if not reach:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        return np.repeat(np.arange(len(reach)), [len(rows) for rows in reach]), np.concatenate(reach)

    @cached_property
    def _by_node(self) -> tuple[Rows, Rows]:
        """The same, sorted by node."""
        places, nodes = self._pairs
        order = np.argsort(nodes, kind="stable")
        return places[order], nodes[order]
