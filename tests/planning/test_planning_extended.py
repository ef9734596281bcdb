"""Extended resources that are devices on some nodes, in plans."""

import pytest

from kai_py import plan
from tests.planning.builders import NOW, node, pod, podgroup, queue
from tests.planning.test_planning_claims import GPU, binds, claim, device_class, reasons, slice_of, user

RESOURCE = "nvidia.com/gpu"
IMPLICIT = f"deviceclass.resource.kubernetes.io/{GPU}"


def backing(name=GPU, resource=RESOURCE, driver=GPU):
    found = device_class(name, f'device.driver == "{driver}"')
    found["spec"]["extendedResourceName"] = resource
    return found


def asking(name, count=1, resource=RESOURCE, **more):
    found = pod(name, 0, **more)
    found["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1", resource: str(count)}}
    return found


def planned(*objects, cycles=1, **more):
    return plan([queue(), *objects], cycles, now=NOW, **more).to_dict()


def devices_of(bind):
    return [one["device"] for given in bind["claims"] for one in given["allocation"]["devices"]["results"]]


def test_a_node_without_a_device_plugin_serves_the_resource_with_devices():
    result = planned(node("n1", 0), backing(), slice_of("n1", 4), asking("a", 2), cycles=2)
    bind = binds(result)["default/a"]
    assert devices_of(bind) == ["gpu-0", "gpu-1"]
    (given,) = bind["claims"]
    assert given["claim"] == "default/a-extended-resources-"
    assert {one["request"] for one in given["allocation"]["devices"]["results"]} == {"container-0-request-1"}
    assert result["queues"]["team"]["allocated"]["gpu"] == 2


def test_a_node_with_a_device_plugin_serves_it_itself():
    result = planned(node("n1", 4), backing(), slice_of("n1", 4), asking("a", 2), cycles=2)
    assert binds(result)["default/a"]["claims"] == []
    assert result["queues"]["team"]["allocated"]["gpu"] == 2


def test_nodes_of_both_kinds_are_used_and_nothing_is_given_twice():
    objects = [node("n1", 2), node("n2", 0), backing(), slice_of("n2", 2)]
    result = planned(*objects, *(asking(f"p{n}") for n in range(5)), cycles=3)
    found = binds(result)
    assert sorted(one["node"] for one in found.values()) == ["n1", "n1", "n2", "n2"]
    assert sorted(device for one in found.values() for device in devices_of(one)) == ["gpu-0", "gpu-1"]
    assert result["queues"]["team"]["fairShare"]["gpu"] == 4
    assert [binds(result, cycle) for cycle in range(1, len(result["cycles"]))] == [{}] * (len(result["cycles"]) - 1)
    assert len(reasons(result)) == 1


def test_claims_and_extended_resources_share_the_same_devices():
    objects = [node("n1", 0), backing(), slice_of("n1", 2), claim("c"), user("b", "c")]
    result = planned(*objects, asking("a", 2), cycles=2)
    assert len(binds(result)) == 1
    result = planned(*objects, asking("a"), cycles=2)
    assert sorted(device for one in binds(result).values() for device in devices_of(one)) == ["gpu-0", "gpu-1"]
    assert result["queues"]["team"]["allocated"]["gpu"] == 2


def test_every_class_can_be_asked_for_by_its_own_resource():
    objects = [node("n1", 0), device_class(), slice_of("n1", 2)]
    result = planned(*objects, asking("a", 2, IMPLICIT), asking("b", 1, IMPLICIT), cycles=2)
    assert devices_of(binds(result)["default/a"]) == ["gpu-0", "gpu-1"]
    assert list(binds(result)) == ["default/a"]
    assert result["queues"]["team"]["allocated"]["gpu"] == 2


def test_a_gang_starts_whole_on_nodes_of_both_kinds():
    objects = [node("n1", 2), node("n2", 0), backing(), slice_of("n2", 2), podgroup("job", 4)]
    members = [asking(f"w-{n}", group="job") for n in range(4)]
    assert len(binds(planned(*objects, *members))) == 4
    assert binds(planned(*objects, podgroup("other", 5), *(asking(f"w-{n}", group="other") for n in range(5)))) == {}


def test_several_resources_are_one_claim_for_what_the_node_does_not_offer_itself():
    nics = backing("nic.example.com", "example.com/nic", "nic.example.com")
    both = asking("a")
    both["spec"]["containers"][0]["resources"]["requests"]["example.com/nic"] = "1"
    plugin = node("n1", 1)
    result = planned(plugin, backing(), nics, slice_of("n1", 1), slice_of("n1", 2, driver="nic.example.com"), both)
    (given,) = binds(result)["default/a"]["claims"]
    results = given["allocation"]["devices"]["results"]
    assert [(one["driver"], one["request"]) for one in results] == [("nic.example.com", "container-0-request-1")]


def test_reclaim_frees_devices_of_extended_resources():
    queues = [queue("rich", gpus=0), queue("poor", gpus=1)]
    objects = [*queues, node("n1", 0), backing(), slice_of("n1", 1)]
    old = asking("old", queue="rich", owner="old")
    first = plan([*objects, old], 2, now=NOW).to_dict()
    (given,) = binds(first)["default/old"]["claims"]
    name = "old-extended-resources-0"
    made = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "annotations": {"resource.kubernetes.io/extended-resource-claim": "true"}},
        "spec": {
            "devices": {
                "requests": [
                    {"name": "container-0-request-1", "exactly": {"deviceClassName": GPU, "count": 1}},
                ]
            }
        },
        "status": {"allocation": given["allocation"]},
    }
    old["spec"]["nodeName"] = "n1"
    old["status"] = {"phase": "Running", "extendedResourceClaimStatus": {"resourceClaimName": name}}
    result = plan([*objects, old, made, asking("new", queue="poor", owner="new")], 4, now=NOW).to_dict()
    assert [one["pod"] for one in result["cycles"][0]["evictions"]] == ["default/old"]
    bound = [pod for cycle in range(len(result["cycles"])) for pod in binds(result, cycle)]
    assert bound == ["default/new"]
    assert result["queues"]["rich"]["allocated"]["gpu"] == 0


@pytest.mark.parametrize("resource", [RESOURCE, IMPLICIT])
def test_a_part_of_a_device_cannot_be_asked_for(resource):
    odd = asking("a", resource=resource)
    odd["spec"]["containers"][0]["resources"]["requests"][resource] = "500m"
    result = planned(node("n1", 0), backing(), slice_of("n1", 1), odd)
    (reason,) = reasons(result).values()
    assert "whole number of devices" in reason["message"]
