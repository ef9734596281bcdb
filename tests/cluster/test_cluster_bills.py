"""What queues pay for devices, and for parts of them."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given as forall
from hypothesis import strategies as st

from kai_py import plan
from kai_py.api.decode import convert
from kai_py.api.resource import Allocation, DeviceClass, ResourceClaim, ResourceSlice
from kai_py.cli.bench.claims import load
from kai_py.cli.bench.device_manifests import SMALLEST, partitions
from kai_py.cli.bench.device_shapes import SHAPES
from kai_py.cluster.bills import Bill, Prices
from kai_py.cluster.devices.claims import ClaimReader
from kai_py.cluster.devices.slices import read_slice
from kai_py.core.dra.claims import Claim
from kai_py.core.dra.expressions import compile_selector
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import Take
from kai_py.core.dra.selectors import SelectorMemo
from kai_py.core.resources import DEVICE
from kai_py.core.state.ledger import Ledger
from tests.core_dra.builders import nodes
from tests.planning.builders import NOW, node, queue
from tests.planning.test_planning_claims import GPU, binds, claim, device_class, slice_of, user

SHARED = {
    "allowMultipleAllocations": True,
    "capacity": {"memory": {"value": "80Gi"}, "threads": {"value": "10"}},
}


def prices(slices, parts="memory"):
    inventory = Inventory.of([read_slice(convert(ResourceSlice, one)) for one in slices], nodes("n1"))
    return Prices(Bill(2, DEVICE, frozenset({GPU}), parts=parts), inventory, SelectorMemo())


def asked(expression="", count=1, **capacity):
    reader = ClaimReader(compile_selector)
    reader.put_class(convert(DeviceClass, device_class()))
    manifest = claim("c", count, expression=expression or None)
    (request,) = manifest["spec"]["devices"]["requests"]
    request["exactly"]["capacity"] = {"requests": capacity}
    whole = manifest | {"metadata": manifest["metadata"] | {"namespace": "default"}}
    return reader.read(convert(ResourceClaim, whole))


def given(device, **consumed):
    result = {"request": "gpu", "driver": GPU, "pool": "n1", "device": device}
    more = {"shareID": "x", "consumedCapacity": consumed} if consumed else {}
    return convert(Allocation, {"devices": {"results": [result | more]}})


def profile(name):
    return f'device.attributes["{GPU}"].profile == "{name}"'


@pytest.mark.parametrize(
    ("name", "memory", "counters"),
    # the mean over compute (of 7), memory (of 80Gi) and eight memory slices
    [("1g.10gb", 125, 126), ("1g.20gb", 250, 239), ("4g.40gb", 500, 507), ("7g.80gb", 1000, 1000)],
)
def test_a_partition_costs_its_part_of_the_gpu(name, memory, counters):
    assert prices(partitions("n1")).asked(asked(profile(name))) == memory
    assert prices(partitions("n1"), "counters").asked(asked(profile(name), 2)) == 2 * counters
    assert prices(partitions("n1"), "whole").asked(asked(profile(name))) == DEVICE


def test_what_a_partition_costs_does_not_change_when_it_is_allocated():
    found = prices(partitions("n1"))
    assert found.held(Claim("c"), given("gpu-0-1g-20gb-2"), "c") == found.asked(asked(profile("1g.20gb"))) == 250


def test_of_several_kinds_of_devices_the_most_expensive_counts_until_one_is_allocated():
    assert prices(partitions("n1")).asked(asked()) == DEVICE


@pytest.mark.parametrize(("parts", "price"), [("memory", 250), ("counters", 375), ("whole", 1000)])
def test_a_share_costs_what_it_takes_of_the_capacities(parts, price):
    found = prices([slice_of("n1", 1, **SHARED)], parts)
    assert found.asked(asked(memory="20Gi", threads="5")) == price
    assert found.held(Claim("c"), given("gpu-0", memory="20Gi", threads="5"), "c") == price


def test_shares_that_cannot_be_measured_count_as_one_device_each():
    assert prices([slice_of("n1", 1, allowMultipleAllocations=True)]).asked(asked()) == DEVICE


def test_what_nobody_offers_costs_a_whole_device():
    assert prices([slice_of("n1", 1)]).asked(asked("false", 3)) == 3 * DEVICE


def test_a_device_that_is_gone_costs_a_whole_one():
    assert prices([]).held(Claim("c"), given("gpu-7"), "c") == DEVICE


@forall(st.lists(st.integers(0, 17), max_size=12), st.sampled_from(["memory", "counters"]))
def test_partitions_that_exist_together_never_cost_more_than_the_device(chosen, parts):
    found = prices(partitions("n1"), parts)
    inventory = found.inventory
    left, cost = list(inventory.counters.totals), 0
    for row in dict.fromkeys(chosen):
        charges = inventory.charges[row]
        if all(left[k] >= amount for k, amount in charges):
            for k, amount in charges:
                left[k] -= amount
            cost += found.held(Claim("c"), given(inventory.devices[row].name), "c")
    assert cost <= DEVICE
    assert found.counted(np.ones(1, dtype=np.bool_)).capacity == 1


def test_a_queue_is_charged_for_what_its_pods_take_of_a_gpu():
    """Seven of the smallest partitions take all that can be measured of compute; an eighth of the memory stays."""
    objects = [node("n1", 0), queue(gpus=1), device_class(), *partitions("n1")]
    objects += [one for n in range(8) for one in (claim(f"c{n}", expression=SMALLEST), user(f"p{n}", f"c{n}"))]
    result = plan(objects, 2, now=NOW).to_dict()
    assert len(binds(result)) == 7
    assert result["queues"]["team"]["allocated"]["gpu"] == 0.875
    assert result["queues"]["team"]["fairShare"]["gpu"] == 1


def test_a_queue_with_quota_for_one_gpu_runs_partitions_of_one_gpu():
    """On two GPUs: as one GPU each, two of them would be all that the queue may have."""
    limited = queue(gpus=1)
    limited["spec"]["resources"]["gpu"]["limit"] = 1
    cut = [one for name in ("n1", "n2") for one in partitions(name)]
    objects = [node("n1", 0), node("n2", 0), limited, device_class(), *cut]
    objects += [one for n in range(9) for one in (claim(f"c{n}", expression=SMALLEST), user(f"p{n}", f"c{n}"))]
    assert len(binds(plan(objects, 1, now=NOW).to_dict())) == 8
    settings = {"dra": {"gpuParts": "whole"}}
    assert len(binds(plan(objects, 1, settings, now=NOW).to_dict())) == 1


def test_the_room_that_is_left_shrinks_by_the_part_that_is_taken():
    snapshot = load(dataclasses.replace(SHAPES["partitions"], nodes=2, jobs=1)).take(0.0)
    ledger = Ledger(snapshot)
    assert ledger.room().tolist()[2] == 2 * DEVICE
    inventory = snapshot.claims.inventory
    (half,) = [number for number, one in enumerate(inventory.ids) if one.device == "gpu-0-4g-40gb-0"][:1]
    ledger.claims.later.take([Take(half)])
    assert ledger.room().tolist()[2] == 1.5 * DEVICE


def test_shares_without_end_leave_room_without_end():
    found = prices([slice_of("n1", 2, allowMultipleAllocations=True)]).counted(np.ones(1, dtype=np.bool_))
    assert (found.capacity, found.devices, [names for _, names in found.parts.shared]) == (2, frozenset(), [(), ()])
