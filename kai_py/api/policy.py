"""PodDisruptionBudget: how many pods of a set may be missing."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.meta import NO_STRINGS, ObjectMeta, Record
from kai_py.api.selectors import LabelSelector


class DisruptionBudgetSpec(Record, frozen=True):
    """What the owner of the pods allows. Numbers may be percentages, as text (``50%``)."""

    selector: LabelSelector | None = None
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    unhealthy_pod_eviction_policy: str = "IfHealthyBudget"


class DisruptionBudgetStatus(Record, frozen=True):
    """What the disruption controller has counted. ``disrupted_pods``: evicted ones that are still counted healthy."""

    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    disrupted_pods: Mapping[str, str] = NO_STRINGS
    observed_generation: int = 0


class PodDisruptionBudget(Record, frozen=True):
    """A limit on voluntary disruptions of the selected pods."""

    metadata: ObjectMeta
    spec: DisruptionBudgetSpec = DisruptionBudgetSpec()
    status: DisruptionBudgetStatus = DisruptionBudgetStatus()
