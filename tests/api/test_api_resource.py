import json
from pathlib import Path

import msgspec
import pytest

from kai_py.api.decode import convert, decode
from kai_py.api.policy import PodDisruptionBudget
from kai_py.api.resource import Allocation, Device, DeviceClass, ResourceClaim, ResourceSlice
from kai_py.api.storage import CSINode, PersistentVolume, PersistentVolumeClaim

UPSTREAM = Path(__file__).parents[3] / "shared" / "cases" / "dra" / "allocator_cases.json"
SHARED_DEFAULTS = {"resourceSliceCount": 1}


def leaves(value, path=""):
    """Every plain value with its path, without those that the structs leave out as defaults."""
    if isinstance(value, dict):
        for key, item in value.items():
            if item != SHARED_DEFAULTS.get(key):
                yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for row, item in enumerate(value):
            yield from leaves(item, f"{path}[{row}]")
    elif value != "":
        yield path, value


@pytest.mark.skipif(not UPSTREAM.exists(), reason="the shared cases are not beside the project")
def test_nothing_of_upstreams_objects_is_lost():
    for case in json.loads(UPSTREAM.read_text())["cases"]:
        objects = [(DeviceClass, one) for one in case["classes"]]
        objects += [(ResourceSlice, one) for one in case["slices"]]
        objects += [(ResourceClaim, one) for one in case["claimsToAllocate"]]
        objects += [(Allocation, one["result"]) for one in case["expect"].get("results", [])]
        for kind, obj in objects:
            sent = obj if kind is Allocation else {**obj, "metadata": {"name": "x", **obj.get("metadata", {})}}
            read_back = json.loads(msgspec.json.encode(convert(kind, sent)))
            assert dict(leaves(read_back)) == dict(leaves(sent)), case["name"]


def test_names_that_are_not_plain_camel_case_are_kept():
    sent = {"name": "gpu-0", "attributes": {"index": {"int": 0}, "healthy": {"bool": False}}}
    assert json.loads(msgspec.json.encode(convert(Device, sent))) == sent
    result = {"request": "r", "driver": "d", "pool": "p", "device": "x", "shareID": "6f2c"}
    assert convert(Allocation, {"devices": {"results": [result]}}).devices.results[0].share_id == "6f2c"


def test_a_drivers_parameters_keep_their_nulls_even_beside_nulls_that_mean_nothing():
    opaque = {"driver": "d", "parameters": {"sharing": None, "list": [None]}}
    sent = {"metadata": {"name": "c", "labels": None}, "spec": {"selectors": None, "config": [{"opaque": opaque}]}}
    read = decode(DeviceClass, json.dumps(sent).encode())
    assert read.spec.config[0].opaque.parameters == opaque["parameters"]


def test_an_unset_storage_class_is_not_an_empty_one():
    def read(spec):
        return convert(PersistentVolumeClaim, {"metadata": {"name": "c"}, "spec": spec}).spec.storage_class_name

    assert read({}) is None
    assert read({"storageClassName": ""}) == ""


def test_volumes_say_where_they_can_be_reached():
    terms = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}
    volume = convert(PersistentVolume, {"metadata": {"name": "v"}, "spec": {"nodeAffinity": {"required": terms}}})
    assert volume.spec.node_affinity.required.node_selector_terms[0].match_expressions[0].values == ("a",)


def test_a_nodes_drivers_have_limits():
    driver = {"name": "csi.example.com", "nodeID": "i-1", "allocatable": {"count": 25}}
    (read,) = convert(CSINode, {"metadata": {"name": "n"}, "spec": {"drivers": [driver]}}).spec.drivers
    assert (read.node_id, read.allocatable.count) == ("i-1", 25)


def test_a_budget_may_be_a_number_or_a_percentage():
    def read(value):
        return convert(PodDisruptionBudget, {"metadata": {"name": "b"}, "spec": {"minAvailable": value}})

    assert read(1).spec.min_available == 1
    assert read("50%").spec.min_available == "50%"
