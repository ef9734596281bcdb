"""Claims on devices on a live cluster: written before pods are bound, and taken back when these are not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from kai_py.operators import unused_claims
from kai_py.operators.kinds import CLAIMS, NODES

from .claims import allocate, claim, claims, devices, devices_of, gang, make, owner, report, reserved, said, user
from .harness import Cluster


async def test_a_pod_with_a_claim_from_a_template_is_bound_where_its_device_is(cluster: Cluster) -> None:
    await cluster.nodes(2)
    await devices(cluster, "node-1", 1)
    await cluster.queue("team")
    async with cluster.scheduler():
        pod = await owner(cluster, "one", made=False)
        assert "template" in await cluster.until(lambda: cluster.message("one"))
        await make(cluster, pod)
        assert (await cluster.until_bound("one"))["one"] == "node-1"
    made = (await claims(cluster))["one-dev"]
    assert made["metadata"]["finalizers"] == ["resource.kubernetes.io/delete-protection"]
    (result,) = made["status"]["allocation"]["devices"]["results"]
    assert (result["request"], result["pool"], result["device"]) == ("dev", "node-1", "dev-0")
    (term,) = made["status"]["allocation"]["nodeSelector"]["nodeSelectorTerms"]
    assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]
    assert made["status"]["allocation"]["allocationTimestamp"]
    assert made["status"]["reservedFor"] == [{"resource": "pods", "name": "one", "uid": pod["metadata"]["uid"]}]


async def test_pods_that_share_a_claim_go_to_its_device_and_are_all_reserved(cluster: Cluster) -> None:
    await cluster.nodes(3)
    await devices(cluster, "node-2", 1)
    await cluster.queue("team")
    await claim(cluster, "shared")
    async with cluster.scheduler():
        for name in ("one", "two"):
            await user(cluster, name, "shared")
        places = await cluster.until_bound("one", "two")
        await user(cluster, "three", "shared")
        places = await cluster.until_bound("three")
    assert set(places.values()) == {"node-2"}
    assert set(await reserved(cluster, "shared")) == {"one", "two", "three"}
    assert await devices_of(cluster) == {"shared": (("node-2", "dev-0"),)}


async def test_a_gang_starts_with_a_claim_for_each_pod(cluster: Cluster) -> None:
    names = [f"train-{number}" for number in range(4)]
    await cluster.nodes(2)
    for node in ("node-0", "node-1"):
        await devices(cluster, node, 2)
    await cluster.queue("team")
    async with cluster.scheduler():
        await gang(cluster, "train", 4)
        for number, name in enumerate(names):
            await owner(cluster, name, group="train")
            if number < 3:
                assert await cluster.places() == {}
        places = await cluster.until_bound(*names)
    given = await devices_of(cluster)
    assert len(set(given.values())) == 4
    assert {name: given[f"{name}-dev"][0][0] for name in names} == places


async def test_a_gang_of_which_one_claim_cannot_be_had_gets_none(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await devices(cluster, "node-0", 3)
    await cluster.queue("team")
    async with cluster.scheduler():
        await gang(cluster, "train", 2)
        await owner(cluster, "train-0", group="train")
        await owner(cluster, "train-1", 3, group="train")
        assert "devices" in await cluster.until(lambda: cluster.message("train-0"))
        await owner(cluster, "other", 3)
        await cluster.until_bound("other")
    assert set(await devices_of(cluster)) == {"other-dev"}


async def test_claims_of_a_gang_are_given_back_when_one_is_refused(embedded: Cluster) -> None:
    await embedded.nodes(1)
    await devices(embedded, "node-0", 2)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.answer(403, verb="PUT", path="/train-1-dev/status")
        embedded.faults.delay(1.0, verb="POST", path="/binding", times=2)
        await gang(embedded, "train", 2)
        for name in ("train-0", "train-1"):
            await owner(embedded, name, group="train")
        told = await embedded.until(lambda: said(embedded, "train-1", "FailedBinding"))
        assert "train-1-dev: we are not allowed to" in told
        assert await embedded.places() == {}
        assert await devices_of(embedded) == {}
        assert await reserved(embedded, "train-0-dev") == []
        await embedded.until_bound("train-0", "train-1")


async def test_a_claim_of_a_pod_that_could_not_be_bound_is_given_back(embedded: Cluster) -> None:
    await embedded.nodes(1)
    await devices(embedded, "node-0", 1)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.answer(422, verb="POST", path="/one/binding", times=9)
        await owner(embedded, "one")
        assert await embedded.until(lambda: said(embedded, "one", "FailedBinding"))
        assert await devices_of(embedded) == {}
        await owner(embedded, "two")
        await embedded.until_bound("two")
    assert await devices_of(embedded) == {"two-dev": (("node-0", "dev-0"),)}
    assert await reserved(embedded, "one-dev") == []


@contextlib.asynccontextmanager
async def overtaken(cluster: Cluster, **late: str) -> AsyncIterator[None]:
    """A scheduler that gives ``dev-0`` to the pod ``one``; before a late write of it is done, another takes it."""
    await cluster.nodes(1)
    await devices(cluster, "node-0", 2)
    await cluster.queue("team")
    await claim(cluster, "foreign")
    async with cluster.scheduler():
        cluster.faults.delay(1.0, **late)
        await owner(cluster, "one")
        await asyncio.sleep(0.5)
        await allocate(cluster, "foreign", "node-0", "dev-0")
        yield


async def test_whoever_finds_the_device_taken_meanwhile_leaves_it(embedded: Cluster) -> None:
    async with overtaken(embedded, verb="PATCH", path="/one-dev$"):
        assert f"{embedded.namespace}/foreign" in await embedded.until(lambda: said(embedded, "one", "FailedBinding"))
        await embedded.until_bound("one")
    assert await devices_of(embedded) == {"foreign": (("node-0", "dev-0"),), "one-dev": (("node-0", "dev-1"),)}


async def test_a_collision_that_shows_after_the_write_is_undone_before_the_binding(embedded: Cluster) -> None:
    async with overtaken(embedded, verb="PUT", path="/one-dev/status"):
        await embedded.until_bound("one")
    assert await devices_of(embedded) == {"foreign": (("node-0", "dev-0"),), "one-dev": (("node-0", "dev-1"),)}


async def test_whoever_comes_after_a_crash_finishes_what_was_begun(embedded: Cluster) -> None:
    await embedded.nodes(3)
    for node in ("node-0", "node-1"):
        await devices(embedded, node, 1)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.answer(503, verb="POST", path="/binding", times=999)
        await owner(embedded, "one")
        before = await embedded.until(lambda: devices_of(embedded))
    embedded.faults.clear()
    async with embedded.scheduler():
        places = await embedded.until_bound("one")
    assert await devices_of(embedded) == before
    assert before["one-dev"] == ((places["one"], "dev-0"),)


async def test_whoever_comes_after_a_crash_takes_back_what_cannot_be_finished(
    embedded: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unused_claims, "EVERY", 0.3)
    await embedded.nodes(2)
    for node in ("node-0", "node-1"):
        await devices(embedded, node, 1)
    await embedded.queue("team")
    async with embedded.scheduler():
        embedded.faults.answer(503, verb="POST", path="/binding", times=999)
        await owner(embedded, "one")
        ((_, ((node, _),)),) = (await embedded.until(lambda: devices_of(embedded))).items()
    embedded.faults.clear()
    await embedded.client.patch(NODES.path("", node), {"spec": {"unschedulable": True}})
    async with embedded.scheduler():
        places = await embedded.until_bound("one")
    assert places["one"] != node
    assert (await devices_of(embedded))["one-dev"] == ((places["one"], "dev-0"),)


async def test_a_device_that_must_be_prepared_is_waited_for(cluster: Cluster) -> None:
    await cluster.nodes(1)
    conditions = {"bindingConditions": ["ready"], "bindingFailureConditions": ["broken"], "bindsToNode": True}
    await devices(cluster, "node-0", 1, **conditions)
    await cluster.queue("team")
    async with cluster.scheduler():
        await owner(cluster, "one")
        assert "ready of device" in await cluster.until(lambda: said(cluster, "one", "BindingConditionsPending"))
        await asyncio.sleep(0.3)
        assert await cluster.places() == {}
        assert await reserved(cluster, "one-dev") == ["one"]
        assert "[DevicesBeingPrepared]" in await cluster.until(lambda: cluster.message("one"))
        await report(cluster, "one-dev", "ready")
        await cluster.until_bound("one")


async def test_a_device_that_cannot_be_prepared_is_given_back_and_the_pod_goes_elsewhere(cluster: Cluster) -> None:
    await cluster.nodes(2)
    for node in ("node-0", "node-1"):
        await devices(cluster, node, 1, bindingConditions=["ready"], bindingFailureConditions=["broken"])
    await cluster.queue("team")
    async with cluster.scheduler():
        await owner(cluster, "one")
        assert await cluster.until(lambda: said(cluster, "one", "BindingConditionsPending"))
        ((first, _),) = (await devices_of(cluster))["one-dev"]
        await report(cluster, "one-dev", "broken")

        async def elsewhere() -> bool:
            given = (await devices_of(cluster)).get("one-dev", ((first, ""),))
            return given[0][0] != first

        await cluster.until(elsewhere)
        await report(cluster, "one-dev", "ready")
        assert (await cluster.until_bound("one"))["one"] != first


async def test_a_device_is_free_when_the_claim_of_the_evicted_has_lost_it(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await devices(cluster, "node-0", 1)
    await cluster.queue("team")
    await cluster.priority("urgent", 90)
    async with cluster.scheduler():
        await owner(cluster, "slow")
        await cluster.until_bound("slow")
        await owner(cluster, "quick", priorityClassName="urgent")

        async def leaving() -> bool:
            return "deletionTimestamp" in (await cluster.pods())["slow"]["metadata"]

        await cluster.until(leaving)
        await cluster.delete_pod("slow")
        await asyncio.sleep(0.5)
        assert "quick" not in await cluster.places()
        path = CLAIMS.path(cluster.namespace, "slow-dev", "status")
        await cluster.client.patch(path, {"status": {"allocation": None, "reservedFor": None}})
        await cluster.until_bound("quick")
    assert await devices_of(cluster) == {"quick-dev": (("node-0", "dev-0"),)}
