"""``kai-py devices``."""

import asyncio
import json

import pytest

from kai_py.cli.bench.device_manifests import partitions
from kai_py.kube.client import connect
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.pools import nodes
from tests.planning.builders import node
from tests.planning.test_planning_claims import slice_of
from tests.planning.test_planning_devices import given


@pytest.fixture
def manifests(tmp_path):
    items = [node("n1", 0), *partitions("n1"), given("c", "n1", "gpu-0-4g-40gb-0"), given("d", "n1", "gpu-9")]
    (tmp_path / "cluster.json").write_text(json.dumps(items))
    return tmp_path / "cluster.json"


def test_a_row_per_pool(kai, manifests):
    done = kai("devices", "-f", manifests)
    header, row, *rest = done.stdout.splitlines()
    assert header.split()[:5] == ["NODE", "DRIVER", "POOL", "STATE", "DEVICES"]
    assert row.split()[:8] == ["n1", "gpu.nvidia.com", "n1", "Complete", "18", "7", "1", "0"]
    assert row.endswith("1 of 1 cut, left: gpu-0-3g-40gb-4")
    assert rest[-1].split() == ["gpu.nvidia.com", "n1", "gpu-9", "default/d", "pods/a"]


def test_a_row_per_device(kai, manifests):
    rows = [line.split() for line in kai("devices", "-f", manifests, "-o", "wide").stdout.splitlines()]
    assert ["n1", "gpu.nvidia.com", "n1", "gpu-0-4g-40gb-0", "taken", "default/c", "pods/a", "-"] in rows
    assert ["n1", "gpu.nvidia.com", "n1", "gpu-0-7g-80gb-0", "blocked", "-", "-", "-"] in rows


def test_a_document_for_programs(kai, manifests):
    answer = json.loads(kai("devices", "-f", manifests, "-o", "json", "--node", "n1").stdout)
    assert (answer["kind"], answer["pools"][0]["counts"]["taken"]) == ("Devices", 1)


def test_files_and_a_cluster_exclude_each_other(kai, manifests):
    done = kai("devices", "-f", manifests, "--context", "x")
    assert (done.exit_code, "instead of a live cluster" in done.stderr) == (2, True)


async def test_the_live_cluster(kai, tmp_path):
    async with MiniCluster() as cluster:
        for one in nodes("h100", 1):
            cluster.storage.create("nodes", one)
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        async with await connect(str(tmp_path / "kubeconfig")) as client:
            await client.post("/apis/resource.k8s.io/v1/resourceslices", slice_of("gpu-0", 3))
        done = await asyncio.to_thread(kai, "devices", "--kubeconfig", tmp_path / "kubeconfig")
    assert done.stdout.splitlines()[1].split()[:6] == ["gpu-0", "gpu.nvidia.com", "gpu-0", "Complete", "3", "3"]
