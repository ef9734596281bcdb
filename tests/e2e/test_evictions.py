"""Making room on a live cluster: victims are told why, deleted, and their places held."""

from __future__ import annotations

from pathlib import Path

from kai_py.operators.kinds import PODS

from .harness import Cluster


async def test_a_queue_takes_back_what_it_is_owed(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("borrower", quota=8)
    await cluster.queue("owner", quota=8)
    async with cluster.scheduler():
        for number in range(4):
            await cluster.pod(f"borrowed-{number}", gpus=4, queue="borrower")
        await cluster.until_bound(*(f"borrowed-{number}" for number in range(4)))
        await cluster.gang("owed", pods=2, gpus=4, queue="owner")
        victims = await cluster.until(lambda: _leaving(cluster))
        await cluster.until(lambda: _all_marked(cluster))
        for victim in await _leaving(cluster):
            await cluster.delete_pod(victim)  # there is no kubelet to do it
        places = await cluster.until_bound("owed-0", "owed-1")
    assert len(victims) == 2
    assert sum(name.startswith("borrowed") for name in places) == 2


async def test_the_more_important_podgroup_of_a_queue_comes_first(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    await cluster.priority("urgent", 90)
    async with cluster.scheduler():
        await cluster.pod("slow", gpus=8)
        await cluster.until_bound("slow")
        await cluster.pod("quick", gpus=8, priorityClassName="urgent")
        assert await cluster.until(lambda: _leaving(cluster)) == ["slow"]
        await cluster.delete_pod("slow")
        await cluster.until_bound("quick")


async def test_a_queue_within_its_quota_loses_nothing_and_the_other_is_told_why(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("owner", quota=8)
    await cluster.queue("guest", quota=0)
    async with cluster.scheduler():
        await cluster.pod("settled", gpus=8, queue="owner")
        await cluster.until_bound("settled")
        await cluster.pod("wishful", gpus=1, queue="guest")
        assert await cluster.until(lambda: cluster.message("wishful"))
        assert await _leaving(cluster) == []


async def test_a_disruption_budget_is_asked_where_settings_say_so(cluster: Cluster, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("eviction: {method: {preempt: evict}}")
    await cluster.nodes(1)
    await cluster.queue("team")
    await cluster.priority("urgent", 90)
    budget = await _budget(cluster, {"kai.scheduler/queue": "team"})
    async with cluster.scheduler(settings_file=settings):
        await cluster.pod("slow", gpus=8)
        await cluster.until_bound("slow")
        # Budgets protect running pods only, and there is no kubelet to say that it runs.
        await cluster.client.patch(PODS.path(cluster.namespace, "slow", "status"), {"status": {"phase": "Running"}})
        await cluster.pod("quick", gpus=8, priorityClassName="urgent")
        assert "disruption budget" in await cluster.until(lambda: cluster.message("quick"))
        assert await _leaving(cluster) == []
        assert not (await cluster.pods())["quick"]["status"].get("nominatedNodeName")
        await cluster.client.delete(budget)
        assert await cluster.until(lambda: _leaving(cluster)) == ["slow"]
        await cluster.delete_pod("slow")
        await cluster.until_bound("quick")


async def test_of_two_equal_victims_the_one_under_an_exhausted_budget_stays(cluster: Cluster) -> None:
    await _two_equal_victims(cluster)
    async with cluster.scheduler():
        await cluster.pod("quick", gpus=4, priorityClassName="urgent")
        assert await cluster.until(lambda: _leaving(cluster)) == ["older"]
        await cluster.delete_pod("older")
        await cluster.until_bound("quick")
        assert await _leaving(cluster) == []


async def test_of_two_equal_victims_the_one_that_has_saved_its_work_goes(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    await cluster.priority("urgent", 90)
    async with cluster.scheduler():
        for name in ("older", "younger"):
            await cluster.pod(name, gpus=4)
            await cluster.until_bound(name)
        annotations = {"kai.scheduler/last-checkpoint-timestamp": "2999-01-01T00:00:00Z"}  # counts as now
        await cluster.client.patch(PODS.path(cluster.namespace, "older"), {"metadata": {"annotations": annotations}})
        await cluster.pod("quick", gpus=4, priorityClassName="urgent")
        assert await cluster.until(lambda: _leaving(cluster)) == ["older"]


async def test_a_malformed_checkpoint_is_told_in_an_event(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    events = f"/api/v1/namespaces/{cluster.namespace}/events"
    async with cluster.scheduler():
        pod = await cluster.pod("spoilt")
        annotations = {"kai.scheduler/last-checkpoint-timestamp": "yesterday"}
        await cluster.client.patch(PODS.path(cluster.namespace, "spoilt"), {"metadata": {"annotations": annotations}})

        async def told() -> list[str]:
            found = (await cluster.client.get_object(events))["items"]
            about = [one for one in found if one["involvedObject"].get("uid") == pod["metadata"]["uid"]]
            return [one["message"] for one in about if one["reason"] == "Malformed"]

        assert "'yesterday' is not an RFC 3339 time" in (await cluster.until(told))[0]
        await cluster.until_bound("spoilt")


async def test_a_scheduler_that_may_not_read_budgets_goes_on_without(embedded: Cluster) -> None:
    await _two_equal_victims(embedded)
    embedded.faults.answer(403, verb="GET", path="/poddisruptionbudgets", times=1000)
    async with embedded.scheduler():
        await embedded.pod("quick", gpus=4, priorityClassName="urgent")
        assert await embedded.until(lambda: _leaving(embedded)) == ["younger"]


async def _two_equal_victims(cluster: Cluster) -> None:
    """A node with two pods, of which the one that would have to go first is under a budget that allows nobody to."""
    await cluster.nodes(1)
    await cluster.queue("team")
    await cluster.priority("urgent", 90)
    await _budget(cluster, {"app": "protected"})
    async with cluster.scheduler():
        await cluster.pod("older", gpus=4)
        await cluster.until_bound("older")
        await cluster.pod("younger", gpus=4, app="protected")
        await cluster.until_bound("younger")
        # Budgets are about pods that are ready, and there is no kubelet to say so.
        ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        await cluster.client.patch(PODS.path(cluster.namespace, "younger", "status"), {"status": ready})


async def _budget(cluster: Cluster, labels: dict[str, str]) -> str:
    """A PodDisruptionBudget that allows nobody to go; returns its path."""
    path = f"/apis/policy/v1/namespaces/{cluster.namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "all"}, "spec": spec}
    await cluster.create(path, body)
    return f"{path}/all"


async def _leaving(cluster: Cluster) -> list[str]:
    pods = await cluster.pods()
    return sorted(name for name, pod in pods.items() if pod["metadata"].get("deletionTimestamp"))


async def _all_marked(cluster: Cluster) -> bool:
    """Whether every leaving pod carries the condition that a Job's pod failure policy looks at."""
    pods = await cluster.pods()
    return all(
        any(condition["type"] == "DisruptionTarget" for condition in pods[name]["status"]["conditions"])
        for name in await _leaving(cluster)
    )
