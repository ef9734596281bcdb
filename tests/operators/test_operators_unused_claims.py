"""Devices that we allocated and nobody came to use are taken back, once cycles had their chance."""

from __future__ import annotations

import pytest

from kai_py.cluster.decisions import pod_of
from kai_py.core.options import Action
from kai_py.core.result import Bind
from kai_py.errors import ClaimRefusedError, LeaseLostError
from kai_py.operators.unused_claims import UnusedClaims
from tests.cluster.test_cluster_claims import NOW, filled, given
from tests.cluster.test_cluster_pod_group_claims import member, reserved, world
from tests.planning.test_planning_claims import user

WHEN = "2026-01-01T00:00:00Z"


class Keeper:
    """Keeps what was given back."""

    def __init__(self):
        self.gave = []
        self.error = None
        self.nodes = {}

    async def node_of(self, _namespace, name, _uid):
        return self.nodes.get(name, "")

    async def give_back(self, name, uids):
        self.gave.append((name[1], uids))
        if self.error is not None:
            raise self.error


def ours(name, device, *pods):
    one = given(name, device, reserved=[(pod, uid) for pod, uid in pods])
    one["status"]["allocation"]["allocationTimestamp"] = WHEN
    one["metadata"]["annotations"] = {"kai.scheduler/allocated": f"kai-scheduler {WHEN}"}
    return one


@pytest.fixture
def store():
    return filled(user("a", "c"), ours("c", "gpu-0", ("a", "u-4")), ours("idle", "gpu-1"))


@pytest.fixture
def keeper():
    return Keeper()


@pytest.fixture
def woken():
    return []


@pytest.fixture
def unused(store, keeper, woken):
    return UnusedClaims(store, keeper, node_of=keeper.node_of, leading=lambda: True, wake=lambda: woken.append(True))


async def test_only_what_was_unused_the_last_time_too(unused, keeper, woken):
    await unused.sweep()
    assert keeper.gave == []
    await unused.sweep()
    assert sorted(keeper.gave) == [("c", frozenset({"u-4"})), ("idle", frozenset())]
    assert woken


async def test_what_a_pod_on_its_way_will_use_is_left_alone(unused, keeper, store):
    key = store.pod_key("default/a")
    bind = Bind("default/a", key.uid, "n1", "default/a", Action.ALLOCATE)
    assert pod_of(bind) == key
    store.decisions.assume(bind, NOW)
    await unused.sweep()
    await unused.sweep()
    assert [name for name, _ in keeper.gave] == ["idle"]


async def test_a_pod_that_is_bound_though_the_watch_has_not_shown_it_keeps_its_devices(unused, keeper):
    keeper.nodes["a"] = "n1"
    await unused.sweep()
    await unused.sweep()
    assert [name for name, _ in keeper.gave] == ["idle"]


async def test_one_that_cannot_be_given_back_does_not_keep_the_others(unused, keeper):
    keeper.error = ClaimRefusedError("no")
    await unused.sweep()
    await unused.sweep()
    assert {name for name, _ in keeper.gave} == {"c", "idle"}


async def test_who_leads_no_more_stops(unused, keeper):
    keeper.error = LeaseLostError("no")
    await unused.sweep()
    await unused.sweep()
    assert len(keeper.gave) == 1


class OfGroup:
    """A claim that is reserved for a PodGroup of which one pod waits."""

    def __init__(self):
        self.store = world(member("a", "c"), reserved())
        self.keeper = Keeper()
        told = self.keeper.node_of
        self.unused = UnusedClaims(self.store, self.keeper, node_of=told, leading=lambda: True, wake=lambda: None)


async def test_what_a_group_of_waiting_pods_has_is_taken_back():
    of = OfGroup()
    await of.unused.sweep()
    await of.unused.sweep()
    assert of.keeper.gave == [("c", frozenset({"u-group"}))]


async def test_what_a_group_has_of_which_a_pod_is_bound_though_the_watch_has_not_shown_it_is_left_alone():
    of = OfGroup()
    of.keeper.nodes["a"] = "n1"
    await of.unused.sweep()
    await of.unused.sweep()
    assert of.keeper.gave == []
