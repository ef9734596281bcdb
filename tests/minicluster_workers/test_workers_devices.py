from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from kai_py.minicluster import MiniCluster, pools
from kai_py.minicluster.workers import DeviceDriver, ManualClock, slices_for

from .world import World

SLICES = "resourceslices.resource.k8s.io"


def devices(slices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [device for one in slices for device in one["spec"].get("devices", ())]


def text(device: dict[str, Any], attribute: str) -> str:
    return str(device["attributes"][attribute]["string"])


def test_a_node_has_a_slice_with_its_gpus():
    [node] = pools.nodes("h100", 1)
    [only] = slices_for(node)
    assert only["spec"]["nodeName"] == only["spec"]["pool"]["name"] == "h100-r01-n01"
    first = devices([only])[0]
    assert text(first, "productName") == "NVIDIA-H100-80GB-HBM3"
    assert text(first, "nvlinkDomain") == node["metadata"]["labels"][pools.NVLINK_LABEL]
    assert int(first["capacity"]["memory"]["value"]) == 81559 << 20
    roots = Counter(text(one, "resource.kubernetes.io/pcieRoot") for one in devices([only]))
    assert sorted(roots.values()) == [2, 2, 2, 2]


def test_every_device_of_a_pool_has_its_own_uuid():
    found = [text(one, "uuid") for node in pools.nodes("h100", 20) for one in devices(slices_for(node, mig=True))]
    assert len(found) == len(set(found)) == 20 * 8 * 14


def test_a_node_without_gpus_has_no_slice():
    [node] = pools.nodes("cpu", 1)
    assert slices_for(node, mig=True) == []


def test_a_gpu_and_all_its_parts_exclude_each_other_by_counters():
    [node] = pools.nodes("h100", 1)
    slices = slices_for(node, mig=True)
    [counters] = [one["spec"]["sharedCounters"] for one in slices if "sharedCounters" in one["spec"]]
    offered = {one["name"]: {key: int(n["value"]) for key, n in one["counters"].items()} for one in counters}
    for device in devices(slices):
        [use] = device["consumesCounters"]
        taken = {key: int(n["value"]) for key, n in use["counters"].items()}
        assert all(taken[key] <= offered[use["counterSet"]][key] for key in taken)
        if device["name"] == "gpu-0":
            assert taken == offered[use["counterSet"]]


def test_the_pool_is_complete_with_as_many_slices_as_it_says():
    [node] = pools.nodes("h100", 1)
    slices = slices_for(node, mig=True, generation=3)
    assert {one["spec"]["pool"]["resourceSliceCount"] for one in slices} == {len(slices)}
    assert {one["spec"]["pool"]["generation"] for one in slices} == {3}
    assert all(len(one["spec"].get("devices", ())) <= 64 for one in slices)


@pytest.mark.parametrize("mig", [False, True])
async def test_the_driver_publishes_what_the_server_accepts_and_takes_it_back_with_the_node(mig: bool):
    world = World()
    world.cluster = MiniCluster(workers=[DeviceDriver(mig=mig, clock=ManualClock()).run])
    async with world.cluster:
        world.add_nodes(3, profile="gb200")
        await world.settle()
        slices = world.storage.list(SLICES)
        assert {one["spec"]["nodeName"] for one in slices} == {f"gb200-r01-n0{n}" for n in (1, 2, 3)}
        assert len(devices(slices)) == 3 * 4 * (14 if mig else 1)
        assert len(world.storage.list("deviceclasses.resource.k8s.io")) == 2
        world.storage.delete("nodes", "gb200-r01-n02")
        await world.settle()
        assert {one["spec"]["nodeName"] for one in world.storage.list(SLICES)} == {"gb200-r01-n01", "gb200-r01-n03"}
