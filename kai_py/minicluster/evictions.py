"""``POST pods/{name}/eviction``: delete a pod if the disruption budgets allow it."""

from __future__ import annotations

from typing import Final

from .bindings import set_condition
from .deletion import Deleter
from .kinds import BUDGETS, PODS
from .metadata import now
from .options import DeleteOptions
from .refusals import Cause, RefusedError, bad_request, forbidden, not_found, too_many_requests
from .registry import Registry
from .selectors import matches_selector
from .store import Object, Store
from .writes import Writer

_BUDGET_FREE_PHASES: Final = frozenset({"Succeeded", "Failed", "Pending"})
_MAX_DISRUPTED: Final = 2000
_RETRY_AFTER: Final = 10
_VIOLATION: Final = "Cannot evict pod as it would violate the pod's disruption budget."


class Evictor:
    """Evicts pods."""

    def __init__(self, store: Store, registry: Registry, writer: Writer, deleter: Deleter) -> None:
        self._store = store
        self._pods = registry.stored(PODS.key)
        self._budgets = store.collections[BUDGETS.key]
        self._writer = writer
        self._deleter = deleter

    def evict(self, namespace: str, name: str, options: DeleteOptions, *, body_name: str = "") -> None:
        """Evict a pod: take one disruption from its budget, mark it as a disruption target, delete it.

        Raises:
            RefusedError: 400 (names differ), 404, 409 (precondition), 429 (budget used up), 500 (two budgets).
        """
        if body_name and body_name != name:
            raise bad_request("name in URL does not match name in Eviction object")
        pod = self._writer.find(PODS.key, namespace, name)
        if pod is None:
            raise not_found(PODS, name)
        bypasses = pod.get("status", {}).get("phase") in _BUDGET_FREE_PHASES or "deletionTimestamp" in pod["metadata"]
        if not bypasses:
            self._charge_budget(pod, dry_run=options.dry_run)
        if not options.dry_run:
            self._mark(pod)
        self._deleter.delete(self._pods, namespace, name, options)

    def _charge_budget(self, pod: Object, *, dry_run: bool) -> None:
        namespace = pod["metadata"]["namespace"]
        labels = pod["metadata"].get("labels") or {}
        budgets = [
            budget
            for budget in self._writer.all(BUDGETS.key, namespace)
            if matches_selector(budget["spec"].get("selector"), labels)
        ]
        if len(budgets) > 1:
            raise RefusedError(
                500,
                "InternalError",
                "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
            )
        if budgets and not _may_go_unhealthy(pod, budgets[0]):
            _take_one(budgets[0], pod["metadata"]["name"])
            if not dry_run:
                self._store.put(self._budgets, budgets[0])

    def _mark(self, pod: Object) -> None:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
        if set_condition(pod.setdefault("status", {}), condition, observed=pod["metadata"].get("generation")):
            self._store.put(self._pods.collection, pod)


def _may_go_unhealthy(pod: Object, budget: Object) -> bool:
    """Whether a pod that is not ready may be evicted without asking its budget."""
    conditions = pod.get("status", {}).get("conditions") or ()
    if any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy", 0)
    return bool(desired > 0 and status.get("currentHealthy", 0) >= desired)


def _take_one(budget: Object, pod_name: str) -> None:
    """Take one disruption from a budget, in place.

    Raises:
        RefusedError: 403 or 429.
    """
    name, status = budget["metadata"]["name"], budget.setdefault("status", {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _over_budget(f"The disruption budget {name} is still being processed by the server.")
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise forbidden(BUDGETS, name, "pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or {}) > _MAX_DISRUPTED:
        raise forbidden(BUDGETS, name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller")
    if allowed == 0:
        raise _over_budget(
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods and has"
            f" {status.get('currentHealthy', 0)} currently"
        )
    status["disruptionsAllowed"] = allowed - 1
    status["disruptedPods"] = (status.get("disruptedPods") or {}) | {pod_name: now()}


def _over_budget(why: str) -> RefusedError:
    return too_many_requests(_VIOLATION, retry_after=_RETRY_AFTER, causes=[Cause("DisruptionBudget", "", why)])
