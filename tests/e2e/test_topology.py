"""A gang that has to be in one rack, from annotations and Topology to its nodes."""

from __future__ import annotations

from kai_py.operators.kinds import OWNERS, PODGROUPS, PODS, TOPOLOGIES

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


LINK = "example.com/link"
LINKS: Json = {**TOPOLOGY, "metadata": {"name": "links"}, "spec": {"levels": [{"nodeLabel": LINK}]}}


async def test_a_job_in_segments_keeps_two_topologies_at_once(cluster: Cluster) -> None:
    """One rack for the Job, one NVLink domain for each pair of its pods; links cross the racks."""
    for name, rack, link in (("n0", "a", "x"), ("n1", "a", "y"), ("n2", "b", "y"), ("n3", "b", "y"), ("n4", "b", "z")):
        await cluster.nodes(1, prefix=name, gpus=4, **{RACK: rack, LINK: link})
    await cluster.queue("team")
    await cluster.create(TOPOLOGIES.path(), TOPOLOGY)
    await cluster.create(TOPOLOGIES.path(), LINKS)
    (jobs, *_), queue = OWNERS, {"kai.scheduler/queue": "team"}
    segments = {
        "kai.scheduler/segment-size": "2",
        "kai.scheduler/topology": "links",
        "kai.scheduler/segment-topology-required-placement": LINK,
    }
    whole = {
        "kai.scheduler/batch-min-member": "4",
        "kai.scheduler/topology": "racks",
        "kai.scheduler/topology-required-placement": "rack",
    }
    amounts = {"cpu": "1", "nvidia.com/gpu": "2"}
    container = {"name": "main", "image": "example.com/main:1", "resources": {"requests": amounts, "limits": amounts}}
    pod_spec = {"schedulerName": "kai-scheduler", "restartPolicy": "Never", "containers": [container]}
    template = {"metadata": {"labels": queue, "annotations": segments}, "spec": pod_spec}
    job = await cluster.create(
        jobs.path(cluster.namespace),
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "train", "labels": queue, "annotations": whole},
            "spec": {"completionMode": "Indexed", "parallelism": 4, "completions": 4, "template": template},
        },
    )
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": job["metadata"]["uid"]}
    async with cluster.scheduler():
        for index in range(4):
            labels = {**queue, "batch.kubernetes.io/job-completion-index": str(index)}
            meta = {
                "name": f"train-{index}",
                "labels": labels,
                "annotations": segments,
                "ownerReferences": [{**reference, "controller": True}],
            }
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": pod_spec}
            await cluster.create(PODS.path(cluster.namespace), pod)
        places = await cluster.until_bound(*(f"train-{index}" for index in range(4)))
        found = await cluster.until(cluster.podgroups)
    node = {pod: name.partition("-")[0] for pod, name in places.items()}
    assert set(node.values()) <= {"n2", "n3", "n4"} or set(node.values()) == {"n0", "n1"}
    link = {"n0": "x", "n1": "y", "n2": "y", "n3": "y", "n4": "z"}
    assert link[node["train-0"]] == link[node["train-1"]]
    assert link[node["train-2"]] == link[node["train-3"]]
    (podgroup,) = found.values()
    subgroups = {one["name"]: one["topologyConstraint"]["topology"] for one in podgroup["spec"]["subGroups"]}
    assert subgroups == {"segment-0": "links", "segment-1": "links"}
