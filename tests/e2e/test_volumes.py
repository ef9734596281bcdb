"""Volumes on a live cluster: asked for before pods are bound. The volume controller is played by the tests."""

from __future__ import annotations

from typing import Any

from kai_py.operators.kinds import NODES, STORAGE, VOLUME_CLAIMS, VOLUMES

from .claims import gang
from .harness import Cluster, Json

CLASSES = next(kind for kind in STORAGE if kind.plural == "storageclasses")


async def storage_class(cluster: Cluster, name: str, *, provisioner: str) -> None:
    body = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    await cluster.create(CLASSES.path(), body)


async def volume(cluster: Cluster, name: str, node: str, cls: str) -> None:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    body: Json = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": cls,
            "local": {"path": "/data"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
        },
    }
    await cluster.create(VOLUMES.path(), body)
    await cluster.client.patch(VOLUMES.path("", name, "status"), {"status": {"phase": "Available"}})


async def volume_claim(cluster: Cluster, name: str, cls: str) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": cls,
    }
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
    await cluster.create(VOLUME_CLAIMS.path(cluster.namespace), body)


async def bind_claim(cluster: Cluster, claim: str, volume: str) -> None:
    """What the volume controller does once both sides are ready."""
    path = VOLUME_CLAIMS.path(cluster.namespace, claim)
    bound = {"metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}}, "spec": {"volumeName": volume}}
    await cluster.client.patch(path, bound)
    await cluster.client.patch(f"{path}/status", {"status": {"phase": "Bound"}})


async def user(cluster: Cluster, name: str, claim: str, *, group: str = "") -> None:
    mount = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    await cluster.pod(name, gpus=0, group=group, volumes=[mount])


async def seen(cluster: Cluster, path: str) -> Json:
    return await cluster.client.get_object(path)


async def test_a_pod_gets_a_volume_that_exists_and_goes_where_it_is(cluster: Cluster) -> None:
    for name in await cluster.nodes(2):
        await cluster.client.patch(NODES.path("", name), {"metadata": {"labels": {"kubernetes.io/hostname": name}}})
    await cluster.queue("team")
    cls = f"local-{cluster.namespace}"
    await storage_class(cluster, cls, provisioner="kubernetes.io/no-provisioner")
    await volume(cluster, f"pv-{cluster.namespace}", "node-1", cls)
    await volume_claim(cluster, "data", cls)
    async with cluster.scheduler():
        await user(cluster, "one", "data")

        async def reserved() -> Any:
            found = await seen(cluster, VOLUMES.path("", f"pv-{cluster.namespace}"))
            return found["spec"].get("claimRef")

        reference = await cluster.until(reserved)
        assert (reference["namespace"], reference["name"]) == (cluster.namespace, "data")
        assert await cluster.places() == {}
        assert "waits for its volume" in await cluster.until(lambda: cluster.message("one"))
        await bind_claim(cluster, "data", f"pv-{cluster.namespace}")
        assert (await cluster.until_bound("one"))["one"] == "node-1"


async def test_a_gang_is_bound_when_the_last_volume_has_been_made(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    cls = f"made-{cluster.namespace}"
    await storage_class(cluster, cls, provisioner="csi.example.com")
    names = ("train-0", "train-1")
    for name in names:
        await volume_claim(cluster, f"data-{name}", cls)
    async with cluster.scheduler():
        await gang(cluster, "train", 2)
        for name in names:
            await user(cluster, name, f"data-{name}", group="train")

        async def selected() -> dict[str, str] | None:
            found = {}
            for name in names:
                claim = await seen(cluster, VOLUME_CLAIMS.path(cluster.namespace, f"data-{name}"))
                node = claim["metadata"].get("annotations", {}).get("volume.kubernetes.io/selected-node")
                if node:
                    found[name] = node
            return found if len(found) == len(names) else None

        nodes = await cluster.until(selected)
        await bind_claim(cluster, "data-train-0", "pvc-0")
        await cluster.until(lambda: cluster.message("train-1"))
        assert await cluster.places() == {}
        await bind_claim(cluster, "data-train-1", "pvc-1")
        assert await cluster.until_bound(*names) == nodes


async def test_a_provisioner_that_gives_up_sends_the_pod_elsewhere(cluster: Cluster) -> None:
    """It takes the annotation away: kube-scheduler's sign that the node was a bad choice."""
    await cluster.nodes(1)
    await cluster.queue("team")
    cls = f"made-{cluster.namespace}"
    await storage_class(cluster, cls, provisioner="csi.example.com")
    await volume_claim(cluster, "data", cls)
    path = VOLUME_CLAIMS.path(cluster.namespace, "data")
    async with cluster.scheduler():
        await user(cluster, "one", "data")

        async def selected() -> Any:
            found = await seen(cluster, path)
            return found["metadata"].get("annotations", {}).get("volume.kubernetes.io/selected-node")

        await cluster.until(selected)
        await cluster.client.patch(path, {"metadata": {"annotations": {"volume.kubernetes.io/selected-node": None}}})
        assert await cluster.until(selected, 20.0) == "node-0"
        await bind_claim(cluster, "data", "pvc-0")
        await cluster.until_bound("one")
