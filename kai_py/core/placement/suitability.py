"""What filters and static scores say about the nodes: it depends on labels, taints and names, not on room."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kai_py.core.filters import FILTERS
from kai_py.core.options import Options
from kai_py.core.resources import Rows, Shares
from kai_py.core.scores import STATIC_SCORES
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.snapshot import Snapshot

PASSED = 0


@dataclass(frozen=True)
class Suitability:
    """All nodes through the eyes of pods with the same constraints.

    Attributes:
        first_failure: ``(N,)`` number of the first filter that refuses the node, from 1; ``PASSED`` where all let it
            pass.
        score: ``(N,)`` weighted sum of the static scores.
    """

    first_failure: Rows
    score: Shares


class Suitabilities:
    """Suitability by constraints; pod classes that differ in their requests only share one."""

    def __init__(self, snapshot: Snapshot, options: Options) -> None:
        self._nodes = snapshot.nodes
        self._options = options
        self._known: dict[PodClass, Suitability] = {}

    def of(self, pod: PodClass) -> Suitability:
        """The suitability of all nodes for a class, computed when it is first asked for."""
        constraints = replace(pod, request=(), share=None, claims=(), alignment=None, kind=-1, volumes=None)
        found = self._known.get(constraints)
        if found is None:
            found = self._known[constraints] = Suitability(self._first_failures(pod), self._scores(pod))
        return found

    def _first_failures(self, pod: PodClass) -> Rows:
        first = np.zeros(len(self._nodes), dtype=np.int32)
        for number, (_, mask) in enumerate(FILTERS, start=1):
            first[(first == PASSED) & ~mask(pod, self._nodes)] = number
        return first

    def _scores(self, pod: PodClass) -> Shares:
        total = np.zeros(len(self._nodes))
        for name, score in STATIC_SCORES:
            if weight := self._options.weights.get(name, 0.0):
                total += weight * score(pod, self._nodes)
        return total
