"""The objects of a benchmark, as an API server has them."""

from __future__ import annotations

from typing import Any, Final

from kai_py.api.keys import (
    HOSTNAME_LABEL,
    NVIDIA_GPU,
    PODGROUP_ANNOTATION,
    PODGROUP_API_VERSION,
    QUEUE_API_VERSION,
    QUEUE_LABEL,
    SCHEDULER_NAME,
)

Json = dict[str, Any]

#: Label and taint of the nodes, and selector and toleration of the pods: nobody else's pods come to our nodes, and ours
#: go nowhere else. Its value names the run.
RUN: Final = "bench.kai-py/run"
GPUS_PER_NODE: Final = 8
#: Label of nodes that are beside each other.
RACK: Final = "bench.kai-py/rack"

_UNLIMITED: Final = -1
_OFFERED: Final = {"cpu": "96", "memory": "1Ti", "ephemeral-storage": "4Ti", "pods": "110"}
_READY: Final = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting status"}


def node(name: str, run: str, *, gpus: int = GPUS_PER_NODE) -> Json:
    """A fake GPU server; without ``gpus`` its devices are those that drivers publish."""
    offered = {**_OFFERED, **({NVIDIA_GPU: str(gpus)} if gpus else {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                RUN: run,
                HOSTNAME_LABEL: name,
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "fake",
                **({"nvidia.com/gpu.count": str(gpus)} if gpus else {}),
            },
        },
        "spec": {"taints": [{"key": RUN, "value": run, "effect": "NoSchedule"}]},
        "status": {"capacity": offered, "allocatable": offered, "conditions": [_READY]},
    }


def queue(name: str, *, parent: str = "", gpu_quota: float = _UNLIMITED) -> Json:
    """A queue without limits."""
    free = {"quota": _UNLIMITED, "limit": _UNLIMITED, "overQuotaWeight": 1}
    spec: Json = {"resources": {"cpu": free, "memory": free, "gpu": {**free, "quota": gpu_quota}}}
    if parent:
        spec["parentQueue"] = parent
    return {"apiVersion": QUEUE_API_VERSION, "kind": "Queue", "metadata": {"name": name}, "spec": spec}


def podgroup(name: str, namespace: str, queue: str, minimum: int) -> Json:
    """A gang."""
    return {
        "apiVersion": PODGROUP_API_VERSION,
        "kind": "PodGroup",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"minMember": minimum, "queue": queue},
    }


def pod(
    name: str,
    namespace: str,
    queue: str,
    run: str,
    *,
    gpus: int = 1,
    group: str = "",
    scheduler: str = SCHEDULER_NAME,
) -> Json:
    """A pod that waits. It never runs: there is no kubelet, or a fake one."""
    amounts = {"cpu": "1", "memory": "1Gi"} | ({NVIDIA_GPU: str(gpus)} if gpus else {})
    metadata: Json = {"name": name, "namespace": namespace, "labels": {QUEUE_LABEL: queue, RUN: run}}
    if group:
        metadata["annotations"] = {PODGROUP_ANNOTATION: group}
    container = {"name": "main", "image": "example.com/bench:1", "resources": {"requests": amounts, "limits": amounts}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "schedulerName": scheduler,
            "nodeSelector": {RUN: run},
            "tolerations": [{"key": RUN, "operator": "Equal", "value": run, "effect": "NoSchedule"}],
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [container],
        },
    }
