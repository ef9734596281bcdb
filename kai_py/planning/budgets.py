"""PodDisruptionBudgets of a plan: their status as given, or counted, and kept up as a cluster's controller would."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from kai_py.api.decode import convert, identity
from kai_py.api.pod import Pod
from kai_py.api.policy import DisruptionBudgetStatus, PodDisruptionBudget
from kai_py.cluster.budgets import allowed_by
from kai_py.cluster.encode.selectors import Selector
from kai_py.cluster.pods import FINISHED
from kai_py.cluster.store import Store
from kai_py.errors import Fault, MalformedObjectError

_PERCENTAGE: Final = re.compile(r"0*([0-9]{1,2}|100)%")


@dataclass(frozen=True)
class Budget:
    """A budget of the input.

    Attributes:
        selector: whom it is about; None = nobody.
        counted: its status was given.
    """

    budget: PodDisruptionBudget
    selector: Selector | None
    counted: bool


def read_budget(manifest: Mapping[str, Any]) -> Budget:
    """Read a manifest.

    Raises:
        MalformedObjectError: a field has the wrong type, or cannot be meant.
    """
    budget = convert(PodDisruptionBudget, manifest)
    where, spec = identity("PodDisruptionBudget", manifest), budget.spec
    for field, value in (("minAvailable", spec.min_available), ("maxUnavailable", spec.max_unavailable)):
        if value is not None and (value < 0 if isinstance(value, int) else not _PERCENTAGE.fullmatch(value)):
            why = f"should be a number of pods or a percentage such as 50%, not {value!r}"
            raise MalformedObjectError([Fault(where, f"spec.{field}", why)])
    if spec.min_available is not None and spec.max_unavailable is not None:
        raise MalformedObjectError([Fault(where, "spec", "minAvailable and maxUnavailable cannot be both set")])
    selector = Selector.of(spec.selector, where=where, field="spec.selector") if spec.selector is not None else None
    return Budget(budget, selector, counted=bool(manifest.get("status")))


class Disruptions:
    """Tells a store what budgets allow, whenever pods have come or gone.

    A pod counts as healthy while it runs, unless its Ready condition says otherwise or it is leaving; whoever selects
    a pod expects it. In a cluster the controllers' ``replicas`` would be expected where that is a percentage or
    ``maxUnavailable``; here nobody makes pods that are not there.

    Args:
        store: gets the budgets.
        budgets: of the input.
        pods: all pods as they are at first.
    """

    def __init__(self, store: Store, budgets: Iterable[Budget], pods: Iterable[Pod]) -> None:
        self._store = store
        first = list(pods)
        #: Each budget with what it would allow if no pod were healthy; negative.
        self._budgets = [(one, self._without_pods(one, first)) for one in budgets]
        self.count(first)

    def count(self, pods: Iterable[Pod]) -> None:
        """Count anew."""
        if not self._budgets:
            return
        everybody = list(pods)
        for one, rest in self._budgets:
            healthy = sum(map(_is_healthy, _selected(one, everybody)))
            status = DisruptionBudgetStatus(
                disruptions_allowed=max(0, rest + healthy),
                current_healthy=healthy,
                desired_healthy=one.budget.status.desired_healthy if one.counted else -rest,
                observed_generation=one.budget.metadata.generation,
            )
            self._store.budgets.put(replace(one.budget, status=status))

    def _without_pods(self, one: Budget, pods: list[Pod]) -> int:
        selected = _selected(one, pods)
        if one.counted:
            return allowed_by(one.budget) - sum(map(_is_healthy, selected))
        spec, expected = one.budget.spec, len(selected)
        if spec.max_unavailable is not None:
            return min(0, _scaled(spec.max_unavailable, expected) - expected)
        if spec.min_available is not None:
            return -_scaled(spec.min_available, expected)
        return -expected  # who says neither expects nobody, and allows nothing


def _selected(one: Budget, pods: Iterable[Pod]) -> list[Pod]:
    """The pods that are expected."""
    if one.selector is None:
        return []
    return [
        pod
        for pod in pods
        if pod.metadata.namespace == one.budget.metadata.namespace
        and pod.status.phase not in FINISHED
        and one.selector.matches(pod.metadata.labels)
    ]


def _is_healthy(pod: Pod) -> bool:
    runs = pod.status.phase == "Running" and pod.metadata.deletion_timestamp is None
    return runs and all(one.status == "True" for one in pod.status.conditions if one.type == "Ready")


def _scaled(value: int | str, total: int) -> int:
    """A number, or a percentage of a total, rounded up as the disruption controller does."""
    return value if isinstance(value, int) else math.ceil(int(value.removesuffix("%")) * total / 100)
