from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from aiohttp import web
from scripted_server import Answer, ScriptedServer, Waits, event, hang_up, ok, refusal, stream, until

from kai_py.api.meta import ObjectMeta, PartialObject, Record
from kai_py.errors import InvariantError, NotFoundError, UnavailableError
from kai_py.kube.client import ApiClient
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind


class Thing(Record, frozen=True):
    metadata: ObjectMeta
    size: int = 0


THINGS = ResourceKind("example.com", "v1", "things", Thing)
PATH = "/apis/example.com/v1/things"
STAY = stream(then="stay")


def thing(name: str, version: int = 1, size: object = 0) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version)}, "size": size}


def page(*names: str, version: int = 10, more: str = "") -> Answer:
    items = [thing(name, version) for name in names]
    return ok({"metadata": {"resourceVersion": str(version), "continue": more}, "items": items})


class Memory:
    """A sink as the store is one: what it holds, and what was deleted on the way."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Thing] = {}
        self.deleted: list[str] = []
        self.calls: list[str] = []

    def replace(self, _resource: object, objects: Any, unreadable: Any) -> None:
        self.calls.append("replace")
        fresh = {obj.metadata.key: obj for obj in objects}
        self.deleted += [name for ns, name in self.objects if (ns, name) not in fresh and (ns, name) not in unreadable]
        self.objects = {key: self.objects[key] for key in unreadable if key in self.objects} | fresh

    def apply(self, _resource: object, events: Any) -> None:
        self.calls.append(f"apply {len(events)}")
        for kind, obj in events:
            if kind == "DELETED":
                self.deleted.append(obj.metadata.name)
                del self.objects[obj.metadata.key]
            else:
                self.objects[obj.metadata.key] = obj

    def forget_others(self, _resource: object, uids: Any, unreadable: Any) -> None:
        self.calls.append(f"forget all but {len(uids)}")
        gone = [key for key, obj in self.objects.items() if obj.metadata.uid not in uids and key not in unreadable]
        self.deleted += [self.objects.pop(key).metadata.name for key in gone]

    @property
    def names(self) -> list[str]:
        return sorted(name for _, name in self.objects)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def reflector(client: ApiClient, memory: Memory, waits: Waits) -> Reflector[Thing]:
    return Reflector(client, THINGS, memory, sleep=waits)


@contextmanager
def running(reflector: Reflector[Any]) -> Iterator[asyncio.Task[None]]:
    task = asyncio.create_task(reflector.run())
    try:
        yield task
    finally:
        task.cancel()


def watches(server: ScriptedServer) -> list[str]:
    return [asked.query["resourceVersion"] for asked in server.asked if "watch" in asked.query]


async def test_a_list_of_many_pages_reaches_the_sink_at_once(
    server: ScriptedServer, reflector: Reflector[Thing], memory: Memory
):
    server.on("GET", PATH, page("a", "b", more="2"), page("c", more="3"), page("d", version=11))
    server.on("WATCH", PATH, STAY)
    with running(reflector):
        await until(lambda: bool(watches(server)))
    assert memory.calls == ["replace"]
    assert memory.names == ["a", "b", "c", "d"]
    assert [a.query.get("continue") for a in server.asked[:3]] == [None, "2", "3"]
    assert server.asked[0].query["limit"] == "500"
    assert watches(server) == ["11"]
    assert reflector.synced.is_set()


async def test_a_paged_sink_gets_each_page_as_it_comes_and_then_forgets_the_others(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    def with_uid(*names: str, **more: Any) -> Answer:
        items = [thing(name, 10) for name in names]
        for item in items:
            item["metadata"]["uid"] = f"uid-{item['metadata']['name']}"
        return ok({"metadata": {"resourceVersion": "10", "continue": more.get("token", "")}, "items": items})

    server.on("GET", PATH, with_uid("a", "b", token="2"), with_uid("c"), with_uid("a"))
    server.on("WATCH", PATH, refusal(410), STAY)
    paged = Reflector(client, THINGS, memory, paged=memory, sleep=waits)
    with running(paged):
        await until(lambda: paged.relists == 2)
    assert memory.calls == ["apply 2", "apply 1", "forget all but 3", "apply 1", "forget all but 1"]
    assert memory.names == ["a"]
    assert sorted(memory.deleted) == ["b", "c"]


async def test_events_follow_the_list_in_batches(server: ScriptedServer, reflector: Reflector[Thing], memory: Memory):
    server.on("GET", PATH, page("a"))
    both = event("ADDED", thing("b", 11)) + event("DELETED", thing("a", 12))
    server.on("WATCH", PATH, stream(both, then="stay"))
    with running(reflector):
        await until(lambda: reflector.resource_version == "12")
    assert memory.calls == ["replace", "apply 2"]
    assert memory.names == ["b"]


async def test_a_watch_that_ends_is_resumed_where_it_was(
    server: ScriptedServer, reflector: Reflector[Thing], memory: Memory
):
    server.on("GET", PATH, page("a"))
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "20"}})
    server.on("WATCH", PATH, stream(event("ADDED", thing("b", 11))), stream(bookmark), STAY)
    with running(reflector):
        await until(lambda: len(watches(server)) == 3)
    assert watches(server) == ["10", "11", "20"]
    assert memory.calls == ["replace", "apply 1"]
    assert all(300 <= int(a.query["timeoutSeconds"]) <= 600 for a in server.asked if "watch" in a.query)


async def test_half_a_line_is_forgotten_when_the_connection_breaks(
    server: ScriptedServer, reflector: Reflector[Thing], memory: Memory
):
    server.on("GET", PATH, page("a"))
    whole, cut = event("ADDED", thing("b", 11)), event("ADDED", thing("c", 12))
    server.on("WATCH", PATH, stream(whole + cut[:30], then="break"), stream(cut, then="stay"))
    with running(reflector):
        await until(lambda: reflector.resource_version == "12")
    assert watches(server) == ["10", "11"]
    assert memory.names == ["a", "b", "c"]


async def test_a_line_that_arrives_in_pieces_is_one_event(
    server: ScriptedServer, reflector: Reflector[Thing], memory: Memory
):
    line = event("ADDED", thing("b" * 200_000, 11))
    server.on("GET", PATH, page())
    server.on("WATCH", PATH, stream(line[:7], line[7:100_000], line[100_000:], then="stay"))
    with running(reflector):
        await until(lambda: reflector.resource_version == "11")
    assert memory.names == ["b" * 200_000]


async def test_a_broken_line_is_fetched_again(server: ScriptedServer, reflector: Reflector[Thing], memory: Memory):
    server.on("GET", PATH, page("a"))
    good = event("ADDED", thing("b", 11))
    server.on("WATCH", PATH, stream(good + b"\x00garbage\n"), stream(event("ADDED", thing("c", 12)), then="stay"))
    with running(reflector):
        await until(lambda: reflector.resource_version == "12")
    assert watches(server) == ["10", "11"]
    assert memory.calls == ["replace", "apply 1", "apply 1"]


GONE = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


@pytest.mark.parametrize("gone", [refusal(410), stream(event("ERROR", GONE))], ids=["http", "event"])
async def test_a_forgotten_version_means_listing_again_and_what_vanished_is_deleted(
    server: ScriptedServer, reflector: Reflector[Thing], memory: Memory, waits: Waits, gone: Answer
):
    server.on("GET", PATH, page("a", "b"), page("b", "c", version=30))
    server.on("WATCH", PATH, gone, STAY)
    with running(reflector):
        await until(lambda: len(watches(server)) == 2)
    assert memory.names == ["b", "c"]
    assert memory.deleted == ["a"]
    assert watches(server) == ["10", "30"]
    assert waits.seconds == []


async def test_a_server_that_forgets_at_once_is_not_listed_in_a_tight_loop(
    server: ScriptedServer, reflector: Reflector[Thing], waits: Waits
):
    server.on("GET", PATH, page("a"))
    server.on("WATCH", PATH, refusal(410))
    with running(reflector):
        await until(lambda: reflector.relists >= 6)
    assert len(waits.seconds) >= 4
    assert waits.seconds[3] > waits.seconds[0]


async def test_a_list_that_expires_between_pages_starts_over(
    server: ScriptedServer, reflector: Reflector[Thing], memory: Memory
):
    server.on("GET", PATH, page("a", more="2"), refusal(410), page("b", more="2"), page("c", version=12))
    server.on("WATCH", PATH, STAY)
    with running(reflector):
        await until(lambda: bool(watches(server)))
    assert memory.calls == ["replace"]
    assert memory.names == ["b", "c"]
    assert [a.query.get("continue") for a in server.asked[:4]] == [None, "2", None, "2"]


async def test_a_malformed_object_keeps_what_was_known_of_it(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    reported: list[tuple[str, str]] = []
    reflector = Reflector(
        client, THINGS, memory, sleep=waits, on_malformed=lambda kind, name, _: reported.append((kind, name))
    )
    bad_list = ok({"metadata": {"resourceVersion": "20"}, "items": [thing("a", 19, "huge"), thing("c", 20)]})
    server.on("GET", PATH, page("a", "b"), bad_list)
    bad_event = event("MODIFIED", thing("b", 11, "huge")) + event("ADDED", thing("d", 12))
    server.on("WATCH", PATH, stream(bad_event), refusal(410), STAY)
    with running(reflector):
        await until(lambda: len(watches(server)) == 3)
    assert reported == [("Thing", "ns/b"), ("Thing", "ns/a")]
    assert memory.names == ["a", "c"]
    assert sorted(memory.deleted) == ["b", "d"]


@pytest.mark.parametrize("trouble", [refusal(500), refusal(503), refusal(403), hang_up, ok([])])
async def test_trouble_is_survived_with_longer_and_longer_waits(
    server: ScriptedServer, reflector: Reflector[Thing], memory: Memory, waits: Waits, trouble: Answer
):
    server.on("GET", PATH, trouble, trouble, trouble, trouble, page("a"))
    server.on("WATCH", PATH, trouble, STAY)
    with running(reflector):
        await until(lambda: len(watches(server)) == 2)
    assert memory.names == ["a"]
    for step, seconds in zip((0.5, 1, 2, 4), waits.seconds, strict=False):
        assert step / 2 <= seconds <= step


async def test_a_throttled_watch_waits_as_long_as_it_is_told(
    server: ScriptedServer, reflector: Reflector[Thing], waits: Waits
):
    server.on("GET", PATH, refusal(429, Retry_After="17"), page("a"))
    server.on("WATCH", PATH, STAY)
    with running(reflector):
        await until(reflector.synced.is_set)
    assert waits.seconds == [17.0]


async def test_trouble_can_be_seen_while_it_lasts(server: ScriptedServer, reflector: Reflector[Thing], waits: Waits):
    server.on("GET", PATH, refusal(500))
    with running(reflector):
        await until(lambda: isinstance(reflector.last_error, UnavailableError))
        assert reflector.staleness == float("inf")
        server.on("WATCH", PATH, STAY)
        server.on("GET", PATH, page("a"))
        await until(reflector.synced.is_set)
        assert reflector.last_error is None


async def test_staleness_counts_from_the_last_word_of_the_server(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    now = [100.0]
    reflector = Reflector(client, THINGS, memory, sleep=waits, clock=lambda: now[0])
    server.on("GET", PATH, page("a"))
    server.on("WATCH", PATH, STAY)
    with running(reflector):
        await until(reflector.synced.is_set)
        now[0] = 107.0
        assert reflector.staleness == 7.0


async def test_a_watch_that_ends_at_once_and_empty_is_not_repeated_in_a_tight_loop(
    server: ScriptedServer, reflector: Reflector[Thing], waits: Waits
):
    server.on("GET", PATH, page("a"))
    server.on("WATCH", PATH, stream())
    with running(reflector):
        await until(lambda: len(waits.seconds) >= 3)
    assert reflector.relists == 1
    assert waits.seconds[2] > waits.seconds[0]


async def test_an_optional_kind_counts_as_empty_until_it_is_installed(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    reflector = Reflector(client, THINGS, memory, sleep=waits, optional=True)
    installed = asyncio.Event()

    async def list_when_installed(request: web.Request) -> web.StreamResponse:
        return await (page("a") if installed.is_set() else refusal(404))(request)

    server.on("GET", PATH, list_when_installed)
    server.on("WATCH", PATH, STAY)
    with running(reflector):
        await until(reflector.synced.is_set)
        assert memory.names == []
        assert waits.seconds[0] == 30.0
        installed.set()
        await until(lambda: memory.names == ["a"])


async def test_a_dispensable_kind_that_is_forbidden_counts_as_empty_until_it_is_allowed(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    reflector = Reflector(client, THINGS, memory, sleep=waits, dispensable=True)
    server.on("GET", PATH, refusal(403), refusal(403), refusal(403), page("a"))
    server.on("WATCH", PATH, STAY)
    with structlog.testing.capture_logs() as lines, running(reflector):
        await until(lambda: memory.names == ["a"])
    assert memory.calls == ["replace"] * 4
    assert waits.seconds[:3] == [30.0] * 3
    assert [(line["event"], line["resource"]) for line in lines] == [("watch interrupted", str(THINGS))]


async def test_a_kind_that_is_forbidden_counts_for_nothing_unless_it_is_dispensable(
    server: ScriptedServer, reflector: Reflector[Thing], waits: Waits
):
    server.on("GET", PATH, refusal(403))
    with running(reflector):
        await until(lambda: len(waits.seconds) >= 2)
    assert not reflector.synced.is_set()


async def test_objects_of_a_kind_that_is_uninstalled_are_deleted(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    reflector = Reflector(client, THINGS, memory, sleep=waits, optional=True)
    server.on("GET", PATH, page("a"), refusal(404))
    server.on("WATCH", PATH, refusal(404))
    with running(reflector):
        await until(lambda: memory.deleted == ["a"])
    assert memory.names == []


async def test_a_kind_that_must_be_served_is_not_synced_without(
    server: ScriptedServer, reflector: Reflector[Thing], waits: Waits
):
    with running(reflector):
        await until(lambda: len(waits.seconds) >= 2)
    assert isinstance(reflector.last_error, NotFoundError)
    assert not reflector.synced.is_set()


async def test_a_bug_of_the_sink_is_not_taken_for_trouble_with_the_server(
    server: ScriptedServer, client: ApiClient, waits: Waits
):
    class Broken(Memory):
        def apply(self, _resource: object, _events: Any) -> None:
            raise InvariantError("two pods in one place")

    reflector = Reflector(client, THINGS, Broken(), sleep=waits)
    server.on("GET", PATH, page("a"))
    server.on("WATCH", PATH, stream(event("ADDED", thing("b", 11)), then="stay"))
    with pytest.raises(InvariantError):
        async with asyncio.timeout(5):
            await reflector.run()
    assert reflector.resource_version == "10"


async def test_selectors_namespace_and_metadata_alone_are_asked_for(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    kind = ResourceKind("", "v1", "pods", PartialObject)
    path = "/api/v1/namespaces/ns/pods"
    server.on("GET", path, page("a"))
    server.on("WATCH", path, STAY)
    reflector = Reflector(
        client,
        kind,
        memory,  # type: ignore[arg-type]  # any struct will do
        sleep=waits,
        namespace="ns",
        field_selector="spec.nodeName!=",
        label_selector="app=a",
        metadata_only=True,
    )
    with running(reflector):
        await until(lambda: len(server.asked) == 2)
    for asked in server.asked:
        assert asked.query["fieldSelector"] == "spec.nodeName!="
        assert asked.query["labelSelector"] == "app=a"
        assert "as=PartialObjectMetadata" in asked.headers["Accept"]


async def test_what_a_watch_has_dropped_is_found_by_listing_again_after_a_while(
    server: ScriptedServer, client: ApiClient, memory: Memory, waits: Waits
):
    now = 0.0
    server.on("GET", PATH, page("a", "b"), page("b", "c", version=30))
    server.on("WATCH", PATH, stream(event("BOOKMARK", {"metadata": {"resourceVersion": "20"}})), STAY)
    reflector = Reflector(client, THINGS, memory, sleep=waits, clock=lambda: now)
    with running(reflector):
        await until(lambda: len(watches(server)) == 2)
        assert memory.calls == ["replace"]
    now = 3600.0
    with running(reflector):
        await until(lambda: reflector.relists == 2)
    assert (memory.names, memory.deleted) == (["b", "c"], ["a"])
