"""Devices that take memory of their node on a live cluster: gate on, gate off, and after a restart."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kai_py.errors import InvalidError
from kai_py.kube.listing import list_all
from kai_py.minicluster import MiniCluster
from kai_py.operators.kinds import PODS, SLICES

from .agreement import Answer, compare
from .claims import claim, claims, devices
from .conftest import CRDS, _cluster
from .control_plane import assets, control_plane, free_ports, running_process
from .harness import Cluster, Json
from .worlds_of_takers import takers_world

GATE = "DRANodeAllocatableResources"
#: Nodes of the harness have 256Gi.
TAKES = {"nodeAllocatableResourceMappings": {"memory": {"allocationMultiplier": "150Gi"}}}


@pytest.fixture(scope="module")
def real_with_gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    binaries = assets()
    if binaries is None:
        yield None
        return
    with control_plane(binaries, tmp_path_factory.mktemp("gate"), f"--feature-gates={GATE}=true") as kubeconfig:
        yield kubeconfig


@pytest.fixture(params=["embedded", "real"])
async def gated(request: pytest.FixtureRequest, tmp_path: Path, real_with_gate: Path | None) -> AsyncIterator[Cluster]:
    """An empty cluster with the gate on."""
    if request.param == "real":
        if real_with_gate is None:
            pytest.skip("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver")
        async for made in _cluster(real_with_gate, real=True, faults=None):
            yield made
        return
    async with MiniCluster(crds=CRDS, gates={GATE}) as mini:
        kubeconfig = tmp_path / "kubeconfig"
        mini.write_kubeconfig(kubeconfig)
        async for made in _cluster(kubeconfig, real=False, faults=mini.faults):
            yield made


async def user(cluster: Cluster, name: str, of: str) -> Json:
    """A pod whose container uses a claim."""
    container = {"name": "main", "image": "registry.local/app", "resources": {"claims": [{"name": "dev"}]}}
    used = [{"name": "dev", "resourceClaimName": of}]
    return await cluster.pod(name, gpus=0, resourceClaims=used, containers=[container])


async def told(cluster: Cluster, name: str) -> list[Json]:
    """What a pod's status says of it."""
    pods = {one["metadata"]["name"]: one for one in await list_all(cluster.client, PODS, cluster.namespace)}
    return list(pods[name]["status"].get("nodeAllocatableResourceClaimStatuses", ()))


async def test_the_memory_that_devices_take_is_told_and_counts_after_a_restart(gated: Cluster) -> None:
    await gated.nodes(1)
    await devices(gated, "node-0", 3, **TAKES)
    await gated.queue("team")
    for name in ("c", "d"):
        await claim(gated, name)
    async with gated.scheduler():
        await user(gated, "one", "c")
        await gated.until_bound("one")
    said = {"resourceClaimName": "c", "containers": ["main"], "resources": {"memory": "150Gi"}}
    assert await told(gated, "one") == [said]
    async with gated.scheduler():
        await user(gated, "two", "d")
        message = await gated.until(lambda: gated.message("two"))
        assert "take more of their node than is left (150 GiB memory" in message
        assert "two" not in await gated.places()
        await gated.delete_pod("one")
        await gated.until_bound("two")
    assert (await told(gated, "two"))[0]["resourceClaimName"] == "d"


async def test_a_driver_that_vanishes_leaves_the_memory_taken(gated: Cluster) -> None:
    await gated.nodes(1)
    await devices(gated, "node-0", 1, **TAKES)
    await gated.queue("team")
    await claim(gated, "c")
    async with gated.scheduler():
        await user(gated, "one", "c")
        await gated.until_bound("one")
        await gated.client.delete(SLICES.path("", "node-0-devices"))
        asks = {"name": "main", "image": "registry.local/app", "resources": {"requests": {"memory": "150Gi"}}}
        await gated.pod("two", gpus=0, containers=[asks])
        assert "memory" in await gated.until(lambda: gated.message("two"))
    assert "allocation" in (await claims(gated))["c"]["status"]


async def test_without_the_gate_a_server_drops_it_and_pods_start_as_ever(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await devices(cluster, "node-0", 2, **TAKES)
    await cluster.queue("team")
    for name in ("c", "d"):
        await claim(cluster, name)
    async with cluster.scheduler():
        await user(cluster, "one", "c")
        await user(cluster, "two", "d")
        await cluster.until_bound("one", "two")
    assert await told(cluster, "one") == []


MAPPINGS = "nodeAllocatableResourceMappings"
#: (mapping, fields that are refused)
REFUSED: list[tuple[Json, list[str]]] = [
    ({"cpu": {"allocationMultiplier": "2"}, "hugepages-2Mi": {"capacityKey": "size"}}, []),
    ({"example.com/x": {"allocationMultiplier": "1"}}, [f"{MAPPINGS}[example.com/x]"]),
    ({"cpu": {"allocationMultiplier": "0"}}, [f"{MAPPINGS}[cpu].allocationMultiplier"]),
    ({"cpu": {"allocationMultiplier": "-1"}}, [f"{MAPPINGS}[cpu].allocationMultiplier"]),
    ({"cpu": {"capacityKey": "gone"}}, [f"{MAPPINGS}[cpu].capacityKey"]),
    ({"cpu": {"capacityKey": ""}}, [f"{MAPPINGS}[cpu].capacityKey"]),
]


async def test_both_servers_refuse_the_same_mappings_and_complete_the_same(gated: Cluster) -> None:
    for number, (mapping, fields) in enumerate(REFUSED):
        spec = {"capacity": {"size": {"value": "8Gi"}}, MAPPINGS: mapping}
        found: list[str] = []
        try:
            await devices(gated, "node-0", 1, pool=f"p{number}", **spec)
        except InvalidError as error:
            found = sorted({field for _, field, _ in error.causes})
        assert found == [f"spec.devices[0].{field}" for field in fields], mapping
    (made,) = [one for one in await list_all(gated.client, SLICES) if one["metadata"]["name"] == "p0-devices"]
    pages = made["spec"]["devices"][0][MAPPINGS]["hugepages-2Mi"]
    assert pages == {"capacityKey": "size", "allocationMultiplier": "1"}


async def test_both_servers_refuse_the_same_statuses(gated: Cluster) -> None:
    await claim(gated, "c")
    await user(gated, "one", "c")
    right = {"resourceClaimName": "c", "containers": ["main"], "resources": {"cpu": "2"}}
    field = "status.nodeAllocatableResourceClaimStatuses[0]"
    for status, fields in (
        (right | {"resourceClaimName": "d"}, [f"{field}.resourceClaimName"]),
        (right | {"containers": []}, [f"{field}.containers"]),
        (right | {"resources": {}}, [f"{field}.resources"]),
        (right | {"resources": {"a.b/c": "1"}}, [f"{field}.resources[a.b/c]"]),
        (right | {"resources": {"cpu": "-1"}}, [f"{field}.resources[cpu]"]),
        (right, []),
    ):
        found: list[str] = []
        body = {"status": {"nodeAllocatableResourceClaimStatuses": [status]}}
        try:
            await gated.client.patch(PODS.path(gated.namespace, "one", "status"), body)
        except InvalidError as error:
            found = sorted({field for _, field, _ in error.causes})
        assert found == fields, status
    assert await told(gated, "one") == [right]


@pytest.fixture
async def with_scheduler(gated: Cluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A real control plane and a kube-scheduler, both with the gate on."""
    binaries = assets()
    if not gated.real or binaries is None or not (binaries / "kube-scheduler").exists():
        pytest.skip("there is no kube-scheduler beside a real control plane")
    (port,) = free_ports(1)
    command = [
        str(binaries / "kube-scheduler"), f"--kubeconfig={gated.kubeconfig}", "--bind-address=127.0.0.1",
        f"--secure-port={port}", f"--cert-dir={tmp_path}", "--leader-elect=false", f"--feature-gates={GATE}=true",
    ]  # fmt: skip
    with running_process(command, tmp_path / "scheduler.log"):
        yield gated


async def test_kube_scheduler_agrees_about_what_devices_take(with_scheduler: Cluster) -> None:
    first, _, last = os.environ.get("AGREEMENT_SEEDS", "").partition(":")
    seeds = range(int(first), int(last)) if last else range(12)
    answers: list[Answer] = []
    for start in range(0, len(seeds), 20):
        answers += await compare(with_scheduler.client, takers_world, "t", seeds[start : start + 20])
    wrong = [one for one in answers if one.faults or one.ours != one.theirs]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(one.ours for one in answers) >= len(seeds) // 2
    assert sum(not one.ours for one in answers) >= len(seeds) // 2
