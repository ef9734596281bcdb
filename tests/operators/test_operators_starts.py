"""Pods that start together: all their claims first, then their bindings; or all the way back."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from kai_py.api.decode import convert
from kai_py.api.resource import ResourceClaim
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import Bind
from kai_py.errors import ConflictError, ForbiddenError
from kai_py.kube.pods import Outcome, Result
from tests.cluster.test_cluster_claims import NOW, filled
from tests.planning.builders import podgroup
from tests.planning.test_planning_claims import claim, user


class Claims:
    """The claims on the server; some cannot be written. ``shows`` tells the watch's audience about each write."""

    def __init__(self, did):
        self.did = did
        self.refuses = {}
        self.version = 100

    async def protect(self, seen, _annotations):
        return self._answer("protect", seen, seen.status)

    async def allocate(self, seen, allocation, consumers):
        return self._answer("allocate", seen, replace(seen.status, allocation=allocation, reserved_for=(*consumers,)))

    async def reserve(self, seen, consumers):
        reserved = (*seen.status.reserved_for, *consumers)
        return self._answer("reserve", seen, replace(seen.status, reserved_for=reserved))

    async def give_back(self, seen, _kept, *, free):
        return self._answer("free" if free else "keep", seen, replace(seen.status, allocation=None, reserved_for=()))

    async def publish_takes(self, pod, takes):
        said = {one.resource_claim_name: (one.containers, dict(one.resources)) for one in takes}
        self.did.append(("told", pod.name, said))
        if ("told", pod.name) in self.refuses and takes:
            raise self.refuses["told", pod.name]

    def _answer(self, what, seen, status):
        name = seen.metadata.name
        self.did.append((what, name))
        if (what, name) in self.refuses:
            raise self.refuses[what, name]
        self.version += 1
        annotations = {"kai.scheduler/allocated": "kai-scheduler 2027-01-15T08:00:00Z"}
        meta = replace(seen.metadata, resource_version=str(self.version), annotations=annotations)
        return replace(seen, metadata=meta, status=status)


class Server:
    """Answers every binding."""

    def __init__(self):
        self.did = []
        self.claims = Claims(self.did)
        self.result = Result(Outcome.BOUND)
        self.node = ""

    async def node_of(self, *_pod):
        return self.node

    async def bind(self, _namespace, name, _uid, _node, _annotations=None):
        self.did.append(("bind", name))
        return self.result


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def store():
    pods = [user(name, f"{name}-c", group="g") for name in ("a", "b")]
    return filled(podgroup("g", 2), *pods, claim("a-c"), claim("b-c"))


def decided(store):
    return [one for one in run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions if isinstance(one, Bind)]


async def settled():
    for _ in range(50):
        await asyncio.sleep(0)


def show(store, dispatcher, *names):
    """The watch shows what was written."""
    for name in names:
        store.claims.put(store.claims.objects.by_name["default", name])
    dispatcher.starts.look([("default", name) for name in names])


async def test_nobody_is_bound_before_all_claims_are_written_and_shown(store, server, dispatcher):
    assert dispatcher.submit(decided(store)) == 2
    await settled()
    assert sorted(server.did) == [(what, name) for what in ("allocate", "protect") for name in ("a-c", "b-c")]
    show(store, dispatcher, "a-c")
    await settled()
    assert len(server.did) == 4
    show(store, dispatcher, "b-c")
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert sorted(server.did[4:]) == [("bind", "a"), ("bind", "b")]


async def test_one_claim_that_is_refused_takes_all_back(store, server, dispatcher, told):
    server.claims.refuses["allocate", "b-c"] = ForbiddenError("no", status=403)
    dispatcher.submit(decided(store))
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert ("free", "a-c") in server.did
    assert not [name for what, name in server.did if what == "bind"]
    assert {pod for pod, _ in told} == {"default/a", "default/b"}
    assert all("default/b-c: we are not allowed to" in why for _, why in told)
    assert store.claims.objects.devices(("default", "a-c")) is None
    assert store.claims.objects.devices(("default", "b-c")) is None
    assert len(store.assumptions) == 0


async def test_a_pod_that_cannot_be_bound_gives_its_claim_back_before_it_is_tried_again(store, server, dispatcher):
    server.result = Result(Outcome.CONFLICT, "it is on another node")
    dispatcher.submit(decided(store))
    await settled()
    show(store, dispatcher, "a-c", "b-c")
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert {("free", "a-c"), ("free", "b-c")} <= set(server.did)
    assert store.claims.objects.devices(("default", "a-c")) is None


async def test_a_pod_that_was_bound_by_a_try_whose_answer_was_lost_keeps_its_claim(store, server, dispatcher):
    server.result, server.node = Result(Outcome.NOT_FOUND, "so it says"), "n1"
    dispatcher.submit(decided(store))
    await settled()
    show(store, dispatcher, "a-c", "b-c")
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert not [name for what, name in server.did if what == "free"]


async def test_a_pod_that_goes_while_its_claims_are_written_takes_all_back(store, server, dispatcher):
    dispatcher.submit(decided(store))
    await settled()
    store.drop_pod(store.pod_key("default/a"))
    show(store, dispatcher, "a-c", "b-c")
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert {("free", "a-c"), ("free", "b-c")} <= set(server.did)
    assert not [name for what, name in server.did if what == "bind"]


async def test_a_claim_that_changes_between_the_snapshot_and_its_decisions_is_decided_about_anew(
    store, server, dispatcher
):
    decisions = decided(store)
    bare = store.claims.objects.by_name["default", "b-c"]
    results = [{"request": "gpu", "driver": "d", "pool": "elsewhere", "device": "x"}]
    status = {"allocation": {"devices": {"results": results}}}
    store.claims.put(replace(bare, status=convert(ResourceClaim, {"metadata": {"name": "c"}, "status": status}).status))
    assert dispatcher.submit(decisions) == 0
    await settled()
    assert server.did == []


async def test_a_claim_that_cannot_be_given_back_now_stops_nobody(store, server, dispatcher, told):
    server.claims.refuses["allocate", "b-c"] = ForbiddenError("no", status=403)
    server.claims.refuses["free", "a-c"] = ForbiddenError("no", status=403)
    dispatcher.submit(decided(store))
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert len(told) == 2
    assert len(store.assumptions) == 0
    assert list(store.claims.unused(lambda _key: True)) == [("default", "a-c")]


async def test_a_conflict_of_one_claim_is_no_reason_to_stop(store, server, dispatcher):
    errors = [ConflictError("modified", status=409)]

    async def read(namespace, name):
        return store.claims.objects.by_name[namespace, name]

    async def once(seen, _annotations, protect=server.claims.protect):
        if errors:
            raise errors.pop()
        return await protect(seen, _annotations)

    server.claims.read, server.claims.protect = read, once
    dispatcher.submit(decided(store))
    await settled()
    show(store, dispatcher, "a-c", "b-c")
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert sorted(server.did[-2:]) == [("bind", "a"), ("bind", "b")]
