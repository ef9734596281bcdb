"""Plans with parts of GPUs by claims: decided as if the webhook had prepared the pods and the leader the templates."""

import pytest

from kai_py import plan
from kai_py.errors import InputError
from tests.planning.builders import NOW, node, pod, podgroup, queue
from tests.planning.test_planning_claims import device_class, slice_of

DRIVER = "shared.example.com"
SETTINGS = {
    "gpuSharing": "claims",
    "gpuShareClaims": {"deviceClassName": "shared", "inProportion": ["cores"]},
    "dra": {"gpuClasses": ["shared", DRIVER]},
}


def capacity(value, least, step):
    return {"value": value, "requestPolicy": {"default": value, "validRange": {"min": least, "step": step}}}


def shared_gpus(on, count, memory):
    more = {"cores": capacity("100", "0", "1"), "memory": capacity(memory, "1Mi", "1Mi")}
    return slice_of(on, count, DRIVER, allowMultipleAllocations=True, capacity=more)


def cluster(*sizes):
    made = [device_class("shared", f"device.driver == '{DRIVER}'"), queue()]
    for number, memory in enumerate(sizes):
        made += [node(f"n{number}", 0), shared_gpus(f"n{number}", 1, memory)]
    return made


def sharing(name, **annotations):
    made = pod(name, 0)
    made["metadata"]["annotations"] = {key.replace("_", "-"): text for key, text in annotations.items()}
    return made


def planned(*objects, settings=SETTINGS):
    return plan(objects, settings=settings, now=NOW)


def nodes_of(found):
    return {name: one.get("node") for name, one in found.pods.items()}


def test_two_halves_share_a_gpu_and_the_third_waits():
    halves = [sharing(name, gpu_fraction="0.5") for name in ("a", "b", "c")]
    found = planned(*cluster("81559Mi"), *halves)
    assert nodes_of(found) == {"default/a": "n0", "default/b": "n0", "default/c": None}


def test_a_fraction_is_of_whatever_card_the_pod_gets():
    pods = [sharing(f"p{number}", gpu_fraction="0.5") for number in range(5)]
    found = planned(*cluster("24Gi", "81559Mi"), *pods)
    assert sorted(map(str, nodes_of(found).values())) == ["None", "n0", "n0", "n1", "n1"]


def test_memory_goes_where_there_is_so_much_and_takes_its_part_of_the_rest():
    pods = [sharing(name, gpu_memory="40000") for name in ("a", "b", "c")]
    found = planned(*cluster("24Gi", "81559Mi"), *pods)
    assert nodes_of(found) == {"default/a": "n1", "default/b": "n1", "default/c": None}


def test_parts_of_several_gpus_are_parts_of_different_ones():
    objects = [*cluster(), node("n0", 0), shared_gpus("n0", 2, "80Gi")]
    both = sharing("both", gpu_fraction="0.5", gpu_fraction_num_devices="2")
    found = planned(*objects, both, sharing("a", gpu_fraction="0.5"), sharing("b", gpu_fraction="0.5"))
    assert set(nodes_of(found).values()) == {"n0"}
    assert planned(*cluster("80Gi"), both).pods["default/both"]["node"] is None


def test_queues_pay_for_the_part():
    objects = [one for one in cluster("80Gi") if one["kind"] != "Queue"]
    pods = [sharing(name, gpu_fraction="0.5") for name in ("a", "b")]
    found = planned(*objects, queue(limit=0.5), *pods)
    assert nodes_of(found) == {"default/a": "n0", "default/b": None}


def reason(found):
    (waiting,) = found.cycles[-1]["waiting"]
    return waiting["reasons"][0]


@pytest.mark.parametrize(
    ("objects", "says"),
    [
        ([node("n0", 0)], "there is no DeviceClass shared"),
        (
            [node("n0", 0), device_class("shared"), slice_of("n0", 1, DRIVER)],
            "has no device that may be allocated several times and has memory and cores",
        ),
    ],
)
def test_what_cannot_be_claimed_is_said(objects, says):
    found = planned(*objects, queue(), sharing("half", gpu_fraction="0.5"))
    assert reason(found)["code"] == "SharedGpuNotOffered"
    assert says in reason(found)["message"]


def test_more_than_any_card_has_is_a_claim_that_finds_no_device():
    found = planned(*cluster("24Gi"), sharing("large", gpu_memory="30000"))
    assert reason(found)["code"] == "DevicesUnavailable"


def test_a_pod_chooses_its_nodes_where_there_are_both_kinds():
    settings = {**SETTINGS, "gpuSharing": "reservation", "gpuSharingChoices": ["claims"]}
    plugin = node("plugin", 1)
    plugin["metadata"]["labels"] = {"nvidia.com/gpu.memory": "80000"}
    first, second = sharing("first", gpu_fraction="0.5"), sharing("second", gpu_fraction="0.5")
    second["metadata"]["annotations"]["kai.scheduler/gpu-sharing"] = "claims"
    found = planned(*cluster("80Gi"), plugin, first, second, settings=settings)
    assert nodes_of(found) == {"default/first": "plugin", "default/second": "n0"}
    second["metadata"]["annotations"]["kai.scheduler/gpu-sharing"] = "trusted"
    with pytest.raises(InputError, match="should be claims or reservation, not 'trusted'"):
        planned(*cluster("80Gi"), second, settings=settings)


def test_claims_of_ones_own_beside_it_wait():
    half = sharing("half", gpu_fraction="0.5")
    half["spec"]["resourceClaims"] = [{"name": "nic", "resourceClaimName": "nic"}]
    assert reason(planned(*cluster("80Gi"), half))["code"] == "Unsupported"


def test_a_gang_of_shares_starts_whole_or_not_at_all():
    def gang(count):
        members = [sharing(f"p{number}", gpu_fraction="0.25") for number in range(count)]
        for one in members:
            one["metadata"]["annotations"]["pod-group-name"] = "gang"
        return [podgroup("gang", count), *members]

    assert set(nodes_of(planned(*cluster("80Gi"), *gang(4))).values()) == {"n0"}
    assert set(nodes_of(planned(*cluster("80Gi"), *gang(5))).values()) == {None}
