"""Nodes: born with the taint of a node that is not ready, as the TaintNodesByCondition plugin does."""

from __future__ import annotations

from typing import Final

from kai_py.minicluster.metadata import check_qualified_name
from kai_py.minicluster.refusals import Faults

from .base import Object, Reader, Rules
from .resources import check_node_amounts

NOT_READY: Final = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
_EFFECTS: Final = frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})


class NodeRules(Rules):
    """Rules of nodes. A node is created with its status, as kubelets do."""

    keeps_status = True

    def default(self, obj: Object) -> None:
        """Allocatable is the capacity, unless said otherwise."""
        obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        if status.get("capacity"):
            status.setdefault("allocatable", dict(status["capacity"]))

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        taints = obj["spec"].setdefault("taints", [])
        if not any(taint.get("key") == NOT_READY["key"] and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append(dict(NOT_READY))

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        seen: set[tuple[str, str]] = set()
        for i, taint in enumerate(obj["spec"].get("taints") or ()):
            field = f"metadata.taints[{i}]"
            check_qualified_name(taint.get("key", ""), f"{field}.key", faults)
            if taint.get("effect") not in _EFFECTS:
                faults.not_supported(f"{field}.effect", taint.get("effect", ""), _EFFECTS)
            identity = taint.get("key", ""), taint.get("effect", "")
            if identity in seen:
                faults.duplicate(field, taint.get("key", ""))
            seen.add(identity)
        self._check_amounts(obj, faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        before = old["spec"].get("providerID")
        if before and new["spec"].get("providerID") != before:
            faults.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')

    def prepare_status(self, new: Object, _old: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        self.default(new)

    def validate_status(self, new: Object, _old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        self._check_amounts(new, faults)

    def _check_amounts(self, node: Object, faults: Faults) -> None:
        for part in ("capacity", "allocatable"):
            check_node_amounts(node.get("status", {}).get(part) or {}, f"status.{part}", faults)
