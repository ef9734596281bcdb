from __future__ import annotations

from typing import Any

from kai_py.minicluster import DeleteOptions

from .manifests import pod
from .world import World

CLAIMS = "resourceclaims.resource.k8s.io"
TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
PROTECTION = "resource.kubernetes.io/delete-protection"


def template(name: str = "one-gpu") -> dict[str, Any]:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}
    spec = {
        "metadata": {"labels": {"team": "vision"}, "annotations": {"a": "b"}},
        "spec": {"devices": {"requests": [request]}},
    }
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def claiming(name: str = "a", *, claim: str | None = None, **annotations: str) -> dict[str, Any]:
    """A pod that uses a claim made from the template, or the named one."""
    manifest = pod(name, gpus=0, **annotations)
    source = {"resourceClaimName": claim} if claim else {"resourceClaimTemplateName": "one-gpu"}
    manifest["spec"]["resourceClaims"] = [{"name": "gpu", **source}]
    return manifest


def claims(world: World) -> list[dict[str, Any]]:
    return world.storage.list(CLAIMS)


def allocate(world: World, claim: dict[str, Any], *consumers: dict[str, Any]) -> None:
    """What a scheduler writes: the finalizer, then allocation and reservation."""
    name = claim["metadata"]["name"]
    claim = world.storage.patch(CLAIMS, name, {"metadata": {"finalizers": [PROTECTION]}}, "default")
    result = {"request": "gpu", "driver": "gpu.nvidia.com", "pool": "node", "device": "gpu-0"}
    reserved = [
        {"resource": "pods", "name": one["metadata"]["name"], "uid": one["metadata"]["uid"]} for one in consumers
    ]
    claim["status"] = {"allocation": {"devices": {"results": [result]}}, "reservedFor": reserved}
    world.storage.update(CLAIMS, claim, subresource="status")


def shared(world: World) -> dict[str, Any]:
    spec = template()["spec"]["spec"]
    return world.storage.create(CLAIMS, {"metadata": {"name": "shared", "namespace": "default"}, "spec": spec})


async def test_a_claim_is_made_from_the_template_for_its_pod(world: World):
    world.storage.create(TEMPLATES, template())
    made = world.storage.create("pods", claiming())
    await world.settle()
    [claim] = claims(world)
    meta = claim["metadata"]
    assert meta["name"].startswith("a-gpu-")
    assert meta["annotations"] == {"a": "b", "resource.kubernetes.io/pod-claim-name": "gpu"}
    assert meta["labels"] == {"team": "vision"}
    [owner] = meta["ownerReferences"]
    assert owner == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "a",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    assert claim["spec"]["devices"]["requests"][0]["name"] == "gpu"
    assert world.pod()["status"]["resourceClaimStatuses"] == [{"name": "gpu", "resourceClaimName": meta["name"]}]


async def test_a_template_may_come_after_its_pods_which_are_told_that_it_lacks(world: World):
    world.storage.create("pods", claiming())
    await world.settle()
    assert claims(world) == []
    [event] = world.storage.list("events", "default")
    assert (event["reason"], event["involvedObject"]["name"]) == ("FailedResourceClaimCreation", "a")
    assert '"one-gpu" not found' in event["message"]
    world.storage.create(TEMPLATES, template())
    await world.settle()
    assert len(claims(world)) == 1


async def test_a_generated_claim_that_was_deleted_is_made_again(world: World):
    world.storage.create(TEMPLATES, template())
    world.storage.create("pods", claiming())
    await world.settle()
    [first] = claims(world)
    world.storage.delete(CLAIMS, first["metadata"]["name"], "default")
    await world.settle()
    [second] = claims(world)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    told = [{"name": "gpu", "resourceClaimName": second["metadata"]["name"]}]
    assert world.pod()["status"]["resourceClaimStatuses"] == told


async def test_a_claim_that_was_made_and_not_told_is_told_and_not_made_again(world: World):
    world.storage.create(TEMPLATES, template())
    world.storage.create("pods", claiming())
    await world.settle()
    [claim] = claims(world)
    world.storage.patch("pods", "a", {"status": {"resourceClaimStatuses": None}}, "default", subresource="status")
    await world.settle()
    assert [one["metadata"]["uid"] for one in claims(world)] == [claim["metadata"]["uid"]]
    told = [{"name": "gpu", "resourceClaimName": claim["metadata"]["name"]}]
    assert world.pod()["status"]["resourceClaimStatuses"] == told


async def test_no_claim_is_made_for_a_pod_that_is_being_deleted(world: World):
    manifest = claiming()
    manifest["metadata"]["finalizers"] = ["test.example/keep"]
    world.storage.create("pods", manifest)
    world.storage.delete("pods", "a", "default")
    world.storage.create(TEMPLATES, template())
    await world.settle()
    assert claims(world) == []


def extended(world: World, **annotations: str) -> dict[str, Any]:
    """A pod with two GPUs by an extended resource, as a scheduler leaves it that serves it by a claim."""
    made = world.storage.create("pods", pod(gpus=2, **annotations))
    meta = made["metadata"]
    spec = template()["spec"]["spec"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": meta["uid"], "controller": True}
    marks = {"resource.kubernetes.io/extended-resource-claim": "true"}
    name = "a-extended-resources-x"
    claim = {"name": name, "namespace": "default", "annotations": marks, "ownerReferences": [owner]}
    world.storage.create(CLAIMS, {"metadata": claim, "spec": spec})
    mapping = {"containerName": "main", "resourceName": "nvidia.com/gpu", "requestName": "gpu"}
    made["status"]["extendedResourceClaimStatus"] = {"resourceClaimName": name, "requestMappings": [mapping]}
    return world.storage.update("pods", made, subresource="status")


async def test_extended_resources_that_a_claim_stands_for_are_not_taken_from_the_node(world: World):
    [node] = world.add_nodes(profile="cpu")
    made = extended(world, duration="20s")
    allocate(world, claims(world)[0], made)
    world.storage.bind("default", "a", node)
    await world.pass_(1)
    assert world.phase() == "Running"
    assert "nvidia.com/gpu" not in world.kubelets.used(node)
    await world.pass_(20)
    assert world.phase() == "Succeeded"
    assert claims(world) == []


async def test_a_pod_with_extended_resources_waits_for_the_reservation_which_only_its_scheduler_makes(world: World):
    [node] = world.add_nodes(profile="cpu")
    extended(world)
    allocate(world, claims(world)[0])
    world.storage.bind("default", "a", node)
    await world.pass_(30)
    assert world.phase() == "Pending"
    assert not claims(world)[0]["status"].get("reservedFor")


async def test_every_pod_gets_one_claim_and_no_more(world: World):
    world.storage.create(TEMPLATES, template())
    for i in range(120):
        world.storage.create("pods", claiming(f"p{i}"))
    assert await world.comes(lambda: len(claims(world)) >= 120)
    await world.settle()
    owners = {claim["metadata"]["ownerReferences"][0]["name"] for claim in claims(world)}
    assert len(owners) == len(claims(world)) == 120


async def test_long_names_are_shortened_on_both_sides(world: World):
    world.storage.create(TEMPLATES, template())
    manifest = claiming("p" * 100)
    manifest["spec"]["resourceClaims"][0]["name"] = "r" * 50
    world.storage.create("pods", manifest)
    await world.settle()
    [claim] = claims(world)
    left, right = claim["metadata"]["name"].split("-")
    assert (len(left), len(right)) == (37, 18 + 5)


async def test_claims_go_with_their_pod(world: World):
    world.storage.create(TEMPLATES, template())
    world.storage.create("pods", claiming())
    await world.settle()
    allocate(world, claims(world)[0], world.pod())
    world.storage.delete("pods", "a", "default")
    assert await world.comes(lambda: claims(world) == [])


async def test_claims_of_a_finished_pod_are_freed_and_deleted(world: World):
    [node] = world.add_nodes()
    world.storage.create(TEMPLATES, template())
    world.storage.create("pods", claiming(duration="20s"))
    await world.settle()
    allocate(world, claims(world)[0], world.pod())
    world.storage.bind("default", "a", node)
    await world.pass_(1)
    assert world.phase() == "Running"
    assert claims(world)[0]["status"]["reservedFor"][0]["name"] == "a"
    await world.pass_(20)
    assert world.phase() == "Succeeded"
    assert claims(world) == []


async def test_a_shared_claim_is_freed_with_its_last_consumer(world: World):
    claim = shared(world)
    pods = [world.storage.create("pods", claiming(name, claim="shared")) for name in ("a", "b")]
    allocate(world, claim, *pods)
    await world.settle()
    world.storage.delete("pods", "a", "default")
    await world.settle()
    [status] = [one["status"] for one in claims(world)]
    assert [one["name"] for one in status["reservedFor"]] == ["b"]
    assert "allocation" in status
    world.storage.delete("pods", "b", "default")
    await world.settle()
    [freed] = claims(world)
    assert "allocation" not in freed["status"]
    assert "reservedFor" not in freed["status"]
    assert "finalizers" not in freed["metadata"]


async def test_an_allocation_that_was_never_reserved_stays(world: World):
    allocate(world, shared(world))
    await world.settle()
    assert "allocation" in claims(world)[0]["status"]


async def test_a_pod_that_is_deleted_before_it_had_a_node_keeps_no_device(world: World):
    claim = shared(world)
    manifest = claiming("a", claim="shared")
    manifest["metadata"]["finalizers"] = ["test.example/keep"]
    allocate(world, claim, world.storage.create("pods", manifest))
    await world.settle()
    world.storage.delete("pods", "a", "default")
    await world.settle()
    assert len(world.pods()) == 1
    assert "allocation" not in claims(world)[0]["status"]


async def test_a_reservation_for_a_replaced_pod_is_dropped(world: World):
    claim = shared(world)
    old = world.storage.create("pods", claiming("a", claim="shared"))
    world.storage.delete("pods", "a", "default")
    world.storage.create("pods", claiming("a", claim="shared"))
    allocate(world, claim, old)
    await world.settle()
    assert "allocation" not in claims(world)[0]["status"]


async def test_reservations_of_other_kinds_are_left_alone(world: World):
    claim = shared(world)
    allocate(world, claim)
    claim = claims(world)[0]
    consumer = {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "g", "uid": "1"}
    claim["status"]["reservedFor"] = [consumer]
    world.storage.update(CLAIMS, claim, subresource="status")
    await world.settle()
    assert claims(world)[0]["status"]["reservedFor"] == [consumer]


async def test_a_bound_pod_gets_the_reservation_that_its_binder_forgot(world: World):
    [node] = world.add_nodes()
    claim = shared(world)
    world.storage.create("pods", claiming("a", claim="shared"))
    allocate(world, claim)
    world.storage.bind("default", "a", node)
    await world.settle()
    [consumer] = claims(world)[0]["status"]["reservedFor"]
    assert consumer["uid"] == world.pod()["metadata"]["uid"]


async def test_a_deleted_claim_waits_for_its_consumers(world: World):
    claim = shared(world)
    made = world.storage.create("pods", claiming("a", claim="shared"))
    allocate(world, claim, made)
    world.storage.delete(CLAIMS, "shared", "default")
    await world.settle()
    assert len(claims(world)) == 1
    world.storage.delete("pods", "a", "default", DeleteOptions(grace=0))
    await world.settle()
    assert claims(world) == []
