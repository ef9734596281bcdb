"""Claims of PodGroups: made once, told to all their pods, and kept until the PodGroup goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kai_py import plan
from kai_py.minicluster import DeleteOptions, pools
from kai_py.minicluster.devices.offers import Offer, equip

from .examples import BASE, FOLDER, PLANNED, apply, documents
from .test_workers_claims import CLAIMS, PROTECTION, TEMPLATES, allocate, claiming, claims, shared, template
from .world import World

POD_GROUPS = "podgroups.scheduling.k8s.io"
ENTRY = {"name": "gpu", "resourceClaimTemplateName": "one-gpu"}


@pytest.fixture
async def gated() -> AsyncIterator[World]:
    world = World({"GenericWorkload", "DRAWorkloadResourceClaims"})
    async with world.cluster:
        yield world


def pod_group(world: World, *entries: dict[str, Any]) -> dict[str, Any]:
    spec = {"schedulingPolicy": {"basic": {}}, "resourceClaims": list(entries)}
    meta = {"name": "group", "namespace": "default"}
    return world.storage.create(POD_GROUPS, {"metadata": meta, "spec": spec})


def member(name: str = "a", **source: Any) -> dict[str, Any]:
    manifest = claiming(name, **source)
    manifest["spec"]["schedulingGroup"] = {"podGroupName": "group"}
    return manifest


def reservation(group: dict[str, Any]) -> dict[str, Any]:
    identity = {"name": "group", "uid": group["metadata"]["uid"]}
    return {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", **identity}


def reserve(world: World, claim: dict[str, Any], *consumers: dict[str, Any]) -> None:
    allocate(world, claim)
    claim = world.storage.get(CLAIMS, claim["metadata"]["name"], "default")
    claim["status"]["reservedFor"] = list(consumers)
    world.storage.update(CLAIMS, claim, subresource="status")


async def test_one_claim_is_made_for_the_group_and_told_to_all_its_pods(gated: World):
    gated.storage.create(TEMPLATES, template())
    for name in ("a", "b"):
        gated.storage.create("pods", member(name))
    await gated.settle()
    assert claims(gated) == []
    group = pod_group(gated, ENTRY)
    await gated.settle()
    [claim] = claims(gated)
    meta = claim["metadata"]
    assert meta["name"].startswith("group-gpu-")
    assert meta["annotations"]["resource.kubernetes.io/pod-claim-name"] == "gpu"
    [owner] = meta["ownerReferences"]
    identity = {"name": "group", "uid": group["metadata"]["uid"], "controller": True}
    assert owner == {"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", **identity}
    told = [{"name": "gpu", "resourceClaimName": meta["name"]}]
    assert gated.storage.get(POD_GROUPS, "group", "default")["status"]["resourceClaimStatuses"] == told
    assert [gated.pod(name)["status"]["resourceClaimStatuses"] for name in ("a", "b")] == [told, told]


async def test_an_entry_that_differs_gets_a_claim_of_its_pods_own(gated: World):
    gated.storage.create(TEMPLATES, template())
    gated.storage.create(TEMPLATES, template("other"))
    pod_group(gated, ENTRY | {"resourceClaimTemplateName": "other"})
    gated.storage.create("pods", member())
    await gated.settle()
    assert sorted(one["metadata"]["ownerReferences"][0]["kind"] for one in claims(gated)) == ["Pod", "PodGroup"]


async def test_a_claim_is_the_groups_until_that_goes_whatever_its_pods_do(gated: World):
    gated.storage.create(TEMPLATES, template())
    group = pod_group(gated, ENTRY)
    gated.storage.create("pods", member())
    await gated.settle()
    reserve(gated, claims(gated)[0], reservation(group))
    gated.storage.delete("pods", "a", "default", DeleteOptions(grace=0))
    await gated.settle()
    assert claims(gated)[0]["status"]["reservedFor"] == [reservation(group)]
    gated.storage.delete(POD_GROUPS, "group", "default")
    await gated.settle()
    assert claims(gated) == []


async def test_a_claim_that_was_there_before_the_group_loses_its_devices_with_it(gated: World):
    claim = shared(gated)
    group = pod_group(gated, {"name": "gpu", "resourceClaimName": "shared"})
    await gated.settle()
    reserve(gated, claim, reservation(group))
    await gated.settle()
    assert "allocation" in claims(gated)[0]["status"]
    gated.storage.delete(POD_GROUPS, "group", "default")
    await gated.settle()
    [claim] = claims(gated)
    assert "allocation" not in claim["status"]
    assert PROTECTION not in claim["metadata"].get("finalizers", ())


async def test_a_group_goes_when_no_pod_that_may_run_names_it(gated: World):
    pod_group(gated)
    gated.storage.create("pods", member(claim="shared"))
    await gated.settle()
    gated.storage.delete(POD_GROUPS, "group", "default")
    await gated.settle()
    assert gated.storage.find(POD_GROUPS, "group", "default") is not None
    gated.storage.delete("pods", "a", "default", DeleteOptions(grace=0))
    await gated.settle()
    assert gated.storage.find(POD_GROUPS, "group", "default") is None


async def test_a_pod_starts_by_the_reservation_of_its_group(gated: World):
    [node] = gated.add_nodes()
    claim = shared(gated)
    group = pod_group(gated, {"name": "gpu", "resourceClaimName": "shared"})
    await gated.run_on(node, member(claim="shared"))
    await gated.pass_(5)
    assert gated.phase() == "Pending"
    reserve(gated, claim, reservation(group))
    await gated.pass_(1)
    assert gated.phase() == "Running"


async def test_bound_pods_get_one_reservation_for_their_group_that_their_binder_forgot(gated: World):
    [node] = gated.add_nodes()
    claim = shared(gated)
    group = pod_group(gated, {"name": "gpu", "resourceClaimName": "shared"})
    for name in ("a", "b"):
        gated.storage.create("pods", member(name, claim="shared"))
    allocate(gated, claim)
    for name in ("a", "b"):
        gated.storage.bind("default", name, node)
    await gated.settle()
    assert claims(gated)[0]["status"]["reservedFor"] == [reservation(group)]


async def test_without_the_gate_the_field_is_gone_and_pods_have_claims_of_their_own():
    world = World({"GenericWorkload"})
    async with world.cluster:
        world.storage.create(TEMPLATES, template())
        assert "resourceClaims" not in pod_group(world, ENTRY)["spec"]
        world.storage.create("pods", member())
        await world.settle()
        [claim] = claims(world)
        assert claim["metadata"]["ownerReferences"][0]["kind"] == "Pod"


async def test_the_example_of_a_shared_claim_is_planned_and_runs_to_its_end(gated: World):
    nodes = [equip(node, Offer.parse("whole+fabric")) for node in pools.nodes("a100", 4)]
    pools.register(gated.storage, nodes)
    await gated.settle()
    await apply(gated, *documents(*BASE, FOLDER / "pod-groups" / "shared-claim.yaml"))
    await gated.settle()
    [claim] = claims(gated)
    objects = [one for kind in (*PLANNED, POD_GROUPS) for one in gated.storage.list(kind)]
    result = plan(objects).to_dict()
    assert result["warnings"] == []
    [binds] = [cycle["binds"] for cycle in result["cycles"] if cycle["binds"]]
    given = [one for bind in binds for one in bind.get("claims") or ()]
    assert (len(binds), [one["claim"] for one in given]) == (4, [f"default/{claim['metadata']['name']}"])
    claim["metadata"]["finalizers"] = [PROTECTION]
    claim = gated.storage.update(CLAIMS, claim)
    group = gated.storage.get(POD_GROUPS, "readers", "default")
    identity = {"name": "readers", "uid": group["metadata"]["uid"]}
    consumer = {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", **identity}
    claim["status"] = {"allocation": given[0]["allocation"], "reservedFor": [consumer]}
    gated.storage.update(CLAIMS, claim, subresource="status")
    for bind in binds:
        gated.storage.bind("default", bind["pod"].partition("/")[2], bind["node"])
    await gated.pass_(1)
    assert {one["status"]["phase"] for one in gated.pods()} == {"Running"}
    await gated.pass_(60)
    assert {one["status"]["phase"] for one in gated.pods()} == {"Succeeded"}
    assert claims(gated)[0]["status"]["reservedFor"] == [consumer]
