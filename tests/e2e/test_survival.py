"""What a night may bring: the API server fails, forgets, goes away; the lease is lost; others interfere."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable

from kai_py.errors import ConflictError, NotFoundError

from .harness import Cluster


async def test_failing_binds_are_repeated_until_they_succeed(embedded: Cluster) -> None:
    await embedded.nodes(2)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.answer(500, verb="POST", path="/binding", times=6)
        await embedded.gang("train", pods=4, gpus=4)
        places = await embedded.until_bound(*(f"train-{n}" for n in range(4)), patience=40)
    assert Counter(places.values()) == {"node-0": 2, "node-1": 2}


async def test_a_bind_whose_answer_was_lost_is_not_doubled(embedded: Cluster) -> None:
    await embedded.nodes(1)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.cut(verb="POST", path="/binding", after=True)
        await embedded.pod("one")
        await embedded.until_bound("one", patience=40)
        await embedded.pod("two")
        await embedded.until_bound("two", patience=40)
    assert set((await embedded.places()).values()) == {"node-0"}


async def test_a_throttled_scheduler_waits_and_goes_on(embedded: Cluster) -> None:
    await embedded.nodes(1)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.answer(429, verb="POST", path="/binding", times=3, retry_after=1)
        await embedded.pod("one")
        assert await embedded.until_bound("one", patience=40) == {"one": "node-0"}


async def test_events_during_a_broken_watch_are_not_missed(embedded: Cluster) -> None:
    await embedded.nodes(1)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.break_watches()
        await embedded.pod("one")
        await embedded.until_bound("one")
        embedded.faults.compact()
        embedded.faults.break_watches()
        await embedded.pod("two")
        assert await embedded.until_bound("two") == {"one": "node-0", "two": "node-0"}


async def test_an_api_server_that_was_away_is_followed_when_it_is_back(embedded: Cluster) -> None:
    await embedded.nodes(1)
    await embedded.queue("team")
    async with embedded.scheduler() as running:
        await embedded.pod("before")
        await embedded.until_bound("before")
        await embedded.faults.pause()
        await asyncio.sleep(1.0)
        await embedded.faults.resume()
        assert not running.done()
        await embedded.pod("after")
        assert set(await embedded.until_bound("after", patience=60)) == {"before", "after"}


async def test_a_pod_that_somebody_else_binds_is_left_where_it_is(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    async with cluster.scheduler():
        pod = await cluster.pod("contested", schedulingGates=[{"name": "example.com/hold"}])
        path = f"/api/v1/namespaces/{cluster.namespace}/pods/contested"
        await cluster.client.patch(path, {"spec": {"schedulingGates": None}})
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "contested", "uid": pod["metadata"]["uid"]},
            "target": {"kind": "Node", "name": "node-1"},
        }
        with contextlib.suppress(ConflictError):  # the scheduler was faster
            await cluster.client.post(f"{path}/binding", binding)
        place = (await cluster.until_bound("contested"))["contested"]
        await cluster.pod("next")
        places = await cluster.until_bound("next")
        assert (places["contested"], set(places)) == (place, {"contested", "next"})


async def test_only_the_leader_decides_and_another_takes_over(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    lease = ("default", f"lease-{cluster.namespace}")
    async with cluster.scheduler(leader_elect=True, lease=lease, identity="first"):
        await cluster.pod("one")
        await cluster.until_bound("one")
        async with cluster.scheduler(leader_elect=True, lease=lease, identity="second"):
            await cluster.pod("two")
            await cluster.until_bound("two")
            held = await cluster.client.get_object(f"/apis/coordination.k8s.io/v1/namespaces/default/leases/{lease[1]}")
            assert held["spec"]["holderIdentity"] == "first"
    async with cluster.scheduler(leader_elect=True, lease=lease, identity="third"):
        await cluster.pod("three")
        assert set(await cluster.until_bound("three", patience=30)) == {"one", "two", "three"}


async def test_settings_reload_and_faults_keep_the_last_good_ones(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    name = f"settings-{cluster.namespace}"
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    spread = {"settings.yaml": "placement: {gpu: spread}"}
    await cluster.create(path, {**configmap, "data": spread})
    async with cluster.scheduler(settings_configmap=(cluster.namespace, name)):
        await asyncio.sleep(0.3)
        await cluster.pod("one")
        await cluster.until_bound("one")
        await cluster.pod("two")
        places = await cluster.until_bound("two")
        assert places["one"] != places["two"]
        await cluster.client.patch(f"{path}/{name}", {"data": {"settings.yaml": "placement: {gpu: everywhere}"}})

        async def told() -> bool:
            events = await cluster.client.get_object(f"/apis/events.k8s.io/v1/namespaces/{cluster.namespace}/events")
            return any("placement.gpu" in event.get("note", "") for event in events["items"])

        await cluster.until(told)
        for number in (3, 4):
            await cluster.pod(f"more-{number}")
        places = await cluster.until_bound("more-3", "more-4")
        assert Counter(places.values()) == {"node-0": 2, "node-1": 2}


async def test_a_restart_while_settings_are_refused_goes_on_with_the_last_good_ones(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    good = "# ours\nplacement: {gpu: spread}\nschedulerNames: [mine]"
    await cluster.create(path, {**configmap, "data": {"settings.yaml": good}})

    async def kept() -> str:
        with contextlib.suppress(NotFoundError):
            return str((await cluster.client.get_object(f"{path}/kai-py-last-settings"))["data"]["settings.yaml"])
        return ""

    async with cluster.scheduler(settings_configmap=(cluster.namespace, "settings")):
        assert await cluster.until(kept) == good
        await cluster.client.patch(f"{path}/settings", {"data": {"settings.yaml": "- nothing: like it"}})
        await asyncio.sleep(1.5)
        assert await kept() == good
    async with cluster.scheduler(settings_configmap=(cluster.namespace, "settings")):
        for name in ("one", "two"):
            await cluster.pod(name, schedulerName="mine")
        places = await cluster.until_bound("one", "two")
        assert places["one"] != places["two"]
        assert await kept() == good
        await cluster.client.patch(f"{path}/settings", {"data": {"settings.yaml": "schedulerNames: [mine]"}})
        await cluster.until(lambda: _equals(kept, "schedulerNames: [mine]"))
    await cluster.client.delete(f"{path}/kai-py-last-settings")


async def _equals(question: Callable[[], Awaitable[str]], answer: str) -> bool:
    return await question() == answer


async def test_the_own_pod_says_for_as_long_as_it_holds_that_settings_are_refused(cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    faulty = "placment: {}\nfairness: {kValue: many}\nactions: {order: [alocate]}"
    await cluster.create(path, {**configmap, "data": {"settings.yaml": "placement: {gpu: spread}"}})
    await cluster.pod("scheduler-0", gpus=0, schedulerName="another")

    async def said() -> list[tuple[str, str]]:
        conditions = (await cluster.pods())["scheduler-0"].get("status", {}).get("conditions", [])
        found = [one for one in conditions if one["type"] == "kai.scheduler/SettingsAccepted"]
        return [(one["status"], one.get("message", "")) for one in found]

    async def says(status: str) -> bool:
        return [one for one, _ in await said()] == [status]

    own = (cluster.namespace, "scheduler-0")
    async with cluster.scheduler(settings_configmap=(cluster.namespace, "settings"), pod=own):
        await cluster.until(lambda: says("True"))
        await cluster.client.patch(f"{path}/settings", {"data": {"settings.yaml": faulty}})
        await cluster.until(lambda: says("False"))
        ((_, message),) = await said()
        assert all(word in message for word in ("placment", "fairness.kValue", "actions.order[0]", "allocate?"))
        await cluster.client.patch(f"{path}/settings", {"data": {"settings.yaml": ""}})
        await cluster.until(lambda: says("True"))


async def test_names_of_the_scheduler_are_those_of_the_settings_from_the_start(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    name = f"settings-{cluster.namespace}"
    configmap = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    data = {"settings.yaml": "schedulerNames: [mine]"}
    await cluster.create(f"/api/v1/namespaces/{cluster.namespace}/configmaps", {**configmap, "data": data})
    async with cluster.scheduler(settings_configmap=(cluster.namespace, name)):
        await cluster.pod("others")
        await cluster.pod("ours", schedulerName="mine")
        assert set(await cluster.until_bound("ours")) == {"ours"}
