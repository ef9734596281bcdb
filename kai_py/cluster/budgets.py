"""PodDisruptionBudgets: which running pod is under which, and how many evictions each allows now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np

from kai_py.api.policy import PodDisruptionBudget
from kai_py.cluster.encode.selectors import Selector
from kai_py.cluster.labels import LabelBook
from kai_py.cluster.pods import Health
from kai_py.core.resources import Rows
from kai_py.core.tables.pods import NONE, Budgets
from kai_py.errors import Fault, MalformedObjectError

Name = tuple[str, str]

_MOST: Final = int(np.iinfo(np.int32).max)


class Standing(NamedTuple):
    """What a budget says now.

    Attributes:
        allowed: evictions that it allows.
        guards_unready: whether pods that are not ready count against it, too.
    """

    allowed: int
    guards_unready: bool


class BudgetBook:
    """All budgets that can be read, matched against sets of labels and not against single pods.

    A budget selects pods of its own namespace as policy/v1 says: an empty selector all, an absent one none. A pod that
    is not ready is under those budgets that guard it even so, and one that its kubelet has not started under none.

    Args:
        labels: of all running pods that may be victims.

    Attributes:
        faults: what is wrong with budgets whose selector cannot be understood: they select nobody, as for the
            Eviction API.
    """

    def __init__(self, labels: LabelBook) -> None:
        self.faults: dict[Name, tuple[Fault, ...]] = {}
        self._labels = labels
        self._fresh = labels.follow()
        self._selectors: dict[str, dict[str, Selector]] = {}  # by namespace, then name
        self._standing: dict[Name, Standing] = {}
        #: Budgets that select the same pods together, by number; 0 = none.
        self._combinations: dict[tuple[Name, ...], int] = {(): 0}
        #: By number of a set of labels: the number of its combination.
        self._combination = np.zeros(0, dtype=np.int32)
        self._matched = False
        self._revision = 0
        self._table: tuple[tuple[object, int], Budgets | None] | None = None

    def put(self, budget: PodDisruptionBudget) -> None:
        """Take in a budget. It matters to the choice of victims, but is never a reason for a cycle."""
        namespace, name = budget.metadata.key
        where = f"PodDisruptionBudget {namespace}/{name}"
        try:
            wanted = budget.spec.selector
            selector = Selector.of(wanted, where=where, field="spec.selector") if wanted is not None else None
        except MalformedObjectError as error:
            self.drop((namespace, name))
            self.faults[namespace, name] = error.faults
            return
        self.faults.pop((namespace, name), None)
        if selector is None:
            self._forget((namespace, name))
            return
        if self._selectors.get(namespace, {}).get(name) != selector:
            self._selectors.setdefault(namespace, {})[name] = selector
            self._matched = False
            self._revision += 1
        standing = Standing(allowed_by(budget), guards_unready(budget))
        if self._standing.get((namespace, name)) != standing:
            self._standing[namespace, name] = standing
            self._revision += 1

    def drop(self, name: Name) -> None:
        """Forget a budget."""
        self.faults.pop(name, None)
        self._forget(name)

    def _forget(self, name: Name) -> None:
        if self._standing.pop(name, None) is None:
            return
        del self._selectors[name[0]][name[1]]
        if not self._selectors[name[0]]:
            del self._selectors[name[0]]
        self._matched = False
        self._revision += 1

    def table(self, label_sets: Rows, generation: object, unwell: Callable[[], Mapping[int, Health]]) -> Budgets | None:
        """The budgets, sorted by namespace and name; the same object as long as nothing has changed.

        Args:
            label_sets: ``(P,)`` numbers of pods' labels; ``NONE`` where these do not matter.
            generation: another one whenever ``label_sets`` is another array, or some pod has another health.
            unwell: asked where there are budgets: pods that are not ready, by row.

        Returns:
            None when no pod is under a budget.
        """
        stamp = (generation, self._revision)
        if self._table is None or self._table[0] != stamp:
            self._table = stamp, self._make(label_sets, unwell)
        return self._table[1]

    def _make(self, label_sets: Rows, unwell: Callable[[], Mapping[int, Health]]) -> Budgets | None:
        if not self._standing:
            self._fresh.clear()
            return None
        self._match()
        names = sorted(self._standing)
        allowed = np.array([self._standing[name].allowed for name in names], dtype=np.int32)
        row_of = {name: row for row, name in enumerate(names)}
        #: Of each combination, of those that guard who is not ready, and of no budgets.
        tightest = np.full((len(Health), len(self._combinations)), NONE, dtype=np.int32)
        for together, number in self._combinations.items():
            guards = [name for name in together if self._standing[name].guards_unready]
            for health, guarding in ((Health.READY, together), (Health.UNREADY, guards)):
                rows = [row_of[name] for name in guarding]
                tightest[health, number] = min(rows, key=lambda row: (allowed.item(row), row), default=NONE)
        of_pod = np.full(len(label_sets), NONE, dtype=np.int32)
        known = np.flatnonzero(label_sets != NONE)
        of_pod[known] = tightest[Health.READY, self._combination[label_sets[known]]]
        for row, health in unwell().items():
            if (label_set := label_sets.item(row)) != NONE:
                of_pod[row] = tightest[health, self._combination.item(label_set)]
        return Budgets(allowed, of_pod) if (of_pod != NONE).any() else None

    def _match(self) -> None:
        """Find the combinations of those sets of labels that are new; after a change of selectors of all."""
        fresh = range(len(self._labels)) if not self._matched else sorted(self._fresh)
        if not self._matched:
            self._combinations = {(): 0}
        if len(self._combination) < len(self._labels):
            more = np.zeros(max(len(self._labels), 2 * len(self._combination)), dtype=np.int32)
            more[: len(self._combination)] = self._combination
            self._combination = more
        for number in fresh:
            together = self._selecting(number)
            self._combination[number] = self._combinations.setdefault(together, len(self._combinations))
        self._fresh.clear()
        self._matched = True

    def _selecting(self, number: int) -> tuple[Name, ...]:
        namespace = self._labels.namespace(number)
        selectors = self._selectors.get(namespace)
        if selectors is None:
            return ()
        labels = self._labels.labels(number)
        return tuple((namespace, name) for name, selector in selectors.items() if selector.matches(labels))


def allowed_by(budget: PodDisruptionBudget) -> int:
    """Evictions that a budget allows now; none while its status lags behind its spec, as for the Eviction API."""
    status = budget.status
    if status.observed_generation < budget.metadata.generation:
        return 0
    return max(0, min(status.disruptions_allowed, _MOST))


def guards_unready(budget: PodDisruptionBudget) -> bool:
    """Whether the Eviction API asks a budget about pods that are not ready.

    ``AlwaysAllow``: never. Otherwise only as long as there are fewer healthy pods than there should be: then those that
    are not ready may be about to become so. (kubernetes.io, "Unhealthy Pod Eviction Policy")
    """
    if budget.spec.unhealthy_pod_eviction_policy == "AlwaysAllow":
        return False
    return not budget.status.current_healthy >= budget.status.desired_healthy > 0
