"""The life of a pod as the API server sees it: creation, what may change later, what status writes may do."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from kai_py.minicluster.refusals import Faults

from .base import Object, Reader, Rules
from .node_takes import GATE, STATUSES, check_statuses
from .pod_claims import check_pod_claims
from .pod_defaults import default_pod_spec, default_tolerations, qos_class
from .pod_groups import WORKLOAD_GATE, check_scheduling_group
from .pod_spec import check_pod_spec
from .priority import admit_priority
from .runtime import admit_runtime_class

_CONTAINER_LISTS: Final = ("containers", "initContainers")
_IMMUTABLE_MESSAGE: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
#: Alpha fields by the gate that they need; a real server drops them silently without. One is of 1.35, and gone.
_GATED: Final = {"schedulingGroup": WORKLOAD_GATE, "workloadRef": ""}


class PodRules(Rules):
    """Rules of pods. ``gates`` are on though they are off by default."""

    def __init__(self, gates: AbstractSet[str] = frozenset()) -> None:
        self._gates = gates

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        default_pod_spec(obj.setdefault("spec", {}))
        obj["spec"].setdefault("enableServiceLinks", True)

    def prepare_create(self, obj: Object, reader: Reader) -> None:
        """Admission plugins, and the status a new pod has."""
        spec = obj["spec"]
        for field, gate in _GATED.items():
            if gate not in self._gates:
                spec.pop(field, None)
        default_tolerations(spec)
        admit_priority(obj, reader)
        admit_runtime_class(obj, reader)
        obj["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
        if spec.get("schedulingGates"):
            obj["status"]["conditions"] = [
                {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": "SchedulingGated",
                    "message": "Scheduling is blocked due to non-empty scheduling gates",
                    "lastTransitionTime": None,
                    "observedGeneration": 1,
                }
            ]

    def prepare_update(self, new: Object, old: Object, _reader: Reader) -> None:
        """Status is not written here; a pod whose last gate goes is no longer reported as gated."""
        new["spec"].setdefault("priority", old["spec"].get("priority", 0))
        if "preemptionPolicy" in old["spec"]:
            new["spec"].setdefault("preemptionPolicy", old["spec"]["preemptionPolicy"])
        if old["spec"].get("schedulingGates") and not new["spec"].get("schedulingGates"):
            conditions = new.get("status", {}).get("conditions") or []
            kept = [c for c in conditions if c.get("reason") != "SchedulingGated"]
            if kept != conditions:
                new["status"] = {k: v for k, v in new["status"].items() if k != "conditions"}
                if kept:
                    new["status"]["conditions"] = kept

    def prepare_status(self, new: Object, old: Object, _reader: Reader) -> None:
        """A status write cannot change what the server derives, nor who owns the pod."""
        status = new.setdefault("status", {})
        if GATE not in self._gates:
            status.pop(STATUSES, None)
        status.setdefault("phase", "Pending")
        if "qosClass" in old.get("status", {}):
            status["qosClass"] = old["status"]["qosClass"]
        new["metadata"].pop("ownerReferences", None)
        if "ownerReferences" in old["metadata"]:
            new["metadata"]["ownerReferences"] = old["metadata"]["ownerReferences"]

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_pod_spec(obj["spec"], "spec", faults)
        check_scheduling_group(obj["spec"], "spec", faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """Add what may not change in a pod that exists."""
        if new["spec"] == old["spec"]:
            return
        gates_before = {gate["name"] for gate in old["spec"].get("schedulingGates") or ()}
        gates_after = {gate["name"] for gate in new["spec"].get("schedulingGates") or ()}
        for gate in sorted(gates_after - gates_before):
            faults.forbidden(
                "spec.schedulingGates", f"only deletion is allowed, but found new scheduling gate '{gate}'"
            )
        _check_additions(new["spec"], old["spec"], faults)
        _check_deadline(new["spec"], old["spec"], faults)
        frozen = _without_mutable_fields(new["spec"], old["spec"], gated=bool(gates_before))
        if frozen != old["spec"]:
            faults.forbidden("spec", _IMMUTABLE_MESSAGE)

    def validate_status(self, new: Object, old: Object, faults: Faults) -> None:
        """A container of a pod that never restarts cannot leave the terminated state; nominations are names."""
        node = new["spec"].get("nodeName", "")
        nominated = new["status"].get("nominatedNodeName", "")
        if nominated and node and nominated != old.get("status", {}).get("nominatedNodeName", ""):
            faults.forbidden("status.nominatedNodeName", "may not be set on a pod that is assigned to a node")
        check_pod_claims(new["status"], new["spec"], faults)
        check_statuses(new["status"], new["spec"], faults)


def _check_additions(new: Object, old: Object, faults: Faults) -> None:
    after = new.get("tolerations") or []
    if any(toleration not in after for toleration in old.get("tolerations") or ()):
        faults.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _check_deadline(new: Object, old: Object, faults: Faults) -> None:
    before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    if before is not None and (after is None or after > before):
        faults.invalid("spec.activeDeadlineSeconds", after, "must be less than or equal to previous value")


def _without_mutable_fields(new: Object, old: Object, *, gated: bool) -> Object:
    """The new spec with everything that may change put back to what it was."""
    frozen = copy.deepcopy(new)
    for key in _CONTAINER_LISTS:
        before: Mapping[str, Any] = {container["name"]: container for container in old.get(key) or ()}
        for container in frozen.get(key) or ():
            if container["name"] in before:
                container["image"] = before[container["name"]].get("image")
    mutable = ["tolerations", "activeDeadlineSeconds", "schedulingGates"]
    if gated and _only_tightens(new, old):
        mutable += ["nodeSelector", "affinity"]
    for key in mutable:
        frozen.pop(key, None)
        if key in old:
            frozen[key] = old[key]
    return frozen


def _only_tightens(new: Object, old: Object) -> bool:
    """Whether a gated pod's node selector only gains entries, and node affinity was unset or is unchanged."""
    before, after = old.get("nodeSelector") or {}, new.get("nodeSelector") or {}
    if any(after.get(key) != value for key, value in before.items()):
        return False
    old_affinity, new_affinity = dict(old.get("affinity") or {}), dict(new.get("affinity") or {})
    old_nodes, new_nodes = old_affinity.pop("nodeAffinity", None), new_affinity.pop("nodeAffinity", None)
    if old_affinity != new_affinity:
        return False
    return old_nodes in (None, {}, new_nodes) or _terms_only_narrow(old_nodes, new_nodes)


def _terms_only_narrow(old: Object, new: Object | None) -> bool:
    """Whether each required term of a node affinity keeps all its expressions; preferences may change freely."""
    key = "requiredDuringSchedulingIgnoredDuringExecution"
    before = (old.get(key) or {}).get("nodeSelectorTerms") or []
    after = ((new or {}).get(key) or {}).get("nodeSelectorTerms") or []
    if not before:
        return True
    if len(before) != len(after):
        return False
    return all(
        all(
            expression in (narrow.get(part) or ())
            for part in ("matchExpressions", "matchFields")
            for expression in wide.get(part) or ()
        )
        for wide, narrow in zip(before, after, strict=True)
    )
