from __future__ import annotations

from typing import Any

import pytest

from kai_py.minicluster import MiniCluster, pools
from kai_py.minicluster.workers import Kubelets, ManualClock

from .manifests import pod
from .world import World


def taints(world: World, node: str) -> set[tuple[str, str]]:
    found = world.storage.get("nodes", node)["spec"].get("taints") or ()
    return {(one["key"], one["effect"]) for one in found}


def tolerating(name: str, seconds: int | None) -> dict[str, Any]:
    manifest = pod(name)
    toleration: dict[str, Any] = {"operator": "Exists", "effect": "NoExecute"}
    manifest["spec"]["tolerations"] = [toleration | ({"tolerationSeconds": seconds} if seconds is not None else {})]
    return manifest


async def test_a_node_of_any_client_loses_its_taint_when_it_is_ready(world: World):
    [node] = pools.nodes("h100", 1)
    world.storage.create("nodes", node)
    assert taints(world, "h100-r01-n01") == {("node.kubernetes.io/not-ready", "NoSchedule")}
    await world.settle()
    assert taints(world, "h100-r01-n01") == set()


async def test_a_node_without_a_status_becomes_ready(world: World):
    world.storage.create("nodes", {"metadata": {"name": "bare"}, "status": {"capacity": {"cpu": "4", "pods": "10"}}})
    await world.settle()
    [condition] = world.storage.get("nodes", "bare")["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("Ready", "True")
    assert taints(world, "bare") == set()


async def test_a_failed_node_is_tainted_until_it_is_restored(world: World):
    [node] = world.add_nodes()
    world.storage.patch("nodes", node, {"spec": {"taints": [{"key": "own", "effect": "NoSchedule"}]}})
    await world.settle()
    world.kubelets.fail(node)
    await world.settle()
    unreachable = "node.kubernetes.io/unreachable"
    assert taints(world, node) == {("own", "NoSchedule"), (unreachable, "NoSchedule"), (unreachable, "NoExecute")}
    world.kubelets.restore(node)
    await world.settle()
    assert taints(world, node) == {("own", "NoSchedule")}


async def test_a_cordoned_node_is_tainted(world: World):
    [node] = world.add_nodes()
    world.storage.patch("nodes", node, {"spec": {"unschedulable": True}})
    await world.settle()
    assert taints(world, node) == {("node.kubernetes.io/unschedulable", "NoSchedule")}
    world.storage.patch("nodes", node, {"spec": {"unschedulable": None}})
    await world.settle()
    assert taints(world, node) == set()


async def test_pods_leave_a_failed_node_when_their_toleration_ends(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod("usual"), tolerating("hasty", 5), tolerating("stoic", None))
    world.kubelets.fail(node)

    def deleted() -> list[str]:
        return [one["metadata"]["name"] for one in world.pods() if "deletionTimestamp" in one["metadata"]]

    await world.pass_(4)
    assert deleted() == []
    await world.pass_(1)
    assert deleted() == ["hasty"]
    await world.pass_(294)
    assert deleted() == ["hasty"]
    await world.pass_(1)
    assert deleted() == ["hasty", "usual"]
    reasons = {one["type"]: one.get("reason") for one in world.pod("usual")["status"]["conditions"]}
    assert reasons["DisruptionTarget"] == "DeletionByTaintManager"


async def test_a_change_of_a_failed_node_does_not_prolong_the_stay_of_its_pods(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod())
    world.kubelets.fail(node)
    await world.pass_(200)
    world.storage.patch("nodes", node, {"spec": {"unschedulable": True}})
    await world.pass_(100)
    assert "deletionTimestamp" in world.pod()["metadata"]


async def test_pods_of_a_failed_node_are_not_ready(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod())
    world.kubelets.fail(node)
    await world.settle()
    ready = next(one for one in world.pod()["status"]["conditions"] if one["type"] == "Ready")
    assert ready["status"] == "False"


async def test_a_restored_node_keeps_its_pods(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod())
    world.kubelets.fail(node)
    await world.pass_(200)
    world.kubelets.restore(node)
    await world.pass_(1000)
    assert "deletionTimestamp" not in world.pod()["metadata"]


async def test_a_pod_without_a_node_is_removed_after_a_while(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod())
    world.storage.delete("nodes", node)
    await world.pass_(39)
    assert len(world.pods()) == 1
    await world.pass_(1)
    assert world.pods() == []


@pytest.mark.parametrize("profile", list(pools.PROFILES))
async def test_every_profile_is_taken_by_the_server_as_it_is(profile: str):
    cluster = MiniCluster(workers=[Kubelets(clock=ManualClock()).run])
    made = pools.nodes(profile, 25)
    pools.register(cluster.storage, made)
    stored = cluster.storage.list("nodes")
    assert [one["metadata"]["labels"] for one in stored] == [one["metadata"]["labels"] for one in made]
    assert [one["status"]["allocatable"] for one in stored] == [one["status"]["allocatable"] for one in made]
    assert all(not one["spec"].get("taints") for one in stored)
