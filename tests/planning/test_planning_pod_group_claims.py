"""Claims of PodGroups in plans: one for all pods of the group, which is free when its last pod has gone."""

from __future__ import annotations

from tests.planning.builders import queue
from tests.planning.test_planning_claims import (
    binds,
    claim,
    planned,
    reasons,
    slice_of,
    template,
    user,
)

ENTRY = {"name": "gpu", "resourceClaimTemplateName": "gpu"}


def group(*entries, pods=1):
    return {
        "apiVersion": "scheduling.k8s.io/v1alpha2",
        "kind": "PodGroup",
        "metadata": {"name": "group", "namespace": "default", "uid": "u-group"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": pods}}, "resourceClaims": list(entries)},
    }


def member(name, **more):
    return user(name, made_from=["gpu"], schedulingGroup={"podGroupName": "group"}, **more)


def devices(result, cycle=0):
    given = [claims for one in binds(result, cycle).values() for claims in one.get("claims", ())]
    return {one["claim"]: [two["device"] for two in one["allocation"]["devices"]["results"]] for one in given}


def test_a_gang_gets_one_claim_where_each_pod_would_get_its_own():
    pods = [member(f"p-{number}") for number in range(3)]
    result = planned(slice_of("n1", 1), template("gpu"), *pods, group(ENTRY, pods=3))
    assert set(binds(result)) == {f"default/p-{number}" for number in range(3)}
    assert list(devices(result)) == ["default/group-gpu"]
    alone = planned(slice_of("n1", 1), template("gpu"), *pods, group(pods=3))
    assert binds(alone) == {}


def test_a_pod_that_joins_uses_the_claim_that_the_cluster_has_made_for_its_group():
    owner = {"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "name": "group", "uid": "u-group"}
    made = {"resource.kubernetes.io/pod-claim-name": "gpu"}
    meta = {"ownerReferences": [owner | {"controller": True}], "annotations": made}
    there = claim("group-gpu-x7k2p", of=None, metadata=meta)
    result = planned(slice_of("n1", 1), template("gpu"), there, member("late"), group(ENTRY))
    assert list(devices(result)) == ["default/group-gpu-x7k2p"]


def test_whoever_waits_for_the_template_of_its_group_is_told():
    result = planned(slice_of("n1", 1), member("a"), group(ENTRY))
    (reason,) = reasons(result).values()
    assert reason["code"] == "ResourceClaimDoesNotExist"
    assert "claim from default/gpu has not been made for PodGroup default/group yet" in str(result)


def test_a_gang_that_goes_frees_its_claim_with_its_last_pod():
    pods = [member(name, queue="rich") for name in ("a", "b")]
    more = [claim("other", of="poor"), user("quick", "other", queue="poor")]
    queues = queue("rich", gpus=0), queue("poor", gpus=1)
    base = *queues, slice_of("n1", 1), template("gpu"), group(ENTRY, pods=2)
    running = [{**one, "spec": {**one["spec"], "nodeName": "n1"}} for one in pods]
    allocation = {"devices": {"results": [_RESULT]}, "allocationTimestamp": _WHEN}
    held = claim("group-gpu", of=None) | {"status": {"allocation": allocation, "reservedFor": [_RESERVED]}}
    held["metadata"]["annotations"] = {"kai.scheduler/allocated": f"kai-scheduler {_WHEN}"}
    told = [one | {"status": {"phase": "Running", "resourceClaimStatuses": [_TOLD]}} for one in running]
    result = planned(*base, *told, held, *more, cycles=2)
    assert {one["pod"] for one in result["cycles"][0]["evictions"]} == {"default/a", "default/b"}
    assert devices(result, 1) == {"default/other": ["gpu-0"]}
    del held["metadata"]["annotations"]  # what another scheduler gave stays the group's
    assert not any(one["evictions"] for one in planned(*base, *told, held, *more, cycles=2)["cycles"])


_WHEN = "2026-01-01T00:00:00Z"
_RESULT = {"request": "gpu", "driver": "gpu.nvidia.com", "pool": "n1", "device": "gpu-0"}
_RESERVED = {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "group", "uid": "u-group"}
_TOLD = {"name": "gpu", "resourceClaimName": "group-gpu"}
