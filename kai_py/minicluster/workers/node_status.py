"""Reading and writing what a node says of itself."""

from __future__ import annotations

from typing import Any

from kai_py.minicluster.kinds import NODES
from kai_py.minicluster.storage import Storage

from .pod_status import with_condition

Object = dict[str, Any]


def address_of(node: Object) -> str:
    """The address in the cluster's network; one that leads nowhere if the node has none."""
    addresses = (node.get("status") or {}).get("addresses") or ()
    return next((str(one["address"]) for one in addresses if one["type"] == "InternalIP"), "0.0.0.0")  # noqa: S104  # shown, not bound to


def readiness_of(node: Object) -> str:
    """The status of the Ready condition: ``True``, ``False`` or ``Unknown``."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return next((str(one["status"]) for one in conditions if one["type"] == "Ready"), "Unknown")


def set_ready(storage: Storage, name: str, *, ready: bool, now: str) -> None:
    """Set a node's Ready condition to True, or to Unknown as the node controller does when a kubelet goes silent.

    Raises:
        RefusedError: 404, there is no such node.
    """
    node = storage.get(NODES.key, name)
    condition = (
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}
        if ready
        else {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
        }
    )
    status = node.setdefault("status", {})
    status["conditions"] = with_condition(status, condition | {"lastHeartbeatTime": now}, now)
    storage.update(NODES.key, node, subresource="status")
