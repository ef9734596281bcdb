"""Claims in end-to-end tests: a driver's slices, claims, pods that use them, and the part of the claim controller."""

from __future__ import annotations

from typing import Any

from kai_py.kube.listing import list_all
from kai_py.operators.kinds import CLAIMS, DEVICE_CLASSES, PODGROUPS, PODS, SLICES

from .harness import Cluster, Json

DRIVER = "devices.example.com"
NOW = "2026-01-01T00:00:00Z"


async def devices(cluster: Cluster, node: str, count: int, *, pool: str = "", **device: Any) -> None:
    """Devices of a node, and (once) their class."""
    if "devices" not in [one["metadata"]["name"] for one in await list_all(cluster.client, DEVICE_CLASSES)]:
        selector = {"cel": {"expression": f"device.driver == '{DRIVER}'"}}
        await cluster.create(
            DEVICE_CLASSES.path(),
            {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "DeviceClass",
                "metadata": {"name": "devices"},
                "spec": {"selectors": [selector]},
            },
        )
    spec = {
        "driver": DRIVER,
        "nodeName": node,
        "pool": {"name": pool or node, "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": f"dev-{number}", **device} for number in range(count)],
    }
    await cluster.create(
        SLICES.path(),
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"{pool or node}-devices"},
            "spec": spec,
        },
    )


def wanted(count: int = 1) -> Json:
    """What a claim asks for."""
    return {"devices": {"requests": [{"name": "dev", "exactly": {"deviceClassName": "devices", "count": count}}]}}


async def claim(cluster: Cluster, name: str, count: int = 1, *, owner: Json | None = None) -> Json:
    """A claim; with ``owner``, the one that was made for this pod."""
    metadata: Json = {"name": name}
    if owner is not None:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": owner["metadata"]["name"], "controller": True}
        metadata["ownerReferences"] = [{**reference, "uid": owner["metadata"]["uid"]}]
    return await cluster.create(
        CLAIMS.path(cluster.namespace),
        {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": metadata, "spec": wanted(count)},
    )


async def user(cluster: Cluster, name: str, *claims: str, **spec: Any) -> Json:
    """A pod that uses claims by their names."""
    used = [{"name": f"claim-{number}", "resourceClaimName": one} for number, one in enumerate(claims)]
    return await cluster.pod(name, gpus=0, resourceClaims=used, **spec)


async def owner(cluster: Cluster, name: str, count: int = 1, *, made: bool = True, **spec: Any) -> Json:
    """A pod with a claim from a template, which is made unless told otherwise."""
    used = [{"name": "dev", "resourceClaimTemplateName": "template"}]
    pod = await cluster.pod(name, gpus=0, resourceClaims=used, **spec)
    if made:
        await make(cluster, pod, count)
    return pod


async def make(cluster: Cluster, pod: Json, count: int = 1) -> None:
    """Do what the claim controller does for a pod with a template: make the claim, and tell its name."""
    name = pod["metadata"]["name"]
    await claim(cluster, f"{name}-dev", count, owner=pod)
    status = {"resourceClaimStatuses": [{"name": "dev", "resourceClaimName": f"{name}-dev"}]}
    await cluster.client.patch(PODS.path(cluster.namespace, name, "status"), {"status": status})


async def allocate(cluster: Cluster, name: str, node: str, device: str, at: str = "") -> None:
    """Allocate a device as another scheduler does, which does not look whether it is free."""
    path = CLAIMS.path(cluster.namespace, name)
    await cluster.client.patch(path, {"metadata": {"finalizers": ["resource.kubernetes.io/delete-protection"]}})
    results = [{"request": "dev", "driver": DRIVER, "pool": node, "device": device}]
    allocation = {"devices": {"results": results}, "allocationTimestamp": at or NOW}
    await cluster.client.patch(f"{path}/status", {"status": {"allocation": allocation}})


async def claims(cluster: Cluster) -> dict[str, Json]:
    """All claims of the test by name."""
    return {one["metadata"]["name"]: one for one in await list_all(cluster.client, CLAIMS, cluster.namespace)}


async def devices_of(cluster: Cluster) -> dict[str, tuple[tuple[str, str], ...]]:
    """Pool and device by claim, of those that have any."""
    found = {}
    for name, one in (await claims(cluster)).items():
        if (allocation := one.get("status", {}).get("allocation")) is not None:
            found[name] = tuple((r["pool"], r["device"]) for r in allocation["devices"].get("results", ()))
    return found


async def reserved(cluster: Cluster, name: str) -> list[str]:
    """Names of the pods for which a claim is reserved."""
    return [one["name"] for one in (await claims(cluster))[name].get("status", {}).get("reservedFor", ())]


async def report(cluster: Cluster, name: str, condition: str) -> None:
    """Say of all devices of a claim what their driver would."""
    claim = (await claims(cluster))[name]
    said = {"type": condition, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": NOW}
    results = claim["status"]["allocation"]["devices"]["results"]
    found = [{key: one[key] for key in ("driver", "pool", "device")} | {"conditions": [said]} for one in results]
    path = CLAIMS.path(cluster.namespace, name, "status")
    await cluster.client.patch(path, {"status": {"devices": found}})


async def said(cluster: Cluster, pod: str, reason: str) -> str:
    """The note of an Event about a pod; empty if there is none."""
    events = await cluster.client.get_object(f"/apis/events.k8s.io/v1/namespaces/{cluster.namespace}/events")
    for event in events["items"]:
        if event["regarding"]["name"] == pod and event["reason"] == reason:
            return str(event.get("note", ""))
    return ""


async def gang(cluster: Cluster, name: str, pods: int) -> None:
    """A PodGroup whose pods come one by one."""
    metadata, spec = {"name": name}, {"minMember": pods, "queue": "team"}
    podgroup = {"apiVersion": "scheduling.run.ai/v2alpha2", "kind": "PodGroup", "metadata": metadata, "spec": spec}
    await cluster.create(PODGROUPS.path(cluster.namespace), podgroup)
