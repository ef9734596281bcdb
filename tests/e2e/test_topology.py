"""A gang that has to be in one rack, from annotations and Topology to its nodes."""

from __future__ import annotations

from kai_py.operators.kinds import PODGROUPS, TOPOLOGIES

from .harness import Cluster, Json

RACK = "example.com/rack"
TOPOLOGY: Json = {
    "apiVersion": "kai.scheduler/v1alpha1",
    "kind": "Topology",
    "metadata": {"name": "racks"},
    "spec": {"levels": [{"nodeLabel": RACK, "alias": "rack"}]},
}


async def _gang(cluster: Cluster, name: str, *, pods: int) -> None:
    podgroup = {
        "apiVersion": "scheduling.run.ai/v2alpha2",
        "kind": "PodGroup",
        "metadata": {"name": name},
        "spec": {
            "minMember": pods,
            "queue": "team",
            "topologyConstraint": {"topology": "racks", "requiredTopologyLevel": "rack"},
        },
    }
    await cluster.create(PODGROUPS.path(cluster.namespace), podgroup)
    for number in range(pods):
        await cluster.pod(f"{name}-{number}", gpus=4, group=name)


async def test_a_gang_waits_for_its_topology_and_then_starts_in_one_rack(cluster: Cluster) -> None:
    await cluster.nodes(1, prefix="left", **{RACK: "a"})
    await cluster.nodes(2, prefix="right", **{RACK: "b"})
    await cluster.queue("team")
    async with cluster.scheduler():
        await _gang(cluster, "train", pods=4)
        message = await cluster.until(lambda: cluster.message("train-0"))
        assert message.startswith("Topology racks does not exist: spec.topologyConstraint.topology")
        await cluster.create(TOPOLOGIES.path(), TOPOLOGY)
        places = await cluster.until_bound(*(f"train-{number}" for number in range(4)))
        assert {node.partition("-")[0] for node in places.values()} == {"right"}
        await _gang(cluster, "next", pods=3)
        message = await cluster.until(lambda: cluster.message("next-0"))
        assert "the best is a, which takes 2 of 3 pods" in message
