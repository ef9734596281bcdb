"""Settings about how running pods are ended."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kai_py.api.duration import Duration
from kai_py.settings.base import SettingsGroup, not_negative

EvictionMethod = Literal["delete", "evict"]


class EvictionMethods(SettingsGroup):
    """How a pod is ended, by the action that ends it.

    `delete`: the condition `DisruptionTarget`, then a deletion with the pod's own grace period, as kube-scheduler does.
    `evict`: the Eviction API, which asks PodDisruptionBudgets; where one refuses, what the eviction was for is given up
    for now, and the podgroup that wanted it pauses.
    """

    reclaim: EvictionMethod = "delete"
    """For a queue that takes back what it is owed. `delete` by default: a budget in a borrowing namespace must not keep
    others from their quota."""
    preempt: EvictionMethod = "delete"
    """For a more important podgroup of the same queue. `delete` by default, as kube-scheduler preempts."""
    consolidate: EvictionMethod = "evict"
    """For moves that make room. `evict` by default: a move is a convenience, and no reason to break a promise."""
    stale_gang_eviction: EvictionMethod = "delete"
    """For what is left of a gang that lost members. `delete` by default: it cannot work anyway."""

    def of(self, action: str) -> EvictionMethod:
        """The method of an action by its name in the settings; `delete` for one that should not evict at all."""
        methods: dict[str, EvictionMethod] = {
            "reclaim": self.reclaim,
            "preempt": self.preempt,
            "consolidate": self.consolidate,
            "staleGangEviction": self.stale_gang_eviction,
        }
        return methods.get(action, "delete")


class Eviction(SettingsGroup):
    """How running pods are ended for others' sake."""

    method: EvictionMethods = EvictionMethods()
    """How a pod is ended, by the action that ends it."""
    wave: Annotated[int, Field(ge=0)] = 0
    """How many evicted pods may be on their way out at once. A podgroup's victims go together, so one that needs more
    than this goes alone; whoever comes next waits until they are gone. Less of it is gentler to storage and networks
    that see many pods stop and start; 0, which is the default, is no bound: what is owed is given at once."""
    restart_time: Annotated[Duration, AfterValidator(not_negative)] = Duration.of_seconds(300)
    """How long an evicted podgroup needs, once it has a place again, until it works as before: to pull images, to load
    data and the last checkpoint. Among equally important victims those go who lose the fewest GPU-seconds: the time
    since their start or last checkpoint (annotation `kai.scheduler/last-checkpoint-timestamp`) plus this, times their
    GPUs. More of it spares GPUs, less of it spares those who have worked for long; `0s` counts lost work alone. Five
    minutes by default, a guess for training jobs."""
