"""NUMA nodes, from NodeResourceTopologies to the annotation that says which one a pod is expected to take."""

from __future__ import annotations

import json

from kai_py.api.meta import PartialObject
from kai_py.kube.resource import ResourceKind
from kai_py.operators.kinds import ZONES

from .harness import Cluster, Json

PREDICTED = "kai.scheduler/numa-placement-predicted"
CRDS = ResourceKind("apiextensions.k8s.io", "v1", "customresourcedefinitions", PartialObject, namespaced=False)
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
CRD: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": f"{ZONES.plural}.{ZONES.group}",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": ZONES.group,
        "scope": "Cluster",
        "names": {"plural": ZONES.plural, "singular": "noderesourcetopology", "kind": ZONES.kind},
        "versions": [{"name": ZONES.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": ANYTHING}}],
    },
}


def zone(name: str, gpus: int) -> Json:
    amounts = [("cpu", 32), ("memory", "128Gi"), ("nvidia.com/gpu", gpus)]
    resources = [
        {"name": resource, "capacity": value, "allocatable": value, "available": value} for resource, value in amounts
    ]
    return {"name": name, "type": "Node", "resources": resources}


async def test_pods_are_bound_where_one_numa_node_has_room(cluster: Cluster) -> None:
    await cluster.create(CRDS.path(), CRD)
    await cluster.until(lambda: cluster.client.served(ZONES.group, ZONES.version, ZONES.plural))
    (node,) = await cluster.nodes(1)
    policy = {"name": "topologyManagerPolicy", "value": "single-numa-node"}
    topology = {"apiVersion": ZONES.api_version, "kind": ZONES.kind, "metadata": {"name": node}}
    await cluster.create(
        ZONES.path(), topology | {"attributes": [policy], "zones": [zone("node-0", 4), zone("node-1", 4)]}
    )
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.pod("one", gpus=3)
        await cluster.until_bound("one")
        await cluster.pod("two", gpus=3)
        await cluster.until_bound("two")
        await cluster.pod("three", gpus=2)
        message = await cluster.until(lambda: cluster.message("three"))
        assert "1 has no single NUMA node with 2 GPUs, 1 CPU and 1 GiB free" in message
        pods = await cluster.pods()
        said = [json.loads(pods[name]["metadata"]["annotations"][PREDICTED]) for name in ("one", "two")]
        taken = {"cpu": "1", "memory": "1073741824", "nvidia.com/gpu": "3"}
        assert said == [[{"zone": f"node-{number}", "amount": taken}] for number in range(2)]
