"""Nodes as columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kai_py.core.resources import Amounts, Mask
from kai_py.core.tables.labels import Labels


@dataclass(frozen=True)
class Taint:
    """A taint as it stands on nodes. ``hard`` means NoSchedule or NoExecute, otherwise PreferNoSchedule."""

    key: str
    value: str
    effect: str

    @property
    def hard(self) -> bool:
        """Whether an untolerated taint keeps pods away, instead of only discouraging."""
        return self.effect in ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class NodeTable:
    """The nodes of a snapshot, sorted by name.

    Attributes:
        names: ``(N,)``
        allocatable: ``(N, R)`` base units.
        ready: ``(N,)`` False where the node's Ready condition says so, or the node is being deleted.
        cordoned: ``(N,)`` ``spec.unschedulable``.
        labels: label columns.
        taints: ``(T,)`` the distinct taints.
        tainted: ``(N, T)`` which node has which.
        declares: ``(N,)`` by name of a feature, which nodes declare it; what nobody declares is not in it.
        images: ``(N,)`` by name, bytes of the images that nodes have, 0 = has not; empty where nobody asks.
    """

    names: tuple[str, ...]
    allocatable: Amounts
    ready: Mask
    cordoned: Mask
    labels: Labels
    taints: tuple[Taint, ...]
    tainted: Mask
    declares: Mapping[str, Mask] = field(default_factory=dict)
    images: Mapping[str, Amounts] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)
