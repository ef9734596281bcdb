"""``kai-py drift`` and ``kai-py crds`` against the embedded cluster."""

import json

import pytest
import yaml

from kai_py.api.crds import render
from kai_py.minicluster import MiniCluster

GPU = {"quota": 8, "limit": -1, "overQuotaWeight": 1}
FREE = {"cpu": {**GPU, "quota": -1}, "memory": {**GPU, "quota": -1}, "gpu": GPU}
VALUES = {
    "blueprint": {"name": "lab", "version": "1.2.3"},
    "defaultQueues": {"create": False},
    "queues": {"lab": {"resources": FREE}, "team": {"parentQueue": "lab", "resources": FREE}},
    "topologies": {"racks": {"levels": [{"nodeLabel": "example.com/rack"}]}},
    "settings": {"placement": {"gpu": "spread"}},
}
PLACE = ("--settings-configmap", "default/kai-py-settings")


@pytest.fixture
async def cluster(tmp_path):
    """An embedded cluster without our kinds."""
    async with MiniCluster() as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        yield cluster


@pytest.fixture
async def drift(ask, tmp_path):
    """The command, in a cluster with our kinds, with the values of the blueprint."""
    assert (await ask("crds", "--apply")).exit_code == 0
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(VALUES))

    async def run(*args):
        return await ask("drift", "-f", path, *PLACE, *args)

    return run


def queue(cluster, name):
    return cluster.storage.get("queues.scheduling.run.ai", name)


async def test_definitions_are_printed_and_applied(ask, kai):
    printed = list(yaml.safe_load_all(kai("crds").stdout))
    assert printed == [yaml.safe_load(text) for text in render().values()]
    answer = await ask("crds", "--apply")
    assert answer.stdout.splitlines() == [f"{one['metadata']['name']} applied" for one in printed]
    assert (await ask("queues")).exit_code == 0


async def test_an_empty_cluster_drifts_and_is_fixed(drift):
    answer = await drift()
    assert answer.exit_code == 3
    assert answer.stdout.splitlines()[0] == "4 differences from lab@1.2.3, 0 fixed"
    assert [line.split()[:3] for line in answer.stdout.splitlines()[3:6]] == [
        ["Queue", "lab", "missing"],
        ["Queue", "team", "missing"],
        ["Topology", "racks", "missing"],
    ]
    fixed = await drift("--fix")
    assert fixed.exit_code == 0
    assert fixed.stdout.count("fixed") == 5
    again = await drift()
    assert (again.exit_code, again.stdout) == (0, "no drift from lab@1.2.3\n")


async def test_a_change_by_hand_is_told_and_taken_back(drift, cluster):
    await drift("--fix")
    live = queue(cluster, "team")
    live["spec"]["resources"]["gpu"]["quota"] = 4
    live["spec"]["displayName"] = "Ours"
    live["metadata"]["labels"] = {"kept": "yes"}
    cluster.storage.update("queues.scheduling.run.ai", live)
    answer = await drift("-o", "json")
    assert answer.exit_code == 3
    document = json.loads(answer.stdout)
    assert (document["kind"], document["blueprint"]) == ("Drift", "lab@1.2.3")
    assert [(one["field"], one["wanted"], one["live"]) for one in document["items"]] == [
        ("displayName", "", "Ours"),
        ("resources.gpu.quota", 8.0, 4.0),
    ]
    assert (await drift("--fix")).exit_code == 0
    live = queue(cluster, "team")
    assert live["spec"] == VALUES["queues"]["team"]
    assert live["metadata"]["labels"] == {"kept": "yes"}


async def test_what_is_extra_stays_until_it_is_pruned(drift, cluster):
    await drift("--fix")
    cluster.storage.create("queues.scheduling.run.ai", {"metadata": {"name": "mine"}, "spec": {"resources": FREE}})
    answer = await drift("--fix")
    assert answer.exit_code == 3
    assert "extra" in answer.stdout
    assert queue(cluster, "mine")
    pruned = await drift("--fix", "--prune", "-o", "json")
    assert pruned.exit_code == 0
    assert [(one["name"], one["fixed"]) for one in json.loads(pruned.stdout)["items"]] == [("mine", True)]
    assert (await drift()).exit_code == 0


async def test_what_cannot_be_fixed_is_told_and_the_rest_is_fixed(drift, cluster):
    await drift("--fix")
    live = queue(cluster, "team")
    live["spec"]["resources"]["gpu"]["quota"] = 4
    cluster.storage.update("queues.scheduling.run.ai", live)
    # Levels of a Topology cannot be changed.
    racks = cluster.storage.get("topologies.kai.scheduler", "racks")
    cluster.storage.delete("topologies.kai.scheduler", "racks")
    levels = [{"nodeLabel": f"example.com/{'long' * 10}{number}"} for number in range(3)]
    cluster.storage.create("topologies.kai.scheduler", {"metadata": {"name": "racks"}, "spec": {"levels": levels}})
    answer = await drift("--fix")
    assert answer.exit_code == 3
    assert answer.stdout.splitlines()[0] == "2 differences from lab@1.2.3, 1 fixed"
    topology = next(line for line in answer.stdout.splitlines() if line.startswith("Topology"))
    assert len(topology) < 180
    assert "example.com/rack" in topology  # long values are shown where they differ
    assert "example.com/longlong" in topology
    assert "error: Topology racks stays as it is" in answer.stderr
    assert "spec.levels" in answer.stderr
    assert queue(cluster, "team")["spec"]["resources"]["gpu"]["quota"] == 8
    assert cluster.storage.get("topologies.kai.scheduler", "racks")["spec"] != racks["spec"]
    left = json.loads((await drift("--fix", "-o", "json")).stdout)["items"]
    assert [(one["kind"], one["fixed"]) for one in left] == [("Topology", False)]


async def test_other_keys_of_the_configmap_are_left_alone(drift, cluster):
    body = {"metadata": {"name": "kai-py-settings"}, "data": {"settings.yaml": "a: 1", "other": "text"}}
    cluster.storage.create("configmaps", body, "default")
    assert "cannot be used" in (await drift()).stdout
    assert (await drift("--fix")).exit_code == 0
    data = cluster.storage.get("configmaps", "kai-py-settings", "default")["data"]
    assert data["other"] == "text"
    assert yaml.safe_load(data["settings.yaml"]) == VALUES["settings"]


async def test_misuse_is_told(drift, ask, tmp_path):
    assert (await drift("--prune")).exit_code == 2
    assert (await drift("--settings-configmap", "nowhere")).exit_code == 2
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("queues: {team: {priority: high}}")
    answer = await ask("drift", "-f", wrong)
    assert answer.exit_code == 2
    assert "priority" in answer.stderr
