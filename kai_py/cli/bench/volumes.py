"""Volumes of ``bench core``: claims of pods, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from kai_py.api.decode import convert
from kai_py.api.keys import HOSTNAME_LABEL
from kai_py.api.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from kai_py.cluster.volumes.book import Stored

Json = dict[str, Any]

#: Each pod claims a volume that is made on its node, or one of those that are there already, two on each node.
MADE: Final = "made-volumes"
LOCAL: Final = "local-volumes"
_DRIVER: Final = "csi.example.com"
#: Volumes that a node attaches.
_LIMIT: Final = 24
_PER_NODE: Final = 2
_SIZE: Final = {"storage": "100Gi"}
_MODES: Final = ["ReadWriteOnce"]


def storage(kind: str, nodes: list[str]) -> Iterator[Stored]:
    """What there is beside claims.

    Args:
        kind: ``MADE`` or ``LOCAL``.
        nodes: names; each has its name as the hostname label.
    """
    provisioner = _DRIVER if kind == MADE else "kubernetes.io/no-provisioner"
    named = {"metadata": {"name": kind}, "provisioner": provisioner, "volumeBindingMode": "WaitForFirstConsumer"}
    yield convert(StorageClass, named)
    for node in nodes:
        if kind == MADE:
            drivers = [{"name": _DRIVER, "nodeID": node, "allocatable": {"count": _LIMIT}}]
            yield convert(CSINode, {"metadata": {"name": node}, "spec": {"drivers": drivers}})
            continue
        terms = [{"matchExpressions": [{"key": HOSTNAME_LABEL, "operator": "In", "values": [node]}]}]
        spec = {
            "capacity": _SIZE,
            "accessModes": _MODES,
            "storageClassName": kind,
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        }
        for number in range(_PER_NODE):
            meta = {"name": f"{node}-{number}"}
            yield convert(PersistentVolume, {"metadata": meta, "spec": spec, "status": {"phase": "Available"}})


def claim(kind: str, namespace: str, pod: str) -> PersistentVolumeClaim:
    """The claim of a pod; it has the pod's name."""
    spec = {"accessModes": _MODES, "resources": {"requests": _SIZE}, "storageClassName": kind}
    meta = {"name": pod, "namespace": namespace, "uid": f"claim-{pod}"}
    return convert(PersistentVolumeClaim, {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}})


def mounts(pod: str) -> Json:
    """What of a pod's spec says that it uses its claim."""
    return {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": pod}}]}
