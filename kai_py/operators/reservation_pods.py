"""Documents about shared GPUs: the pod that holds one, and the ConfigMap that shows it to those that share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kai_py.admission.shared_gpus import OLD_PORTION, PORTION, VISIBLE_DEVICES
from kai_py.api.keys import GPU_GROUP_LABEL, NVIDIA_GPU, RESERVED_BY_LABEL
from kai_py.cluster.reservations import Seat, name_of
from kai_py.core.tables.devices import Share
from kai_py.core.tables.pods import PodKey
from kai_py.settings.devices import GpuReservation

#: KAI's label of these pods.
APP: Final = "kai-resource-reservation"
#: How a device plugin that speaks CDI names its GPUs.
_CDI: Final = "k8s.device-plugin.nvidia.com/gpu="
_CONTAINER: Final = "resource-reservation"


def reservation_pod(seat: Seat, maker: str, namespace: str, settings: GpuReservation) -> dict[str, Any]:
    """The pod that holds a device for others. It goes to its node without any scheduler, and stays whatever befalls it.

    It tolerates every taint: as long as pods that share its device stay on a node, so does it.
    """
    own = {
        name: {"fieldRef": {"fieldPath": f"metadata.{field}"}}
        for name, field in (("POD_NAME", "name"), ("POD_NAMESPACE", "namespace"))
    }
    container = {
        "name": _CONTAINER,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {NVIDIA_GPU: "1"}, "limits": {NVIDIA_GPU: "1"}},
        "env": [{"name": name, "valueFrom": source} for name, source in own.items()],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "nodeName": seat.node,
        "serviceAccountName": settings.service_account,
        "containers": [container],
        "tolerations": [{"operator": "Exists"}],
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if settings.runtime_class_name:
        spec["runtimeClassName"] = settings.runtime_class_name
    if settings.priority_class_name:
        spec["priorityClassName"] = settings.priority_class_name
    labels = {"app": APP, "app.kubernetes.io/managed-by": "kai-py", GPU_GROUP_LABEL: seat.group}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name_of(seat),
            "namespace": namespace,
            "labels": {**labels, **({RESERVED_BY_LABEL: maker} if maker else {})},
            # Autoscalers must not take it away from under the pods that share its device.
            "annotations": {"karpenter.sh/do-not-disrupt": "true"},
        },
        "spec": spec,
    }


def config_map(pod: PodKey, name: str, data: dict[str, str]) -> dict[str, Any]:
    """A ConfigMap that goes with its pod."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": pod.namespace, "ownerReferences": [owner]},
        "data": data,
    }


def shown(devices: Sequence[str], portion: str, *, cdi: bool) -> dict[str, str]:
    """What a pod is told of its devices, as environment variables."""
    names = [f"{_CDI}{device}" if cdi else device for device in devices]
    return {VISIBLE_DEVICES: ",".join(names), PORTION: portion, OLD_PORTION: portion}


def portion_of(share: Share, memory: int) -> str:
    """The part of each device that a pod gets, to two places as in KAI; devices have ``memory`` MiB, 0 = unknown."""
    if not share.memory:
        return f"{share.millionths / 1_000_000:.2f}"
    hundredths = min(100, -(-100 * share.memory // memory)) if memory else 100
    return f"{hundredths / 100:.2f}"
