"""``kai-py bench fill|gang|bind`` on the embedded cluster, in small."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kai_py.cli.bench.live import Live, measure_scheduling
from kai_py.cli.bench.observer import percentiles
from kai_py.cli.bench.scraped import work
from kai_py.cli.failures import Failure
from kai_py.cli.minicluster import furnish
from kai_py.kube.client import connect
from kai_py.kube.listing import list_all
from kai_py.minicluster import MiniCluster
from kai_py.operators.kinds import CLAIMS, DEVICE_CLASSES, NODES, PODGROUPS, PODS, QUEUES, SLICES


async def leftovers(kubeconfig):
    async with await connect(kubeconfig) as client:
        return [one["metadata"]["name"] for kind in (NODES, PODS, PODGROUPS) for one in await list_all(client, kind)]


@pytest.fixture
async def kubeconfig(tmp_path):
    cluster = MiniCluster()
    furnish(cluster, [], crds=True)
    async with cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        yield str(tmp_path / "kubeconfig")


@pytest.mark.slow
@pytest.mark.parametrize("pre_created", [True, False])
async def test_pods_are_bound_by_a_scheduler_of_its_own_and_nothing_is_left(kubeconfig, pre_created):
    live = Live(pods=18, nodes=3, gang=4, pre_created=pre_created, kubeconfig=kubeconfig, patience=60)
    result = await measure_scheduling(live)
    assert (result["bound"], result["boundTwice"], result["preCreated"]) == (18, 0, pre_created)
    assert result["timeToBindSeconds"]["fromCreation"]["p50"] > 0
    assert result["scheduler"]["cycles"] >= 1
    assert (result["readySeconds"] is not None) == pre_created
    assert await leftovers(kubeconfig) == []
    async with await connect(kubeconfig) as client:
        assert {one["metadata"]["name"] for one in await list_all(client, QUEUES)} == {
            "default-queue",
            "default-parent-queue",
        }


@pytest.mark.slow
async def test_pods_with_a_claim_each_are_bound_and_nothing_is_left(kubeconfig):
    live = Live(pods=12, nodes=2, gang=4, claims=True, kubeconfig=kubeconfig, patience=60)
    result = await measure_scheduling(live)
    assert (result["bound"], result["boundTwice"], result["claims"]) == (12, 0, True)
    assert await leftovers(kubeconfig) == []
    async with await connect(kubeconfig) as client:
        for kind in (CLAIMS, SLICES, DEVICE_CLASSES):
            assert await list_all(client, kind) == []


async def test_without_a_scheduler_nothing_is_bound_and_everything_is_deleted_all_the_same(kubeconfig):
    live = Live(pods=3, nodes=1, scheduler=False, kubeconfig=kubeconfig, patience=0.2)
    result = await measure_scheduling(live)
    assert (result["bound"], result["podsPerSecond"]["fromBeginning"]) == (0, None)
    assert await leftovers(kubeconfig) == []


async def test_a_cluster_without_our_crds_is_refused(tmp_path):
    async with MiniCluster() as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        with pytest.raises(Failure, match="does not know Queues"):
            await measure_scheduling(Live(pods=1, nodes=1, kubeconfig=str(tmp_path / "kubeconfig")))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [("gang", "--pods", "6"), ("bind", "--pods", "20"), ("rest", "--changes", "2", "--pods", "9")],
    ids=lambda command: command[0],
)
def test_the_commands_print_json_and_start_what_they_need(command):
    line = [sys.executable, "-m", "kai_py", "bench", *command, "--nodes", "2", "--minicluster"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bound"] == report["pods"] == int(command[-1])
    assert report["server"].startswith("embedded")


def test_percentiles_are_of_the_nearest_rank():
    assert percentiles([]) is None
    assert percentiles([3.0]) == {"p50": 3.0, "p99": 3.0, "max": 3.0}
    assert percentiles([float(number) for number in range(1, 101)]) == {"p50": 50.0, "p99": 99.0, "max": 100.0}


def test_work_is_what_has_grown_between_two_looks():
    before = {"kai_py_cycle_seconds_count": 2.0, "kai_py_cycle_seconds_sum": 1.0}
    after = {"kai_py_cycle_seconds_count": 5.0, "kai_py_cycle_seconds_sum": 1.5, "process_resident_memory_bytes": 2**20}
    done = work(before, after)
    assert (done["cycles"], done["decisionSeconds"], done["memoryMiB"]) == (3, 0.5, 1.0)
    assert done["requestMilliseconds"] is None
