"""The whole way from a manifest to a bound gang."""

from __future__ import annotations

import asyncio
from collections import Counter

from .harness import Cluster


async def test_a_pod_is_bound_to_a_node_that_has_room(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.pod("one", gpus=4)
        places = await cluster.until_bound("one")
    assert places["one"] in ("node-0", "node-1")


async def test_a_pod_that_was_there_before_the_scheduler_is_bound_too(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    await cluster.pod("early")
    async with cluster.scheduler():
        assert await cluster.until_bound("early") == {"early": "node-0"}


async def test_pods_of_other_schedulers_are_left_alone(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    await cluster.pod("foreign", schedulerName="default-scheduler")
    async with cluster.scheduler():
        await cluster.pod("ours")
        assert list(await cluster.until_bound("ours")) == ["ours"]


async def test_a_gang_starts_whole_when_the_last_member_arrives(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.gang("train", pods=3, gpus=4, minimum=4)
        await cluster.until(lambda: _mentions(cluster, "train-0", "3 of 4"))
        assert await cluster.places() == {}
        await cluster.pod("train-3", gpus=4, group="train")
        places = await cluster.until_bound("train-0", "train-1", "train-2", "train-3")
    assert Counter(places.values()) == {"node-0": 2, "node-1": 2}


async def test_a_gang_that_does_not_fit_binds_nobody_and_says_why(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.gang("big", pods=3, gpus=8)
        message = await cluster.until(lambda: cluster.message("big-0"))
        await cluster.pod("small")
        places = await cluster.until_bound("small")
    assert "2 of 3 pods" in message
    assert list(places) == ["small"]


async def test_a_podgroup_that_waits_says_why_in_its_status(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team", limit=2)
    async with cluster.scheduler():
        await cluster.gang("greedy", pods=1, gpus=4)

        async def reasons() -> list[str]:
            status = (await cluster.podgroups())["greedy"].get("status", {})
            return [one["reason"] for entry in status.get("schedulingConditions", []) for one in entry["reasons"]]

        assert (await cluster.until(reasons))[0] == "OverLimit"


async def test_a_waiting_pod_is_bound_when_room_is_made(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.pod("first", gpus=8)
        await cluster.until_bound("first")
        await cluster.pod("second", gpus=8)
        await cluster.until(lambda: cluster.message("second"))
        await cluster.delete_pod("first")
        assert await cluster.until_bound("second") == {"second": "node-0"}


async def test_pods_of_a_job_get_one_podgroup_and_nothing_is_written_to_them(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    job = await cluster.create(
        f"/apis/batch/v1/namespaces/{cluster.namespace}/jobs",
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "sweep", "annotations": {"kai.scheduler/batch-min-member": "2"}},
            "spec": {
                "suspend": True,  # its controller must not make pods of its own
                "template": {
                    "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "example.com/c:1"}]},
                },
            },
        },
    )
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": "sweep",
        "uid": job["metadata"]["uid"],
        "controller": True,
    }
    async with cluster.scheduler():
        await cluster.pod("sweep-0", owner=owner)
        await asyncio.sleep(0.3)
        assert await cluster.places() == {}
        await cluster.pod("sweep-1", owner=owner)
        await cluster.until_bound("sweep-0", "sweep-1")
        podgroups = await cluster.until(cluster.podgroups)
    (podgroup,) = podgroups.values()
    assert podgroup["spec"]["minMember"] == 2
    assert podgroup["metadata"]["ownerReferences"][0]["name"] == "sweep"
    pods = await cluster.pods()
    assert all("pod-group-name" not in pod["metadata"].get("annotations", {}) for pod in pods.values())


async def test_queues_show_what_they_have(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("dept")
    await cluster.queue("team", parent="dept", quota=2)
    async with cluster.scheduler():
        await cluster.pod("one", gpus=2)
        await cluster.until_bound("one")

        async def allocated() -> bool:
            path = "/apis/scheduling.run.ai/v2/queues/dept"
            status = (await cluster.client.get_object(path)).get("status", {})
            return status.get("allocated", {}).get("gpu") == "2" and status["childQueues"] == ["team"]

        assert await cluster.until(allocated)


async def test_a_gated_pod_waits_for_its_gate(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler():
        await cluster.pod("gated", schedulingGates=[{"name": "example.com/later"}])
        await cluster.pod("free")
        assert list(await cluster.until_bound("free")) == ["free"]
        path = f"/api/v1/namespaces/{cluster.namespace}/pods/gated"
        await cluster.client.patch(path, {"spec": {"schedulingGates": None}})
        await cluster.until_bound("gated")


async def test_a_malformed_podgroup_stops_nobody_else(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler():
        podgroup = {
            "apiVersion": "scheduling.run.ai/v2alpha2",
            "kind": "PodGroup",
            "metadata": {"name": "knot"},
            "spec": {
                "queue": "team",
                "subGroups": [
                    {"name": "a", "parent": "b", "minMember": 1},
                    {"name": "b", "parent": "a", "minMember": 1},
                ],
            },
        }
        await cluster.create(f"/apis/scheduling.run.ai/v2alpha2/namespaces/{cluster.namespace}/podgroups", podgroup)
        await cluster.pod("knot-0", group="knot")
        await cluster.pod("fine")
        await cluster.until_bound("fine")
        assert "cycle" in await cluster.until(lambda: cluster.message("knot-0"))

        async def told_about_itself() -> bool:
            conditions = (await cluster.podgroups())["knot"].get("status", {}).get("schedulingConditions", [])
            events = await cluster.client.get_object(f"/apis/events.k8s.io/v1/namespaces/{cluster.namespace}/events")
            about = [event["note"] for event in events["items"] if event["regarding"]["kind"] == "PodGroup"]
            return bool(conditions) and any("cycle" in note for note in about)

        assert await cluster.until(told_about_itself)


async def test_a_pod_that_names_no_subgroup_of_its_podgroup_is_told_so(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler():
        podgroup = {
            "apiVersion": "scheduling.run.ai/v2alpha2",
            "kind": "PodGroup",
            "metadata": {"name": "parts"},
            "spec": {"queue": "team", "subGroups": [{"name": "a", "minMember": 1}]},
        }
        await cluster.create(f"/apis/scheduling.run.ai/v2alpha2/namespaces/{cluster.namespace}/podgroups", podgroup)
        await cluster.pod("stray", group="parts")
        assert "subgroup" in (await cluster.until(lambda: cluster.message("stray"))).lower()


async def _mentions(cluster: Cluster, pod: str, words: str) -> bool:
    return words in await cluster.message(pod)
