"""The examples that claim devices: what they get from the drivers' slices, and that what they ask for decides it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from kai_py import plan
from kai_py.minicluster import pools
from kai_py.minicluster.devices.offers import Offer, equip, equip_pool, parse_offers
from kai_py.minicluster.quantities import amount

from .examples import BASE, CLAIMS, EXAMPLES, FOLDER, GUIDE, OFFERS, PLANNED, SCHEDULED, apply, carry_out, documents
from .world import World

Object = dict[str, Any]


def example(name: str) -> list[Object]:
    return documents(FOLDER / f"{name}.yaml")


def requests_of(objects: list[Object], template: str) -> Object:
    """The devices part of a template, to be changed by a test."""
    [found] = [one for one in objects if one["metadata"]["name"] == template]
    devices: Object = found["spec"]["spec"]["devices"]
    return devices


class Planned:
    """What a plan gives to whom.

    Attributes:
        binds: pod → what is decided about it.
        waiting: pods that wait.
    """

    def __init__(self, world: World) -> None:
        result = plan([one for kind in PLANNED for one in world.storage.list(kind)]).to_dict()
        assert result["warnings"] == []
        self.binds: dict[str, Object] = {
            bind["pod"].partition("/")[2]: bind for cycle in result["cycles"] for bind in cycle["binds"]
        }
        self.waiting = sorted(
            name.partition("/")[2] for name, pod in result["pods"].items() if pod["state"] == "Pending"
        )

    def node(self, pod: str) -> str:
        return str(self.binds[pod]["node"])

    def results(self, pod: str) -> list[Object]:
        [claim] = self.binds[pod]["claims"]
        results: list[Object] = claim["allocation"]["devices"]["results"]
        return results

    def devices(self, pod: str) -> list[str]:
        return [one["device"] for one in self.results(pod)]


async def planned(world: World, nodes: list[Object], objects: list[Object]) -> Planned:
    """Let drivers publish, apply the queues and the example, and plan it."""
    pools.register(world.storage, nodes)
    await world.settle()
    await apply(world, *documents(*BASE), *objects)
    await world.settle()
    return Planned(world)


def some(profile: str, offer: str, count: int = 1, **labels: str) -> list[Object]:
    """Nodes of a profile with an offer; ``gpus="2"`` says how many GPUs they have."""
    made = [equip(node, Offer.parse(offer)) for node in pools.nodes(profile, count)]
    for node in made:
        if "gpus" in labels:
            node["metadata"]["labels"]["nvidia.com/gpu.count"] = labels["gpus"]
    return made


async def runs_to_its_end(world: World, found: Planned) -> None:
    """Kubelets run what the plan has decided, and everything that was claimed is free in the end."""
    assert found.waiting == []
    carry_out(world, list(found.binds.values()))
    await world.pass_(1)
    assert {one["status"]["phase"] for one in world.pods()} == {"Running"}
    assert world.kubelets.overcommitted == 0
    await world.pass_(60)
    assert {one["status"]["phase"] for one in world.pods()} == {"Succeeded"}
    assert world.storage.list(CLAIMS) == []


async def test_whole_gpus_are_those_that_are_large_enough(world: World):
    # The first node by name has GPUs of 23 GiB.
    small, large = some("a100", "whole"), some("h100", "whole")
    small[0]["metadata"]["labels"]["nvidia.com/gpu.memory"] = "23028"
    found = await planned(world, small + large, example("10-whole-gpus"))
    assert found.node("denoise") == "h100-r01-n01"
    assert found.devices("denoise") == ["gpu-0", "gpu-1"]
    await runs_to_its_end(world, found)


def consumed(world: World, names: list[str]) -> Counter[str]:
    """What devices take together of the counters of their GPU."""
    total: Counter[str] = Counter()
    for one in world.storage.list("resourceslices.resource.k8s.io"):
        for device in one["spec"].get("devices", ()):
            if device["name"] in names:
                [use] = device["consumesCounters"]
                total += Counter({name: int(amount(each["value"])) for name, each in use["counters"].items()})
    return total


async def test_partitions_of_one_gpu_are_given_until_its_counters_are_used_up(world: World):
    objects = example("11-mig")
    found = await planned(world, some("h100", "mig", gpus="1"), objects)
    given = [name for pod in found.binds for name in found.devices(pod)]
    assert sorted(name.split("-")[3] for name in given) == ["1g10gb"] * 3 + ["3g40gb"]
    used = consumed(world, given)
    assert sorted(used[f"memory-slice-{slot}"] for slot in range(8)) == [0] + [1] * 7
    assert used["multiprocessors"] == 60 + 3 * 16
    await runs_to_its_end(world, found)


async def test_partitions_for_which_a_gpu_has_no_place_wait(world: World):
    objects = example("11-mig")
    [job] = [one for one in objects if one["kind"] == "Job"]
    job["spec"] |= {"parallelism": 9, "completions": 9}
    found = await planned(world, some("h100", "mig", gpus="1"), [one for one in objects if one["kind"] != "Pod"])
    given = [name for pod in found.binds for name in found.devices(pod)]
    assert sorted(given) == [f"gpu-0-mig-1g10gb-19-{start}" for start in range(7)]
    assert len(found.waiting) == 2


async def test_shares_fill_one_gpu_before_the_next(world: World):
    found = await planned(world, some("l40s-inference", "shared"), example("12-shared-gpu"))
    results = [result for pod in found.binds for result in found.results(pod)]
    assert sorted(Counter(one["device"] for one in results).values()) == [1, 3]
    assert len({one["shareID"] for one in results}) == 4
    assert {tuple(sorted(one["consumedCapacity"].items())) for one in results} == {
        (("cores", "30"), ("memory", "12Gi"))
    }
    await runs_to_its_end(world, found)


async def test_shares_beyond_a_gpus_memory_go_elsewhere_or_wait(world: World):
    objects = example("12-shared-gpu")
    requests_of(objects, "third-of-a-gpu")["requests"][0]["exactly"]["capacity"]["requests"]["memory"] = "20Gi"
    found = await planned(world, some("l40s-inference", "shared", gpus="1"), objects)
    assert (len(found.binds), len(found.waiting)) == (2, 2)


async def occupied(world: World, nic: str) -> None:
    """Another claim has taken a NIC."""
    exactly = {"deviceClassName": "dranet", "count": 1}
    spec = {"devices": {"requests": [{"name": "nic", "exactly": exactly}]}}
    made = world.storage.create(CLAIMS, {"metadata": {"name": "other", "namespace": "default"}, "spec": spec})
    result = {"request": "nic", "driver": "dra.net", "pool": "h100-r01-n01", "device": nic}
    made["status"] = {"allocation": {"devices": {"results": [result]}}}
    world.storage.update(CLAIMS, made, subresource="status")


@pytest.mark.parametrize("constrained", [True, False])
async def test_gpu_and_nic_are_below_one_root_even_if_the_first_roots_nic_is_taken(world: World, constrained: bool):
    objects = example("13-gpu-and-nic")
    if not constrained:
        requests_of(objects, "gpu-with-rdma").pop("constraints")
    await occupied(world, "pci-0000-19-00-0")
    found = await planned(world, some("h100", "whole+nics"), objects)
    drivers = [one["driver"] for one in found.results("ingest")]
    assert drivers == ["gpu.nvidia.com", "dra.net"]
    gpu = "gpu-1" if constrained else "gpu-0"
    assert found.devices("ingest") == [gpu, "pci-0000-29-00-0"]


async def test_gpu_and_nic_run(world: World):
    found = await planned(world, some("h100", "whole+nics"), example("13-gpu-and-nic"))
    assert found.devices("ingest") == ["gpu-0", "pci-0000-19-00-0"]
    await runs_to_its_end(world, found)


@pytest.mark.parametrize("constrained", [True, False])
async def test_eight_linked_gpus_are_not_found_where_gpus_are_not_linked(world: World, constrained: bool):
    objects = example("14-nvlink-domain")
    if not constrained:
        requests_of(objects, "eight-linked-gpus").pop("constraints")
    found = await planned(world, some("l40s-inference", "whole"), objects)
    assert bool(found.binds) is not constrained


async def test_eight_linked_gpus_are_found_behind_those_that_are_not(world: World):
    # Nodes of the l40s sort behind; renamed, they come first.
    plain = some("l40s-inference", "whole", 3)
    for node in plain:
        node["metadata"]["name"] = f"a-{node['metadata']['name']}"
    found = await planned(world, plain + some("h100", "whole"), example("14-nvlink-domain"))
    assert found.node("tensor-parallel") == "h100-r01-n01"
    assert len(set(found.devices("tensor-parallel"))) == 8
    await runs_to_its_end(world, found)


@pytest.mark.parametrize(
    ("nodes", "chosen"),
    [
        (some("h100", "whole"), ["fast/h100"]),
        (some("a100", "whole") + some("h100", "whole"), ["fast/h100"]),
        (some("a100", "whole") + some("l40s-inference", "whole"), ["fast/a100"] * 2),
        (some("l40s-inference", "whole"), []),
    ],
)
async def test_the_first_alternative_that_can_be_had_is_taken(world: World, nodes: list[Object], chosen: list[str]):
    found = await planned(world, nodes, example("15-prioritized-list"))
    assert [one["request"] for pod in found.binds for one in found.results(pod)] == chosen
    if chosen:
        await runs_to_its_end(world, found)


async def test_a_network_attached_device_decides_where_its_pod_can_run(world: World):
    # Sixteen nodes with lots of room that are not on the fabric, and one that is.
    nodes = some("cpu", "plugin", 17)
    nodes[11] = equip(nodes[11], Offer.parse("fabric"))
    found = await planned(world, nodes, example("16-network-attached"))
    assert found.node("preprocess") == nodes[11]["metadata"]["name"]
    assert [(one["pool"], one["device"]) for one in found.results("preprocess")] == [
        ("main-mini-1a", "appliance-1"),
        ("licences", "licence-0"),
    ]
    [claim] = found.binds["preprocess"]["claims"]
    [term] = claim["allocation"]["nodeSelector"]["nodeSelectorTerms"]
    assert {one["key"] for one in term["matchExpressions"]} == {pools.ZONE_LABEL, "minicluster.kai-py/fabric"}
    await runs_to_its_end(world, found)


@pytest.mark.parametrize(("cpu", "fits"), [("9", True), ("8500m", False)])
async def test_a_virtual_machine_costs_its_overhead_on_a_node_for_it(world: World, cpu: str, fits: bool):
    """Containers ask for 8 CPUs, and the virtual machine for one more."""
    nodes = some("h100", "whole") + some("l40s-inference", "vfio")
    for key in ("capacity", "allocatable"):
        nodes[1]["status"][key]["cpu"] = cpu
    found = await planned(world, nodes, example("17-kata-passthrough"))
    if not fits:
        assert found.waiting == ["untrusted"]
        return
    assert found.node("untrusted") == nodes[1]["metadata"]["name"]
    assert found.devices("untrusted") == ["gpu-vfio-0"]
    await runs_to_its_end(world, found)
    assert world.pod("untrusted")["spec"]["overhead"] == {"cpu": "1", "memory": "2Gi"}


@pytest.mark.parametrize(("offer", "devices"), [("whole", ["gpu-0", "gpu-1"]), ("plugin", []), ("vfio", None)])
async def test_an_extended_resource_becomes_a_claim_where_no_device_plugin_is(
    world: World, offer: str, devices: list[str] | None
):
    found = await planned(world, some("h100", offer), example("18-extended-resource"))
    if devices is None:
        assert found.waiting == ["legacy"]
        return
    assert found.node("legacy") == "h100-r01-n01"
    assert (found.devices("legacy") if devices else found.binds["legacy"].get("claims", [])) == devices


async def test_a_gang_gets_a_claim_for_each_of_its_pods(world: World):
    found = await planned(world, some("h100", "whole+nics", 5), example("19-gang-with-claims"))
    assert len({found.node(pod) for pod in found.binds}) == 4
    for pod in found.binds:
        assert Counter(one["driver"] for one in found.results(pod)) == {"gpu.nvidia.com": 8, "dra.net": 8}
    given = [(one["driver"], one["pool"], one["device"]) for pod in found.binds for one in found.results(pod)]
    assert len(given) == len(set(given)) == 4 * 16
    await runs_to_its_end(world, found)


async def test_a_gang_without_devices_for_its_last_pod_gets_none(world: World):
    nodes = some("h100", "whole+nics", 3) + some("h100", "whole", 4)[3:]
    found = await planned(world, nodes, example("19-gang-with-claims"))
    assert found.binds == {}
    assert len(found.waiting) == 4


async def test_all_examples_with_claims_run_on_the_cluster_of_the_guide(world: World):
    guide = GUIDE.read_text(encoding="utf-8")
    assert "--profile devices " + " ".join(f"--devices {offer}" for offer in OFFERS) in guide
    nodes = equip_pool(pools.nodes("devices", 16), parse_offers(OFFERS, pools.SERVERS))
    files = [file for file in EXAMPLES if file.name >= "10" and file.stem not in SCHEDULED]
    assert len(files) == 9
    found = await planned(world, nodes, documents(*files))
    assert len(found.binds) == 1 + 4 + 4 + 1 + 1 + 1 + 1 + 1 + 4
    await runs_to_its_end(world, found)
