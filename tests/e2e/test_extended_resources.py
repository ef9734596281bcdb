"""Extended resources that are devices, on a live cluster: the claim that is made, published, and taken back."""

from __future__ import annotations

from kai_py.operators.kinds import CLAIMS, DEVICE_CLASSES, PODS

from .claims import claims, devices, reserved
from .harness import Cluster, Json

RESOURCE = "deviceclass.resource.kubernetes.io/devices"


async def asking(cluster: Cluster, name: str, count: int = 1, resource: str = RESOURCE, **more: str) -> Json:
    amounts = {"cpu": "1", resource: str(count)}
    container = {"name": "main", "image": "none", "resources": {"requests": amounts, "limits": amounts}}
    return await cluster.pod(name, gpus=0, containers=[container], **more)


def special(found: dict[str, Json], pod: str) -> Json:
    (one,) = [one for name, one in found.items() if name.startswith(f"{pod}-extended-resources-")]
    return one


async def test_a_claim_is_made_for_the_pod_and_its_status_names_it(cluster: Cluster) -> None:
    await cluster.nodes(2, gpus=0)
    await devices(cluster, "node-1", 3)
    await cluster.queue("team")
    async with cluster.scheduler():
        pod = await asking(cluster, "one", 2)
        assert (await cluster.until_bound("one"))["one"] == "node-1"
        await asking(cluster, "two", 2)
        assert await cluster.until(lambda: cluster.message("two"))
    made = special(await claims(cluster), "one")
    assert made["metadata"]["annotations"]["resource.kubernetes.io/extended-resource-claim"] == "true"
    assert made["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    (reference,) = made["metadata"]["ownerReferences"]
    assert (reference["uid"], reference["controller"]) == (pod["metadata"]["uid"], True)
    assert [one["device"] for one in made["status"]["allocation"]["devices"]["results"]] == ["dev-0", "dev-1"]
    assert await reserved(cluster, made["metadata"]["name"]) == ["one"]
    status = (await cluster.pods())["one"]["status"]["extendedResourceClaimStatus"]
    assert status["resourceClaimName"] == made["metadata"]["name"]
    mapping = {"containerName": "main", "resourceName": RESOURCE, "requestName": "container-0-request-1"}
    assert status["requestMappings"] == [mapping]
    assert len(await claims(cluster)) == 1


async def test_a_gang_on_a_node_with_a_plugin_and_one_with_devices(cluster: Cluster) -> None:
    await cluster.nodes(1, gpus=2, prefix="plugin")
    await cluster.nodes(1, gpus=0)
    await devices(cluster, "node-0", 2)
    path = DEVICE_CLASSES.path("", "devices")
    await cluster.client.patch(path, {"spec": {"extendedResourceName": "nvidia.com/gpu"}})
    await cluster.queue("team")
    names = [f"w-{number}" for number in range(4)]
    async with cluster.scheduler():
        for name in names:
            await asking(cluster, name, 1, "nvidia.com/gpu")
        places = await cluster.until_bound(*names)
    assert sorted(places.values()) == ["node-0", "node-0", "plugin-0", "plugin-0"]
    assert len(await claims(cluster)) == 2


async def test_devices_are_free_again_when_the_pod_is_gone(cluster: Cluster) -> None:
    await cluster.nodes(1, gpus=0)
    await devices(cluster, "node-0", 1)
    await cluster.queue("team")
    async with cluster.scheduler():
        await asking(cluster, "one")
        await cluster.until_bound("one")
        made = special(await claims(cluster), "one")["metadata"]["name"]
        await cluster.client.delete(PODS.path(cluster.namespace, "one"), {"gracePeriodSeconds": 0})
        # What the claim controller and the garbage collector do.
        await asking(cluster, "two")
        status = {"status": {"reservedFor": None, "allocation": None}}
        await cluster.client.patch(CLAIMS.path(cluster.namespace, made, "status"), status)
        assert await cluster.until_bound("two")
    assert await reserved(cluster, special(await claims(cluster), "two")["metadata"]["name"]) == ["two"]
