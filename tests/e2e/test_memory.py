"""What a scheduler must not forget when it restarts stands in the API."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kai_py.operators.kinds import CONFIG_MAPS

from .harness import Cluster, Json

STARTED = "kai.scheduler/last-start-timestamp"
EVICTED = "kai.scheduler/last-eviction-timestamp"
STALE = "kai.scheduler/stale-podgroup-timestamp"


async def test_podgroups_tell_when_they_started_lost_a_pod_and_became_stale(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("borrower", quota=0)
    await cluster.queue("owner", quota=4)
    async with cluster.scheduler():
        await cluster.gang("gang", pods=2, gpus=2, queue="borrower")
        await cluster.gang("guest", pods=1, gpus=4, queue="borrower")
        await cluster.until_bound("gang-0", "gang-1", "guest-0")
        await cluster.until(lambda: _says(cluster, "gang", STARTED))
        assert not await _says(cluster, "gang", STALE)
        await cluster.delete_pod("gang-1")
        since = await cluster.until(lambda: _says(cluster, "gang", STALE))
        await cluster.pod("gang-2", gpus=2, queue="borrower", group="gang")
        await cluster.until(lambda: _silent(cluster, "gang", STALE))
        await cluster.gang("owed", pods=1, gpus=4, queue="owner")
        await cluster.until(lambda: _any_says(cluster, EVICTED))
    assert since.endswith("Z")


async def test_a_restarted_scheduler_goes_on_holding_what_was_freed(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team", quota=8)
    await cluster.queue("first", priority=200)
    await cluster.priority("firm", 110)
    async with cluster.scheduler():
        await cluster.pod("slow", gpus=8)
        await cluster.until_bound("slow")
        await cluster.pod("quick", gpus=8, priorityClassName="firm")
        await cluster.until(lambda: _nominated(cluster, "quick"))
    await cluster.delete_pod("slow")  # there is no kubelet to do it
    await cluster.pod("small", gpus=1, queue="first")
    assert await _nominated(cluster, "quick") == "node-0"
    async with cluster.scheduler():
        await cluster.until_bound("quick")
        assert "small" not in await cluster.places()


async def _annotations(cluster: Cluster, name: str) -> Json:
    found: Json = (await cluster.podgroups())[name]["metadata"].get("annotations") or {}
    return found


async def _says(cluster: Cluster, name: str, key: str) -> str:
    return str((await _annotations(cluster, name)).get(key, ""))


async def _silent(cluster: Cluster, name: str, key: str) -> bool:
    return not await _says(cluster, name, key)


async def _any_says(cluster: Cluster, key: str) -> bool:
    return any([await _says(cluster, name, key) for name in await cluster.podgroups()])


async def _nominated(cluster: Cluster, pod: str) -> str:
    return str((await cluster.pods())[pod].get("status", {}).get("nominatedNodeName", ""))


async def test_usage_is_written_when_a_scheduler_stops(cluster: Cluster, tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text("fairness: {usage: {enabled: true}}")
    await cluster.nodes(1)
    await cluster.queue("team")
    async with cluster.scheduler(settings_file=settings, settings_configmap=(cluster.namespace, "settings")):
        await cluster.pod("busy", gpus=8)
        await cluster.until_bound("busy")
        await cluster.pod("another", gpus=8)
        await cluster.until(lambda: cluster.message("another"))
    found = await cluster.client.get_object(CONFIG_MAPS.path(cluster.namespace, "kai-py-usage"))
    (bucket,) = msgspec.json.decode(found["data"]["usage.json"])["buckets"]
    assert 0 < bucket["used"]["team"][2] <= bucket["capacity"][2]
