from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kai_py.minicluster import MiniCluster, pools
from kai_py.minicluster.devices import Offer, device_classes, equip, slices_for
from kai_py.minicluster.devices.drivers import fabric_pool, licence_pool
from kai_py.minicluster.devices.models import model_of
from kai_py.minicluster.devices.offers import FABRIC_LABEL, GPUS_LABEL, equip_pool, parse_offers
from kai_py.minicluster.quantities import amount
from kai_py.minicluster.workers import DeviceDrivers, ManualClock

from .world import World

SLICES = "resourceslices.resource.k8s.io"
CLASSES = "deviceclasses.resource.k8s.io"
ROOT = "resource.kubernetes.io/pcieRoot"


def equipped(offer: str, profile: str = "h100", count: int = 1) -> list[dict[str, Any]]:
    return [equip(node, Offer.parse(offer)) for node in pools.nodes(profile, count)]


def published(offer: str, profile: str = "h100", count: int = 1) -> list[dict[str, Any]]:
    return [one for node in equipped(offer, profile, count) for one in slices_for(node)]


def devices(slices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [device for one in slices for device in one["spec"].get("devices", ())]


def text(device: dict[str, Any], attribute: str) -> str:
    return str(device["attributes"][attribute]["string"])


def test_a_node_has_a_slice_with_its_gpus():
    [node] = equipped("whole")
    [only] = slices_for(node)
    assert only["spec"]["nodeName"] == only["spec"]["pool"]["name"] == "h100-r01-n01"
    first = devices([only])[0]
    assert text(first, "productName") == "NVIDIA H100 80GB HBM3"
    assert text(first, "nvlinkDomain") == node["metadata"]["labels"][pools.NVLINK_LABEL]
    assert first["capacity"]["memory"]["value"] == "81559Mi"
    assert len({text(one, ROOT) for one in devices([only])}) == 8


def test_gpus_of_a_device_driver_are_no_extended_resource():
    [node] = equipped("whole")
    assert "nvidia.com/gpu" not in node["status"]["allocatable"] | node["status"]["capacity"]
    [plain] = equipped("nics")
    assert plain["status"]["allocatable"]["nvidia.com/gpu"] == "8"


@pytest.mark.parametrize(
    ("profile", "gpus", "nics"), [("h100", 1, 1), ("a100", 2, 2), ("l40s-inference", 2, 1), ("gb200", 1, 1)]
)
def test_gpus_and_nics_of_two_drivers_share_pcie_roots_and_numa_nodes(profile: str, gpus: int, nics: int):
    by_driver = {one["spec"]["driver"]: devices([one]) for one in published("whole+nics", profile)}
    roots = {driver: Counter(text(one, ROOT) for one in found) for driver, found in by_driver.items()}
    assert roots["gpu.nvidia.com"].keys() == roots["dra.net"].keys()
    assert set(roots["gpu.nvidia.com"].values()) == {gpus}
    assert set(roots["dra.net"].values()) == {nics}
    sockets: dict[str, set[int]] = defaultdict(set)
    for driver, numa in (("gpu.nvidia.com", "numa"), ("dra.net", "dra.net/numaNode")):
        for one in by_driver[driver]:
            sockets[text(one, ROOT)].add(one["attributes"][numa]["int"])
    assert sorted(number for one in sockets.values() for number in one) == sorted(
        [0] * (len(sockets) // 2) + [1] * (len(sockets) // 2)
    )


def test_no_two_devices_of_a_node_have_one_place_on_the_bus():
    places = [text(one, "resource.kubernetes.io/pciBusID") for one in devices(published("whole", "a100"))]
    cards = [one for one in published("nics", "a100") if one["spec"]["driver"] == "dra.net"]
    places += [text(one, "dra.net/pciAddress") for one in devices(cards)]
    assert len(places) == len(set(places)) == 16


def test_every_device_of_a_pool_has_its_own_name():
    for offer in ("whole", "mig", "shared", "vfio", "nics"):
        for one in published(offer, count=2):
            names = [device["name"] for device in one["spec"].get("devices", ())]
            assert len(names) == len(set(names))
    uuids = [text(one, "uuid") for one in devices(published("whole", count=20))]
    assert len(uuids) == len(set(uuids)) == 160


def test_a_node_without_gpus_or_with_a_device_plugin_has_no_slice():
    assert published("mig+nics", "cpu") == []
    assert published("plugin") == []


def counters(consumed: dict[str, Any]) -> Counter[str]:
    return Counter({name: int(amount(one["value"])) for name, one in consumed["counters"].items()})


@pytest.mark.parametrize("profile", ["h100", "a100"])
def test_a_gpu_and_all_its_parts_exclude_each_other_by_counters(profile: str):
    slices = published("mig", profile)
    [sets] = [one["spec"]["sharedCounters"] for one in slices if "sharedCounters" in one["spec"]]
    offered = {one["name"]: counters(one) for one in sets}
    assert len(offered) == 8
    for device in devices(slices):
        [use] = device["consumesCounters"]
        taken = counters(use)
        assert all(sum(taken.values()) > 0 and taken[key] <= offered[use["counterSet"]][key] for key in taken)
        if text(device, "type") == "gpu":
            assert taken == offered[use["counterSet"]]


@pytest.mark.parametrize(
    ("profile", "parts", "fit"),
    [
        ("h100", {"1g.10gb": 7}, True),
        ("h100", {"1g.10gb+me": 2}, False),
        ("h100", {"3g.40gb": 2}, True),
        ("h100", {"1g.20gb": 4}, True),
        ("h100", {"4g.40gb": 1, "3g.40gb": 1}, True),
        ("h100", {"3g.40gb": 1, "1g.10gb": 5}, False),
        ("a100", {"3g.40gb": 1, "2g.20gb": 2}, True),
        ("a100", {"7g.80gb": 1, "1g.10gb": 1}, False),
    ],
)
def test_gpus_are_cut_as_nvidia_says(profile: str, parts: dict[str, int], fit: bool):
    """Some placement of these parts on one GPU stays within its counters, or none does."""
    found = devices(published("mig", profile))
    first = [one for one in found if one["name"].startswith("gpu-0")]
    offered = counters(first[0]["consumesCounters"][0])
    by_profile: dict[str, list[Counter[str]]] = defaultdict(list)
    for one in first[1:]:
        by_profile[text(one, "profile")].append(counters(one["consumesCounters"][0]))

    def search(wanted: list[str], used: Counter[str]) -> bool:
        if not wanted:
            return True
        tried = (used + part for part in by_profile[wanted[0]])
        return any(all(total[key] <= offered[key] for key in total) and search(wanted[1:], total) for total in tried)

    assert search([name for name, number in parts.items() for _ in range(number)], Counter()) is fit


def test_a_gpu_that_cannot_be_cut_is_offered_whole():
    slices = published("mig", "l40s-inference")
    assert [text(one, "type") for one in devices(slices)] == ["gpu"] * 8
    assert not any("sharedCounters" in one["spec"] for one in slices)
    assert model_of("nobody's").profiles == ()


def test_the_pool_is_complete_with_as_many_slices_as_it_says():
    [node] = equipped("mig")
    slices = slices_for(node, generation=3)
    assert {one["spec"]["pool"]["resourceSliceCount"] for one in slices} == {len(slices)} == {9}
    assert {one["spec"]["pool"]["generation"] for one in slices} == {3}
    assert all(len(one["spec"].get("devices", ())) <= 64 for one in slices)


def test_shared_gpus_are_given_by_cores_and_memory():
    first = devices(published("shared"))[0]
    assert first["allowMultipleAllocations"] is True
    assert first["capacity"]["cores"]["requestPolicy"]["validRange"] == {"min": "0", "max": "100", "step": "1"}


def test_appliances_are_for_the_nodes_of_their_zone_on_the_fabric_and_licences_for_all():
    storage, licences = fabric_pool("mini-1a", "main"), licence_pool()
    [one] = storage.slices()
    [term] = one["spec"]["nodeSelector"]["nodeSelectorTerms"]
    assert {each["key"]: each["values"] for each in term["matchExpressions"]} == {
        pools.ZONE_LABEL: ["mini-1a"],
        FABRIC_LABEL: ["main"],
    }
    assert licences.slices()[0]["spec"]["allNodes"] is True


def test_offers_are_read_by_server():
    offers = parse_offers(["whole", "h100=mig+nics+fabric"], pools.SERVERS)
    assert (offers["h100"].gpus, offers["h100"].nics, offers["h100"].fabric) == ("mig", True, True)
    assert (offers["a100"].gpus, offers["a100"].nics) == ("whole", False)
    nodes = equip_pool(pools.nodes("mixed", 10), offers)
    assert Counter(node["metadata"]["labels"].get(GPUS_LABEL) for node in nodes) == {"mig": 6, "whole": 4}
    for offer in offers.values():
        assert Offer.of(offer.labels()) == offer


@pytest.mark.parametrize("wrong", ["tpu", "mig+whole", "", "abacus=mig", "h100=", "mig,nics"])
def test_an_offer_that_means_nothing_is_refused(wrong: str):
    with pytest.raises(ValueError, match=r"should be one of|says twice"):
        parse_offers([wrong], pools.SERVERS)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    world.cluster = MiniCluster(workers=[DeviceDrivers(clock=ManualClock()).run])
    async with world.cluster:
        yield world


def slices_of(world: World, driver: str) -> list[dict[str, Any]]:
    return world.storage.list(SLICES, fields=f"spec.driver={driver}")


@pytest.mark.parametrize("offer", ["whole+nics", "mig", "shared", "vfio", "plugin+nics"])
async def test_drivers_publish_what_the_server_accepts_as_it_is_and_take_it_back_with_the_node(
    world: World, offer: str
):
    nodes = equipped(offer, count=3)
    pools.register(world.storage, nodes)
    await world.settle()
    made = {one["metadata"]["name"]: one["spec"] for node in nodes for one in slices_for(node)}
    assert {one["metadata"]["name"]: one["spec"] for one in world.storage.list(SLICES)} == made
    drivers = {one["driver"] for one in made.values()}
    classes = {one["metadata"]["name"] for driver in drivers for one in device_classes(driver)}
    assert {one["metadata"]["name"] for one in world.storage.list(CLASSES)} == classes != set()
    world.storage.delete("nodes", "h100-r01-n02")
    await world.settle()
    assert {one["spec"]["nodeName"] for one in world.storage.list(SLICES)} == {"h100-r01-n01", "h100-r01-n03"}


async def test_a_pool_that_changes_gets_the_next_generation(world: World):
    pools.register(world.storage, equipped("whole"))
    await world.settle()
    world.storage.patch("nodes", "h100-r01-n01", {"metadata": {"labels": {GPUS_LABEL: "mig"}}})
    await world.settle()
    cut = slices_of(world, "gpu.nvidia.com")
    assert {(one["spec"]["pool"]["generation"], one["spec"]["pool"]["resourceSliceCount"]) for one in cut} == {(2, 9)}
    assert len(cut) == 9
    world.storage.patch("nodes", "h100-r01-n01", {"metadata": {"labels": {GPUS_LABEL: "whole"}}})
    await world.settle()
    [again] = slices_of(world, "gpu.nvidia.com")
    assert again["spec"]["pool"] == {"name": "h100-r01-n01", "generation": 3, "resourceSliceCount": 1}


async def test_labels_that_mean_nothing_offer_nothing_and_stop_nobody(world: World):
    [bad, good] = equipped("whole+fabric", count=2)
    bad["metadata"]["labels"] |= {"nvidia.com/gpu.count": "eight", FABRIC_LABEL: "Not_A_Pool"}
    pools.register(world.storage, [bad])
    await world.settle()
    pools.register(world.storage, [good])
    await world.settle()
    assert {one["spec"]["nodeName"] for one in slices_of(world, "gpu.nvidia.com")} == {"h100-r01-n02"}
    pools_there = [one["spec"]["pool"]["name"] for one in slices_of(world, "appliance.example.com")]
    assert pools_there == ["licences", "main-mini-1a"]


async def test_a_pool_that_stays_is_not_written_again(world: World):
    pools.register(world.storage, equipped("whole"))
    await world.settle()
    [before] = slices_of(world, "gpu.nvidia.com")
    world.storage.patch("nodes", "h100-r01-n01", {"metadata": {"labels": {"team": "vision"}}})
    await world.settle()
    assert slices_of(world, "gpu.nvidia.com") == [before]


async def test_a_driver_that_leaves_a_node_takes_its_pool_with_it(world: World):
    pools.register(world.storage, equipped("shared"))
    await world.settle()
    world.storage.patch("nodes", "h100-r01-n01", {"metadata": {"labels": {GPUS_LABEL: None}}})
    await world.settle()
    assert world.storage.list(SLICES) == []


async def test_the_fabric_is_published_once_for_its_zone(world: World):
    pools.register(world.storage, equipped("plugin+fabric", count=40))
    await world.settle()
    assert [one["spec"]["pool"]["name"] for one in slices_of(world, "appliance.example.com")] == [
        "licences",
        "main-mini-1a",
    ]
    assert all("ownerReferences" not in one["metadata"] for one in world.storage.list(SLICES))
    for node in world.storage.list("nodes"):
        world.storage.delete("nodes", node["metadata"]["name"])
    await world.settle()
    assert world.storage.list(SLICES) == []


async def test_a_node_made_anew_gets_slices_of_its_own(world: World):
    [node] = equipped("whole")
    pools.register(world.storage, [node])
    await world.settle()
    world.storage.delete("nodes", node["metadata"]["name"])
    pools.register(world.storage, [node])
    assert await world.comes(
        lambda: (
            [one["metadata"]["ownerReferences"][0]["uid"] for one in world.storage.list(SLICES)]
            == [world.storage.get("nodes", node["metadata"]["name"])["metadata"]["uid"]]
        )
    )
