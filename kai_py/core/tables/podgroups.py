"""Podgroups and their trees of subgroups as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kai_py.core.resources import Mask, Rows
from kai_py.core.result import ReasonCode

#: ``min_subgroups`` of an inner subgroup that needs all its children.
ALL = -1


class GroupKey(NamedTuple):
    """Identity of a podgroup. ``uid`` is empty for groups that exist in memory only."""

    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class History:
    """What has happened to podgroups before, and how patient they are.

    Attributes:
        started: ``(G,)`` seconds since the epoch; -inf = unknown.
        stale_since: ``(G,)`` since when a gang has run below its minimum; inf = it does not.
        grace: ``(G,)`` seconds that it may do so; negative = for ever, NaN = the default.
        delay: ``(G,)`` seconds after its creation before it may have others evicted.
        finishing: ``(G,)`` some pod of it has succeeded.
        never_preempts: ``(G,)`` a pod of it says ``preemptionPolicy: Never``.
        evicted: ``(G,)`` when a pod of it was evicted last, seconds since the epoch; -inf = never.
        checkpointed: ``(G,)`` when its work was saved last, seconds since the epoch; -inf = never.
    """

    started: NDArray[np.float64]
    stale_since: NDArray[np.float64]
    grace: NDArray[np.float64]
    delay: NDArray[np.float64]
    finishing: Mask
    never_preempts: Mask
    evicted: NDArray[np.float64]
    checkpointed: NDArray[np.float64]


@dataclass(frozen=True)
class PodGroupTable:
    """The podgroups that have unfinished pods, sorted by (namespace, name).

    Attributes:
        keys: ``(G,)``
        queue_idx: ``(G,)`` row in the queue table; -1 where ``blocked`` says why there is none.
        priority: ``(G,)``
        preemptible: ``(G,)``
        created: ``(G,)`` seconds since the epoch.
        blocked: why a podgroup may not be scheduled at all, known before the cycle: row -> (code, details).
        offset: ``(G + 1,)`` rows of a podgroup's subgroups are ``offset[g]`` to ``offset[g + 1]``, its root first.
        history: None = there is none.
        whole: rows of podgroups that are evicted as one, what they have beyond their minimum included.
        floors: what the cluster must have before a podgroup starts, by row: names of R with base units.
        searched: choices of victims that an earlier cycle tried in vain before its budget ended it, by row and action.
    """

    keys: tuple[GroupKey, ...]
    queue_idx: Rows
    priority: NDArray[np.int32]
    preemptible: Mask
    created: NDArray[np.float64]
    blocked: dict[int, tuple[ReasonCode, dict[str, str]]]
    offset: Rows
    history: History | None = None
    whole: frozenset[int] = frozenset()
    floors: Mapping[int, tuple[tuple[str, int], ...]] = field(default_factory=dict)
    searched: Mapping[tuple[int, str], int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def finishing(self, row: int) -> bool:
        """Whether some pod of a podgroup has succeeded."""
        return self.history is not None and self.history.finishing.item(row)


@dataclass(frozen=True)
class SubGroupTable:
    """Subgroups; every podgroup has at least its root. Siblings are sorted by name.

    Attributes:
        names: ``(S,)``; empty for roots.
        podgroup_idx: ``(S,)``
        parent: ``(S,)`` row of the parent; -1 for roots.
        leaf: ``(S,)`` leaves hold pods, others hold subgroups.
        min_member: ``(S,)`` pods that a leaf needs; 0 for others.
        min_subgroups: ``(S,)`` children that an inner subgroup needs, or ``ALL``; 0 for leaves.
    """

    names: tuple[str, ...]
    podgroup_idx: Rows
    parent: Rows
    leaf: Mask
    min_member: NDArray[np.int32]
    min_subgroups: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.names)
