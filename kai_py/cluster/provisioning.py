"""ProvisioningRequests (``autoscaling.x-k8s.io``): how nodes are asked for a gang, and what became of it. Pure.

Sources: the CRD and the proposal of Cluster Autoscaler. A request's spec cannot be changed, so its name tells what it
asks for: another demand is another request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from kai_py.api.meta import OwnerReference
from kai_py.cluster.encode.times import seconds
from kai_py.cluster.wanting import Wanting
from kai_py.core.result import Reason, ReasonCode

Json = dict[str, Any]

GROUP: Final = "autoscaling.x-k8s.io"
VERSION: Final = "v1"
#: All that we make carries it.
LABEL: Final = "kai.scheduler/provisioning"
#: The podgroup that nodes are asked for.
FOR_ANNOTATION: Final = "kai.scheduler/provisioning-for"
#: A request has so many pod sets at most, says its CRD.
MAX_POD_SETS: Final = 32
_LONGEST: Final = 230
_DIGITS: Final = 10
#: Fields of a pod that say where it is, or that a template may not have.
_OF_A_POD: Final = frozenset({"nodeName", "ephemeralContainers", "schedulingGates", "hostname", "priority"})
#: Conditions after which a request says nothing any more.
_ENDS: Final = ("Failed", "BookingExpired", "CapacityRevoked")


class Asked(NamedTuple):
    """A request that is there.

    Attributes:
        name: of the object.
        podgroup: (namespace, name) that it is for.
        reason: what it means for the podgroup.
        ended: when it ended, seconds since the epoch; 0 = it has not.
    """

    name: str
    podgroup: tuple[str, str]
    reason: Reason
    ended: float


def request_name(wanted: Wanting, provisioning_class: str, parameters: Mapping[str, str]) -> str:
    """The name of the request for a demand: the same for the same."""
    said = json.dumps([wanted.podgroup, wanted.pods, provisioning_class, sorted(parameters.items())])
    digest = hashlib.sha256(said.encode()).hexdigest()[:_DIGITS]
    return f"{wanted.podgroup[1][:_LONGEST].rstrip('-.')}-{digest}"


def templates(name: str, wanted: Wanting, pods: Iterable[Mapping[str, Any]], owner: OwnerReference) -> list[Json]:
    """The PodTemplates of a request, one for each sort of pods.

    Args:
        name: of the request.
        wanted: the demand.
        pods: a pod of each sort, as the API server has it.
        owner: the PodGroup.
    """
    made = []
    for row, pod in enumerate(pods):
        spec = {key: value for key, value in pod["spec"].items() if key not in _OF_A_POD}
        labels = pod["metadata"].get("labels") or {}
        template = {"metadata": {"labels": labels}, "spec": spec}
        made.append(
            {"apiVersion": "v1", "kind": "PodTemplate", **_meta(f"{name}-{row}", wanted, owner), "template": template}
        )
    return made


def request(
    name: str, wanted: Wanting, provisioning_class: str, parameters: Mapping[str, str], owner: OwnerReference
) -> Json:
    """The ProvisioningRequest; its templates are named after it."""
    sets = [{"podTemplateRef": {"name": f"{name}-{row}"}, "count": count} for row, (_, count) in enumerate(wanted.pods)]
    spec: Json = {"provisioningClassName": provisioning_class, "podSets": sets}
    if parameters:
        spec["parameters"] = dict(parameters)
    kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "ProvisioningRequest"}
    return {**kind, **_meta(name, wanted, owner), "spec": spec}


def _meta(name: str, wanted: Wanting, owner: OwnerReference) -> Json:
    reference = {"apiVersion": owner.api_version, "kind": owner.kind, "name": owner.name, "uid": owner.uid}
    meta = {
        "name": name,
        "namespace": wanted.podgroup[0],
        "labels": {LABEL: "true"},
        "annotations": {FOR_ANNOTATION: wanted.podgroup[1]},
        "ownerReferences": [reference],
    }
    return {"metadata": meta}


def read(manifest: Mapping[str, Any]) -> Asked:
    """What a request of ours says."""
    meta = manifest["metadata"]
    podgroup = meta["namespace"], str((meta.get("annotations") or {}).get(FOR_ANNOTATION, ""))
    listed = (manifest.get("status") or {}).get("conditions") or ()
    true = {one["type"]: one for one in listed if one.get("status") == "True"}
    details = {"provisioningRequest": meta["name"]}
    for end in _ENDS:
        if (condition := true.get(end)) is not None:
            why = str(condition.get("message") or condition.get("reason") or end)
            details |= {"message": f"{end}: {why}"}
            since = seconds(condition.get("lastTransitionTime")) or seconds(meta.get("creationTimestamp"))
            return Asked(meta["name"], podgroup, Reason(ReasonCode.PROVISIONING_FAILED, details), since)
    code = ReasonCode.NODES_PROVISIONED if "Provisioned" in true else ReasonCode.NODES_REQUESTED
    return Asked(meta["name"], podgroup, Reason(code, details), 0.0)
