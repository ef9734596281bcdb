"""Between API objects and the core: slices, taint rules, classes, claims, and allocations as they are written."""

import pytest

from kai_py.api.decode import convert
from kai_py.api.dra_taint_rule import DeviceTaintRule
from kai_py.api.resource import DeviceClass, ResourceClaim, ResourceSlice
from kai_py.cluster.devices.amounts import amount, quantity
from kai_py.cluster.devices.claims import ClaimReader, ClassMissingError
from kai_py.cluster.devices.results import taken_by, written
from kai_py.cluster.devices.slices import read_slice
from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.devices import UNIT, Attribute, Capacity, NodeShare, Policy, Range, Reach
from kai_py.core.dra.expressions import compile_selector
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.refusal import RefusalCode
from kai_py.core.dra.selectors import SelectorError
from kai_py.core.tables.classes import NodeTerm, Requirement
from kai_py.core.tables.nodes import Taint
from kai_py.errors import MalformedObjectError
from tests.core_dra.builders import nodes

POOL = {"name": "pool", "generation": 1, "resourceSliceCount": 1}


def slice_of(*devices, name="s", **spec):
    place = {} if {"nodeSelector", "allNodes", "perDeviceNodeSelection"} & spec.keys() else {"nodeName": "a"}
    body = {"driver": "gpu.example.com", "pool": POOL, "devices": list(devices), **place, **spec}
    return convert(ResourceSlice, {"metadata": {"name": name}, "spec": body})


def reader(**classes):
    found = ClaimReader(compile_selector)
    for name, expressions in classes.items():
        spec = {"selectors": [{"cel": {"expression": one}} for one in expressions]}
        found.put_class(convert(DeviceClass, {"metadata": {"name": name}, "spec": spec}))
    return found


def claim_of(*requests, **devices):
    spec = {"devices": {"requests": list(requests), **devices}}
    return convert(ResourceClaim, {"metadata": {"name": "c", "namespace": "default"}, "spec": spec})


def exactly(name="r", **more):
    return {"name": name, "exactly": {"deviceClassName": "any", **more}}


def fault(call, *arguments):
    with pytest.raises(MalformedObjectError) as caught:
        call(*arguments)
    return caught.value.faults[0]


# slices -----------------------------------------------------------------------------------------------
def test_a_device_is_read_with_all_that_it_has():
    device = {
        "name": "g0",
        "attributes": {"product": {"string": "H100"}, "other.com/ids": {"ints": [1, 2]}, "odd": {}},
        "capacity": {
            "memory": {
                "value": "80Gi",
                "requestPolicy": {"default": "1Gi", "validRange": {"min": "1Gi", "max": "8Gi", "step": "500m"}},
            },
            "cores": {"value": 4, "requestPolicy": {"validValues": ["4", "2"]}},
        },
        "consumesCounters": [{"counterSet": "gpu", "counters": {"m": {"value": "1500m"}}}],
        "taints": [{"key": "bad", "effect": "NoSchedule"}],
        "bindsToNode": True,
        "bindingConditions": ["ready"],
        "bindingFailureConditions": ["broken"],
        "allowMultipleAllocations": True,
        "nodeAllocatableResourceMappings": {"cpu": {"allocationMultiplier": "2"}, "memory": {"capacityKey": "memory"}},
    }
    read = read_slice(slice_of(device)).devices[0]
    gib = 2**30 * UNIT
    assert read.attributes == {
        "product": Attribute("string", ("H100",)),
        "other.com/ids": Attribute("int", (1, 2), many=True),
        "odd": Attribute(),
    }
    assert read.capacities["memory"] == Capacity(80 * gib, Policy(gib, (), Range(gib, 8 * gib, UNIT // 2)))
    assert read.capacities["cores"] == Capacity(4 * UNIT, Policy(None, (2 * UNIT, 4 * UNIT)))
    assert read.consumes[0].amounts == (("m", 3 * UNIT // 2),)
    assert read.taints == (Taint("bad", "", "NoSchedule"),)
    assert (read.binds_to_node, read.conditions, read.failures) == (True, ("ready",), ("broken",))
    assert read.shareable
    assert read.node_shares == (NodeShare("cpu", "", 2 * UNIT), NodeShare("memory", "memory", UNIT))


def test_a_slice_says_where_its_devices_are_or_leaves_it_to_them():
    zone = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["x"]}]}]}
    assert read_slice(slice_of()).reach == Reach(node="a")
    assert read_slice(slice_of(allNodes=True)).reach == Reach()
    term = NodeTerm((Requirement("zone", "In", ("x",)),))
    assert read_slice(slice_of(nodeSelector=zone)).reach == Reach(term=term)
    per_device = read_slice(slice_of({"name": "g0", "nodeSelector": zone}, {"name": "g1"}, perDeviceNodeSelection=True))
    assert [per_device.reach, *(device.reach for device in per_device.devices)] == [None, Reach(term=term), None]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {"devices": [{"name": "g", "capacity": {"memory": {"value": "much"}}}]},
            "spec.devices[0].capacity[memory].value",
        ),
        (
            {"devices": [{"name": "g", "consumesCounters": [{"counterSet": "s", "counters": {"m": {"value": -1}}}]}]},
            "spec.devices[0].consumesCounters[0].counters[m]",
        ),
        ({"nodeSelector": {"nodeSelectorTerms": []}}, "spec.nodeSelector.nodeSelectorTerms"),
        ({"nodeName": ""}, "spec"),
        ({"devices": [{"name": f"g{i}"} for i in range(129)]}, "spec.devices"),
        (
            {"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Like"}]}]}},
            "spec.nodeSelector.nodeSelectorTerms[0].matchExpressions[0].operator",
        ),
        (
            {
                "nodeSelector": {
                    "nodeSelectorTerms": [{"matchFields": [{"key": "a", "operator": "In", "values": ["b"]}]}]
                }
            },
            "spec.nodeSelector.nodeSelectorTerms[0].matchFields[0]",
        ),
    ],
)
def test_a_slice_that_cannot_be_read_says_which_field(spec, field):
    found = fault(read_slice, slice_of(**spec))
    assert (found.where, found.field) == ("ResourceSlice s", field)


def test_a_taint_rule_taints_the_devices_that_it_selects():
    def rule(**selector):
        spec = {"taint": {"key": "k", "effect": "NoExecute"}} | ({"deviceSelector": selector} if selector else {})
        return convert(DeviceTaintRule, {"metadata": {"name": "rule"}, "spec": spec})

    def tainted(*rules):
        read = read_slice(slice_of({"name": "g0", "taints": [{"key": "own", "effect": "None"}]}, {"name": "g1"}), rules)
        return [[taint.key for taint in device.taints] for device in read.devices]

    assert tainted(rule(device="g1", pool="pool")) == [["own"], ["k"]]
    assert tainted(rule(driver="gpu.example.com")) == [["own", "k"], ["k"]]
    assert tainted(rule(driver="other")) == [["own"], []]
    assert tainted(rule()) == [["own", "k"], ["k"]]


# claims -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("claim", "field"),
    [
        (claim_of({"name": "r"}), "spec.devices.requests[0]"),
        (claim_of(exactly(allocationMode="Some")), "spec.devices.requests[0].exactly.allocationMode"),
        (claim_of(exactly(count=0)), "spec.devices.requests[0].exactly.count"),
        (claim_of(exactly(selectors=[{}])), "spec.devices.requests[0].exactly.selectors[0]"),
        (claim_of(exactly(deviceClassName="")), "spec.devices.requests[0].exactly.deviceClassName"),
        (claim_of(exactly(), constraints=[{"requests": ["r"]}]), "spec.devices.constraints[0]"),
        (claim_of(exactly(capacity={"requests": {"m": "x"}})), "spec.devices.requests[0].exactly.capacity.requests[m]"),
        (claim_of(*(exactly(f"r{i}") for i in range(33))), "spec.devices.requests"),
        (claim_of(exactly(), constraints=[{"matchAttribute": "a/b"}] * 33), "spec.devices.constraints"),
        (claim_of(exactly(), config=[{}] * 33), "spec.devices.config"),
        (claim_of(exactly(tolerations=[{}] * 17)), "spec.devices.requests[0].exactly.tolerations"),
        (
            claim_of({"name": "r", "firstAvailable": [{"name": "s", "deviceClassName": "any"}] * 9}),
            "spec.devices.requests[0].firstAvailable",
        ),
        (
            claim_of({"name": "r", "firstAvailable": [{"name": "s", "deviceClassName": "any", "count": -1}]}),
            "spec.devices.requests[0].firstAvailable[0].count",
        ),
    ],
)
def test_a_claim_that_asks_for_something_unknown_says_which_field(claim, field):
    found = fault(reader(any=[]).read, claim)
    assert (found.where, found.field) == ("ResourceClaim default/c", field)


def test_a_claim_waits_for_its_class():
    classes = reader()
    with pytest.raises(ClassMissingError, match="no DeviceClass 'any'"):
        classes.read(claim_of(exactly()))
    classes.put_class(convert(DeviceClass, {"metadata": {"name": "any"}}))
    assert classes.read(claim_of(exactly())).requests[0].alternatives[0].device_class.name == "any"
    classes.drop_class("any")
    with pytest.raises(ClassMissingError):
        classes.read(claim_of(exactly()))


def test_a_class_that_changes_changes_claims_that_are_read_afterwards():
    classes = reader(any=['device.driver == "one"'])
    before = classes.read(claim_of(exactly()))
    spec = {"selectors": [{"cel": {"expression": 'device.driver == "two"'}}]}
    classes.put_class(convert(DeviceClass, {"metadata": {"name": "any"}, "spec": spec}))
    after = classes.read(claim_of(exactly()))
    assert before.requests[0].alternatives[0].device_class != after.requests[0].alternatives[0].device_class


def test_a_selector_that_does_not_compile_fails_when_it_is_asked():
    read = reader(any=["nonsense"]).read(claim_of(exactly()))
    selector = read.requests[0].alternatives[0].device_class.selectors[0]
    with pytest.raises(SelectorError, match="undeclared reference"):
        selector.matches(read_slice(slice_of({"name": "g0"})).devices[0])


def test_parameters_may_hold_any_json():
    config = [{"opaque": {"driver": "d", "parameters": {"huge": 10**30, "nested": [None, {"a": 1.5}]}}}]
    read = reader(any=[]).read(claim_of(exactly(), config=config))
    assert read.config[0].opaque.parameters["huge"] == 10**30


def test_claims_that_ask_for_the_same_share_what_was_read():
    classes = reader(any=[])
    assert classes.read(claim_of(exactly())).requests is classes.read(claim_of(exactly())).requests


# allocations ------------------------------------------------------------------------------------------
def world(*devices):
    inventory = Inventory.of([read_slice(slice_of(*devices))], nodes("a"))
    return inventory, Allocator(inventory), DeviceLedger(inventory)


def test_what_is_written_is_read_back_as_taken():
    part = {
        "name": "s0",
        "capacity": {"memory": {"value": "8Gi"}, "cores": {"value": "1"}},
        "allowMultipleAllocations": True,
    }
    inventory, allocator, ledger = world({"name": "g0"}, {"name": "g1"}, part)
    shared_only = {"cel": {"expression": "device.allowMultipleAllocations == true"}}
    wanted = claim_of(
        exactly("whole"),
        exactly("part", capacity={"requests": {"memory": "2Gi", "cores": "250m"}}, selectors=[shared_only]),
        exactly("look", adminAccess=True),
    )
    found = allocator.allocate([reader(any=[]).read(wanted)], 0, ledger)
    api = written(found.claims[0], uid="u-1", timestamp="2026-01-01T00:00:00Z")
    assert api.allocation_timestamp == "2026-01-01T00:00:00Z"
    assert api.node_selector.node_selector_terms[0].match_fields[0].values == ("a",)
    whole, shared, _ = api.devices.results
    assert (whole.driver, whole.pool, whole.device, whole.share_id) == ("gpu.example.com", "pool", "g0", None)
    assert shared.consumed_capacity == {"memory": "2Gi", "cores": "250m"}
    assert taken_by(api, inventory, where="") == found.takes(inventory)


def test_an_id_of_a_part_is_its_own_and_always_the_same():
    _, allocator, ledger = world({"name": "s0", "allowMultipleAllocations": True})
    found = allocator.allocate([reader(any=[]).read(claim_of(exactly("r0"), exactly("r1")))], 0, ledger).claims[0]
    ids = [one.share_id for uid in ("u-1", "u-1", "u-2") for one in written(found, uid=uid).devices.results]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4


def test_devices_that_are_gone_are_not_counted_and_a_bad_amount_names_its_field():
    inventory, _, _ = world({"name": "g0"})
    results = [{"request": "r", "driver": "gpu.example.com", "pool": "pool", "device": name} for name in ("gone", "g0")]
    claim = {"metadata": {"name": "c"}, "status": {"allocation": {"devices": {"results": results}}}}
    allocation = convert(ResourceClaim, claim).status.allocation
    assert [inventory.ids[one.identity].device for one in taken_by(allocation, inventory, where="")] == ["g0"]
    results[1] |= {"shareID": "x", "consumedCapacity": {"m": "?"}}
    allocation = convert(ResourceClaim, claim).status.allocation
    field = "status.allocation.devices.results[1].consumedCapacity[m]"
    assert fault(lambda: taken_by(allocation, inventory, where="c")).field == field


@pytest.mark.parametrize(("text", "units"), [("1", UNIT), ("250m", UNIT // 4), ("80Gi", 80 * 2**30 * UNIT), ("1n", 1)])
def test_an_amount_is_exact_both_ways(text, units):
    assert amount(text, "", "") == units
    assert quantity(units) == text


def test_an_allocator_says_when_no_device_of_a_class_is_there():
    _, allocator, ledger = world({"name": "g0"})
    refusal = allocator.allocate([reader(any=['device.driver == "x"']).read(claim_of(exactly()))], 0, ledger)
    assert (refusal.code, refusal.claim, refusal.request) == (RefusalCode.NO_MATCH, "ResourceClaim default/c", "r")
