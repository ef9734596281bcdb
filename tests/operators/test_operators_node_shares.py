"""What pods are told of what their devices take of nodes: before they are bound, and nothing when they are not."""

from __future__ import annotations

import asyncio

import pytest

from kai_py.errors import ForbiddenError
from kai_py.kube.pods import Outcome, Result
from tests.cluster.test_cluster_claims import filled
from tests.operators.test_operators_starts import Server, decided, settled, show
from tests.planning.test_planning_claims import claim, slice_of
from tests.planning.test_planning_node_shares import TAKES, using

SAID = {"a-c": (("main",), {"memory": "100Gi"})}


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def store():
    """A pod whose device takes memory of its node."""
    return filled(slice_of("n1", 4, **TAKES), claim("a-c"), using("a", "a-c"))


async def test_a_pod_is_told_what_its_devices_take_before_it_is_bound(store, server, dispatcher):
    dispatcher.submit(decided(store))
    await settled()
    assert ("told", "a", SAID) in server.did
    assert ("bind", "a") not in server.did
    show(store, dispatcher, "a-c")
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert server.did[-1] == ("bind", "a")
    assert [one for one in server.did if one[0] == "told"] == [("told", "a", SAID)]


async def test_a_pod_that_cannot_be_bound_is_told_nothing_any_more(store, server, dispatcher):
    server.result = Result(Outcome.CONFLICT, "it is on another node")
    dispatcher.submit(decided(store))
    await settled()
    show(store, dispatcher, "a-c")
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert [one for one in server.did if one[0] == "told"] == [("told", "a", SAID), ("told", "a", {})]


async def test_a_pod_that_cannot_be_told_gives_its_claim_back(store, server, dispatcher, told):
    server.claims.refuses["told", "a"] = ForbiddenError("no", status=403)
    dispatcher.submit(decided(store))
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert ("free", "a-c") in server.did
    assert ("bind", "a") not in server.did
    assert "what its devices take of the node is not in the status" in told[0][1]
