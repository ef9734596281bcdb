"""What an API server, a network and others may do to a scheduler, on both servers: a proxy makes the trouble."""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from kai_py.kube import reflector
from kai_py.operators.kinds import NODES, PODS

from .harness import Cluster
from .proxy import Answer, Call, CutError, Proxy

#: How long the API server is away: longer than the lease; longer still in the nightly tests.
OUTAGE = float(os.environ.get("OUTAGE_SECONDS", "4"))


@pytest.fixture
async def proxy(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Proxy]:
    """Between the scheduler and its server; nodes, a queue and a count of bindings."""
    await cluster.nodes(2)
    await cluster.queue("team")
    async with Proxy(cluster.kubeconfig, tmp_path / "kubeconfig.proxy").running() as made:
        yield made


async def test_a_storm_of_refusals_and_cut_connections_only_delays(cluster: Cluster, proxy: Proxy) -> None:
    chance, storm = random.Random(5), True
    accepted: Counter[str] = Counter()

    async def trouble(call: Call) -> Answer | None:
        if storm and not call.is_watch and chance.random() < 0.6:
            match chance.randrange(5):
                case 0:
                    raise CutError
                case 1:
                    return Answer(429, {"Retry-After": "1"})
                case kind:
                    return Answer((500, 503, 504)[kind - 2])
        if call.node:
            accepted[call.path] += 1
        return None

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        proxy.before = trouble
        await cluster.gang("train", pods=4, gpus=4)
        await asyncio.sleep(2.0)
        storm = False
        places = await cluster.until_bound(*(f"train-{n}" for n in range(4)), patience=40)
        assert Counter(places.values()) == {"node-0": 2, "node-1": 2}
        assert set(accepted.values()) == {1}


async def test_a_leader_survives_an_outage_longer_than_its_lease(cluster: Cluster, proxy: Proxy) -> None:
    lease = ("default", f"lease-{cluster.namespace}")
    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig), leader_elect=True, lease=lease) as running:
        await cluster.pod("before")
        await cluster.until_bound("before")
        await proxy.stop()
        await cluster.pod("meanwhile")
        await cluster.delete_pod("before")
        await asyncio.sleep(OUTAGE)
        assert not running.done()
        assert set(await cluster.places()) == set()
        await proxy.start()
        await cluster.gang("after", pods=2, gpus=8)
        assert set(await cluster.until_bound("meanwhile", patience=60)) >= {"meanwhile"}
        await cluster.delete_pod("meanwhile")
        await cluster.until_bound("after-0", "after-1", patience=60)


async def test_a_watch_that_lags_by_seconds_gives_nothing_away_twice(cluster: Cluster, proxy: Proxy) -> None:
    asked: Counter[str] = Counter()

    async def count(call: Call) -> Answer | None:
        if call.node:
            asked[call.path] += 1
        return None

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        proxy.before, proxy.lag = count, 0.3
        names = [f"pod-{number}" for number in range(6)]
        for name in names:
            await cluster.pod(name, gpus=4)
        places = await cluster.until_bound(*names[:1], patience=40)
        await cluster.until(lambda: _bound(cluster, 4), patience=40)
        await asyncio.sleep(2.0)
        places = await cluster.places()
        assert Counter(places.values()) == {"node-0": 2, "node-1": 2}
        assert set(asked.values()) == {1}


async def _bound(cluster: Cluster, count: int) -> bool:
    return len(await cluster.places()) >= count


async def test_events_that_come_twice_change_nothing(cluster: Cluster, proxy: Proxy) -> None:
    proxy.events = lambda _, line: (line, line)
    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        await cluster.gang("train", pods=4, gpus=4)
        await cluster.until_bound(*(f"train-{n}" for n in range(4)))
        await cluster.delete_pod("train-0")
        await cluster.pod("next", gpus=4)
        places = await cluster.until_bound("next")
        assert Counter(places.values()) == {"node-0": 2, "node-1": 2}


async def test_events_that_are_lost_are_found_when_everything_is_listed_again(
    cluster: Cluster, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reflector, "RELIST_SECONDS", (1, 2))
    monkeypatch.setattr(reflector, "WATCH_SECONDS", (1, 2))
    lost = 0

    def lose(call: Call, line: bytes) -> Iterable[bytes]:
        nonlocal lost
        if b'"lost"' in line or b'"gone"' in line:
            lost += 1
            return ()
        return (line,)

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        await cluster.pod("stays", gpus=8)
        await cluster.pod("gone", gpus=8)
        await cluster.until_bound("stays", "gone")
        proxy.events = lose
        await cluster.delete_pod("gone")
        await cluster.pod("lost", gpus=8)
        await cluster.until_bound("lost", patience=30)
        assert lost >= 2


async def test_a_watch_that_is_told_gone_lists_again(cluster: Cluster, proxy: Proxy) -> None:
    gone = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": ""}
    left = 5

    def forget(call: Call, line: bytes) -> Iterable[bytes]:
        nonlocal left
        if left and "/pods" in call.path:
            left -= 1
            return (json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n",)
        return (line,)

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        proxy.events = forget
        for number in range(6):
            await cluster.pod(f"pod-{number}", gpus=2)
        await cluster.until_bound(*(f"pod-{n}" for n in range(6)), patience=40)
        assert left < 5


async def test_a_pod_that_is_deleted_while_it_is_bound_gives_its_place_to_the_next(
    cluster: Cluster, proxy: Proxy
) -> None:
    async def delete(call: Call) -> Answer | None:
        if "/pods/doomed/binding" in call.path:
            await cluster.delete_pod("doomed")
        return None

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        proxy.before = delete
        await cluster.pod("doomed", gpus=8)
        await cluster.until(lambda: _is_gone(cluster, "doomed"))
        await cluster.gang("train", pods=2, gpus=8)
        assert set((await cluster.until_bound("train-0", "train-1")).values()) == {"node-0", "node-1"}


async def _is_gone(cluster: Cluster, name: str) -> bool:
    return name not in await cluster.pods()


async def test_a_node_that_goes_between_decision_and_bind_takes_nobody_more(cluster: Cluster, proxy: Proxy) -> None:
    gone = ""

    async def remove(call: Call) -> Answer | None:
        nonlocal gone
        if (node := call.node) and not gone:
            gone = node
            await cluster.client.delete(NODES.path("", node))
        return None

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        proxy.before = remove
        await cluster.pod("first", gpus=8)
        await cluster.until_bound("first")
        # The API server binds to a node that is not there; pod garbage collection takes that back.
        await cluster.delete_pod("first")
        await cluster.pod("second", gpus=8)
        assert (await cluster.until_bound("second"))["second"] == ({"node-0", "node-1"} - {gone}).pop()


async def test_a_node_that_is_cordoned_between_decision_and_bind_takes_nobody_more(
    cluster: Cluster, proxy: Proxy
) -> None:
    cordoned = ""

    async def cordon(call: Call) -> Answer | None:
        nonlocal cordoned
        if (node := call.node) and not cordoned:
            cordoned = node
            await cluster.client.patch(NODES.path("", node), {"spec": {"unschedulable": True}})
        return None

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        proxy.before = cordon
        await cluster.pod("first")
        first = (await cluster.until_bound("first"))["first"]
        assert first == cordoned
        await cluster.pod("second")
        assert (await cluster.until_bound("second"))["second"] != cordoned


async def test_a_node_that_refuses_a_pod_is_not_asked_again_and_another_is(cluster: Cluster, proxy: Proxy) -> None:
    asked: Counter[str] = Counter()

    async def refuse(call: Call) -> Answer | None:
        if node := call.node:
            asked[node] += 1
            if node == next(iter(asked)):
                return Answer(422)
        return None

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        proxy.before = refuse
        await cluster.pod("pod")
        place = (await cluster.until_bound("pod", patience=40))["pod"]
        assert list(asked.items()) == [(next(iter(asked)), 1), (place, 1)]


async def test_another_scheduler_that_takes_a_node_at_the_same_moment_is_noticed(
    cluster: Cluster, proxy: Proxy
) -> None:
    """The API server binds both; the kubelet refuses ours, its controller makes another, and that goes elsewhere."""
    asked: list[str] = []

    async def be_faster(call: Call) -> Answer | None:
        if node := call.node:
            asked.append(node)
            if len(asked) == 1:
                await _bind_as_another(cluster, "foreign", node)
        return None

    async with cluster.scheduler(kubeconfig=str(proxy.kubeconfig)):
        await cluster.pod("foreign", gpus=8, schedulerName="another")
        proxy.before = be_faster
        await cluster.pod("ours", gpus=8)
        places = await cluster.until_bound("ours", "foreign")
        assert places["ours"] == places["foreign"]
        refused = {"phase": "Failed", "reason": "OutOfnvidia.com/gpu", "message": "Pod was rejected"}
        await cluster.client.patch(PODS.path(cluster.namespace, "ours", "status"), {"status": refused})
        await cluster.pod("again", gpus=8)
        places = await cluster.until_bound("again")
        assert places["again"] != places["foreign"]
        await asyncio.sleep(1.0)
        assert asked == [places["foreign"], places["again"]]


async def _bind_as_another(cluster: Cluster, name: str, node: str) -> None:
    pod = await cluster.client.get_object(PODS.path(cluster.namespace, name))
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "uid": pod["metadata"]["uid"]},
        "target": {"kind": "Node", "name": node},
    }
    await cluster.client.post(PODS.path(cluster.namespace, name, "binding"), binding)
