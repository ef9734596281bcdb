"""``kai-py snapshot`` of the embedded cluster, and what replays it."""

import json
import stat

import pytest

from kai_py.cli.minicluster import furnish
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.pools import nodes


@pytest.fixture
async def cluster(tmp_path):
    cluster = MiniCluster()
    furnish(cluster, nodes("h100", 2), crds=True)
    container = {"name": "main", "image": "secret", "resources": {"limits": {"nvidia.com/gpu": 8}}}
    for name in ("volga", "danube", "tiber"):
        meta = {"name": name, "labels": {"kai.scheduler/queue": "default-queue"}}
        spec = {"schedulerName": "kai-scheduler", "containers": [container]}
        cluster.storage.create("pods", {"metadata": meta, "spec": spec}, "default")
    async with cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        yield cluster


async def test_a_snapshot_of_a_live_cluster_replays_to_the_same_plan(ask, kai, tmp_path):
    file = tmp_path / "cluster.json.gz"
    answer = await ask("snapshot", "-o", file)
    assert (answer.exit_code, answer.stdout) == (0, f"{file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    live = json.loads((await ask("plan", "--from-cluster", "-o", "json")).stdout)
    replayed = json.loads(kai("plan", "--from-snapshot", file, "-o", "json").stdout)
    assert replayed == live
    assert len(live["cycles"][0]["binds"]) == 2


async def test_a_redacted_snapshot_of_a_live_cluster_replays_under_other_names(ask, kai, tmp_path):
    file = tmp_path / "cluster.json.gz"
    await ask("snapshot", "--redact", "-o", file)
    answer = kai("plan", "--from-snapshot", file, "-o", "json").stdout
    assert [len(json.loads(answer)["cycles"][0][kind]) for kind in ("binds", "waiting")] == [2, 1]
    assert not any(name in answer for name in ("volga", "danube", "tiber"))


@pytest.mark.parametrize("data", [{"settings.yaml": "placment: {}\nfairness: {kValue: x}"}, {"other": ""}, None])
async def test_a_cluster_whose_settings_are_refused_can_be_reported_too(ask, kai, tmp_path, cluster, data):
    body = {"metadata": {"name": "kai-py-settings"}} | ({"data": data} if data is not None else {})
    cluster.storage.create("configmaps", body, "kai-scheduler")
    usage = {"metadata": {"name": "kai-py-usage"}, "data": {"usage.json": '{"buckets": [{"volga": 1}]}'}}
    cluster.storage.create("configmaps", usage, "kai-scheduler")
    file = tmp_path / "cluster.json.gz"
    written = await ask("snapshot", "--redact", "-o", file)
    assert (written.exit_code, written.stdout) == (0, f"{file}\n")
    live = await ask("plan", "--from-cluster", "-o", "json")
    replayed = kai("plan", "--from-snapshot", file, "-o", "json")
    assert [len(json.loads(one.stdout)["cycles"][0]["binds"]) for one in (live, replayed)] == [2, 2]
    faults = [warning for warning in json.loads(replayed.stdout)["warnings"] if "settings" in warning]
    assert len(faults) == (2 if data and "settings.yaml" in data else 1)


def test_two_clusters_at_once_are_refused(kai, tmp_path):
    answer = kai("plan", "--from-cluster", "--from-snapshot", tmp_path / "file")
    assert answer.exit_code == 2
    assert "give one" in answer.stderr


def test_a_file_that_is_not_there_is_told(kai, tmp_path):
    answer = kai("plan", "--from-snapshot", tmp_path / "file")
    assert answer.exit_code == 2
    assert "No such file" in answer.stderr
