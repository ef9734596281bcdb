"""NUMA nodes ("zones") of nodes, and what pods ask of them: what NodeResourceTopology objects say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kai_py.core.resources import Amounts, Mask, Rows

#: (resource, base units), sorted by name, all above zero.
Need = tuple[tuple[str, int], ...]
#: What a pod takes: (zone, column in K, base units).
Seat = tuple[tuple[int, int, int], ...]
NO_SEAT: Final[Seat] = ()
#: A kubelet runs with at most 8 NUMA nodes unless it is told to try more; masks of zones must stay few.
MAX_ZONES: Final = 16


class Policy(IntEnum):
    """What a kubelet's Topology Manager does with a pod that cannot be aligned. Only the last two refuse it."""

    NONE = 0
    BEST_EFFORT = 1
    RESTRICTED = 2
    SINGLE = 3


@dataclass(frozen=True)
class Alignment:
    """What a kubelet aligns of a pod: whole CPUs, memory and huge pages of Guaranteed pods, devices of all.

    Attributes:
        pod: the pod as one, for the scope ``pod``.
        together: for the scope ``container``, each sidecar and container: they share the zones.
        apart: the same for other init containers: each has the zones for itself, one after the other.
    """

    pod: Need
    together: tuple[Need, ...]
    apart: tuple[Need, ...] = ()


@dataclass(frozen=True)
class ZoneTable:
    """The zones of all nodes; a node without a NodeResourceTopology has none, and policy ``NONE``.

    Attributes:
        resources: ``(K,)`` names of what any zone has.
        names: ``(N,)`` names of each node's zones, by the number in them.
        policy: ``(N,)`` ``Policy``.
        by_pod: ``(N,)`` the scope is ``pod``, else ``container``.
        allocatable: ``(N, Z, K)`` base units; 0 where there is no such zone.
        available: ``(N, Z, K)`` what the node's exporter last saw free.
        reported: ``(N, K)`` some zone of the node has it; what no zone has is not aligned.
        records: pod row -> the zones that it takes, as far as somebody has written that down.
    """

    resources: tuple[str, ...]
    names: tuple[tuple[str, ...], ...]
    policy: NDArray[np.uint8]
    by_pod: Mask
    allocatable: Amounts
    available: Amounts
    reported: Mask
    records: Mapping[int, Seat]

    @property
    def counts(self) -> Rows:
        """``(N,)`` zones of each node."""
        return np.array([len(names) for names in self.names], dtype=np.int32)

    def amounts(self, need: Need) -> Amounts:
        """``(K,)`` of a need; resources that no zone anywhere has are left out."""
        amounts = np.zeros(len(self.resources), dtype=np.int64)
        for name, units in need:
            if name in self.resources:
                amounts[self.resources.index(name)] = units
        return amounts

    def named(self, node: int, seat: Seat) -> tuple[tuple[str, Need], ...]:
        """A seat on a node in names: zones with what is taken of each."""
        taken: dict[int, list[tuple[str, int]]] = {}
        for zone, column, units in seat:
            taken.setdefault(zone, []).append((self.resources[column], units))
        return tuple((self.names[node][zone], tuple(sorted(taken[zone]))) for zone in sorted(taken))
