"""``POST pods/{name}/binding``: the one way a pod gets its node."""

from __future__ import annotations

from typing import Any, Final

from .kinds import NODES, PODS
from .metadata import now
from .options import Precondition
from .refusals import Faults, RefusedError, bad_request, conflict, not_found
from .store import Entry, Object, Store
from .writes import check_precondition

#: Labels of the node that the PodTopologyLabels admission plugin copies to the pod.
_TOPOLOGY_LABELS: Final = ("topology.kubernetes.io/zone", "topology.kubernetes.io/region")


class Binder:
    """Assigns pods to nodes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pods = store.collections[PODS.key]
        self._nodes = store.collections[NODES.key]

    def bind(self, namespace: str, name: str, binding: Object, *, dry_run: bool = False) -> Entry:
        """Assign a pod. The node need not exist, nor fit: a real server does not look either.

        Raises:
            RefusedError: 400 (names differ), 404, 409 (precondition, assigned, gated or deleting), 500 (bad target).
        """
        meta = binding.get("metadata") or {}
        if meta.get("name", name) != name:
            raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
        if meta.get("namespace", namespace) != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        node = _target(binding.get("target") or {})
        entry = self._pods.entries.get((namespace, name))
        if entry is None:
            raise not_found(PODS, name)
        check_precondition(PODS, entry, Precondition.of(meta))
        pod = entry.object()
        _check_free(name, pod)
        self._assign(pod, node, meta)
        return Entry(PODS, pod, entry.revision) if dry_run else self._store.put(self._pods, pod)

    def _assign(self, pod: Object, node: str, meta: Object) -> None:
        pod["spec"]["nodeName"] = node
        for part in ("annotations", "labels"):
            if meta.get(part):
                pod["metadata"][part] = (pod["metadata"].get(part) or {}) | meta[part]
        found = self._nodes.entries.get(("", node))
        if found:
            copied = {key: found.labels[key] for key in _TOPOLOGY_LABELS if key in found.labels}
            if copied:
                pod["metadata"]["labels"] = (pod["metadata"].get("labels") or {}) | copied
        status = pod.setdefault("status", {})
        status.pop("nominatedNodeName", None)
        set_condition(status, {"type": "PodScheduled", "status": "True", "lastProbeTime": None})


def _target(target: Object) -> str:
    """The node's name. A bad target is an internal error on a real server, and so it is here."""
    faults = Faults()
    if target.get("kind", "") not in ("", "Node"):
        faults.not_supported("target.kind", target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        faults.required("target.name")
    if faults:
        raise RefusedError(500, "", ", ".join(f"{cause.field}: {cause.message}" for cause in faults))
    node: str = target["name"]
    return node


def _check_free(name: str, pod: Object) -> None:
    if "deletionTimestamp" in pod["metadata"]:
        raise conflict(_PodBinding(), name, f"pod {name} is being deleted, cannot be assigned to a host")
    assigned = pod["spec"].get("nodeName")
    if assigned:
        raise conflict(_PodBinding(), name, f'pod {name} is already assigned to node "{assigned}"')
    if pod["spec"].get("schedulingGates"):
        raise conflict(_PodBinding(), name, f"pod {name} has non-empty .spec.schedulingGates")


class _PodBinding:
    group = ""
    kind = "Binding"
    plural = "pods/binding"


def set_condition(status: Object, condition: Object, *, observed: int | None = None) -> bool:
    """Set a condition; its transition time moves only with its status. Tells whether anything changed."""
    conditions: list[Any] = status.setdefault("conditions", [])
    if observed is not None:
        condition = condition | {"observedGeneration": observed}
    for i, existing in enumerate(conditions):
        if existing.get("type") == condition["type"]:
            moved = existing.get("status") != condition["status"]
            time = now() if moved else existing.get("lastTransitionTime", now())
            wanted = condition | {"lastTransitionTime": time}
            if existing.get("lastProbeTime"):
                wanted["lastProbeTime"] = existing["lastProbeTime"]
            conditions[i] = wanted
            return bool(wanted != existing)
    conditions.append(condition | {"lastTransitionTime": now()})
    return True
