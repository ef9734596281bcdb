"""The whole door against the embedded API server: what the scripted tests assume, a server really does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from scripted_server import Waits, until

from kai_py.api.meta import PartialObject
from kai_py.api.pod import Pod
from kai_py.errors import ConflictError, LeaseLostError, NotFoundError
from kai_py.kube.client import ApiClient, connect
from kai_py.kube.election import Leadership
from kai_py.kube.pods import Outcome, PodCondition
from kai_py.kube.recorder import EventRecorder, Reference
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.writer import Writer
from kai_py.minicluster.cluster import MiniCluster

PODS = ResourceKind("", "v1", "pods", Pod)
NAMESPACES = ResourceKind("", "v1", "namespaces", PartialObject, namespaced=False)


@pytest.fixture
async def cluster() -> AsyncIterator[MiniCluster]:
    async with MiniCluster() as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: MiniCluster, tmp_path: Path) -> AsyncIterator[ApiClient]:
    path = tmp_path / "mini"
    cluster.write_kubeconfig(path)
    async with await connect(str(path)) as client:
        yield client


@pytest.fixture
def writer(client: ApiClient) -> Writer:
    return Writer(client, lambda: None)


class Names:
    """Which pods there are, and on which nodes."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}

    def replace(self, _resource: object, objects: Any, _unreadable: object) -> None:
        self.nodes = {pod.metadata.name: pod.spec.node_name for pod in objects}

    def apply(self, _resource: object, events: Any) -> None:
        for kind, pod in events:
            if kind == "DELETED":
                del self.nodes[pod.metadata.name]
            else:
                self.nodes[pod.metadata.name] = pod.spec.node_name


async def make_pod(writer: Writer, name: str, **spec: object) -> str:
    """Create a pod and return its uid."""
    containers = [{"name": "c", "image": "i"}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "default", "name": name}}
    made = await writer.create(
        PODS, {**pod, "spec": {"schedulerName": "kai-scheduler", "containers": containers, **spec}}
    )
    uid: str = json.loads(made)["metadata"]["uid"]
    return uid


async def test_what_happens_to_pods_is_reflected(client: ApiClient, writer: Writer):
    for name in ("a", "b"):
        await make_pod(writer, name)
    names = Names()
    reflector = Reflector(client, PODS, names)
    task = asyncio.create_task(reflector.run())
    await until(lambda: names.nodes == {"a": "", "b": ""})
    uid = await make_pod(writer, "c")
    await writer.bind("default", "c", uid, "node-1")
    await until(lambda: names.nodes == {"a": "", "b": "", "c": "node-1"})
    await writer.delete("default", "c", uid, grace_seconds=0)
    await until(lambda: names.nodes == {"a": "", "b": ""})
    assert reflector.relists == 1
    task.cancel()


async def test_a_pod_is_bound_once(client: ApiClient, writer: Writer):
    uid = await make_pod(writer, "a")
    assert (await writer.bind("default", "a", "other-uid", "n1")).outcome is Outcome.NOT_FOUND
    assert (await writer.bind("default", "a", uid, "n1")).outcome is Outcome.BOUND
    assert (await writer.bind("default", "a", uid, "n1")).outcome is Outcome.ALREADY_BOUND
    assert (await writer.bind("default", "a", uid, "n2")).outcome is Outcome.CONFLICT
    assert (await writer.bind("default", "none", uid, "n2")).outcome is Outcome.NOT_FOUND
    assert (await client.get_object(PODS.path("default", "a")))["spec"]["nodeName"] == "n1"


async def test_a_gated_pod_is_a_conflict(writer: Writer):
    uid = await make_pod(writer, "a", schedulingGates=[{"name": "example.com/wait"}])
    assert (await writer.bind("default", "a", uid, "n1")).outcome is Outcome.CONFLICT


async def test_many_binds_at_once_all_arrive(client: ApiClient, writer: Writer):
    uids = await asyncio.gather(*(make_pod(writer, f"p{i}") for i in range(64)))
    results = await asyncio.gather(*(writer.bind("default", f"p{i}", uid, "n1") for i, uid in enumerate(uids)))
    assert {result.outcome for result in results} == {Outcome.BOUND}


@pytest.mark.parametrize("fault", ["cut", "500"])
async def test_a_bind_whose_answer_is_lost_is_found_done(
    cluster: MiniCluster, client: ApiClient, waits: Waits, fault: str
):
    writer = Writer(client, lambda: None, sleep=waits)
    uid = await make_pod(writer, "a")
    if fault == "cut":
        cluster.faults.cut(verb="POST", path="/binding", after=True)
    else:
        cluster.faults.answer(500, verb="POST", path="/binding", after=True)
    assert (await writer.bind("default", "a", uid, "n1")).outcome is Outcome.ALREADY_BOUND
    assert cluster.faults.pending == 0


async def test_a_reflector_survives_broken_watches_forgotten_history_and_a_restart(
    cluster: MiniCluster, client: ApiClient, waits: Waits
):
    names = Names()
    reflector = Reflector(client, PODS, names, sleep=waits)
    task = asyncio.create_task(reflector.run())
    await until(reflector.synced.is_set)

    def pod(name: str) -> None:
        spec = {"containers": [{"name": "c", "image": "i"}]}
        cluster.storage.create("pods", {"metadata": {"namespace": "default", "name": name}, "spec": spec})

    pod("before")
    await until(lambda: set(names.nodes) == {"before"})
    cluster.faults.break_watches()
    pod("after-break")
    await until(lambda: set(names.nodes) == {"before", "after-break"})
    relists = reflector.relists
    cluster.storage.delete("pods", "before", "default")
    cluster.faults.compact()
    cluster.faults.break_watches()
    await until(lambda: reflector.relists > relists and set(names.nodes) == {"after-break"})
    await cluster.faults.pause()
    await until(lambda: reflector.last_error is not None)
    pod("while-down")
    await cluster.faults.resume()
    await until(lambda: set(names.nodes) == {"after-break", "while-down"})
    assert not task.done()
    task.cancel()


async def test_a_condition_and_a_nomination_are_written_and_cleared(client: ApiClient, writer: Writer):
    uid = await make_pod(writer, "a")
    waiting = PodCondition("PodScheduled", "False", "Unschedulable", "no room", transitioned_at=datetime.now(UTC))
    assert (await writer.patch_condition("default", "a", uid, waiting, nominated_node="n7")).ok
    assert (await writer.patch_condition("default", "a", "other-uid", waiting)).outcome is Outcome.NOT_FOUND
    status = (await client.get_object(PODS.path("default", "a")))["status"]
    [condition] = [c for c in status["conditions"] if c["type"] == "PodScheduled"]
    assert (condition["status"], condition["message"], status["nominatedNodeName"]) == ("False", "no room", "n7")
    await writer.nominate("default", "a", uid, "")
    assert "nominatedNodeName" not in (await client.get_object(PODS.path("default", "a")))["status"]


async def test_deletions_and_evictions_hit_only_the_pod_that_was_meant(writer: Writer):
    uid = await make_pod(writer, "a")
    assert (await writer.delete("default", "a", "other-uid")).outcome is Outcome.NOT_FOUND
    assert (await writer.mark_disruption_target("default", "a", uid, "for b", datetime.now(UTC))).ok
    assert (await writer.evict("default", "a", uid)).ok
    assert (await writer.delete("default", "a", uid)).outcome is Outcome.NOT_FOUND


async def test_an_outdated_object_cannot_be_written(client: ApiClient, writer: Writer):
    path = NAMESPACES.path(name="default")
    outdated = await client.get_object(path)
    await writer.patch_metadata(NAMESPACES, "", "default", labels={"team": "a"})
    with pytest.raises(ConflictError):
        await writer.replace(NAMESPACES, outdated)
    version = outdated["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError):
        await writer.patch_metadata(NAMESPACES, "", "default", labels={"team": "b"}, resource_version=version)
    assert (await client.get_object(path))["metadata"]["labels"]["team"] == "a"


async def test_absence_is_told_apart_from_not_being_served(client: ApiClient):
    with pytest.raises(NotFoundError):
        await client.get(PODS.path("default", "none"))
    assert await client.served("", "v1", "pods")
    assert not await client.served("nobody.example", "v1", "things")


async def test_one_of_two_leads_and_the_other_follows_when_it_leaves(client: ApiClient):
    first, second = (Leadership(client, "kube-system", "kai-py", name) for name in ("first", "second"))
    async with first.held():
        await until(lambda: first.is_leader)
        assert not await second._attempt(within=1)
        with pytest.raises(LeaseLostError):
            second.check()
    async with second.held():
        await until(lambda: second.is_leader)


async def test_an_event_and_its_repetition_arrive(client: ApiClient, writer: Writer):
    pod = Reference("v1", "Pod", "default", "a", await make_pod(writer, "a"))
    recorder = EventRecorder(client, "kai-scheduler", "replica-1")
    task = asyncio.create_task(recorder.run())
    for _ in range(2):
        sent = recorder.sent
        recorder.record(pod, "FailedScheduling", "no room", action="Scheduling", type="Warning")
        await until(lambda sent=sent: recorder.sent > sent)  # type: ignore[misc]  # a lambda's default has no type
    task.cancel()
    [event] = (await client.get_object("/apis/events.k8s.io/v1/namespaces/default/events"))["items"]
    assert (event["reason"], event["series"]["count"]) == ("FailedScheduling", 2)
