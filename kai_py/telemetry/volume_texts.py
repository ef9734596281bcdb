"""What the reasons about volumes say, of pods and of nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.core.result import FilterReason, ReasonCode
from kai_py.telemetry.case import Case
from kai_py.telemetry.filter_text import FilterText
from kai_py.telemetry.text import Text, about


def _why(case: Case) -> str:
    field, message = case.name("field"), case.name("message")
    return f"{field}: {message}" if field else message


def _unbound(case: Case) -> str:
    named = case.name("storageClass")
    return f"its storage class is {named}" if named else "it names no storage class that waits for pods"


VOLUME_TEXTS: Final[Mapping[str, Text]] = {
    ReasonCode.VOLUME_CLAIM_MISSING: Text(
        about("PersistentVolumeClaim", "claim", "does not exist"),
        "A pod names a PersistentVolumeClaim that is not in its namespace, or the one that is made for it is not there "
        "yet.",
        "Create it, or correct spec.volumes of the pod.",
        used=frozenset({"claim"}),
    ),
    ReasonCode.VOLUME_CLAIM_INVALID: Text(
        about("PersistentVolumeClaim", "claim", "cannot be used"),
        "The claim is lost or being deleted, was made for another pod, cannot be read, or its volume does not exist.",
        "Mend the claim, or name another one in spec.volumes of the pod.",
        evidence=_why,
        used=frozenset({"claim", "field", "message"}),
    ),
    ReasonCode.VOLUME_UNBOUND: Text(
        about("PersistentVolumeClaim", "claim", "has no volume yet"),
        "The claim gets its volume before its pod gets a node (volumeBindingMode Immediate): the volume controller "
        "binds it.",
        "See why the claim is not bound: kubectl describe it.",
        evidence=_unbound,
        used=frozenset({"claim", "storageClass"}),
    ),
    ReasonCode.VOLUME_PREPARED: Text(
        about("PersistentVolumeClaim", "claim", "waits for its volume"),
        "The pod has a node, and the volumes that its claims get there have been asked for: the volume controller "
        "binds them, or a provisioner makes them. Then the pod is bound.",
        "Wait; if it takes long, look at the events of the claim. After 10 minutes the pod goes elsewhere.",
        used=frozenset({"claim"}),
    ),
}

VOLUME_PLACES: Final[Mapping[str, FilterText]] = {
    FilterReason.VOLUME_AFFINITY: FilterText(
        "does not reach a volume of the pod",
        "do not reach a volume of the pod",
        "The node affinity of a PersistentVolume that the pod has leaves the node out, or another node was chosen for "
        "a volume that is being made.",
        "Make room on the nodes that reach the volume, or let the pod have another one",
    ),
    FilterReason.VOLUME_ZONE: FilterText(
        "is in another zone than a volume of the pod",
        "are in other zones than a volume of the pod",
        "Labels of a PersistentVolume that the pod has name zones or regions, and the node is in none of them.",
        "Make room in the zone of the volume, or let the pod have another one",
    ),
    FilterReason.VOLUME_MISSING: FilterText(
        "has no volume for a claim of the pod",
        "have no volume for a claim of the pod",
        "A claim gets its volume with the pod's node; no free PersistentVolume that suits it can be reached from "
        "there, and none can be made there: no provisioner, the wrong topology, or not enough storage capacity.",
        "Add volumes or storage capacity, or ask for less",
    ),
    FilterReason.VOLUME_LIMIT: FilterText(
        "can attach no more volumes",
        "can attach no more volumes",
        "The node's CSI driver attaches no more than so many volumes (CSINode), and they are in use.",
        "Wait until volumes are detached, or add nodes",
    ),
    FilterReason.VOLUME_IN_USE: FilterText(
        "cannot share a volume that is in use",
        "cannot share a volume that is in use",
        "A claim with ReadWriteOncePod is used by another pod, or a disk without a claim is used on the node by "
        "another pod and one of them writes.",
        "Wait until the other pod is gone, or use another volume",
    ),
}
