"""Decisions carried out, whoever has made them."""

from kai_py.cluster.store import Store
from kai_py.core.options import Action
from kai_py.core.result import Bind, Evict, Nominate
from kai_py.planning.objects import read_objects
from kai_py.planning.world import World
from kai_py.podgrouper.grouping import group_of

from .builders import node, pod

NOW = 1_000_000.0


def world(*pods):
    objects = read_objects([node(), *pods], NOW)
    store = Store(group_of)
    for one in objects.nodes:
        store.put_node(one)
    return World(store, objects.pods, NOW)


def settle(cluster, make, name, **more):
    uid = cluster.pods["default", name].metadata.uid
    cluster.settle([make(f"default/{name}", uid, "n1", "default/pg", Action.RECLAIM, **more)], NOW + 1)
    return cluster.pods.get(("default", name))


def test_a_bound_pod_runs():
    after = settle(world(pod("a")), Bind, "a")
    assert (after.spec.node_name, after.status.phase) == ("n1", "Running")


def test_a_nominated_pod_is_as_pending_as_before():
    cluster = world(pod("a"))
    before = cluster.pods["default", "a"]
    assert settle(cluster, Nominate, "a") == before


def test_an_evicted_pod_with_a_controller_is_pending_again_as_it_was():
    cluster = world(pod("a", on="n1", owner="job"))
    before = cluster.pods["default", "a"].metadata
    after = settle(cluster, Evict, "a")
    assert after.metadata == before
    assert (after.spec.node_name, after.status.phase) == ("", "Pending")
    assert cluster.gone == set()


def test_an_evicted_pod_that_nobody_makes_again_is_gone():
    cluster = world(pod("a", on="n1"))
    assert settle(cluster, Evict, "a") is None
    assert cluster.gone == {("default", "a")}
    assert len(cluster.store.pods) == 0
