"""What a running scheduler shows to Prometheus."""

from __future__ import annotations

import socket

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from kai_py.telemetry.metrics import Metrics

from .harness import Cluster

#: Have values only after something that does not happen here.
_RARE = {
    "kai_py_api_errors_total",
    "kai_py_devices",
    "kai_py_evicted_gpu_seconds_total",
    "kai_py_evictions_total",
    "kai_py_shadow_differences",
    "kai_py_watch_restarts_total",
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def scrape(port: int) -> dict[tuple[str, tuple[str, ...]], float]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        text = await answer.text()
    return {
        (sample.name, tuple(value for label, value in sorted(sample.labels.items()) if label != "le")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def declared() -> set[str]:
    return {
        family.name + ("_count" if family.kind == "histogram" else "")
        for families in Metrics().families.values()
        for family in families
        if family.name not in _RARE
    }


async def test_all_metrics_have_values_where_their_facts_are(cluster: Cluster) -> None:
    await cluster.nodes(2, gpus=8)
    await cluster.queue("team", quota=8)
    port = free_port()
    knot = {
        "apiVersion": "scheduling.run.ai/v2alpha2",
        "kind": "PodGroup",
        "metadata": {"name": "knot"},
        "spec": {"queue": "team", "subGroups": [{"name": n, "parent": p, "minMember": 1} for n, p in ("ab", "ba")]},
    }
    async with cluster.scheduler(metrics_port=port):
        await cluster.create(f"/apis/scheduling.run.ai/v2alpha2/namespaces/{cluster.namespace}/podgroups", knot)
        await cluster.gang("train", pods=3, gpus=4)
        await cluster.until_bound("train-0", "train-1", "train-2")
        await cluster.gang("next", pods=3, gpus=4)

        async def counted() -> dict[tuple[str, tuple[str, ...]], float] | None:
            found = await scrape(port)
            there = found.get(("kai_py_pending_pods", ("team",))) == 3
            held = found.get(("kai_py_queue_resource_seconds_total", ("team", "gpu")), 0) > 0
            knots = found.get(("kai_py_malformed_objects", ("podgroups.scheduling.run.ai",)))
            return found if there and held and knots else None

        found = await cluster.until(counted)
    assert declared() - {name for name, _ in found} == set()
    assert found["kai_py_time_to_bind_seconds_count", ("team", "up to 64")] == 3
    assert 0 <= found["kai_py_time_to_bind_seconds_sum", ("team", "up to 64")] < 60
    assert found["kai_py_malformed_objects", ("podgroups.scheduling.run.ai",)] == 1
    assert found["kai_py_malformed_objects", ("pods",)] == 0
    assert 0 <= found["kai_py_watch_silence_seconds", ("pods",)] < 60
    assert found["kai_py_gpus", ("held",)] == 12
    assert found["kai_py_gpus", ("free",)] == 4
    assert found["kai_py_gpu_fragmentation_ratio", ()] == 1
    assert found["kai_py_longest_wait_seconds", ("team", "up to 64")] >= 0
    assert found["kai_py_api_requests_total", ("2xx", "POST")] >= 3
    assert found["kai_py_leader", ()] == 1


async def test_watches_that_break_are_counted(embedded: Cluster) -> None:
    port = free_port()
    async with embedded.scheduler(metrics_port=port):
        embedded.faults.break_watches()

        async def counted() -> bool:
            found = await scrape(port)
            return any(
                name == "kai_py_watch_restarts_total" and value and "pods" in labels
                for (name, labels), value in found.items()
            )

        assert await embedded.until(counted)
