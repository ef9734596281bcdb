"""The plugin of kubectl: its verbs, its manifest, and what kubectl completes."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from kai_py.cli.app import COMMANDS
from kai_py.cli.kubectl import VERBS, app, completions, verb_first
from kai_py.minicluster import MiniCluster
from kai_py.planning.manifests import Sourced
from kai_py.planning.snapshot import snapshot_of, write_snapshot
from tests.planning.builders import node, pod, queue

ROOT = Path(__file__).parents[2]


@pytest.fixture
def taken(tmp_path):
    file = tmp_path / "cluster.json.gz"
    objects = [node(), queue(), pod("a", on="n1"), pod("b")]
    file.write_bytes(write_snapshot(snapshot_of(map(Sourced, objects), 1_800_000_000.0)))
    return file


def test_all_verbs_are_those_of_the_program():
    assert set(VERBS) <= COMMANDS.keys()
    text = CliRunner().invoke(app, ["--help"]).stdout
    assert all(f" {verb} " in text for verb in VERBS)
    assert "minicluster" not in text


def test_a_verb_answers_as_it_does_in_the_program(kai, taken):
    for words in (["plan", "-o", "json"], ["top"], ["top", "--nodes", "-o", "yaml"]):
        asked = [*words, "--from-snapshot", str(taken)]
        answer = CliRunner().invoke(app, asked)
        assert (answer.exit_code, answer.stdout) == (0, kai(*asked).stdout)
        assert answer.stdout


def test_top_shows_who_holds_what(kai, taken):
    lines = kai("top", "--from-snapshot", taken).stdout.splitlines()
    assert lines[0].split() == ["PODGROUP", "QUEUE", "PODS", "NODES", "GPUS", "CPU", "MEMORY", "SINCE"]
    assert len(lines) == 2
    assert lines[1].split()[1:6] == ["team", "1", "1", "1", "GPU"]
    assert kai("top", "--from-snapshot", taken, "-n", lines[1].partition("/")[0]).stdout.splitlines() == lines
    assert kai("top", "--from-snapshot", taken, "-n", "elsewhere", "-A").stdout.splitlines() == lines
    assert kai("top", "--from-snapshot", taken, "-n", "elsewhere").stdout == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [f"{verb}\t{COMMANDS[verb][1].rstrip('.')}" for verb in VERBS] + [":4"]),
        (["wh"], ["why\tTell why a pod or podgroup waits, or how a queue stands", ":4"]),
        (["plan", "-f", ""], [":0"]),
        (["queues", "--wat"], ["--watch\tGo on, and print every queue again whose row changes", ":4"]),
        (["nothing", "--x"], [":4"]),
        (["-n", "team-a", "wh"], ["why\tTell why a pod or podgroup waits, or how a queue stands", ":4"]),
        (["why", "--kubeconfig", "/nowhere", ""], [":4"]),
    ],
)
def test_completion_speaks_as_kubectl_listens(words, expected):
    assert completions(words) == expected


async def test_names_are_completed_from_the_cluster(tmp_path):
    config, cluster = tmp_path / "kubeconfig", MiniCluster(crds=ROOT / "crds")
    cluster.storage.create("namespaces", {"metadata": {"name": "team-a"}})
    container = {"name": "main", "image": "example.com/main:1"}
    for name, spec in (("waits", {}), ("wanders", {"nodeName": "n1"}), ("other", {})):
        body = {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}
        cluster.storage.create("pods", body, "default" if name == "other" else "team-a")
    cluster.storage.create("queues.scheduling.run.ai", {"metadata": {"name": "vision"}, "spec": {}})
    async with cluster:
        document = cluster.kubeconfig()
        document["contexts"][0]["context"]["namespace"] = "team-a"
        config.write_text(yaml.safe_dump(document))
        context = document["current-context"]

        async def completed(*words):
            return await asyncio.to_thread(completions, ["why", "--kubeconfig", str(config), *words])

        assert await completed("") == ["waits", ":4"]  # those that have a node do not wait
        assert await completed("pod/w") == ["pod/waits", "pod/wanders", ":4"]
        assert await completed("-n", "default", "") == ["other", ":4"]
        assert await completed("queue/") == ["queue/vision", ":4"]
        assert await completed("-n", "team") == ["team-a", ":4"]
        assert await completed("--context", "") == [context, ":4"]
        assert await completed("--context=none", "") == [":4"]


def test_flags_of_kubectl_may_stand_before_the_verb():
    assert verb_first(["-n", "a", "--context=c", "why", "x", "-o", "json"]) == [
        "why", "-n", "a", "--context=c", "x", "-o", "json",
    ]  # fmt: skip
    assert verb_first(["queues", "-w"]) == ["queues", "-w"]
    assert verb_first(["-n", "a", "--context", "c", "queues"]) == ["queues", "--context", "c"]
    assert verb_first(["--namespace=a", "-n", "b", "top"]) == ["top", "--namespace=a", "-n", "b"]
    assert verb_first(["-n"]) == ["-n"]
    assert verb_first([]) == []


def test_the_entry_points_run():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for function, words, said in (("main", ["--help"], "kubectl kai"), ("complete", ["snap"], "snapshot\t")):
        script = f"from kai_py.cli.kubectl import {function}; {function}()"
        answer = subprocess.run(
            [sys.executable, "-c", script, *words], env=environment, capture_output=True, text=True, check=False
        )
        assert said in answer.stdout


def test_the_manifest_for_krew_names_what_is_there():
    manifest = yaml.safe_load((ROOT / "krew" / "kai.yaml").read_text())
    (platform,) = manifest["spec"]["platforms"]
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("Plugin", "kai")
    for file in platform["files"]:
        assert os.access(ROOT / "krew" / file["from"], os.X_OK)
    assert platform["bin"] == "kubectl-kai"
