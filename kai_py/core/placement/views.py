"""What the nodes look like to one pod class, kept up to date as the ledger changes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kai_py.core.filters import FILTERS
from kai_py.core.filters.resources import fits, shortages
from kai_py.core.options import Options
from kai_py.core.resources import Amounts, Mask, Rows, Shares
from kai_py.core.result import FilterReason
from kai_py.core.scores import STATIC_SCORES
from kai_py.core.scores.packing import Packing
from kai_py.core.scores.resource_type import resource_type
from kai_py.core.state.ledger import Ledger

NOWHERE = -np.inf
_PASSED = 0


@dataclass(frozen=True)
class Place:
    """A node for a pod. ``now`` tells whether it can start at once, or must wait for pods that are leaving."""

    node: int
    now: bool


class ClassView:
    """All nodes through the eyes of one pod class: who may take it, and how good that would be.

    Filters and static scores are computed once. Room and packing follow the ledger: only nodes that it has touched
    since the last look are computed again, so placing a pod costs the same on 50 nodes as on 5,000.
    """

    def __init__(self, class_idx: int, ledger: Ledger, options: Options) -> None:
        snapshot = ledger.snapshot
        self._ledger = ledger
        self._pod = snapshot.classes.classes[class_idx]
        self.request: Amounts = snapshot.classes.request[class_idx]
        self._asked = np.flatnonzero(self.request)
        self._needs = self.request[self._asked]
        self.first_failure = self._first_failures()
        self._allowed: Mask = self.first_failure == _PASSED
        self._packing = Packing.of(self.request, snapshot.nodes, snapshot.axis, options)
        self._available = options.weights.get("availability", 0.0)
        self._packed = options.weights.get("packing", 0.0)
        self._base = self._static_scores(options)
        self._read = len(ledger.touched)
        self._value = self._evaluate(slice(None))

    def _first_failures(self) -> Rows:
        """``(N,)`` number of the first filter that refuses the node, from 1; 0 where all let it pass."""
        nodes = self._ledger.snapshot.nodes
        first = np.zeros(len(nodes), dtype=np.int32)
        for number, (_, mask) in enumerate(FILTERS, start=1):
            first[(first == _PASSED) & ~mask(self._pod, nodes)] = number
        return first

    def _static_scores(self, options: Options) -> Shares:
        snapshot = self._ledger.snapshot
        base = options.weights.get("resourceType", 0.0) * resource_type(self.request, snapshot.nodes, snapshot.axis)
        for name, score in STATIC_SCORES:
            if weight := options.weights.get(name, 0.0):
                base += weight * score(self._pod, snapshot.nodes)
        return base

    def _evaluate(self, rows: Rows | slice) -> Shares:
        """``(K,)`` the value of some nodes, ``NOWHERE`` where the pod may not go or has no room."""
        free = self._ledger.free[rows]
        later = free + self._ledger.releasing[rows]
        # A node that is overcommitted in what we ask for must not be made worse by counting on its leaving pods.
        fits_later = self._allowed[rows] & (later[:, self._asked] >= self._needs).all(axis=1)
        fits_now = (free[:, self._asked] >= self._needs).all(axis=1)
        value = self._base[rows] + self._packed * self._packing.score(rows, later) + self._available * fits_now
        value[~fits_later] = NOWHERE
        return np.asarray(value)

    def refresh(self) -> None:
        """Catch up with the ledger."""
        touched = self._ledger.touched
        if self._read == len(touched):
            return
        rows = np.unique(np.array(touched[self._read :], dtype=np.int32))
        self._value[rows] = self._evaluate(rows)
        self._read = len(touched)

    def best(self, within: Mask | None = None) -> Place | None:
        """The best node, the first by name among equals; None when there is none.

        Args:
            within: ``(N,)`` nodes to choose from; None = all.
        """
        self.refresh()
        value = self._value if within is None else np.where(within, self._value, NOWHERE)
        if value.size == 0:
            return None
        node = int(value.argmax())
        if value[node] == NOWHERE:
            return None
        return Place(node, bool((self._ledger.free[node] >= self.request)[self._asked].all()))

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class: nodes by first reason, and what is missing where only room is missing."""
        free = self._ledger.free + self._ledger.releasing
        counts = np.bincount(self.first_failure, minlength=len(FILTERS) + 1).tolist()
        reasons = {str(reason): counts[number] for number, (reason, _) in enumerate(FILTERS, start=1)}
        full = self._allowed & ~fits(self.request, free)
        reasons[str(FilterReason.RESOURCES)] = int(full.sum())
        missing = shortages(self.request, free, full, self._ledger.snapshot.axis)
        return {reason: count for reason, count in reasons.items() if count}, missing
