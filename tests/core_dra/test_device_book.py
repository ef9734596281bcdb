"""What is kept of slices, rules and classes between snapshots."""

import pytest

from kai_py.api.decode import convert
from kai_py.api.dra_taint_rule import DeviceTaintRule
from kai_py.api.pod import Pod
from kai_py.api.resource import DeviceClass, ResourceSlice
from kai_py.cluster.devices.book import DeviceBook
from kai_py.cluster.devices.extended import ExtendedResources, extended_claim
from kai_py.core.dra.devices import UNIT, NodeShare
from kai_py.core.dra.node_shares import node_shares
from kai_py.core.dra.selectors import SelectorError, SelectorMemo
from kai_py.errors import MalformedObjectError
from tests.core_dra.builders import Named, World, claim, device, nodes, pool, want


# slices -----------------------------------------------------------------------------------------------
def slice_of(name, *devices, node="a", version="1", count=1):
    spec = {
        "driver": "d",
        "pool": {"name": node, "generation": 1, "resourceSliceCount": count},
        "nodeName": node,
        "devices": list(devices),
    }
    return convert(ResourceSlice, {"metadata": {"name": name, "resourceVersion": version}, "spec": spec})


def names_of(inventory):
    return [device.name for device in inventory.devices]


def test_an_inventory_is_made_anew_only_when_devices_or_nodes_change():
    book, table = DeviceBook(), nodes("a")
    assert book.put(slice_of("s", {"name": "g0"}))
    made = book.inventory(table)
    assert not book.put(slice_of("s", {"name": "g0"}, version="2"))
    assert book.inventory(table) is made
    assert book.inventory(nodes("a", "b")) is not made
    assert book.put(slice_of("s", {"name": "g0"}, {"name": "g1"}))
    assert names_of(book.inventory(table)) == ["g0", "g1"]
    assert book.drop("s")
    assert not book.drop("s")
    assert names_of(book.inventory(table)) == []


def test_devices_that_did_not_change_stay_the_same_so_that_selectors_need_not_be_asked_again():
    book, table = DeviceBook(), nodes("a", "b")
    book.put(slice_of("s", {"name": "g0"}))
    before = book.inventory(table).devices[0]
    book.put(slice_of("t", {"name": "g1"}, node="b"))
    assert book.inventory(table).devices[0] is before


def test_a_malformed_slice_is_left_out_and_told_about_until_it_is_repaired():
    book, table = DeviceBook(), nodes("a")
    book.put(slice_of("s", {"name": "g0"}, count=2))
    book.put(slice_of("t", {"name": "g1"}, count=2))
    broken = {"name": "g1", "capacity": {"m": {"value": "much"}}}
    assert book.put(slice_of("t", broken, count=2))
    assert book.faults["t"][0].field == "spec.devices[0].capacity[m].value"
    assert book.inventory(table).at(0).incomplete == ("d/a",)
    book.put(slice_of("t", {"name": "g1"}, count=2))
    assert book.faults == {}
    assert len(book.inventory(table).at(0).rows) == 2


def test_a_rule_taints_devices_as_long_as_it_is_there():
    rule = convert(
        DeviceTaintRule,
        {
            "metadata": {"name": "r"},
            "spec": {"deviceSelector": {"device": "g0"}, "taint": {"key": "k", "effect": "NoSchedule"}},
        },
    )
    book, table = DeviceBook(), nodes("a")
    book.put(slice_of("s", {"name": "g0"}))
    assert book.put_rule(rule)
    assert not book.put_rule(rule)
    assert [taint.key for taint in book.inventory(table).devices[0].taints] == ["k"]
    assert book.drop_rule("r")
    assert not book.drop_rule("r")
    assert book.inventory(table).devices[0].taints == ()


class Counting(Named):
    """Counts how often it is asked."""

    asked = 0

    def matches(self, device):
        Counting.asked += 1
        return super().matches(device)


def test_a_selector_is_asked_once_per_device_and_again_when_the_device_was_forgotten():
    memo, one, other = SelectorMemo(), device("g0"), device("g1")
    selector = Counting(("g0",), broken=("g1",))
    Counting.asked = 0
    for _ in range(3):
        assert memo.matches([selector], one)
        with pytest.raises(SelectorError, match="g1"):
            memo.matches([selector], other)
    assert Counting.asked == 2
    assert memo.matches([selector], device("g0"))
    assert Counting.asked == 2
    assert memo.matches([selector], device("g0", has={"zone": "x"}))
    assert Counting.asked == 3
    memo.keep([])
    assert memo.matches([selector], one)
    assert Counting.asked == 4


# extended resources -----------------------------------------------------------------------------------
def device_class(name, resource=None, created="2026-01-01T00:00:00Z"):
    spec = {"extendedResourceName": resource} if resource else {}
    return convert(DeviceClass, {"metadata": {"name": name, "creationTimestamp": created}, "spec": spec})


def test_the_newest_class_backs_a_resource_and_every_class_its_own_name():
    classes = ExtendedResources()
    classes.put(device_class("old", "example.com/gpu"))
    classes.put(device_class("new", "example.com/gpu", "2026-02-01T00:00:00Z"))
    assert classes.get("example.com/gpu") == "new"
    classes.put(device_class("also", "example.com/gpu", "2026-02-01T00:00:00Z"))
    assert classes.get("example.com/gpu") == "also"
    classes.drop("also")
    classes.drop("new")
    assert classes.get("example.com/gpu") == "old"
    assert classes.get("deviceclass.resource.kubernetes.io/old") == "old"
    assert classes.get("deviceclass.resource.kubernetes.io/new") is None
    assert classes.get("cpu") is None


def pod(containers, *init):
    def container(name, requests, **more):
        return {"name": name, "resources": {"requests": requests}, **more}

    spec = {
        "containers": [container(f"c{i}", requests) for i, requests in enumerate(containers)],
        "initContainers": [container(f"i{i}", requests, **more) for i, (requests, more) in enumerate(init)],
    }
    return convert(Pod, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})


GPU, NIC = "example.com/gpu", "example.com/nic"
CLASSES = {GPU: "gpus", NIC: "nics"}
SIDECAR = {"restartPolicy": "Always"}


def read(found):
    requests = {one.name: (one.exactly.device_class_name, one.exactly.count) for one in found.spec.requests}
    return requests, [(one.container, one.resource, one.request) for one in found.mappings]


def test_each_container_has_a_request_per_resource_that_a_class_backs():
    requests, mappings = read(extended_claim(pod([{"cpu": "1", GPU: "2"}, {GPU: 1, NIC: "1"}]), CLASSES))
    assert requests == {
        "container-0-request-1": ("gpus", 2),
        "container-1-request-0": ("gpus", 1),
        "container-1-request-1": ("nics", 1),
    }
    assert mappings == [
        ("c0", GPU, "container-0-request-1"),
        ("c1", GPU, "container-1-request-0"),
        ("c1", NIC, "container-1-request-1"),
    ]


def test_resources_that_the_node_serves_otherwise_are_not_claimed():
    assert extended_claim(pod([{GPU: "1"}]), {}) is None
    assert extended_claim(pod([{GPU: "0"}]), CLASSES) is None
    assert read(extended_claim(pod([{GPU: "1", NIC: "1"}]), {NIC: "nics"}))[0] == {"container-0-request-1": ("nics", 1)}


def test_init_containers_use_what_later_containers_have_and_the_most_that_any_lacks_is_added():
    found = extended_claim(pod([{GPU: "2"}], ({GPU: "1"}, {}), ({GPU: "3"}, {}), ({GPU: "5"}, {})), CLASSES)
    requests, mappings = read(found)
    assert requests == {"container-3-request-0": ("gpus", 2), "container-2-request-0": ("gpus", 3)}
    assert set(mappings) == {
        ("c0", GPU, "container-3-request-0"),
        ("i0", GPU, "container-3-request-0"),
        ("i1", GPU, "container-3-request-0"),
        ("i1", GPU, "container-2-request-0"),
        ("i2", GPU, "container-3-request-0"),
        ("i2", GPU, "container-2-request-0"),
    }


def test_a_sidecar_keeps_its_devices_and_lends_them_only_to_init_containers_before_it():
    found = extended_claim(pod([{}], ({GPU: "1"}, {}), ({GPU: "1"}, SIDECAR), ({GPU: "1"}, {})), CLASSES)
    requests, mappings = read(found)
    assert requests == {"container-1-request-0": ("gpus", 1), "container-2-request-0": ("gpus", 1)}
    assert ("i0", GPU, "container-1-request-0") in mappings
    assert ("i2", GPU, "container-2-request-0") in mappings
    assert ("i2", GPU, "container-1-request-0") not in mappings


@pytest.mark.parametrize("quantity", ["500m", "-1", "some"])
def test_a_part_of_a_device_cannot_be_requested_this_way(quantity):
    with pytest.raises(MalformedObjectError) as caught:
        extended_claim(pod([{GPU: quantity}]), CLASSES)
    assert caught.value.faults[0].where == "Pod default/p"
    assert caught.value.faults[0].field == f"spec.containers[c0].resources.requests.{GPU}"


# what devices take of their node ----------------------------------------------------------------------
def test_devices_take_of_their_node_what_they_say_by_number_or_by_capacity():
    by_number = device("cores", node_shares=(NodeShare("cpu", "", 4 * UNIT),))
    by_capacity = device(
        "memory", capacity={"size": 8}, shareable=True, node_shares=(NodeShare("memory", "size", 2 * UNIT),)
    )
    whole = device(
        "whole", capacity={"size": 3}, node_shares=(NodeShare("memory", "size"), NodeShare("memory", "gone"))
    )
    world = World(pool("pool", by_number, by_capacity, whole))

    def shares(*wanted):
        return node_shares(world.allocate(claim(*wanted)).claims[0], world.inventory)

    assert shares(want(1, "cores")) == {"cpu": 4 * UNIT}
    assert shares(want(1, "memory", capacity={"size": 3})) == {"memory": 6 * UNIT}
    assert shares(want(1, "memory", capacity={"size": 3}), want(1, "whole")) == {"memory": 9 * UNIT}
    assert shares(want(1, "cores", admin=True)) == {}
