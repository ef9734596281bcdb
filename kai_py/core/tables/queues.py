"""Queues as columns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kai_py.core.resources import Mask, Rows, Shares

ROOT = -1


@dataclass(frozen=True)
class QueueTable:
    """The sound queues of a snapshot, sorted by name: no cycles, no missing parents.

    Attributes:
        names: ``(Q,)``
        uids: ``(Q,)``
        parent: ``(Q,)`` row of the parent, ``ROOT`` at the top.
        priority: ``(Q,)``
        created: ``(Q,)`` seconds since the epoch.
        quota: ``(Q, A)`` base units, inf = unlimited.
        limit: ``(Q, A)`` base units, inf = unlimited.
        weight: ``(Q, A)`` over-quota weight.
        usage: ``(Q, A)`` past usage as a fraction of the cluster's capacity.
        preempt_min_runtime, reclaim_min_runtime: ``(Q,)`` seconds, NaN = as the parent; None = no queue says any.
    """

    names: tuple[str, ...]
    uids: tuple[str, ...]
    parent: Rows
    priority: NDArray[np.int32]
    created: NDArray[np.float64]
    quota: Shares
    limit: Shares
    weight: Shares
    usage: Shares
    preempt_min_runtime: Shares | None = None
    reclaim_min_runtime: Shares | None = None

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """Rows of the children by parent row; ``ROOT`` has the top queues."""
        found: dict[int, list[int]] = {}
        for row, parent in enumerate(self.parent.tolist()):
            found.setdefault(parent, []).append(row)
        return found

    @cached_property
    def leaf(self) -> Mask:
        """``(Q,)`` only leaves hold podgroups."""
        leaf = np.ones(len(self), dtype=np.bool_)
        leaf[self.parent[self.parent != ROOT]] = False
        return leaf

    @cached_property
    def paths(self) -> tuple[tuple[int, ...], ...]:
        """``(Q,)`` of rows: the queue itself, then its ancestors up to the top."""
        parents = self.parent.tolist()
        paths = []
        for row in range(len(self)):
            path = [row]
            while (above := parents[path[-1]]) != ROOT:
                path.append(above)
            paths.append(tuple(path))
        return tuple(paths)

    @cached_property
    def limited(self) -> tuple[tuple[int, ...], ...]:
        """``(Q,)`` the queues on each queue's path, itself first, that have a limit on any resource."""
        return self._paths_where(self.limit)

    @cached_property
    def with_quota(self) -> tuple[tuple[int, ...], ...]:
        """``(Q,)`` the queues on each queue's path, itself first, whose quota on any resource is not unlimited."""
        return self._paths_where(self.quota)

    def _paths_where(self, ceiling: Shares) -> tuple[tuple[int, ...], ...]:
        finite = set(np.flatnonzero(np.isfinite(ceiling).any(axis=1)).tolist())
        return tuple(tuple(row for row in path if row in finite) for path in self.paths)

    @cached_property
    def levels(self) -> tuple[Rows, ...]:
        """Rows of equal depth, the deepest first, without the top queues: for adding children to their parents."""
        depth = np.array([len(path) for path in self.paths], dtype=np.int32)
        deepest = int(depth.max(initial=1))
        return tuple(np.flatnonzero(depth == level).astype(np.int32) for level in range(deepest, 1, -1))

    @cached_property
    def top_down(self) -> tuple[int, ...]:
        """All rows, parents before their children."""
        return tuple(sorted(range(len(self)), key=lambda row: len(self.paths[row])))
