"""Manifests for plans, as short as a test wants them."""

NOW = "2026-01-31T12:00:00Z"


def node(name="n1", gpus=8):
    allocatable = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "status": {"allocatable": allocatable},
    }


def queue(name="team", gpus=-1, limit=-1, parent=None, weight=1, **metadata):
    open_end = {"quota": -1, "limit": -1}
    resources = {"cpu": open_end, "memory": open_end, "gpu": {"quota": gpus, "limit": limit, "overQuotaWeight": weight}}
    spec = {"resources": resources} | ({"parentQueue": parent} if parent else {})
    return {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": name, **metadata},
        "spec": spec,
    }


def pod(name, gpus=1, *, on=None, queue="team", owner=None, group=None, scheduler="kai-scheduler", **spec):
    meta = {"name": name, "labels": {"kai.scheduler/queue": queue}, "annotations": {}}
    if group:
        meta["annotations"]["pod-group-name"] = group
    if owner:
        job = {"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": f"uid-{owner}", "controller": True}
        meta["ownerReferences"] = [job]
    container = {"name": "main", "resources": {"limits": {"nvidia.com/gpu": gpus}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"schedulerName": scheduler, "containers": [container], **({"nodeName": on} if on else {}), **spec},
    }


def terminating(pod, since):
    return pod | {"metadata": pod["metadata"] | {"deletionTimestamp": since}}


def podgroup(name, members, queue="team"):
    return {
        "apiVersion": "scheduling.run.ai/v2alpha2",
        "kind": "PodGroup",
        "metadata": {"name": name},
        "spec": {"minMember": members, "queue": queue},
    }
