"""A rolling update where the queue is full: new replicas wait for old ones, which wait for them."""

from __future__ import annotations

from typing import Any

from kai_py.cli.asking import why
from kai_py.operators.kinds import QUEUES

from .harness import Cluster, Json

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
REPLICAS = 3
ENDS_FIRST = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}


def deployment(version: str, queue: str = "serving") -> Json:
    """Replicas with a GPU each, which cannot be preempted."""
    labels = {"app": "chat", "kai.scheduler/queue": queue}
    container = {"name": "main", "image": f"chat:{version}", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    template = {"metadata": {"labels": labels}, "spec": {"schedulerName": "kai-scheduler", "containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "chat"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "chat"}}, "template": template},
    }


async def rolls_out(cluster: Cluster, version: str) -> None:
    """Wait until all replicas, and no others, are of a version and run."""

    async def done() -> bool:
        pods = (await cluster.pods()).values()
        images = [one["spec"]["containers"][0]["image"] for one in pods if one["status"]["phase"] == "Running"]
        return len(pods) == REPLICAS and images == [f"chat:{version}"] * REPLICAS

    await cluster.until(done)


async def change(cluster: Cluster, **spec: Any) -> None:
    await cluster.client.patch(f"{DEPLOYMENTS}/chat", {"spec": spec})


async def test_at_full_quota_a_rollout_goes_over_it_and_comes_back(lively: Cluster) -> None:
    await lively.queue("serving", quota=REPLICAS)
    async with lively.scheduler():
        await lively.create(DEPLOYMENTS, deployment("1"))
        await rolls_out(lively, "1")
        await change(lively, template=deployment("2")["spec"]["template"])
        await rolls_out(lively, "2")

        async def within_quota() -> bool:
            status = (await lively.client.get_object(QUEUES.path("", "serving")))["status"]
            return bool(status["allocatedNonPreemptible"]["gpu"] == status["allocated"]["gpu"] == str(REPLICAS))

        await lively.until(within_quota)


async def test_at_its_limit_it_waits_is_told_what_to_do_and_that_helps(lively: Cluster) -> None:
    await lively.queue("serving", quota=REPLICAS, limit=REPLICAS)
    async with lively.scheduler():
        await lively.create(DEPLOYMENTS, deployment("1"))
        await rolls_out(lively, "1")
        await change(lively, template=deployment("2")["spec"]["template"])

        async def told() -> str:
            waiting = [name for name, pod in (await lively.pods()).items() if not pod["spec"].get("nodeName")]
            answer = await why(lively.client, "pod", "default", waiting[0]) if waiting else None
            return answer.next_step if answer and answer.code == "OverLimit" else ""

        assert "maxSurge 0, maxUnavailable 1" in await lively.until(told)
        await change(lively, strategy=ENDS_FIRST)
        await rolls_out(lively, "2")
