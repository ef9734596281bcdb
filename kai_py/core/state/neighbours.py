"""How many pods of which kinds are in which domain, as the cycle changes it: now, and once leaving pods are gone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.tables.neighbours import NeighbourTable, Weights
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.snapshot import Snapshot

#: In place of a label: every node is a domain of its own.
EACH_NODE: Final = ""

_HERE: Final = (PodState.BOUND, PodState.RELEASING, PodState.STUCK, PodState.ALLOCATED)
_LATER: Final = (PodState.BOUND, PodState.STUCK, PodState.ALLOCATED, PodState.NOMINATED)
_ALIVE: Final = (PodState.BOUND, PodState.ALLOCATED)
_ALIVE_LATER: Final = (*_ALIVE, PodState.NOMINATED)


class Use(IntEnum):
    """What a tally is for."""

    REPEL = 0
    ATTRACT = 1
    #: Pods that are being deleted do not count.
    SPREAD = 2
    WISH = 3


class Tally:
    """Pods of some kinds by domain, each kind with a weight of its own.

    Attributes:
        use: what it is for.
        domain: ``(N,)`` domain of each node; ``NONE`` where pods are not counted.
        weights: by row of the kind.
        now: ``(D,)`` of those that hold their node.
        later: ``(D,)`` of those that will hold it once leaving pods are gone and nominated ones are there.
        version: another number whenever something has changed.
    """

    __slots__ = ("domain", "later", "now", "use", "version", "weights")

    def __init__(self, use: Use, domain: Rows, weights: Weights) -> None:
        self.use = use
        self.domain = domain
        self.weights = weights
        size = int(domain.max(initial=NONE)) + 1
        self.now: Amounts = np.zeros(size, dtype=np.int64)
        self.later: Amounts = np.zeros(size, dtype=np.int64)
        self.version = 0

    def over(self, by_domain: Mask, *, missing: bool) -> Mask:
        """``(N,)`` what ``(D,)`` says about the domain of each node; ``missing`` for those that have none."""
        return np.asarray(np.append(by_domain, missing)[self.domain])


#: What was counted ahead: tally, domain, weight.
Promise = list[tuple[Tally, int, int]]


class Neighbours:
    """Tallies, each begun when somebody first asks for it. Part of the ledger; only ``Transaction`` changes it.

    Attributes:
        table: of the snapshot.
        version: another number whenever any tally has changed.
    """

    def __init__(self, snapshot: Snapshot, table: NeighbourTable, state: NDArray[np.uint8], node: Rows) -> None:
        self.table = table
        self.version = 0
        self._snapshot = snapshot
        self._state = state
        self._node = node
        self._tallies: dict[tuple[Use, str, frozenset[tuple[int, int]], bytes], Tally] = {}
        #: By kind: the tallies in which it counts, and with which weight.
        self._counting: list[list[tuple[Tally, int]]] = [[] for _ in table.kinds]
        self._domains: dict[str, Rows] = {}

    def kind(self, pod: int) -> int:
        """Row of a pod's kind; ``NONE`` if it does not matter to others, nor others to it."""
        return self._kind_of_class.item(self._snapshot.pods.class_idx.item(pod))

    @cached_property
    def _kind_of_class(self) -> Rows:
        return np.array([one.kind for one in self._snapshot.classes.classes], dtype=np.int32)

    @cached_property
    def _by_kind(self) -> tuple[Rows, Rows]:
        """Rows of pods by kind, and where each kind's begin: ``(K + 1,)``."""
        kind = self._kind_of_class[self._snapshot.pods.class_idx]
        rows = np.flatnonzero(kind != NONE)
        order = rows[np.argsort(kind[rows], kind="stable")].astype(np.int32)
        return order, np.searchsorted(kind[order], np.arange(len(self.table.kinds) + 1)).astype(np.int32)

    def domain(self, key: str) -> Rows:
        """``(N,)`` which domain of a label each node is in; ``NONE`` for nodes without it."""
        found = self._domains.get(key)
        if found is None:
            nodes = self._snapshot.nodes
            each = key == EACH_NODE
            found = np.arange(len(nodes), dtype=np.int32) if each else nodes.labels.column(key).codes - 1
            self._domains[key] = found
        return found

    def name(self, key: str, domain: int) -> str:
        """The value of the label that a domain has."""
        if key == EACH_NODE:
            return self._snapshot.nodes.names[domain]
        vocabulary = self._snapshot.nodes.labels.column(key).vocabulary
        return next((value for value, code in vocabulary.items() if code == domain + 1), "")

    def tally(self, use: Use, key: str, weights: Weights, counted: Mask | None = None) -> Tally:
        """The tally of some kinds.

        Args:
            use: what for.
            key: label whose values are the domains, or ``EACH_NODE``.
            weights: by row of the kind, none of them 0.
            counted: ``(N,)`` nodes whose pods are counted; None = all.
        """
        name = use, key, frozenset(weights.items()), b"" if counted is None else counted.tobytes()
        found = self._tallies.get(name)
        if found is None:
            domain = self.domain(key)
            if counted is not None:
                domain = np.where(counted, domain, NONE).astype(np.int32)
            found = self._tallies[name] = Tally(use, domain, weights)
            self._count(found)
            for kind, weight in weights.items():
                self._counting[kind].append((found, weight))
        return found

    def _count(self, tally: Tally) -> None:
        """Begin with the pods as they stand."""
        order, begins = self._by_kind
        parts = [order[begins[kind] : begins[kind + 1]] for kind in tally.weights]
        pods = np.concatenate([np.zeros(0, dtype=np.int32), *parts])
        weights = np.repeat(list(tally.weights.values()), [len(part) for part in parts])
        placed = self._node[pods] != NONE
        pods, weights = pods[placed], weights[placed]
        domains, states = tally.domain[self._node[pods]], self._state[pods]
        spread = tally.use is Use.SPREAD
        for counts, holding in (
            (tally.now, _ALIVE if spread else _HERE),
            (tally.later, _ALIVE_LATER if spread else _LATER),
        ):
            counting = (domains != NONE) & np.isin(states, holding)
            np.add.at(counts, domains[counting], weights[counting])

    def shift(self, pod: int, node: int, sign: int, *, now: bool, evicts: bool) -> None:
        """A pod comes to a node (``sign`` 1) or goes (-1).

        Args:
            pod: row.
            node: row.
            sign: of the change.
            now: it starts, or its start is taken back; otherwise this is about later.
            evicts: it is told to go, or that is taken back.
        """
        kind = self.kind(pod)
        if kind == NONE:
            return
        for tally, weight in self._counting[kind]:
            if (domain := tally.domain.item(node)) == NONE:
                continue
            tally.later[domain] += sign * weight
            if now or (evicts and tally.use is Use.SPREAD):
                tally.now[domain] += sign * weight
            tally.version += 1
            self.version += 1

    def promise(self, kinds: Mapping[int, int], within: Mask) -> Promise:
        """Count pods of some kinds as companions in a part of the cluster to which they are about to come.

        Args:
            kinds: kind -> how many.
            within: ``(N,)`` where; only in domains that hold all of it.

        Returns:
            What :meth:`retract` has to be given once they are there, or have not come.
        """
        nodes = np.flatnonzero(within)
        added: Promise = []
        for kind, count in kinds.items():
            for tally, weight in self._counting[kind]:
                if tally.use is not Use.ATTRACT:
                    continue
                domains = np.unique(tally.domain[nodes])
                if len(domains) == 1 and domains.item(0) != NONE:
                    added.append((tally, domains.item(0), weight * count))
        self._add(added, 1)
        return added

    def retract(self, promise: Promise) -> None:
        """Take a promise back."""
        self._add(promise, -1)

    def _add(self, added: Promise, sign: int) -> None:
        for tally, domain, weight in added:
            tally.now[domain] += sign * weight
            tally.later[domain] += sign * weight
            tally.version += 1
