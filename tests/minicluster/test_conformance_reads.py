"""Lists and watches, on the embedded server and on a real one."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from .conftest import Api, pod


async def make(api: Api, name: str, **labels: str) -> dict[str, Any]:
    reply = await api.post(f"{api.ns}/secrets", {"metadata": {"name": name, "labels": labels}, "type": "example.com/x"})
    assert reply.status == 201
    return reply.body


def names(reply: Any) -> list[str]:
    return [item["metadata"]["name"] for item in reply.body["items"]]


async def test_a_list_is_sorted_and_has_a_version(api: Api) -> None:
    for name in ("b", "a", "c"):
        await make(api, name)
    reply = await api.get(f"{api.ns}/secrets")
    assert (reply.body["kind"], reply.body["apiVersion"]) == ("SecretList", "v1")
    assert names(reply) == ["a", "b", "c"]
    assert int(reply.body["metadata"]["resourceVersion"]) > 0


async def test_pages_show_one_snapshot(api: Api) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await make(api, name)
    first = await api.get(f"{api.ns}/secrets?limit=2")
    meta = first.body["metadata"]
    assert (names(first), meta["remainingItemCount"]) == (["a", "b"], 3)
    await make(api, "bb")
    await api.delete(f"{api.ns}/secrets/d")
    second = await api.get(f"{api.ns}/secrets?limit=2&continue={meta['continue']}")
    assert (names(second), second.body["metadata"]["resourceVersion"]) == (["c", "d"], meta["resourceVersion"])
    third = await api.get(f"{api.ns}/secrets?limit=2&continue={second.body['metadata']['continue']}")
    assert names(third) == ["e"]
    assert "continue" not in third.body["metadata"]


async def test_a_continue_token_that_is_none_is_a_bad_request(api: Api) -> None:
    assert (await api.get(f"{api.ns}/secrets?limit=2&continue=abc")).status == 400


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("colour=red", ["a"]),
        ("colour==red", ["a"]),
        ("colour!=red", ["b", "c"]),
        ("colour", ["a", "b"]),
        ("!colour", ["c"]),
        ("colour in (red,blue)", ["a", "b"]),
        ("colour notin (red)", ["b", "c"]),
        ("colour in (red, blue),size=big", ["b"]),
        ("size>3", []),
        ("", ["a", "b", "c"]),
    ],
)
async def test_label_selectors_select(api: Api, selector: str, expected: list[str]) -> None:
    await make(api, "a", colour="red")
    await make(api, "b", colour="blue", size="big")
    await make(api, "c")
    assert names(await api.get(f"{api.ns}/secrets?labelSelector={quote(selector)}")) == expected


@pytest.mark.parametrize(
    "query", ["labelSelector=a=b=c", "labelSelector=a%20in%20b", "fieldSelector=spec.x=1", "limit=x"]
)
async def test_malformed_selectors_are_bad_requests(api: Api, query: str) -> None:
    reply = await api.get(f"{api.ns}/secrets?{query}")
    assert (reply.status, reply.reason) == (400, "BadRequest")


async def test_field_selectors_select(api: Api) -> None:
    await make(api, "a")
    await api.post(f"{api.ns}/secrets", {"metadata": {"name": "b"}})
    assert names(await api.get(f"{api.ns}/secrets?fieldSelector=metadata.name=a")) == ["a"]
    assert names(await api.get(f"{api.ns}/secrets?fieldSelector=type!=Opaque")) == ["a"]
    assert names(await api.get(f"/api/v1/secrets?fieldSelector=metadata.namespace={api.namespace},type=Opaque")) == [
        "b"
    ]
    await api.post(f"{api.ns}/pods", pod(nodeName="n", schedulerName="kai"))
    await api.post(f"{api.ns}/pods", pod("q"))
    for selector in ("spec.nodeName=n", "spec.schedulerName=kai", "spec.nodeName!=,status.phase=Pending"):
        assert names(await api.get(f"{api.ns}/pods?fieldSelector={selector}")) == ["p"], selector


async def test_a_version_in_the_future_is_not_there_yet(api: Api) -> None:
    reply = await api.get(f"{api.ns}/secrets?resourceVersion=99999999999")
    assert (reply.status, reply.reason) == (504, "Timeout")
    assert reply.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_an_exact_version_is_the_state_of_then(api: Api) -> None:
    first = await make(api, "a")
    await make(api, "b")
    version = first["metadata"]["resourceVersion"]
    reply = await api.get(f"{api.ns}/secrets?resourceVersion={version}&resourceVersionMatch=Exact")
    assert (names(reply), reply.body["metadata"]["resourceVersion"]) == (["a"], version)


async def test_metadata_alone_is_served(api: Api) -> None:
    await make(api, "a")
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    reply = await api.get(f"{api.ns}/secrets", Accept=accept)
    assert reply.body["kind"] == "PartialObjectMetadataList"
    assert set(reply.body["items"][0]) <= {"kind", "apiVersion", "metadata"}


async def test_tables_are_served(api: Api) -> None:
    await api.post(f"{api.ns}/pods", pod())
    reply = await api.get(f"{api.ns}/pods", Accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert reply.body["kind"] == "Table"
    columns = [(column["name"], column["priority"]) for column in reply.body["columnDefinitions"]]
    assert columns == [
        ("Name", 0),
        ("Ready", 0),
        ("Status", 0),
        ("Restarts", 0),
        ("Age", 0),
        ("IP", 1),
        ("Node", 1),
        ("Nominated Node", 1),
        ("Readiness Gates", 1),
    ]
    row = reply.body["rows"][0]
    assert row["cells"][:4] in (["p", "0/1", "Pending", "0"], ["p", "0/1", "Pending", 0])
    assert row["object"]["kind"] == "PartialObjectMetadata"


async def collect(api: Api, query: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with api.watch(f"{api.ns}/secrets?watch=true&{query}") as events:
        async for event in events:
            found.append(event)
            if len(found) == count:
                break
    return found


def short(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def test_a_watch_resumes_where_it_is_told(api: Api) -> None:
    first = await make(api, "a")
    await make(api, "b")
    await api.merge(f"{api.ns}/secrets/a", {"metadata": {"labels": {"x": "y"}}})
    await api.delete(f"{api.ns}/secrets/b")
    events = await collect(api, f"resourceVersion={first['metadata']['resourceVersion']}", 3)
    assert short(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert versions == sorted(set(versions))


async def test_a_watch_without_version_starts_with_what_is_there(api: Api) -> None:
    await make(api, "a")
    task = asyncio.create_task(collect(api, "", 2))
    await asyncio.sleep(0.05)
    await make(api, "b")
    assert short(await task) == [("ADDED", "a"), ("ADDED", "b")]


async def test_objects_enter_and_leave_a_selection(api: Api) -> None:
    first = await make(api, "a", colour="blue")
    for colour in ("red", "blue"):
        await api.merge(f"{api.ns}/secrets/a", {"metadata": {"labels": {"colour": colour}}})
    version = first["metadata"]["resourceVersion"]
    events = await collect(api, f"labelSelector=colour%3Dred&resourceVersion={version}", 2)
    assert short(events) == [("ADDED", "a"), ("DELETED", "a")]
    assert events[1]["object"]["metadata"]["labels"] == {"colour": "red"}
    assert int(events[1]["object"]["metadata"]["resourceVersion"]) > int(
        events[0]["object"]["metadata"]["resourceVersion"]
    )


async def test_a_streaming_list_ends_with_its_bookmark(api: Api) -> None:
    await make(api, "a")
    query = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    events = await collect(api, query, 2)
    assert short(events) == [("ADDED", "a"), ("BOOKMARK", "")]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert events[1]["object"]["kind"] == "Secret"
    refused = await api.get(f"{api.ns}/secrets?watch=true&sendInitialEvents=true")
    assert (refused.status, refused.fields) == (422, ["resourceVersionMatch"])


async def test_a_watch_ends_when_its_time_is_up(api: Api) -> None:
    async with api.watch(f"{api.ns}/secrets?watch=true&timeoutSeconds=1") as events:
        assert [event async for event in events] == []


async def test_one_object_can_be_watched(api: Api) -> None:
    await make(api, "a")
    await make(api, "b")
    async with api.watch(f"{api.ns}/secrets?watch=true&fieldSelector=metadata.name=b") as events:
        assert short([await anext(events)]) == [("ADDED", "b")]


async def test_events_have_two_spellings(api: Api) -> None:
    event = {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "type": "Warning",
        "reason": "FailedScheduling",
        "action": "Scheduling",
        "reportingController": "kai-scheduler",
        "reportingInstance": "x",
        "note": "no room",
        "regarding": {"kind": "Pod", "namespace": api.namespace, "name": "p"},
    }
    path = f"{api.in_group('events.k8s.io/v1')}/events"
    made = await api.post(path, event)
    assert (made.status, made.body["note"], made.body["regarding"]["name"]) == (201, "no room", "p")
    core = (await api.get(f"{api.ns}/events/e")).body
    assert (core["apiVersion"], core["message"], core["involvedObject"]["name"]) == ("v1", "no room", "p")
    assert names(await api.get(f"{api.ns}/events?fieldSelector=involvedObject.name=p")) == ["e"]
    for field in ("eventTime", "reportingController"):
        missing = await api.post(path, event | {"metadata": {"name": "f"}, field: None})
        assert (missing.status, set(missing.fields)) == (422, {field})
    other = {"metadata": {"name": "g"}, "involvedObject": {"kind": "Pod", "namespace": "elsewhere", "name": "p"}}
    refused = await api.post(f"{api.ns}/events", other)
    assert (refused.status, refused.fields) == (422, ["involvedObject.namespace"])
