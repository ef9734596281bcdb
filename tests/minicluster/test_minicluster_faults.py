"""Faults on demand: what the resilience tests of others build on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from kai_py.minicluster import MiniCluster
from kai_py.minicluster.serving import watches

from .conftest import Api, binding, client_session, pod
from .test_minicluster_storage import comes


async def test_requests_fail_as_often_as_asked(cluster: MiniCluster, mini: Api) -> None:
    cluster.faults.answer(503, verb="GET", path="/pods", times=2)
    cluster.faults.answer(429, verb="POST", retry_after=7)
    assert [(await mini.get(f"{mini.ns}/pods")).status for _ in range(3)] == [503, 503, 200]
    throttled = await mini.post(f"{mini.ns}/pods", pod())
    assert (throttled.status, throttled.headers["Retry-After"]) == (429, "7")
    assert (await mini.post(f"{mini.ns}/pods", pod())).status == 201
    assert cluster.faults.pending == 0


async def test_an_answer_can_be_lost_after_the_deed(cluster: MiniCluster, mini: Api) -> None:
    await mini.post(f"{mini.ns}/pods", pod())
    cluster.faults.cut(path="/binding", after=True)
    with pytest.raises(aiohttp.ClientError):
        await mini.post(f"{mini.ns}/pods/p/binding", binding("p", "n"))
    assert cluster.storage.get("pods", "p", "default")["spec"]["nodeName"] == "n"
    assert (await mini.post(f"{mini.ns}/pods/p/binding", binding("p", "n"))).status == 409


async def test_a_connection_can_be_cut_before_the_deed(cluster: MiniCluster, mini: Api) -> None:
    cluster.faults.cut(verb="POST")
    with pytest.raises(aiohttp.ClientError):
        await mini.post(f"{mini.ns}/pods", pod())
    assert cluster.storage.find("pods", "p", "default") is None


async def test_a_delay_lets_others_pass(cluster: MiniCluster, mini: Api) -> None:
    cluster.faults.delay(0.05, path="/pods")
    slow = asyncio.create_task(mini.get(f"{mini.ns}/pods"))
    await asyncio.sleep(0.01)
    assert (await mini.get(f"{mini.ns}/configmaps")).status == 200
    assert not slow.done()
    assert (await slow).status == 200


async def test_compaction_forces_a_new_list(cluster: MiniCluster, mini: Api) -> None:
    for name in ("a", "b", "c"):
        await mini.post(f"{mini.ns}/pods", pod(name))
    page = (await mini.get(f"{mini.ns}/pods?limit=1")).body["metadata"]
    cluster.faults.compact()
    async with mini.watch(f"{mini.ns}/pods?watch=true&resourceVersion={page['resourceVersion']}") as events:
        error = await anext(events)
        assert (error["type"], error["object"]["code"], error["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert [event async for event in events] == []
    stale = await mini.get(f"{mini.ns}/pods?limit=1&continue={page['continue']}")
    assert (stale.status, stale.reason) == (410, "Expired")
    fresh = (await mini.get(f"{mini.ns}/pods")).body["metadata"]["resourceVersion"]
    task = asyncio.create_task(first_event(mini, f"{mini.ns}/pods?watch=true&resourceVersion={fresh}"))
    await asyncio.sleep(0.02)
    await mini.delete(f"{mini.ns}/pods/a")
    assert (await task)["type"] == "DELETED"


async def first_event(api: Api, path: str) -> dict[str, Any]:
    async with api.watch(path) as events:
        return await anext(events)


async def test_broken_watches_end_and_resume(cluster: MiniCluster, mini: Api) -> None:
    made = (await mini.post(f"{mini.ns}/pods", pod())).body
    async with mini.watch(f"{mini.ns}/pods?watch=true") as events:
        await anext(events)
        cluster.faults.break_watches()
        assert [event async for event in events] == []
    await mini.delete(f"{mini.ns}/pods/p")
    path = f"{mini.ns}/pods?watch=true&resourceVersion={made['metadata']['resourceVersion']}"
    assert (await first_event(mini, path))["type"] == "DELETED"


async def test_a_paused_server_is_down_and_comes_back_with_its_objects(cluster: MiniCluster, mini: Api) -> None:
    await mini.post(f"{mini.ns}/pods", pod())
    async with mini.watch(f"{mini.ns}/pods?watch=true") as events:
        await anext(events)
        await cluster.faults.pause()
        with pytest.raises((aiohttp.ClientError, StopAsyncIteration)):
            await anext(events)
    with pytest.raises(aiohttp.ClientError):
        await mini.get(f"{mini.ns}/pods")
    await cluster.faults.resume()
    assert (await mini.get(f"{mini.ns}/pods/p")).status == 200


async def test_a_reader_that_falls_behind_is_dropped(
    cluster: MiniCluster, mini: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watches, "_QUEUE_LIMIT", 20)
    collection = cluster.storage.store.collections["pods"]
    async with mini.watch(f"{mini.ns}/pods?watch=true") as events:
        for i in range(30):
            cluster.storage.create("pods", pod(f"p{i}"), "default")
        with pytest.raises((aiohttp.ClientError, StopAsyncIteration)):
            await read_all(events)
    assert not collection.watchers


async def read_all(events: AsyncIterator[dict[str, Any]]) -> None:
    while True:
        await anext(events)


async def test_a_client_that_goes_ends_its_watch_quietly(
    cluster: MiniCluster, caplog: pytest.LogCaptureFixture
) -> None:
    watchers, before = cluster.storage.store.collections["configmaps"].watchers, len(caplog.records)
    host, port = cluster.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /api/v1/configmaps?watch=true HTTP/1.1\r\nHost: mini\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    assert len(watchers) == 1
    writer.transport.abort()
    for i in range(3):
        cluster.storage.create("configmaps", {"metadata": {"name": f"c{i}"}}, "default")
        await asyncio.sleep(0)
    assert await comes(lambda: not watchers)
    assert [record.getMessage() for record in caplog.records[before:]] == []


async def test_a_token_is_asked_for() -> None:
    async with MiniCluster(token="secret") as cluster, client_session() as session:
        assert cluster.kubeconfig()["users"][0]["user"] == {"token": "secret"}
        api = Api(session, cluster.url, "default")
        refused = await api.get("/api/v1/pods")
        assert (refused.status, refused.reason) == (401, "Unauthorized")
        assert (await api.get("/api/v1/pods", Authorization="Bearer secret")).status == 200
        assert (await api.get("/readyz")).body == b"ok"


async def test_a_body_beyond_the_limit_is_refused(mini: Api) -> None:
    body = {"metadata": {"name": "a"}, "data": {"k": "x" * (3 * 1024 * 1024)}}
    assert (await mini.post(f"{mini.ns}/configmaps", body)).status == 413
