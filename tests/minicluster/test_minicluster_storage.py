"""The storage as programs in the same process use it, and the controllers that come with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kai_py.minicluster import DeleteOptions, MiniCluster, RefusedError, Storage

from .conftest import pod


async def comes(holds: Callable[[], bool]) -> bool:
    """Whether a condition comes to hold within a few seconds; answers as soon as it does."""
    for _ in range(300):
        if holds():
            return True
        await asyncio.sleep(0.01)
    return False


def replica_set(name: str = "rs") -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    return {"metadata": {"name": name}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}


def owned_by(owner: dict[str, Any], name: str = "p", **reference: Any) -> dict[str, Any]:
    body = pod(name)
    meta = owner["metadata"]
    body["metadata"]["ownerReferences"] = [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": meta["name"], "uid": meta["uid"], **reference}
    ]
    body["metadata"]["labels"] = {"a": "b"}
    return body


async def test_what_comes_out_is_the_callers_own(cluster: MiniCluster) -> None:
    storage = cluster.storage
    storage.create("pods", pod(), "default")
    storage.get("pods", "p", "default")["spec"]["nodeName"] = "mine"
    storage.list("pods")[0]["spec"]["nodeName"] = "mine"
    assert "nodeName" not in storage.get("pods", "p", "default")["spec"]


async def test_the_storage_refuses_like_the_server(cluster: MiniCluster) -> None:
    storage = cluster.storage
    with pytest.raises(RefusedError) as missing:
        storage.get("pods", "p", "default")
    with pytest.raises(RefusedError) as invalid:
        storage.create("pods", pod(containers=[]), "default")
    assert (missing.value.status, missing.value.reason) == (404, "NotFound")
    assert (invalid.value.status, invalid.value.causes[0][1]) == (422, "spec.containers")


async def test_a_watch_sees_what_is_there_and_what_comes(cluster: MiniCluster) -> None:
    storage = cluster.storage
    storage.create("pods", pod("a"), "default")
    storage.create("pods", pod("b"), "default")
    events = storage.watch("pods", fields="metadata.name=a")
    first = await anext(events)
    storage.delete("pods", "b", "default")
    storage.delete("pods", "a", "default")
    second = await anext(events)
    await events.aclose()
    assert [(event.type, event.object["metadata"]["name"]) for event in (first, second)] == [
        ("ADDED", "a"),
        ("DELETED", "a"),
    ]


async def test_workers_run_with_the_storage_and_end_with_the_cluster() -> None:
    ended = asyncio.Event()

    async def label_pods(storage: Storage) -> None:
        try:
            async for event in storage.watch("pods"):
                if event.type == "ADDED":
                    patch = {"metadata": {"labels": {"seen": "yes"}}}
                    storage.patch("pods", event.object["metadata"]["name"], patch, "default")
        finally:
            ended.set()

    async with MiniCluster(workers=[label_pods]) as cluster:
        cluster.storage.create("pods", pod(), "default")
        assert await comes(lambda: "labels" in cluster.storage.get("pods", "p", "default")["metadata"])
    assert ended.is_set()


async def test_a_worker_that_fails_is_not_silent() -> None:
    async def fail(storage: Storage) -> None:
        raise RuntimeError("broken worker")

    with pytest.raises(RuntimeError, match="broken worker"):
        async with MiniCluster(workers=[fail]):
            pass


async def test_dependents_go_with_their_owner(cluster: MiniCluster) -> None:
    storage = cluster.storage
    owner = storage.create("replicasets.apps", replica_set(), "default")
    storage.create("pods", owned_by(owner), "default")
    storage.delete("replicasets.apps", "rs", "default")
    assert await comes(lambda: storage.find("pods", "p", "default") is None)


async def test_an_object_without_living_owner_goes(cluster: MiniCluster) -> None:
    ghost = {"metadata": {"name": "ghost", "uid": "00000000-0000-0000-0000-000000000000"}}
    cluster.storage.create("pods", owned_by(ghost), "default")
    assert await comes(lambda: cluster.storage.find("pods", "p", "default") is None)


async def test_an_object_whose_owner_is_of_a_kind_that_is_not_served_stays(cluster: MiniCluster) -> None:
    strange, ghost = (
        owned_by({"metadata": {"name": "s", "uid": "none"}}),
        owned_by({"metadata": {"name": "g", "uid": "n"}}),
    )
    strange["metadata"]["ownerReferences"][0] |= {"apiVersion": "example.com/v1", "kind": "Strange"}
    ghost["metadata"]["name"] = "ghost"
    cluster.storage.create("pods", strange, "default")
    cluster.storage.create("pods", ghost, "default")
    assert await comes(lambda: cluster.storage.find("pods", "ghost", "default") is None)
    assert cluster.storage.find("pods", "p", "default") is not None


async def test_an_object_with_one_living_owner_stays(cluster: MiniCluster) -> None:
    storage = cluster.storage
    first = storage.create("replicasets.apps", replica_set("one"), "default")
    second = storage.create("replicasets.apps", replica_set("two"), "default")
    body = owned_by(first)
    body["metadata"]["ownerReferences"] += owned_by(second)["metadata"]["ownerReferences"]
    storage.create("pods", body, "default")
    storage.delete("replicasets.apps", "one", "default")
    owners = lambda: storage.get("pods", "p", "default")["metadata"]["ownerReferences"]  # noqa: E731  # read twice
    assert await comes(lambda: [owner["name"] for owner in owners()] == ["two"])


async def test_orphaned_dependents_stay_without_owner(cluster: MiniCluster) -> None:
    storage = cluster.storage
    owner = storage.create("replicasets.apps", replica_set(), "default")
    storage.create("pods", owned_by(owner), "default")
    storage.delete("replicasets.apps", "rs", "default", DeleteOptions(propagation="Orphan"))
    assert await comes(lambda: storage.find("replicasets.apps", "rs", "default") is None)
    assert "ownerReferences" not in storage.get("pods", "p", "default")["metadata"]


async def test_a_foreground_owner_waits_for_what_blocks_it(cluster: MiniCluster) -> None:
    storage = cluster.storage
    owner = storage.create("replicasets.apps", replica_set(), "default")
    storage.create("pods", owned_by(owner, blockOwnerDeletion=True), "default")
    storage.bind("default", "p", "n")
    storage.delete("replicasets.apps", "rs", "default", DeleteOptions(propagation="Foreground"))
    assert await comes(lambda: "deletionTimestamp" in storage.get("pods", "p", "default")["metadata"])
    assert storage.get("replicasets.apps", "rs", "default")["metadata"]["finalizers"] == ["foregroundDeletion"]
    storage.delete("pods", "p", "default", DeleteOptions(grace=0))
    assert await comes(lambda: storage.find("replicasets.apps", "rs", "default") is None)


async def test_a_namespace_goes_when_it_is_empty(cluster: MiniCluster) -> None:
    storage = cluster.storage
    storage.create("namespaces", {"metadata": {"name": "team"}})
    storage.create("configmaps", {"metadata": {"name": "a"}}, "team")
    storage.create("pods", pod(), "team")
    storage.bind("team", "p", "n")
    storage.delete("namespaces", "team")
    assert await comes(lambda: not storage.list("configmaps", "team"))
    assert storage.get("namespaces", "team")["status"]["phase"] == "Terminating"
    storage.delete("pods", "p", "team", DeleteOptions(grace=0))
    assert await comes(lambda: storage.find("namespaces", "team") is None)


async def test_a_disruption_budget_counts_healthy_pods(cluster: MiniCluster) -> None:
    storage = cluster.storage
    budget = {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    storage.create("poddisruptionbudgets.policy", budget, "default")
    owner = storage.create("replicasets.apps", replica_set(), "default")
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    for name in ("p", "q"):
        storage.create("pods", owned_by(owner, name), "default")
        storage.patch("pods", name, ready, "default", subresource="status")
    status = lambda: storage.get("poddisruptionbudgets.policy", "b", "default").get("status", {})  # noqa: E731
    assert await comes(lambda: status().get("disruptionsAllowed") == 1)
    assert (status()["currentHealthy"], status()["desiredHealthy"], status()["expectedPods"]) == (2, 1, 2)


async def test_a_disruption_budget_that_demands_nothing_allows_nothing(cluster: MiniCluster) -> None:
    storage = cluster.storage
    storage.create("poddisruptionbudgets.policy", {"metadata": {"name": "b"}, "spec": {"selector": {}}}, "default")
    storage.create("pods", owned_by(storage.create("replicasets.apps", replica_set(), "default"), "p"), "default")
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    storage.patch("pods", "p", ready, "default", subresource="status")
    status = lambda: storage.get("poddisruptionbudgets.policy", "b", "default").get("status", {})  # noqa: E731
    assert await comes(lambda: status().get("currentHealthy") == 1)
    assert (status()["expectedPods"], status()["disruptionsAllowed"]) == (0, 0)


async def test_a_budget_for_more_than_all_is_refused(cluster: MiniCluster) -> None:
    budget = {"metadata": {"name": "b"}, "spec": {"selector": {}, "minAvailable": "101%"}}
    with pytest.raises(RefusedError, match="must not be greater than 100%"):
        cluster.storage.create("poddisruptionbudgets.policy", budget, "default")


async def test_a_ready_node_loses_its_taint_and_a_cordoned_one_gets_another(cluster: MiniCluster) -> None:
    storage = cluster.storage
    storage.create("nodes", {"metadata": {"name": "n"}})
    taints = lambda: [t["key"] for t in storage.get("nodes", "n")["spec"].get("taints", [])]  # noqa: E731
    assert taints() == ["node.kubernetes.io/not-ready"]
    storage.patch("nodes", "n", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, subresource="status")
    assert await comes(lambda: taints() == [])
    storage.patch("nodes", "n", {"spec": {"unschedulable": True}})
    assert await comes(lambda: taints() == ["node.kubernetes.io/unschedulable"])


async def test_history_is_bounded_and_says_so() -> None:
    async with MiniCluster(history=5) as cluster:
        storage = cluster.storage
        first = storage.create("configmaps", {"metadata": {"name": "a"}}, "default")["metadata"]["resourceVersion"]
        for i in range(6):
            storage.patch("configmaps", "a", {"data": {"i": str(i)}}, "default")
        with pytest.raises(RefusedError) as expired:
            storage.registry.stored("configmaps").collection.since(int(first))
        assert expired.value.status == 410


async def test_definitions_are_installed_from_a_folder_and_go_with_their_objects(tmp_path: Path) -> None:
    (tmp_path / "gadgets.yaml").write_text(
        """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.example.com}
spec:
  group: example.com
  scope: Cluster
  names: {plural: gadgets, kind: Gadget}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
  - {name: v1beta1, served: true, storage: false, schema: {openAPIV3Schema: {type: object}}}
"""
    )
    async with MiniCluster(crds=tmp_path) as cluster:
        storage = cluster.storage
        storage.create("gadgets.example.com", {"metadata": {"name": "g"}})
        older = storage.registry.endpoint("example.com", "v1beta1", "gadgets")
        assert older.translation is not None
        assert (
            older.translation.to_served(storage.get("gadgets.example.com", "g"))["apiVersion"] == "example.com/v1beta1"
        )
        storage.delete("customresourcedefinitions.apiextensions.k8s.io", "gadgets.example.com")
        assert await comes(lambda: not storage.registry.knows("gadgets.example.com"))
        assert storage.find("customresourcedefinitions.apiextensions.k8s.io", "gadgets.example.com") is None


def test_a_gate_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="feature gates that are not known here: Warp"):
        Storage(gates={"Warp"})
