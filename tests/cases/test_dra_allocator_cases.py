"""What Kubernetes' own allocator tests expect. The cases live beside the repository, if at all."""

import json
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from kai_py.api.decode import convert
from kai_py.api.quantity import parse_quantity
from kai_py.api.resource import Capacity as ApiCapacity
from kai_py.api.resource import DeviceClass, RequestPolicy, ResourceClaim, ResourceSlice
from kai_py.cluster.devices.amounts import amount
from kai_py.cluster.devices.claims import ClaimReader
from kai_py.cluster.devices.results import written
from kai_py.cluster.devices.slices import read_policy, read_slice
from kai_py.cluster.nodes import label_columns
from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.capacity import consumed, violates
from kai_py.core.dra.devices import UNIT, Capacity, DeviceId
from kai_py.core.dra.expressions import compile_selector
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger, Take
from kai_py.core.dra.refusal import Refusal, RefusalCode
from kai_py.core.dra.taints import tolerates
from kai_py.core.tables.classes import Toleration
from kai_py.core.tables.nodes import NodeTable, Taint
from kai_py.errors import MalformedObjectError

CASES = Path(os.environ.get("KAI_PY_CASES", Path(__file__).parents[3] / "shared" / "cases")) / "dra"

if not CASES.is_dir():
    pytest.skip(f"no cases in {CASES}; KAI_PY_CASES names another folder", allow_module_level=True)

#: A text of upstream's errors -> what we say instead of it.
ERRORS = {
    "exceeds the claim limit": RefusalCode.TOO_MANY_DEVICES,
    "is currently being updated": RefusalCode.POOL_INCOMPLETE,
    "undeclared reference": RefusalCode.SELECTOR_FAILED,
    "unsupported attribute value": RefusalCode.SELECTOR_FAILED,
    "invalid resource pools were encountered": RefusalCode.POOL_INVALID,
    "a claim constraint would not be satisfied": RefusalCode.ALL_AGAINST_CONSTRAINT,
    "missing device class name": "no class",
    "could not retrieve device class": "no class",
    "unsupported count mode": "malformed",
    "unsupported constraint type?": "malformed",
    "unsupported selector type?": "malformed",
}


def load(name, *keys):
    document = json.loads((CASES / name).read_text())
    return [one for key in keys for one in document[key]]


def node_table(node):
    meta = node.get("metadata", {})
    return NodeTable(
        names=(meta.get("name", ""),),
        allocatable=np.zeros((1, 3), dtype=np.int64),
        ready=np.ones(1, dtype=np.bool_),
        cordoned=np.zeros(1, dtype=np.bool_),
        labels=label_columns([meta.get("labels", {})]),
        taints=(),
        tainted=np.zeros((1, 0), dtype=np.bool_),
    )


def taken(case):
    """Devices and parts of devices; what is only consumed belongs to a part, too."""
    key = lambda one: DeviceId(one["driver"], one["pool"], one["device"])  # noqa: E731
    capacities = {
        key(one): tuple(sorted((name, amount(value, "", "")) for name, value in one["consumedCapacity"].items()))
        for one in case["allocatedCapacity"]
    }
    shared = {key(one) for one in case["allocatedSharedDeviceIDs"]} | capacities.keys()
    yield from ((key(one), False, ()) for one in case["allocatedDevices"])
    yield from ((one, True, capacities.get(one, ())) for one in shared)


def answer(case):
    """Results as upstream writes them, or what stands in the way."""
    inventory = Inventory.of(
        [read_slice(convert(ResourceSlice, one)) for one in case["slices"]], node_table(case["node"])
    )
    ledger = DeviceLedger(
        inventory,
        (Take(inventory.row_of_id[one], *rest) for one, *rest in taken(case) if one in inventory.row_of_id),
    )
    reader = ClaimReader(compile_selector)
    for one in case["classes"]:
        reader.put_class(convert(DeviceClass, one))
    try:
        claims = [reader.read(convert(ResourceClaim, one)) for one in case["claimsToAllocate"]]
    except MalformedObjectError as error:
        return "no class" if error.faults[0].field.endswith("deviceClassName") else "malformed"
    before = ledger.state()
    found = Allocator(inventory).allocate(claims, 0, ledger)
    assert ledger.state() == before
    if isinstance(found, Refusal):
        return found
    return [json.loads(msgspec.json.encode(written(one, uid=str(i)))) for i, one in enumerate(found.claims)]


def comparable(result, *, ordered):
    """A result without what may differ: order, the text of quantities, the ids of shares."""
    devices = []
    for one in result.get("devices", {}).get("results", []):
        plain = dict(one)
        plain["consumedCapacity"] = {k: parse_quantity(v) for k, v in one.get("consumedCapacity", {}).items()}
        plain["shareID"] = "shareID" in one
        plain["adminAccess"] = one.get("adminAccess", False)
        devices.append(sorted(plain.items(), key=lambda item: item[0]))
    terms = json.loads(json.dumps(result.get("nodeSelector", {}).get("nodeSelectorTerms", [])))
    for term in terms:
        for part in term.values():
            part.sort(key=repr)
    config = [{k: v for k, v in one.items() if v} for one in result.get("devices", {}).get("config", [])]
    return devices if ordered else sorted(devices, key=repr), terms, config


@pytest.mark.parametrize(
    "case", load("allocator_cases.json", "cases"), ids=lambda case: f"{case['group']}/{case['name']}"
)
def test_an_allocation_is_what_upstreams_allocator_makes_of_it(case):
    upstream = case["actualAllFeatures"]["experimental"]
    mine = answer(case)
    if upstream.get("error"):
        expected = next(code for text, code in ERRORS.items() if text in upstream["error"])
        assert (mine.code if isinstance(mine, Refusal) else mine) == expected
        return
    results = upstream["results"] or []
    if not results and case["claimsToAllocate"]:
        assert isinstance(mine, Refusal), mine
        return
    assert not isinstance(mine, Refusal), mine
    ordered = any(one["match"] == "exact" for one in case["expect"]["results"])
    assert [comparable(one, ordered=ordered) for one in mine] == [comparable(one, ordered=ordered) for one in results]


@pytest.mark.parametrize("case", load("unit_cases.json", "capacityPolicy"), ids=lambda case: case["name"])
def test_a_capacity_is_given_out_by_its_policy(case):
    if case["kind"] == "calculateConsumedCapacity":
        api = convert(ApiCapacity, case["capacity"])
        policy = read_policy(api.request_policy, "", "") if api.request_policy else None
        wanted = case["requested"] and int(case["requested"]) * UNIT
        assert consumed(wanted, Capacity(int(api.value) * UNIT, policy)) == int(case["expectConsumed"]) * UNIT
    else:
        policy = read_policy(convert(RequestPolicy, case["requestPolicy"]), "", "") if case["requestPolicy"] else None
        assert violates(int(case["requested"]) * UNIT, policy) is case["expectViolated"]


@pytest.mark.parametrize("case", load("unit_cases.json", "deviceTolerations"), ids=lambda case: case["description"])
def test_a_toleration_matches_a_device_taint(case):
    toleration, taint = case["toleration"], case["taint"]
    mine = tolerates(
        Toleration(
            toleration.get("key", ""), toleration["operator"], toleration.get("value", ""), toleration["effect"]
        ),
        Taint(taint["key"], taint.get("value", ""), taint["effect"]),
    )
    assert mine is case["expectTolerated"]
