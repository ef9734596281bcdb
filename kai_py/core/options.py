"""Plain numbers that tune a cycle, frozen. Made from the settings by ``kai_py.settings``; defaults are KAI's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal


class Strategy(StrEnum):
    """How pods are laid over nodes: fill them, level them, or keep what is left useful to others."""

    BINPACK = "binpack"
    SPREAD = "spread"
    LEAST_FRAGMENTATION = "leastFragmentation"


class Action(StrEnum):
    """The steps of a cycle, in KAI's default order."""

    ALLOCATE = "allocate"
    CONSOLIDATE = "consolidate"
    RECLAIM = "reclaim"
    PREEMPT = "preempt"
    STALE_GANG_EVICTION = "staleGangEviction"


#: Magnitudes make the sum lexicographic, as in KAI: available now, then a device that is shared already, then what the
#: user prefers, then packing.
DEFAULT_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {
        "availability": 1000.0,
        "sharing": 500.0,
        "preferNoSchedule": 120.0,
        "nodeAffinity": 60.0,
        "podAffinity": 60.0,
        "podSpread": 60.0,
        "resourceType": 30.0,
        "defaultSpread": 25.0,
        "numa": 19.0,
        "imageLocality": 0.0,
        "leastAllocated": 0.0,
        "mostAllocated": 0.0,
        "balancedAllocation": 0.0,
        "packing": 9.0,
    }
)


@dataclass(frozen=True)
class Options:
    """What the operator chose for every cycle.

    Attributes:
        actions: which actions run, in this order.
        k_value: how strongly past usage bends the surplus shares; 0 ignores usage.
        gpu: how pods that ask for GPUs are laid over nodes.
        cpu: the same for all other pods.
        weights: weight per score name; a missing one is 0.
        queue_depth: at most so many podgroups per leaf queue are looked at by an action; absent = all.
        sorts_per_namespace: at most so many sorts of podgroups of each namespace and leaf queue are looked at in a
            cycle; the rest takes turns. 0 = all.
        reclaim_saturation: by how much fuller than the reclaimer a sibling must stay that loses something, at least 1.
        consolidation_limit: podgroups that may be moved for one; 0 = never move, negative = no limit.
        consolidation_pause: seconds after an eviction in which a podgroup is not moved: nobody goes to and fro.
        restart_seconds: what a restart costs each GPU of a podgroup beside the work that is lost.
        staleness_grace: seconds that a gang may run below its minimum; negative = for ever.
        preempt_min_runtime, reclaim_min_runtime: seconds after its start in which a podgroup is safe, unless its queue
            says otherwise.
        reclaim_resolution: which queues are asked about that; see ``queues.min_runtime``.
    """

    actions: tuple[Action, ...] = tuple(Action)
    k_value: float = 1.0
    gpu: Strategy = Strategy.BINPACK
    cpu: Strategy = Strategy.BINPACK
    weights: Mapping[str, float] = field(default_factory=lambda: DEFAULT_WEIGHTS)
    queue_depth: Mapping[Action, int] = field(default_factory=dict)
    sorts_per_namespace: int = 200
    reclaim_saturation: float = 1.0
    consolidation_limit: int = 16
    consolidation_pause: float = 300.0
    restart_seconds: float = 300.0
    staleness_grace: float = 60.0
    preempt_min_runtime: float = 0.0
    reclaim_min_runtime: float = 0.0
    reclaim_resolution: Literal["lca", "queue"] = "lca"
