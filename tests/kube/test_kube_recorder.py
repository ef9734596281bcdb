from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from scripted_server import ScriptedServer, Waits, hang_up, ok, refusal, until

from kai_py.kube.client import ApiClient
from kai_py.kube.recorder import EventRecorder, Reference, shorten

POD = Reference("v1", "Pod", "ns", "p", "u1")
EVENTS = "/apis/events.k8s.io/v1/namespaces/ns/events"


@contextmanager
def running(recorder: EventRecorder) -> Iterator[asyncio.Task[None]]:
    task = asyncio.create_task(recorder.run())
    try:
        yield task
        assert not task.done()
    finally:
        task.cancel()


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def recorder(client: ApiClient, waits: Waits, now: list[float]) -> EventRecorder:
    return EventRecorder(client, "kai-scheduler", "replica-1", sleep=waits, clock=lambda: now[0])


def fail(recorder: EventRecorder, note: str = "0/4 nodes fit", pod: Reference = POD) -> None:
    recorder.record(pod, "FailedScheduling", note, action="Scheduling", type="Warning")


def made(server: ScriptedServer) -> list[dict[str, Any]]:
    return [asked.body for asked in server.requests("POST")]


async def test_an_event_says_who_did_what_and_why(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", EVENTS, ok(status=201))
    related = Reference("v1", "Node", "", "node-a")
    recorder.record(POD, "Scheduled", "assigned", action="Binding", related=related)
    with running(recorder):
        await until(lambda: recorder.sent == 1)
    [body] = made(server)
    assert body["metadata"].pop("name").startswith("p.")
    assert body.pop("eventTime").endswith("Z")
    assert body == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"namespace": "ns"},
        "reportingController": "kai-scheduler",
        "reportingInstance": "replica-1",
        "type": "Normal",
        "reason": "Scheduled",
        "action": "Binding",
        "note": "assigned",
        "regarding": {"apiVersion": "v1", "kind": "Pod", "namespace": "ns", "name": "p", "uid": "u1"},
        "related": {"apiVersion": "v1", "kind": "Node", "name": "node-a"},
    }


async def test_what_has_no_namespace_is_reported_in_default(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", "/apis/events.k8s.io/v1/namespaces/default/events", ok(status=201))
    fail(recorder, pod=Reference("scheduling.run.ai/v2", "Queue", "", "q"))
    with running(recorder):
        await until(lambda: recorder.sent == 1)
    [body] = made(server)
    assert body["metadata"]["namespace"] == "default"
    assert body["regarding"] == {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "name": "q"}


async def test_repetitions_that_wait_are_one_event_with_a_count(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", EVENTS, ok(status=201))
    for _ in range(5):
        fail(recorder)
    with running(recorder):
        await until(lambda: recorder.sent == 1)
    assert [body["series"]["count"] for body in made(server)] == [5]


async def test_a_repetition_of_what_was_sent_updates_its_series(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", EVENTS, ok(status=201))
    with running(recorder):
        fail(recorder)
        await until(lambda: recorder.sent == 1)
        name = made(server)[0]["metadata"]["name"]
        server.on("PATCH", f"{EVENTS}/{name}", ok())
        fail(recorder)
        await until(lambda: recorder.sent == 2)
    [patch] = server.requests("PATCH", name)
    assert patch.body["series"]["count"] == 2
    assert set(patch.body) == {"series"}


async def test_an_event_that_the_server_has_forgotten_is_made_anew(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", EVENTS, ok(status=201))
    with running(recorder):
        fail(recorder)
        await until(lambda: recorder.sent == 1)
        fail(recorder)
        await until(lambda: recorder.sent == 2)
    assert [body.get("series", {}).get("count") for body in made(server)] == [None, 2]


async def test_other_reasons_notes_and_objects_are_other_events(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", EVENTS, ok(status=201))
    fail(recorder)
    fail(recorder, note="quota exceeded")
    fail(recorder, pod=Reference("v1", "Pod", "ns", "p", "u2"))
    recorder.record(POD, "GangNotReady", "0/4 nodes fit", action="Scheduling", type="Warning")
    with running(recorder):
        await until(lambda: recorder.sent == 4)
    assert [(body["reason"], body["note"], body["regarding"]["uid"]) for body in made(server)] == [
        ("FailedScheduling", "0/4 nodes fit", "u1"),
        ("FailedScheduling", "quota exceeded", "u1"),
        ("FailedScheduling", "0/4 nodes fit", "u2"),
        ("GangNotReady", "0/4 nodes fit", "u1"),
    ]


async def test_after_the_window_a_repetition_is_a_new_event(
    server: ScriptedServer, recorder: EventRecorder, now: list[float]
):
    server.on("POST", EVENTS, ok(status=201))
    with running(recorder):
        fail(recorder)
        await until(lambda: recorder.sent == 1)
        now[0] = 601.0
        fail(recorder)
        await until(lambda: recorder.sent == 2)
    assert all("series" not in body for body in made(server))


async def test_too_many_events_drop_the_oldest(server: ScriptedServer, client: ApiClient, waits: Waits):
    server.on("POST", EVENTS, ok(status=201))
    recorder = EventRecorder(client, "c", "i", capacity=3, sleep=waits)
    for index in range(10):
        fail(recorder, note=f"{index}")
    assert (recorder.backlog, recorder.dropped) == (3, 7)
    with running(recorder):
        await until(lambda: recorder.sent == 3)
    assert [body["note"] for body in made(server)] == ["7", "8", "9"]


async def test_events_give_way_to_decisions_and_do_not_stop(
    server: ScriptedServer, recorder: EventRecorder, waits: Waits
):
    server.on("POST", EVENTS, ok(status=201))
    crowds = [True, False, True]
    for number in range(3):
        fail(recorder, pod=Reference("v1", "Pod", "ns", f"p{number}", f"u{number}"))
    task = asyncio.create_task(recorder.run(lambda: crowds.pop(0)))
    await until(lambda: recorder.sent == 3)
    assert waits.seconds == [0.2, 0.2]
    task.cancel()


async def test_the_rate_is_limited_after_a_burst(server: ScriptedServer, client: ApiClient, waits: Waits):
    server.on("POST", EVENTS, ok(status=201))
    recorder = EventRecorder(client, "c", "i", per_second=10, burst=2, sleep=waits, clock=lambda: 0.0)
    for index in range(4):
        fail(recorder, note=f"{index}")
    with running(recorder):
        await until(lambda: recorder.sent == 4)
    assert waits.seconds == pytest.approx([0.1, 0.2])


async def test_a_server_that_is_away_gets_the_event_later(
    server: ScriptedServer, recorder: EventRecorder, waits: Waits
):
    server.on("POST", EVENTS, hang_up, refusal(429, Retry_After="9"), ok(status=201))
    fail(recorder)
    with running(recorder):
        await until(lambda: recorder.sent == 1)
    assert waits.seconds[1] == 9.0


async def test_an_event_that_is_tried_again_keeps_its_place(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", EVENTS, refusal(500), ok(status=201))
    for note in ("first", "second"):
        fail(recorder, note=note)
    with running(recorder):
        await until(lambda: recorder.sent == 2)
    assert [body["note"] for body in made(server)] == ["first", "first", "second"]


async def test_an_event_is_not_tried_for_ever(server: ScriptedServer, recorder: EventRecorder):
    server.on("POST", EVENTS, refusal(500))
    fail(recorder)
    with running(recorder):
        await until(lambda: recorder.failed == 1)
    assert len(server.asked) == 3
    assert recorder.backlog == 0


async def test_an_event_that_is_refused_is_dropped_and_the_next_is_sent(
    server: ScriptedServer, recorder: EventRecorder
):
    server.on("POST", EVENTS, refusal(403, "namespace is being terminated"), ok(status=201))
    fail(recorder)
    fail(recorder, note="another")
    with running(recorder):
        await until(lambda: recorder.sent == 1)
    assert recorder.failed == 1


@pytest.mark.parametrize("note", ["short", "ü" * 512, "ü" * 513, "a" + "€" * 500, "x" * 5000, "lone \udc00"])
def test_a_note_is_valid_and_no_longer_than_allowed(note: str):
    cut = shorten(note)
    assert len(cut.encode()) <= 1024
    assert cut == note or cut.endswith("…") or "?" in cut
