from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from scripted_server import Answer, ScriptedServer, Waits, hang_up, kubeconfig_text, ok, refusal, until

from kai_py.api.meta import PartialObject
from kai_py.errors import ConflictError, InvalidError, LeaseLostError, NotFoundError, ThrottledError, UnavailableError
from kai_py.kube.client import ApiClient, connect
from kai_py.kube.pods import Outcome, PodCondition, Result
from kai_py.kube.resource import ResourceKind
from kai_py.kube.writer import Writer

QUEUES = ResourceKind("scheduling.run.ai", "v2", "queues", PartialObject, namespaced=False)
CLAIMS = ResourceKind("resource.k8s.io", "v1", "resourceclaims", PartialObject)
POD = "/api/v1/namespaces/ns/pods/p"
NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def writer(client: ApiClient, waits: Waits) -> Writer:
    return Writer(client, lambda: None, sleep=waits)


def pod(node: str = "", uid: str = "u1") -> Answer:
    return ok({"metadata": {"name": "p", "uid": uid}, "spec": {"nodeName": node} if node else {}})


async def bind(writer: Writer) -> Result:
    return await writer.bind("ns", "p", "u1", "node-a")


async def test_a_bind_is_one_small_request(server: ScriptedServer, writer: Writer):
    server.on("POST", f"{POD}/binding", ok(status=201))
    assert (await bind(writer)).outcome is Outcome.BOUND
    [asked] = server.asked
    assert asked.body == {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p", "uid": "u1"},
        "target": {"kind": "Node", "name": "node-a"},
    }


async def test_a_bind_may_annotate_the_pod(server: ScriptedServer, writer: Writer):
    server.on("POST", f"{POD}/binding", ok(status=201))
    assert (await writer.bind("ns", "p", "u1", "node-a", {"zones": "0"})).outcome is Outcome.BOUND
    [asked] = server.asked
    assert asked.body["metadata"] == {"name": "p", "uid": "u1", "annotations": {"zones": "0"}}


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (pod(node="node-a"), Outcome.ALREADY_BOUND),
        (pod(node="node-b"), Outcome.CONFLICT),
        (pod(node=""), Outcome.CONFLICT),
        (pod(node="node-a", uid="u2"), Outcome.NOT_FOUND),
        (refusal(404), Outcome.NOT_FOUND),
    ],
    ids=["same node", "other node", "gated or deleted", "made again", "gone"],
)
async def test_a_bind_that_meets_a_conflict_looks_at_the_pod(
    server: ScriptedServer, writer: Writer, found: Answer, outcome: Outcome
):
    server.on("POST", f"{POD}/binding", refusal(409, "already assigned"))
    server.on("GET", POD, found)
    result = await bind(writer)
    assert result.outcome is outcome
    assert result.ok is (outcome is Outcome.ALREADY_BOUND)
    assert len(server.requests("POST")) == 1


async def test_a_pod_that_is_gone_cannot_be_bound(server: ScriptedServer, writer: Writer):
    server.on("POST", f"{POD}/binding", refusal(404))
    assert (await bind(writer)).outcome is Outcome.NOT_FOUND


@pytest.mark.parametrize("lost", [hang_up, refusal(500), refusal(504)])
async def test_a_bind_whose_answer_was_lost_is_a_success(
    server: ScriptedServer, writer: Writer, waits: Waits, lost: Answer
):
    server.on("POST", f"{POD}/binding", lost, refusal(409, "already assigned"))
    server.on("GET", POD, pod(node="node-a"))
    assert (await bind(writer)).outcome is Outcome.ALREADY_BOUND
    assert len(waits.seconds) == 1


async def test_a_throttled_bind_waits_as_long_as_it_is_told(server: ScriptedServer, writer: Writer, waits: Waits):
    server.on("POST", f"{POD}/binding", refusal(429, Retry_After="3"), ok(status=201))
    assert (await bind(writer)).ok
    assert 3 < waits.seconds[0] < 4


async def test_a_wait_that_is_too_long_is_the_callers_business(server: ScriptedServer, writer: Writer, waits: Waits):
    server.on("POST", f"{POD}/binding", refusal(429, Retry_After="300"))
    with pytest.raises(ThrottledError):
        await bind(writer)
    assert waits.seconds == []


async def test_a_server_that_stays_away_is_given_up(server: ScriptedServer, writer: Writer, waits: Waits):
    server.on("POST", f"{POD}/binding", refusal(503))
    with pytest.raises(UnavailableError):
        await bind(writer)
    assert len(server.asked) == 6
    assert len(waits.seconds) == 5


async def test_an_invalid_bind_is_not_repeated(server: ScriptedServer, writer: Writer):
    server.on("POST", f"{POD}/binding", refusal(422))
    with pytest.raises(InvalidError):
        await bind(writer)
    assert len(server.asked) == 1


async def test_nothing_is_sent_without_the_lease(server: ScriptedServer, client: ApiClient):
    def closed() -> None:
        raise LeaseLostError("not ours")

    writer = Writer(client, closed)
    for write in (
        bind(writer),
        writer.delete("ns", "p", "u1"),
        writer.create(QUEUES, {"metadata": {"name": "q"}}),
        writer.patch_status(QUEUES, "", "q", {}),
        writer.replace(QUEUES, {"metadata": {"name": "q"}}),
    ):
        with pytest.raises(LeaseLostError):
            await write
    assert server.asked == []


async def test_a_lease_lost_between_two_tries_stops_the_second(server: ScriptedServer, client: ApiClient, waits: Waits):
    def open_once() -> None:
        if server.asked:
            raise LeaseLostError("not ours any more")

    server.on("POST", f"{POD}/binding", refusal(503))
    with pytest.raises(LeaseLostError):
        await bind(Writer(client, open_once, sleep=waits))
    assert len(server.asked) == 1


async def test_a_lease_lost_while_a_write_waits_for_its_turn_stops_it(server: ScriptedServer, tmp_path: Path):
    answered = asyncio.Event()
    leading = True

    def fence() -> None:
        if not leading:
            raise LeaseLostError("not ours any more")

    async def slow(request: web.Request) -> web.StreamResponse:
        await answered.wait()
        return web.json_response({}, status=201)

    server.on("POST", f"{POD}/binding", slow)
    path = tmp_path / "config"
    path.write_text(kubeconfig_text(server.url))
    async with await connect(str(path), max_requests=1) as client:
        writer = Writer(client, fence)
        first, second = asyncio.create_task(bind(writer)), asyncio.create_task(bind(writer))
        await until(lambda: len(server.asked) == 1)
        leading = False
        answered.set()
        assert (await first).ok
        with pytest.raises(LeaseLostError):
            await second
    assert len(server.asked) == 1


async def test_a_lease_lost_while_credentials_are_renewed_stops_the_write(server: ScriptedServer, client: ApiClient):
    def open_once() -> None:
        if server.asked:
            raise LeaseLostError("not ours any more")

    server.on("POST", f"{POD}/binding", refusal(401))
    with pytest.raises(LeaseLostError):
        await bind(Writer(client, open_once))
    assert len(server.asked) == 1


async def test_a_condition_is_a_strategic_merge_guarded_by_the_uid(server: ScriptedServer, writer: Writer):
    server.on("PATCH", f"{POD}/status", ok())
    waiting = PodCondition("PodScheduled", "False", "Unschedulable", "no room", observed_generation=3)
    assert (await writer.patch_condition("ns", "p", "u1", waiting, nominated_node="node-a")).ok
    [asked] = server.asked
    assert asked.headers["Content-Type"] == "application/strategic-merge-patch+json"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    assert asked.body == {
        "metadata": {"uid": "u1"},
        "status": {"conditions": [condition | {"observedGeneration": 3}], "nominatedNodeName": "node-a"},
    }


async def test_a_nomination_is_left_alone_or_cleared(server: ScriptedServer, writer: Writer):
    server.on("PATCH", f"{POD}/status", ok())
    waiting = PodCondition("PodScheduled", "False", "Unschedulable", "no room", transitioned_at=NOW)
    await writer.patch_condition("ns", "p", "u1", waiting)
    await writer.nominate("ns", "p", "u1", "")
    left, cleared = (asked.body["status"] for asked in server.asked)
    assert "nominatedNodeName" not in left
    assert left["conditions"][0]["lastTransitionTime"] == "2026-05-04T03:02:01Z"
    assert cleared == {"nominatedNodeName": None}


async def test_a_victim_is_marked_as_kube_scheduler_does(server: ScriptedServer, writer: Writer):
    server.on("PATCH", f"{POD}/status", ok())
    await writer.mark_disruption_target("ns", "p", "u1", "for ns/q", NOW)
    [condition] = server.asked[0].body["status"]["conditions"]
    assert condition["type"] == "DisruptionTarget"
    assert condition["reason"] == "PreemptionByScheduler"


async def test_a_delete_hits_the_pod_that_was_meant(server: ScriptedServer, writer: Writer):
    server.on("DELETE", POD, ok(), ok(), refusal(409, "Precondition failed: UID in precondition"), refusal(404))
    assert (await writer.delete("ns", "p", "u1")).outcome is Outcome.APPLIED
    assert (await writer.delete("ns", "p", "u1", grace_seconds=0)).outcome is Outcome.APPLIED
    assert (await writer.delete("ns", "p", "u1")).outcome is Outcome.NOT_FOUND
    assert (await writer.delete("ns", "p", "u1")).outcome is Outcome.NOT_FOUND
    assert server.asked[0].body == {"preconditions": {"uid": "u1"}}
    assert server.asked[1].body == {"preconditions": {"uid": "u1"}, "gracePeriodSeconds": 0}


BUDGET = [{"reason": "DisruptionBudget", "message": "The disruption budget b needs 2 healthy pods"}]


@pytest.mark.parametrize(
    "blocked",
    [refusal(429, causes=BUDGET, Retry_After="10"), refusal(500, "This pod has more than one PodDisruptionBudget")],
)
async def test_an_eviction_that_a_budget_forbids_is_blocked(
    server: ScriptedServer, writer: Writer, waits: Waits, blocked: Answer
):
    server.on("POST", f"{POD}/eviction", blocked)
    assert (await writer.evict("ns", "p", "u1")).outcome is Outcome.BLOCKED
    assert len(server.asked) == 1


async def test_an_eviction_that_is_throttled_is_repeated(server: ScriptedServer, writer: Writer):
    server.on("POST", f"{POD}/eviction", refusal(429), ok(status=201))
    assert (await writer.evict("ns", "p", "u1", grace_seconds=5)).ok
    assert server.asked[0].body["deleteOptions"] == {"preconditions": {"uid": "u1"}, "gracePeriodSeconds": 5}


async def test_a_status_is_merged_and_can_be_guarded(server: ScriptedServer, writer: Writer):
    path = "/apis/scheduling.run.ai/v2/queues/q/status"
    server.on("PATCH", path, ok(), refusal(409))
    await writer.patch_status(QUEUES, "", "q", {"fairShare": 1})
    with pytest.raises(ConflictError):
        await writer.patch_status(QUEUES, "", "q", {"fairShare": 1}, resource_version="7")
    assert server.asked[0].headers["Content-Type"] == "application/merge-patch+json"
    assert server.asked[0].body == {"status": {"fairShare": 1}}
    assert server.asked[1].body == {"status": {"fairShare": 1}, "metadata": {"resourceVersion": "7"}}


async def test_labels_and_annotations_are_set_and_removed(server: ScriptedServer, writer: Writer):
    path = "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims/c"
    server.on("PATCH", path, ok())
    await writer.patch_metadata(CLAIMS, "ns", "c", labels={"a": "b"}, annotations={"x": None}, resource_version="7")
    metadata = {"labels": {"a": "b"}, "annotations": {"x": None}, "resourceVersion": "7"}
    assert server.asked[0].body == {"metadata": metadata}


async def test_what_is_absent_or_in_conflict_is_not_repeated(server: ScriptedServer, writer: Writer):
    server.on("PUT", "/apis/scheduling.run.ai/v2/queues/q", refusal(409), refusal(404))
    with pytest.raises(ConflictError):
        await writer.replace(QUEUES, {"metadata": {"name": "q"}})
    with pytest.raises(NotFoundError):
        await writer.replace(QUEUES, {"metadata": {"name": "q"}})
    assert len(server.asked) == 2


async def test_a_named_object_is_created_again_but_a_generated_one_is_not(server: ScriptedServer, writer: Writer):
    server.on("POST", "/apis/scheduling.run.ai/v2/queues", hang_up, ok({"made": 1}, status=201))
    assert await writer.create(QUEUES, {"metadata": {"name": "q"}}) == b'{"made": 1}'
    server.on("POST", "/apis/scheduling.run.ai/v2/queues", hang_up, ok(status=201))
    with pytest.raises(UnavailableError):
        await writer.create(QUEUES, {"metadata": {"generateName": "q-"}})


async def test_labels_of_a_pod_are_set_and_removed_with_its_uid(server: ScriptedServer, writer: Writer):
    server.on("PATCH", POD, ok())
    assert (await writer.label("ns", "p", "u1", {"device": "x", "old": None})).outcome is Outcome.APPLIED
    [asked] = server.asked
    assert asked.body == {"metadata": {"uid": "u1", "labels": {"device": "x", "old": None}}}
