"""Claims on devices in plans: manifests in, decisions and allocations out."""

import pytest

from kai_py import plan
from kai_py.errors import InputError
from tests.planning.builders import NOW, node, pod, podgroup, queue

GPU = "gpu.nvidia.com"
RESOURCE = "resource.k8s.io/v1"


def device_class(name=GPU, expression=None):
    selectors = [{"cel": {"expression": expression}}] if expression else []
    return {
        "apiVersion": RESOURCE,
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": selectors},
    }


def slice_of(on, count, driver=GPU, **more):
    return {
        "apiVersion": RESOURCE,
        "kind": "ResourceSlice",
        "metadata": {"name": f"{on}-{driver}"},
        "spec": {
            "driver": driver,
            "nodeName": on,
            "pool": {"name": on, "generation": 1, "resourceSliceCount": 1},
            "devices": [{"name": f"gpu-{i}", "attributes": {"index": {"int": i}}, **more} for i in range(count)],
        },
    }


def asked(count=1, kind=GPU, expression=None):
    exactly = {"deviceClassName": kind, "allocationMode": "ExactCount", "count": count}
    if expression:
        exactly["selectors"] = [{"cel": {"expression": expression}}]
    return {"devices": {"requests": [{"name": "gpu", "exactly": exactly}]}}


def claim(name, count=1, *, of="team", **more):
    labels = {"kai.scheduler/queue": of} if of else {}
    meta = {"name": name, "labels": labels, **more.pop("metadata", {})}
    spec = asked(count, **more)
    return {"apiVersion": RESOURCE, "kind": "ResourceClaim", "metadata": meta, "spec": spec}


def template(name, count=1):
    spec = {"spec": asked(count)}
    return {"apiVersion": RESOURCE, "kind": "ResourceClaimTemplate", "metadata": {"name": name}, "spec": spec}


def user(name, *claims, made_from=(), **more):
    entries = [{"name": one, "resourceClaimName": one} for one in claims]
    entries += [{"name": one, "resourceClaimTemplateName": one} for one in made_from]
    return pod(name, 0, resourceClaims=entries, **more)


def planned(*objects, cycles=1, **more):
    base = [node("n1", 0), queue(), device_class()]
    return plan([*base, *objects], cycles, now=NOW, **more).to_dict()


def binds(result, cycle=0):
    return {one["pod"]: one for one in result["cycles"][cycle]["binds"]}


def reasons(result, cycle=0):
    return {one["podGroup"]: one["reasons"][0] for one in result["cycles"][cycle]["waiting"]}


def test_an_allocation_is_shown_as_it_would_be_written():
    second = f'device.attributes["{GPU}"].index == 1'
    result = planned(slice_of("n1", 2), claim("c", expression=second), user("a", "c"))
    (given,) = binds(result)["default/a"]["claims"]
    device = {"request": "gpu", "driver": GPU, "pool": "n1", "device": "gpu-1"}
    assert given["claim"] == "default/c"
    assert given["allocation"]["devices"]["results"] == [device]
    (term,) = given["allocation"]["nodeSelector"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}


def test_what_is_bound_in_one_cycle_is_taken_in_the_next():
    result = planned(slice_of("n1", 1), claim("c"), claim("d"), user("a", "c"), user("b", "d"), cycles=3)
    assert list(binds(result)) == ["default/a"]
    assert binds(result, 1) == {}
    assert {name: one["state"] for name, one in result["pods"].items()} == {
        "default/a": "Running",
        "default/b": "Pending",
    }


def test_pods_of_a_template_get_a_claim_each():
    pods = [user(f"w-{i}", made_from=["gpu"], group="job", owner="job") for i in range(3)]
    result = planned(slice_of("n1", 3), template("gpu"), podgroup("job", 3), *pods)
    given = [one["claims"] for one in binds(result).values()]
    assert [one["claim"] for (one,) in given] == [f"default/w-{i}-gpu" for i in range(3)]
    assert [one["allocation"]["devices"]["results"][0]["device"] for (one,) in given] == ["gpu-0", "gpu-1", "gpu-2"]


def test_a_reclaimed_pod_gives_its_devices_back_and_waits_with_a_new_claim():
    queues = [queue("rich", gpus=0), queue("poor", gpus=1)]
    old = user("old", made_from=["gpu"], queue="rich", owner="old")
    new = user("new", made_from=["gpu"], queue="poor", owner="new")
    first = planned(*queues, slice_of("n1", 1), template("gpu"), old)
    assert list(binds(first)) == ["default/old"]
    claim_of_old = claim("old-gpu", of=None, metadata={"ownerReferences": []}) | {
        "status": {"allocation": binds(first)["default/old"]["claims"][0]["allocation"]}
    }
    ran = old | {
        "spec": old["spec"] | {"nodeName": "n1"},
        "status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "old-gpu"}]},
    }
    result = planned(*queues, slice_of("n1", 1), template("gpu"), claim_of_old, ran, new, cycles=4)
    assert [one["pod"] for one in result["cycles"][0]["evictions"]] == ["default/old"]
    assert list(binds(result, 1)) == ["default/new"]
    assert {name: one["state"] for name, one in result["pods"].items()} == {
        "default/new": "Running",
        "default/old": "Pending",
    }
    assert result["queues"]["poor"]["allocated"]["gpu"] == 1


@pytest.mark.parametrize(
    ("objects", "code", "said"),
    [
        ([user("a", "c")], "ResourceClaimDoesNotExist", "ResourceClaim default/c does not exist"),
        ([user("a", made_from=["t"])], "ResourceClaimDoesNotExist", "default/t"),
        ([user("a", "c"), claim("c", of="other")], "ResourceClaimNotOfQueue", "default/c"),
        ([user("a", "c"), claim("c", of=None)], "ResourceClaimNotOfQueue", "queue team"),
        ([user("a", "c"), claim("c", kind="no-such-class")], "ResourceClaimInvalid", "no-such-class"),
        (
            [user("a", "c"), claim("c", metadata={"deletionTimestamp": NOW})],
            "ResourceClaimInvalid",
            "it is being deleted",
        ),
        ([user("a", "c"), claim("c", 3)], "DevicesUnavailable", "3 needed, 2 match"),
        ([user("a", "c"), claim("c", expression="nonsense(")], "DevicesUnavailable", "selector"),
    ],
)
def test_why_a_pod_with_a_claim_waits(objects, code, said):
    result = planned(slice_of("n1", 2), *objects)
    reason = next(iter(reasons(result).values()))
    assert reason["code"] == code
    assert said in reason["message"]
    assert binds(result) == {}


def test_a_pod_whose_claim_cannot_be_served_stops_nobody_else():
    result = planned(slice_of("n1", 2), claim("c"), user("a", "c"), user("b", "missing"), pod("plain", 0))
    assert sorted(binds(result)) == ["default/a", "default/plain"]


def test_devices_of_other_classes_need_no_queue_label_and_cost_nothing():
    other = "nic.example.com"
    objects = [device_class(other), slice_of("n1", 1, driver=other), claim("c", of=None, kind=other), user("a", "c")]
    result = planned(*objects, cycles=2)
    assert list(binds(result)) == ["default/a"]
    assert result["queues"]["team"]["allocated"]["gpu"] == 0


def test_a_claim_that_two_pods_share_is_charged_once():
    pods = [user(name, "c", group="job", owner="job") for name in ("a", "b")]
    result = planned(slice_of("n1", 2), claim("c"), podgroup("job", 2), *pods, cycles=2)
    assert [len(one["claims"]) for one in binds(result).values()] == [1, 0]
    assert result["queues"]["team"]["allocated"]["gpu"] == 1
    assert result["queues"]["team"]["fairShare"]["gpu"] == 1


def test_a_slice_that_cannot_be_read_is_a_fault_of_its_own():
    broken = slice_of("n1", 1)
    del broken["spec"]["nodeName"]
    with pytest.raises(InputError, match=r"ResourceSlice .*nodeName, nodeSelector, allNodes"):
        planned(broken)


def test_a_taint_rule_keeps_claims_off_a_device():
    rule = {
        "apiVersion": "resource.k8s.io/v1beta2",
        "kind": "DeviceTaintRule",
        "metadata": {"name": "broken"},
        "spec": {
            "deviceSelector": {"driver": GPU, "device": "gpu-0"},
            "taint": {"key": "broken", "effect": "NoSchedule"},
        },
    }
    result = planned(slice_of("n1", 2), rule, claim("c"), user("a", "c"))
    (given,) = binds(result)["default/a"]["claims"]
    assert given["allocation"]["devices"]["results"][0]["device"] == "gpu-1"


def test_a_pod_may_not_have_a_claim_and_a_part_of_a_gpu():
    one = user("a", "c")
    one["metadata"]["annotations"]["gpu-fraction"] = "0.5"
    (reason,) = reasons(planned(slice_of("n1", 2), claim("c"), one)).values()
    assert (reason["code"], "part of a GPU" in reason["message"]) == ("Unsupported", True)


def test_a_queue_may_limit_devices_of_one_class():
    nic = "nic.example.com"
    limited = queue()
    limited["spec"]["resources"]["additional"] = [{"name": f"deviceclass/{nic}", "quota": 1, "limit": 1}]
    objects = [device_class(nic, f'device.driver == "{nic}"'), slice_of("n1", 4, driver=nic)]
    objects += [claim(name, of=None, kind=nic) for name in ("c", "d")]
    result = plan(
        [node("n1", 0), limited, device_class(), *objects, user("a", "c"), user("b", "d")], 2, now=NOW
    ).to_dict()
    assert list(binds(result)) == ["default/a"]
    (reason,) = reasons(result).values()
    assert (reason["code"], nic in reason["message"]) == ("OverLimit", True)
    assert result["queues"]["team"]["allocated"][f"deviceclass/{nic}"] == 1
    assert result["queues"]["team"]["fairShare"][f"deviceclass/{nic}"] == 1


def test_settings_name_the_classes_that_count_as_gpus():
    other = "gpu.example.com"
    objects = [device_class(other), slice_of("n1", 1, driver=other), claim("c", kind=other), user("a", "c")]
    result = planned(*objects, cycles=2, settings={"dra": {"gpuClasses": [other]}})
    assert result["queues"]["team"]["allocated"]["gpu"] == 1


def test_nodes_are_counted_by_what_their_devices_lack():
    names = [f"n{number}" for number in range(5)]
    cut = {"driver": GPU, "sharedCounters": [{"name": "gpu-3", "counters": {"m": {"value": "1"}}}]}
    parts = slice_of("n4", 2, consumesCounters=[{"counterSet": "gpu-3", "counters": {"m": {"value": "1"}}}])
    counters = slice_of("n4", 0) | {"metadata": {"name": "n4-counters"}}
    for one in (parts, counters):
        one["spec"]["pool"]["resourceSliceCount"] = 2
    del counters["spec"]["devices"]
    counters["spec"] |= cut
    small = [slice_of(name, 1, capacity={"memory": {"value": "40Gi"}}) for name in names[:2]]
    fitting = {"memory": {"value": "80Gi"}}
    parts["spec"]["devices"] = [one | {"capacity": fitting} for one in parts["spec"]["devices"]]
    taken = claim("old") | {"status": allocation("n4", "gpu-0", "b")}
    wanted = claim("c")
    wanted["spec"]["devices"]["requests"][0]["exactly"]["capacity"] = {"requests": {"memory": "80Gi"}}
    others = [slice_of("n2", 1, capacity=fitting), claim("busy") | {"status": allocation("n2", "gpu-0", "x")}]
    objects = [*(node(name, 0) for name in names), queue(), device_class(), *small, *others, parts, counters]
    result = plan([*objects, taken, wanted, user("a", "c")], now=NOW).to_dict()
    (reason,) = reasons(result).values()
    assert reason["code"] == "DevicesUnavailable"
    for said in (
        "2 have devices that are too small",
        "1 has no device that matches",
        "1 has its devices in use",
        "1 has used up what its devices are cut from",
    ):
        assert said in reason["message"]


def test_too_small_says_how_much_is_wanted():
    wanted = claim("c")
    wanted["spec"]["devices"]["requests"][0]["exactly"]["capacity"] = {"requests": {"memory": "80Gi"}}
    small = slice_of("n1", 1, capacity={"memory": {"value": "40Gi"}})
    (reason,) = reasons(planned(small, wanted, user("a", "c"))).values()
    assert "devices are too small (memory of 80Gi or more) on n1" in reason["message"]


def test_no_match_quotes_the_selector():
    expression = 'device.driver == "other"'
    (reason,) = reasons(planned(slice_of("n1", 1), claim("c", expression=expression), user("a", "c"))).values()
    assert f"({expression})" in reason["message"]


def allocation(on, device, consumer):
    result = {"request": "gpu", "driver": GPU, "pool": on, "device": device}
    reserved = [{"resource": "pods", "name": consumer, "uid": consumer}]
    return {"allocation": {"devices": {"results": [result]}}, "reservedFor": reserved}


def test_a_pool_that_is_half_published_holds_up_claims_that_may_take_all_devices():
    late = slice_of("n1", 1)
    late["metadata"], late["spec"]["pool"] = {"name": "late"}, {"name": "late", "generation": 1}
    ways = [{"name": "one", "count": 1}, {"name": "all", "allocationMode": "All"}]
    either = claim("c")
    request = {"name": "gpu", "firstAvailable": [{"deviceClassName": GPU, **way} for way in ways]}
    either["spec"] = {"devices": {"requests": [request]}}
    late["spec"]["pool"]["resourceSliceCount"] = 2
    held = planned(slice_of("n1", 1), late, either, user("a", "c"))
    assert binds(held) == {}
    assert "not published all" in next(iter(reasons(held).values()))["message"]
    late["spec"]["pool"]["resourceSliceCount"] = 1
    assert list(binds(planned(slice_of("n1", 1), late, either, user("a", "c")))) == ["default/a"]
