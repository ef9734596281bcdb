"""What the client and the reflectors tell whoever counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Answer, ScriptedServer, Waits, event, hang_up, kubeconfig_text, ok, refusal, stream, until

from kai_py.api.meta import ObjectMeta, Record
from kai_py.errors import ApiError, LeaseLostError
from kai_py.kube.client import ApiClient, connect
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import read_events


class Thing(Record, frozen=True):
    metadata: ObjectMeta
    size: int = 0


THINGS = ResourceKind("example.com", "v1", "things", Thing)
PATH = "/apis/example.com/v1/things"
STAY = stream(then="stay")


def thing(name: str, version: int = 1, size: object = 0) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version)}, "size": size}


def page(*things: dict[str, Any], version: int = 10) -> Answer:
    return ok({"metadata": {"resourceVersion": str(version)}, "items": list(things)})


class Notes:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, int]] = []
        self.timed: list[bool] = []
        self.restarts: list[tuple[str, str]] = []

    def answered(self, method: str, status: int, seconds: float | None) -> None:
        self.answers.append((method, status))
        self.timed.append(seconds is not None and seconds > 0)

    def restarted(self, kind: str, cause: str) -> None:
        self.restarts.append((kind, cause))


class Sink:
    def replace(self, *_: object) -> None:
        pass

    def apply(self, *_: object) -> None:
        pass


@pytest.fixture
def notes(client: ApiClient) -> Notes:
    client.observer = Notes()
    return client.observer


@asynccontextmanager
async def running(reflector: Reflector[Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(reflector.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_every_answer_is_told_with_its_status_and_time(server: ScriptedServer, client: ApiClient, notes: Notes):
    server.on("GET", "/x", ok({}), refusal(404), refusal(503), hang_up)
    server.on("POST", "/x", ok({}, status=201))
    await client.get("/x")
    for _ in range(3):
        with pytest.raises(ApiError):
            await client.get("/x")
    await client.post("/x", {})
    assert notes.answers == [("GET", 200), ("GET", 404), ("GET", 503), ("GET", 0), ("POST", 200)]
    assert all(notes.timed)


async def test_what_was_not_sent_is_not_told(server: ScriptedServer, client: ApiClient, notes: Notes):
    def closed() -> None:
        raise LeaseLostError("not the leader")

    with pytest.raises(LeaseLostError):
        await client.request("POST", "/x", body={}, fence=closed)
    assert (notes.answers, server.asked) == ([], [])


async def test_requests_through_a_proxy_are_told_too(server: ScriptedServer, tmp_path: Path):
    path = tmp_path / "through-proxy"
    path.write_text(kubeconfig_text("http://api.example.com", {"token": "t"}, {"proxy-url": server.url}))
    notes = Notes()
    server.on("GET", "/x", ok({}), refusal(409))
    async with await connect(str(path), observer=notes) as client:
        await client.get("/x")
        with pytest.raises(ApiError):
            await client.get("/x")
    assert notes.answers == [("GET", 200), ("GET", 409)]


async def test_each_end_of_a_watch_is_told_with_its_cause(
    server: ScriptedServer, client: ApiClient, notes: Notes, waits: Waits
):
    gone = event("ERROR", {"kind": "Status", "code": 410, "message": "too old"})
    server.on("GET", PATH, page(thing("a")))
    one = stream(event("ADDED", thing("b", 11)))
    broken = stream(event("ADDED", thing("c", 12)), then="break")
    server.on("WATCH", PATH, one, stream(), refusal(410), stream(gone), refusal(429), refusal(500), broken, STAY)
    reflector = Reflector(client, THINGS, Sink(), sleep=waits)
    async with running(reflector):
        await until(lambda: notes.answers.count(("WATCH", 200)) == 5)
    causes = ["ended", "empty", "Gone", "Gone", "Throttled", "Unavailable", "Unavailable"]
    assert notes.restarts == [("things.example.com", cause) for cause in causes]
    assert [status for method, status in notes.answers if method == "WATCH"] == [200, 200, 410, 200, 429, 500, 200, 200]


async def test_looking_for_an_absent_kind_is_no_restart(
    server: ScriptedServer, client: ApiClient, notes: Notes, waits: Waits
):
    reflector = Reflector(client, THINGS, Sink(), optional=True, sleep=waits)
    async with running(reflector):
        await until(lambda: len(waits.seconds) > 3)
    assert len(notes.restarts) <= 1


async def test_what_cannot_be_read_is_counted_until_it_can_or_is_gone(
    server: ScriptedServer, client: ApiClient, waits: Waits
):
    seen: list[set[str]] = []

    class Watching(Sink):
        def apply(self, *_: object) -> None:
            seen.append({name for _, name in reflector.unreadable})

    steps = [
        event("MODIFIED", thing("b", 11, "huge")),
        event("MODIFIED", thing("a", 12)),
        event("DELETED", thing("b", 13, "huge")),
        event("ADDED", thing("c", 14, "huge")) + event("MODIFIED", thing("c", 15)),
        event("ADDED", thing("d", 16)) + event("MODIFIED", thing("d", 17, "huge")),
    ]
    marks = [event("ADDED", thing(f"mark-{n}", 20 + n)) for n in range(len(steps))]
    server.on("GET", PATH, page(thing("a", 9, "huge"), thing("b")), page(thing("d")))
    pieces = [piece for pair in zip(steps, marks, strict=True) for piece in pair]
    server.on("WATCH", PATH, stream(*pieces), refusal(410), STAY)
    reflector = Reflector(client, THINGS, Watching(), sleep=waits)
    async with running(reflector):
        await until(lambda: reflector.relists == 2)
        assert reflector.unreadable == set()
    changes = [now for before, now in zip([None, *seen], seen, strict=False) if now != before]
    assert changes[0] >= {"a"}
    assert {"a", "b"} in changes
    assert changes[-1] == {"d"}
    assert not any("c" in names for names in seen)


def test_a_batch_names_what_its_last_event_left_unreadable():
    def line(kind: str, obj: object) -> bytes:
        return json.dumps({"type": kind, "object": obj}).encode()

    lines = [
        line("ADDED", thing("mended", 1, "huge")),
        line("MODIFIED", thing("mended", 2)),
        line("MODIFIED", thing("spoilt", 3)),
        line("MODIFIED", thing("spoilt", 4, "huge")),
        line("DELETED", thing("gone", 5, "huge")),
    ]
    batch = read_events(Thing, lines, lambda *_: None)
    assert batch.unreadable == {("ns", "spoilt"): True, ("ns", "gone"): False}
