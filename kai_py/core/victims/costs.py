"""What it costs to end pods: the disruption budgets that it breaks, importance, places lost, and the work that is lost.

Work is counted in GPU-seconds: what a podgroup has computed since it started, or since the checkpoint that it has told
about, is computed again, and it takes a while until it runs as before. CPU-only podgroups lose none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kai_py.core.options import Options
from kai_py.core.resources import ACCOUNTED, DEVICE, GPU, Mask, Shares
from kai_py.core.tables.pods import NONE, Budgets, PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.victims.chunks import Chunk

_GPU = ACCOUNTED.index(GPU)


class Price(NamedTuple):
    """What some chunks cost; the smaller tuple is the cheaper.

    Attributes:
        over_budget: evictions beyond what PodDisruptionBudgets allow now.
        importance: the highest priority of anybody who goes.
        work: GPU-seconds that are lost.
        pods: how many go.
        gpus: that they are charged, in base units.
    """

    over_budget: int
    importance: int
    work: float
    pods: int
    gpus: int


class Costs:
    """Prices of chunks in one cycle.

    Args:
        snapshot: the tables.
        options: how long a restart takes.
    """

    def __init__(self, snapshot: Snapshot, options: Options) -> None:
        self._snapshot = snapshot
        self._state: NDArray[np.uint8] = snapshot.pods.state
        self._allowed: list[int] | None = None
        self._restart = options.restart_seconds
        self._priority = snapshot.podgroups.priority

    @cached_property
    def seconds(self) -> Shares:
        """``(G,)`` seconds of work that each of a podgroup's GPUs loses when it is ended; 0 where nobody knows."""
        history, now = self._snapshot.podgroups.history, self._snapshot.now
        if history is None:
            return np.zeros(len(self._snapshot.podgroups))
        worked = (now - np.maximum(history.started, history.checkpointed)).clip(min=0)  # clocks differ
        return np.where(np.isfinite(history.started), worked + self._restart, 0.0)

    @cached_property
    def exhausted(self) -> Mask:
        """``(G,)`` whether some pod of a podgroup is under a budget that allows no eviction at all."""
        budgets, subgroups = self._snapshot.budgets, self._snapshot.subgroups
        full = np.zeros(len(self._snapshot.podgroups), dtype=np.bool_)
        if budgets is not None:
            pods = np.flatnonzero((budgets.of_pod != NONE) & (self._snapshot.pods.subgroup_idx != NONE))
            pods = pods[budgets.allowed[budgets.of_pod[pods]] <= 0]
            full[subgroups.podgroup_idx[self._snapshot.pods.subgroup_idx[pods]]] = True
        return full

    def work(self, chunk: Chunk) -> float:
        """GPU-seconds that are lost with a chunk."""
        return chunk.cost[_GPU] / DEVICE * self.seconds.item(chunk.podgroup)

    def price(self, chunks: Iterable[Chunk]) -> Price:
        """Of chunks together; of none: the least that there is."""
        taken = list(chunks)
        if not taken:
            return Price(0, np.iinfo(np.int32).min, 0.0, 0, 0)
        return Price(
            over_budget=self._over_budget(taken),
            importance=max([self._priority.item(chunk.podgroup) for chunk in taken]),
            work=sum([self.work(chunk) for chunk in taken]),
            pods=sum([len(chunk.pods) for chunk in taken]),
            gpus=sum([chunk.cost[_GPU] for chunk in taken]),
        )

    def as_cheap(self, price: Price, other: Price) -> bool:
        """Whether a price is no higher than another one in anything that matters.

        Of work, less than what the restarts of the other's victims cost anyway is no difference: no two podgroups
        started in the same second.
        """
        return (
            price.over_budget <= other.over_budget
            and price.importance <= other.importance
            and price.work <= other.work + self._restart * other.gpus / DEVICE
            and price.pods <= other.pods
            and price.gpus <= other.gpus
        )

    def begin(self, state: NDArray[np.uint8]) -> None:
        """A new search: what was evicted since the last one counts against the budgets.

        Args:
            state: ``(P,)`` of the pods by now.
        """
        self._state, self._allowed = state, None

    def _over_budget(self, chunks: Iterable[Chunk]) -> int:
        budgets = self._snapshot.budgets
        if budgets is None:
            return 0
        if self._allowed is None:
            self._allowed = self._left(budgets)
        asked = Counter(budgets.of_pod[[pod for chunk in chunks for pod in chunk.pods]].tolist())
        return sum(max(0, count - self._allowed[row]) for row, count in asked.items() if row != NONE)

    def _left(self, budgets: Budgets) -> list[int]:
        """Evictions that each budget still allows after those of this cycle."""
        gone = (self._snapshot.pods.state == PodState.BOUND) & (self._state != PodState.BOUND)
        taken = np.bincount(budgets.of_pod[gone & (budgets.of_pod != NONE)], minlength=len(budgets.allowed))
        left: list[int] = (budgets.allowed - taken).clip(min=0).tolist()
        return left
