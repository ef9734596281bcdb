"""Whom to move so that a podgroup fits: those on the nodes where the least has to leave."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from kai_py.core.gangs.steps import Step
from kai_py.core.placement.views import View
from kai_py.core.resources import ACCOUNTED, GPU, Amounts, Mask, Rows
from kai_py.core.state.ledger import Ledger
from kai_py.core.victims.candidates import Pool
from kai_py.core.victims.chunks import Chunk, Running

_GPU = ACCOUNTED.index(GPU)


class Movers:
    """Podgroups that can be moved: somebody makes their pods anew, and they were not evicted lately.

    Args:
        ledger: who has places.
        running: the same by podgroup.
        pool: who is preemptible.
        rested: ``(G,)`` podgroups that were not evicted lately.
    """

    def __init__(self, ledger: Ledger, running: Running, pool: Pool, rested: Mask) -> None:
        self._ledger = ledger
        self._running = running
        self._pool = pool
        self._rested = rested

    @cached_property
    def freeable(self) -> Amounts:
        """``(N, R)`` what nodes would get back if all of them left."""
        return self._running.given_back(self._pods)

    @cached_property
    def _pods(self) -> Rows:
        """Pods that can be moved, as of when this was first asked for."""
        rows = self._running.on_nodes(self._pool.all & self._rested)
        replaceable = self._ledger.snapshot.pods.replaceable
        return rows if replaceable is None else rows[replaceable[rows]]

    @cached_property
    def _by_node(self) -> tuple[Rows, Rows]:
        """Rows of podgroups by node, one for each pod, and where each node's begin: ``(N + 1,)``."""
        groups, nodes, _ = self._places
        order = np.argsort(nodes, kind="stable")
        begins = np.searchsorted(nodes[order], np.arange(len(self._ledger.snapshot.nodes) + 1))
        return groups[order], begins.astype(np.int32)

    @cached_property
    def _places(self) -> tuple[Rows, Rows, Rows]:
        """Podgroup, node and class of every pod that can be moved."""
        ledger, snapshot = self._ledger, self._ledger.snapshot
        pods, rows = snapshot.pods, self._pods
        return snapshot.subgroups.podgroup_idx[pods.subgroup_idx[rows]], ledger.node[rows], pods.class_idx[rows]

    @cached_property
    def _worth(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Keys ``(N,)`` by which nodes are sorted where equally much has to leave, the last one first.

        How many GPUs those who could leave have, how much work the first of them would lose, and how young it is.
        """
        groups, nodes, classes = self._places
        snapshot, count = self._ledger.snapshot, len(self._ledger.snapshot.nodes)
        gpus = np.bincount(nodes, weights=snapshot.classes.accounted[classes, _GPU], minlength=count).astype(np.float64)
        seconds, created = np.full(count, np.inf), np.full(count, -np.inf)
        np.minimum.at(seconds, nodes, self._pool.costs.seconds[groups])
        np.maximum.at(created, nodes, snapshot.podgroups.created[groups])
        return -created, seconds, gpus

    def chunks(self, view: View, step: Step) -> Iterator[Chunk]:
        """Pieces of podgroups, node by node, those nodes first where the least has to leave for a pod of the step.

        On each node who loses the least work comes first. Nodes that would not take a pod even without all movers are
        left out, and so is the step's own podgroup.
        """
        later = self._ledger.free + self._ledger.releasing
        asked = view.request > 0
        deficit = ((view.request - later)[:, asked].clip(min=0) / view.request[asked]).max(axis=1, initial=0.0)
        helps = view.allowed & ((later + self.freeable)[:, asked] >= view.request[asked]).all(axis=1)
        groups, begins = self._by_node
        nodes, seen = np.flatnonzero(helps), {step.podgroup}
        for node in nodes[np.lexsort([key[nodes] for key in (*self._worth, deficit)])].tolist():
            here = [row for row in dict.fromkeys(groups[begins[node] : begins[node + 1]].tolist()) if row not in seen]
            seen.update(here)
            for row in sorted(here, key=self._pool.victim_rank, reverse=True):
                yield from takewhile(lambda chunk: chunk.movable, self._running.chunks(row))
