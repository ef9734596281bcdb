"""``devices``: how the devices of a cluster are."""

import pytest

from kai_py.cli.bench.device_manifests import NICS, gpus_and_nics, partitions
from kai_py.errors import InputError
from kai_py.planning.devices import devices
from tests.planning.builders import node
from tests.planning.test_planning_claims import GPU, RESOURCE, claim, slice_of


def given(name, pool, device, *, driver=GPU, users=("a",), **more):
    """A claim that has a device."""
    result = {"request": "gpu", "driver": driver, "pool": pool, "device": device, **more}
    reserved = [{"resource": "pods", "name": one, "uid": one} for one in users]
    return claim(name) | {"status": {"allocation": {"devices": {"results": [result]}}, "reservedFor": reserved}}


def pools(*objects, **more):
    return {(one["node"], one["driver"]): one for one in devices(objects, **more)["pools"]}


def states(pool):
    return {item["name"]: item["state"] for item in pool["items"]}


def test_free_devices_and_those_that_claims_have():
    pool = pools(node("n1", 0), slice_of("n1", 3), given("c", "n1", "gpu-1", users=("a", "b")))[("n1", GPU)]
    assert pool["counts"] == {"free": 2, "taken": 1, "shared": 0, "blocked": 0, "tainted": 0}
    (holder,) = pool["items"][1]["claims"]
    assert holder == {"claim": "default/c", "reservedFor": ["pods/a", "pods/b"]}
    assert pool["state"] == "Complete"


def test_a_device_that_is_cut_shows_what_is_left_and_what_stands_in_the_way():
    pool = pools(node("n1", 0), *partitions("n1"), given("c", "n1", "gpu-0-4g-40gb-0"))[("n1", GPU)]
    (cut,) = pool["cut"]
    assert (cut["inUse"], cut["largestFree"]) == (True, "gpu-0-3g-40gb-4")
    assert cut["counters"]["memory"] == {"total": "80Gi", "free": "40Gi"}
    found = states(pool)
    assert (found["gpu-0-4g-40gb-0"], found["gpu-0-1g-10gb-0"], found["gpu-0-1g-10gb-4"]) == (
        "taken",
        "blocked",
        "free",
    )
    assert found["gpu-0-7g-80gb-0"] == "blocked"


def test_groups_on_one_root_show_which_are_broken():
    found = pools(node("n1", 0), *gpus_and_nics("n1"), given("c", "n1", "gpu-2"))
    free = {name: one["free"] for name, one in found[("n1", GPU)]["groups"].items()}
    assert free == {"pci0000:00": 2, "pci0000:01": 1, "pci0000:02": 2, "pci0000:03": 2}
    assert found[("n1", NICS)]["counts"]["free"] == 8


def test_a_shared_device_shows_who_has_which_part_and_what_is_left():
    shared = {"allowMultipleAllocations": True, "capacity": {"memory": {"value": "80Gi"}}}
    part = {"shareID": "x", "consumedCapacity": {"memory": "20Gi"}}
    (item,) = pools(slice_of("n1", 1, **shared), given("c", "n1", "gpu-0", **part))[("n1", GPU)]["items"]
    assert item["state"] == "shared"
    assert item["capacity"] == {"memory": {"total": "80Gi", "free": "60Gi"}}
    assert item["claims"][0]["consumedCapacity"] == {"memory": "20Gi"}


def test_taints_keep_devices_from_being_free_and_rules_add_some():
    rule = {
        "apiVersion": "resource.k8s.io/v1beta2",
        "kind": "DeviceTaintRule",
        "metadata": {"name": "broken"},
        "spec": {"deviceSelector": {"device": "gpu-1"}, "taint": {"key": "broken", "effect": "NoExecute"}},
    }
    tainted = slice_of("n1", 2)
    tainted["spec"]["devices"][0]["taints"] = [{"key": "old", "value": "yes", "effect": "NoSchedule"}]
    pool = pools(tainted, rule)[("n1", GPU)]
    assert [item["taints"] for item in pool["items"]] == [["old=yes:NoSchedule"], ["broken:NoExecute"]]
    assert pool["counts"]["tainted"] == 2


def test_looking_at_a_device_takes_nothing():
    pool = pools(slice_of("n1", 1), given("c", "n1", "gpu-0", adminAccess=True))[("n1", GPU)]
    assert pool["counts"]["free"] == 1
    assert pool["items"][0]["claims"][0]["adminAccess"] is True


def test_devices_that_nobody_publishes_any_more_are_told():
    answer = devices([slice_of("n1", 1), given("c", "n1", "gpu-7")])
    assert [(one["device"], one["claim"]) for one in answer["gone"]] == [("gpu-7", "default/c")]


@pytest.mark.parametrize(
    ("changes", "state"),
    [({"resourceSliceCount": 2}, "Incomplete"), ({"resourceSliceCount": 1}, "Complete")],
)
def test_a_pool_says_whether_it_is_whole(changes, state):
    one = slice_of("n1", 1)
    one["spec"]["pool"] |= changes
    assert pools(one)[("n1", GPU)]["state"] == state


def test_a_pool_that_contradicts_itself_says_so():
    one = slice_of("n1", 2)
    one["spec"]["devices"][1]["name"] = "gpu-0"
    assert pools(one)[("n1", GPU)]["state"] == "Invalid"


def test_while_a_driver_moves_on_the_newest_generation_is_shown():
    old, new = slice_of("n1", 1), slice_of("n1", 3)
    new["metadata"]["name"], new["spec"]["pool"]["generation"] = "newer", 2
    pool = pools(old, new)[("n1", GPU)]
    assert (pool["state"], pool["devices"]) == ("Updating", 3)


def test_one_node_sees_its_own_pools_and_those_of_all():
    wide = slice_of("fabric", 2)
    del wide["spec"]["nodeName"]
    wide["spec"]["allNodes"] = True
    objects = [node("n1", 0), node("n2", 0), slice_of("n1", 1), slice_of("n2", 1), wide]
    assert [one["pool"] for one in devices(objects, node="n1")["pools"]] == ["n1", "fabric"]
    assert [one["node"] for one in devices(objects)["pools"]] == ["n1", "n2", None]
    assert devices(objects, node="n3")["pools"] == []


def test_what_cannot_be_read_is_named():
    broken = slice_of("n1", 1)
    broken["spec"]["devices"][0]["capacity"] = {"memory": {"value": "much"}}
    with pytest.raises(InputError, match=r"ResourceSlice n1-gpu\.nvidia\.com.*capacity\[memory\]"):
        devices([broken])


def test_a_claim_that_cannot_be_understood_is_told_and_left_out():
    bad = given("c", "n1", "gpu-0", shareID="x", consumedCapacity={"memory": "-1"})
    answer = devices([slice_of("n1", 1), bad])
    assert [("default/c" in one, RESOURCE in one) for one in answer["warnings"]] == [(True, False)]
