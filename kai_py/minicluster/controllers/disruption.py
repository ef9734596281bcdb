"""Keeps the status of PodDisruptionBudgets: how many pods may be disrupted now."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from kai_py.minicluster.bindings import set_condition
from kai_py.minicluster.kinds import BUDGETS, PODS, Kind
from kai_py.minicluster.selectors import matches_selector
from kai_py.minicluster.storage import Storage
from kai_py.minicluster.store import Change, Object

from .loop import Loop

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
Key = tuple[str, str]


class DisruptionController:
    """Counts healthy pods against what each budget demands."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._budgets = storage.store.collections[BUDGETS.key]
        self.loop: Loop[Key] = Loop(self._due, self._handle)

    def _due(self, kind: Kind, change: Change) -> Iterable[Key]:
        if kind.key == BUDGETS.key and change.type != "DELETED":
            yield change.entry.key
        elif kind.key == PODS.key or "scale" in kind.subresources:
            for name in self._budgets.by_namespace.get(change.entry.namespace, {}):
                yield change.entry.namespace, name

    def _handle(self, key: Key) -> None:
        namespace, name = key
        budget = self._storage.find(BUDGETS.key, name, namespace)
        if budget is None:
            return
        pods = [
            pod
            for pod in self._storage.list(PODS.key, namespace)
            if matches_selector(budget["spec"].get("selector"), pod["metadata"].get("labels") or {})
            and pod.get("status", {}).get("phase") not in _FINISHED
        ]
        budget["status"] = self._status(budget, pods)
        self._storage.update(BUDGETS.key, budget, subresource="status")

    def _status(self, budget: Object, pods: list[Object]) -> Object:
        old = budget.get("status") or {}
        living = {pod["metadata"]["name"]: pod for pod in pods if "deletionTimestamp" not in pod["metadata"]}
        disrupted = {name: time for name, time in (old.get("disruptedPods") or {}).items() if name in living}
        healthy = sum(_is_ready(pod) for name, pod in living.items() if name not in disrupted)
        expected, desired = self._wanted(budget["spec"], pods)
        status: Object = {
            "observedGeneration": budget["metadata"]["generation"],
            "disruptedPods": disrupted,
            "expectedPods": expected,
            "desiredHealthy": desired,
            "currentHealthy": healthy,
            "disruptionsAllowed": max(healthy - desired, 0) if expected else 0,
            "conditions": list(old.get("conditions") or ()),
        }
        if not disrupted:
            del status["disruptedPods"]
        allowed = status["disruptionsAllowed"] > 0
        condition = {
            "type": "DisruptionAllowed",
            "status": str(allowed),
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
        }
        set_condition(status, condition, observed=budget["metadata"]["generation"])
        return status

    def _wanted(self, spec: Object, pods: list[Object]) -> tuple[int, int]:
        """How many pods there should be, and how many of them healthy."""
        if spec.get("maxUnavailable") is not None:
            expected = self._scale(pods)
            return expected, max(expected - _scaled(spec["maxUnavailable"], expected), 0)
        wanted = spec.get("minAvailable")
        if wanted is None:
            return 0, 0  # with nothing expected, nothing is allowed
        if isinstance(wanted, int):
            return len(pods), wanted
        expected = self._scale(pods)
        return expected, _scaled(wanted, expected)

    def _scale(self, pods: list[Object]) -> int:
        """The replicas that the pods' controllers want. A pod without a scalable controller counts as itself."""
        replicas: dict[str, int] = {}
        alone = 0
        for pod in pods:
            owner = next((ref for ref in pod["metadata"].get("ownerReferences") or () if ref.get("controller")), None)
            wanted = self._replicas(owner, pod["metadata"]["namespace"]) if owner else None
            if owner is None or wanted is None:
                alone += 1
            else:
                replicas[owner["uid"]] = wanted
        return sum(replicas.values()) + alone

    def _replicas(self, owner: Object, namespace: str) -> int | None:
        endpoint = self._storage.registry.by_kind(owner["apiVersion"], owner["kind"])
        if endpoint is None or "scale" not in endpoint.kind.subresources:
            return None
        found = self._storage.find(endpoint.kind.key, owner["name"], namespace)
        return int(found["spec"].get("replicas", 1)) if found else None


def _is_ready(pod: Object) -> bool:
    conditions: list[Any] = pod.get("status", {}).get("conditions") or []
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _scaled(value: int | str, total: int) -> int:
    """A count, or a percentage of a total, rounded up."""
    if isinstance(value, int):
        return value
    return math.ceil(int(value.rstrip("%")) * total / 100)


async def keep_budgets(storage: Storage) -> None:
    """Run the disruption controller."""
    await DisruptionController(storage).loop.run(storage)
