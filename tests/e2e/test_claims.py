"""Claims on devices on a live cluster: written before pods are bound, and taken back when these are not."""

from __future__ import annotations

from .claims import claim, claims, devices, devices_of, make, owner, reserved, user
from .harness import Cluster


async def test_a_pod_with_a_claim_from_a_template_is_bound_where_its_device_is(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await devices(cluster, "node-1", 1)
    await cluster.queue("team")
    async with cluster.scheduler():
        pod = await owner(cluster, "one", made=False)
        assert "template" in await cluster.until(lambda: cluster.message("one"))
        await make(cluster, pod)
        assert (await cluster.until_bound("one"))["one"] == "node-1"
    made = (await claims(cluster))["one-dev"]
    assert made["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    (result,) = made["status"]["allocation"]["devices"]["results"]
    assert (result["request"], result["pool"], result["device"]) == ("dev", "node-1", "dev-0")
    (term,) = made["status"]["allocation"]["nodeSelector"]["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]
    assert made["status"]["allocation"]["allocationTimestamp"]
    assert made["status"]["reservedFor"] == [{"resource": "pods", "name": "one", "uid": pod["metadata"]["uid"]}]


async def test_pods_that_share_a_claim_go_to_its_device_and_are_all_reserved(cluster: Cluster) -> None:
    await cluster.nodes(3)
    await devices(cluster, "node-2", 1)
    await cluster.queue("team")
    await claim(cluster, "shared")
    async with cluster.scheduler():
        for name in ("one", "two"):
            await user(cluster, name, "shared")
        places = await cluster.until_bound("one", "two")
        await user(cluster, "three", "shared")
        places = await cluster.until_bound("three")
    assert set(places.values()) == {"node-2"}
    assert set(await reserved(cluster, "shared")) == {"one", "two", "three"}
    assert await devices_of(cluster) == {"shared": (("node-2", "dev-0"),)}
