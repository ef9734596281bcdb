"""What decisions make of a snapshot, computed from the tables alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kai_py.core.options import Options
from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.result import Bind, CycleResult, Decision, Evict, Nominate
from kai_py.core.tables.podgroups import ALL
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.queues import ROOT
from kai_py.core.tables.snapshot import Snapshot


@dataclass(frozen=True)
class Violation:
    """One thing that must never happen.

    Attributes:
        subject: the pod, podgroup, node or queue that it happened to.
        what: what happened, for a developer to read.
    """

    subject: str
    what: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.what}"


class Outcome:
    """A snapshot and what decisions make of it.

    Args:
        snapshot: what was decided about.
        result: what was decided; its decisions name pods and nodes that exist.
        options: with which it was decided.

    Attributes:
        bound: ``(B,)`` rows of pods that get a node now.
        bound_to: ``(B,)`` their nodes.
        nominated: ``(M,)`` rows of pods that get a node later.
        nominated_to: ``(M,)`` their nodes.
        evicted: ``(E,)`` rows of pods that must go.
        row_of_pod, row_of_podgroup: by ``namespace/name``.
    """

    def __init__(self, snapshot: Snapshot, result: CycleResult, options: Options) -> None:
        self.snapshot = snapshot
        self.result = result
        self.options = options
        decisions = result.decisions
        pods = {str(key): row for row, key in enumerate(snapshot.pods.keys)}
        nodes = {name: row for row, name in enumerate(snapshot.nodes.names)}

        def rows(kind: type[Decision]) -> tuple[Rows, Rows]:
            chosen = [(pods[d.pod], nodes.get(d.node, NONE)) for d in decisions if isinstance(d, kind)]
            pod, node = np.array(chosen, dtype=np.int32).reshape(-1, 2).T
            return pod, node

        self.bound, self.bound_to = rows(Bind)
        self.nominated, self.nominated_to = rows(Nominate)
        self.evicted, _ = rows(Evict)
        self.row_of_pod = pods
        self.row_of_podgroup = {str(key): row for row, key in enumerate(snapshot.podgroups.keys)}

    @cached_property
    def ours(self) -> Mask:
        """``(P,)`` pods that are ours to schedule."""
        return np.asarray(self.snapshot.pods.subgroup_idx != NONE)

    @cached_property
    def stays(self) -> Rows:
        """Rows of our pods that were bound and may stay."""
        stays = self.ours & (self.snapshot.pods.state == PodState.BOUND)
        stays[self.evicted] = False
        return rows_where(stays)

    @cached_property
    def placed(self) -> Rows:
        """Rows of pods that get a node, now or later."""
        return joined(self.bound, self.nominated)

    def requests(self, pods: Rows, nodes: Rows) -> Amounts:
        """``(N, R)`` what some pods ask for on some nodes."""
        snapshot = self.snapshot
        sums = np.zeros_like(snapshot.nodes.allocatable)
        np.add.at(sums, nodes, snapshot.classes.request[snapshot.pods.class_idx[pods]])
        return sums

    def costs(self, pods: Rows) -> Amounts:
        """``(Q, A)`` what some pods cost their queues and all ancestors."""
        snapshot = self.snapshot
        queues = snapshot.queues
        sums = np.zeros((len(queues), len(snapshot.axis.accounted)), dtype=np.int64)
        own = self.queues(pods)
        np.add.at(sums, own[own != ROOT], snapshot.classes.accounted[snapshot.pods.class_idx[pods[own != ROOT]]])
        for row in sorted(range(len(queues)), key=lambda row: -len(queues.paths[row])):
            if queues.parent[row] != ROOT:
                sums[queues.parent[row]] += sums[row]
        return sums

    def podgroups(self, pods: Rows) -> Rows:
        """Rows of the podgroups of pods that are ours."""
        return self.snapshot.subgroups.podgroup_idx[self.snapshot.pods.subgroup_idx[pods]]

    def queues(self, pods: Rows) -> Rows:
        """Rows of the queues of pods that are ours."""
        return self.snapshot.podgroups.queue_idx[self.podgroups(pods)]

    def satisfied(self, pods: Rows) -> Mask:
        """``(S,)`` which subgroups have what they need when they have just some pods."""
        table = self.snapshot.subgroups
        count = np.bincount(self.snapshot.pods.subgroup_idx[pods], minlength=len(table))
        satisfied = np.where(table.leaf, count >= table.min_member, table.min_subgroups <= 0)
        depth = np.zeros(len(table), dtype=np.int32)
        above = table.parent
        while (inside := above != NONE).any():
            depth[inside] += 1
            above = np.where(inside, table.parent[above], NONE)
        for level in range(int(depth.max(initial=0)), 0, -1):
            # Children of this depth say all about their parents; those that are leaves have spoken for themselves.
            rows = rows_where(depth == level)
            parents = np.unique(table.parent[rows])
            children = np.bincount(table.parent[rows], minlength=len(table))
            fine = np.bincount(table.parent[rows[satisfied[rows]]], minlength=len(table))
            needed = np.where(table.min_subgroups == ALL, children, table.min_subgroups)
            satisfied[parents] = fine[parents] >= needed[parents]
        return np.asarray(satisfied)


def rows_where(mask: Mask) -> Rows:
    """Rows for which a mask holds."""
    return np.flatnonzero(mask).astype(np.int32)


def joined(*rows: Rows) -> Rows:
    """Rows one after the other."""
    return np.concatenate(rows, dtype=np.int32)
