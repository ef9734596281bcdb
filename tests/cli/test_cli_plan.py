import json

import pytest
import yaml

from kai_py import fair_share

CLUSTER = """\
apiVersion: v1
kind: Node
metadata: {name: n1}
status: {allocatable: {cpu: "8", memory: 32Gi, pods: "110", nvidia.com/gpu: "2"}}
---
apiVersion: scheduling.run.ai/v2
kind: Queue
metadata: {name: team}
spec:
  resources:
    cpu: {quota: -1, limit: -1}
    memory: {quota: -1, limit: -1}
    gpu: {quota: 1, limit: 2, overQuotaWeight: 1}
"""
POD = """\
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{kai.scheduler/queue: team}}}}
spec:
  schedulerName: kai-scheduler
  containers: [{{name: main, resources: {{limits: {{nvidia.com/gpu: {gpus}}}}}}}]
"""
SHARES = "total: {gpu: 8}\nqueues: [{name: a, resources: {gpu: {quota: 4}}, requested: {gpu: 6}}]\n"


@pytest.fixture
def cluster(tmp_path):
    """A file with a node, a queue, a pod that fits and one that does not."""
    file = tmp_path / "cluster.yaml"
    file.write_text(CLUSTER + POD.format(name="fits", gpus=1) + POD.format(name="waits", gpus=3))
    return file


def test_a_plan_for_people_in_a_pipe_is_plain_columns(kai, cluster):
    answer = kai("plan", "-f", cluster)
    assert answer.exit_code == 0
    lines = answer.stdout.splitlines()
    assert lines[0] == "1 pod bound in 1 cycle; 1 podgroup waits."
    assert lines[2].split() == ["CYCLE", "DECISION", "POD", "NODE", "PODGROUP", "ACTION", "FOR"]
    assert lines[3].split()[:4] == ["1", "bind", "default/fits", "n1"]
    assert "OverLimit" in answer.stdout
    assert lines[-1].split() == ["team", "gpu", "2", "GPUs", "0", "GPUs", "4", "GPUs"]
    assert "\x1b" not in answer.stdout


def test_rows_can_be_had_without_headers(kai, cluster):
    lines = kai("plan", "-f", cluster, "--no-headers").stdout.splitlines()
    assert lines[0].split()[:3] == ["1", "bind", "default/fits"]
    assert not any("CYCLE" in line or "QUEUE" in line for line in lines)


def test_colours_are_for_terminals_and_not_for_those_who_say_no(kai, cluster, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32mbind" in kai("plan", "-f", cluster).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in kai("plan", "-f", cluster).stdout


@pytest.mark.parametrize(("output", "parse"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_plan_for_programs_is_the_stable_document(kai, cluster, output, parse):
    answer = parse(kai("plan", "-f", cluster, "-o", output).stdout)
    assert (answer["apiVersion"], answer["kind"]) == ("kai-py/v1", "Plan")
    assert answer["pods"]["default/fits"] == {"node": "n1", "state": "Bound"}


def test_manifests_come_from_files_folders_and_standard_input_at_once(kai, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "cluster.yaml").write_text(CLUSTER)
    answer = kai("plan", "-f", tmp_path / "folder", "-f", "-", "-o", "json", stdin=POD.format(name="a", gpus=1))
    assert json.loads(answer.stdout)["pods"]["default/a"]["state"] == "Bound"


def test_warnings_go_to_standard_error(kai, cluster):
    answer = kai("plan", "-f", cluster, "-f", "-", stdin="apiVersion: v1\nkind: Secret\nmetadata: {name: web}\n")
    assert answer.stderr.startswith("warning: standard input: Secret default/web")
    assert "Secret" not in answer.stdout


def test_all_faults_are_told_with_file_document_object_and_field(kai, cluster, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("kValue: 1")
    bad = POD.format(name="bad", gpus="many") + "---\nkind: Pod\n"
    answer = kai("plan", "-f", cluster, "-f", "-", "--settings", settings, stdin=bad)
    assert (answer.exit_code, answer.stdout) == (2, "")
    verdict, *evidence, step = answer.stderr.splitlines()
    assert verdict == "error: there are 3 faults"
    assert evidence[0].startswith(f"  {settings}: kValue: is not a setting")
    assert evidence[1].startswith("  standard input document 2: object: apiVersion: is required")
    assert "document 1: Pod default/bad: spec.containers[0].resources.limits.nvidia.com/gpu" in evidence[2]
    assert step.startswith("next: ")


def test_settings_come_from_a_file(kai, cluster, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("actions: {order: []}")
    answer = json.loads(kai("plan", "-f", cluster, "--settings", settings, "-o", "json").stdout)
    assert answer["cycles"][0]["binds"] == []


def test_cycles_and_time_are_the_callers(kai, cluster):
    options = ("--cycles", 5, "--cycle-seconds", 10, "--now", "2026-01-31T12:00:00Z", "-o", "json")
    answers = [kai("plan", "-f", cluster, *options).stdout for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(json.loads(answers[0])["cycles"]) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        ("-f", "-", "--cycles", "0"),
        ("-f", "-", "--cycle-seconds", "-1"),
        ("-f", "-", "--now", "noon"),
        ("-f", "-", "--settings", "missing.yaml"),
        ("-f", "-", "-o", "xml"),
        ("-f", "-", "--context", "prod"),
        ("--from-cluster", "--kubeconfig", "missing"),
        ("-f", "missing.yaml"),
    ],
)
def test_a_wrong_question_has_status_2_and_no_answer(kai, wrong):
    answer = kai("plan", *wrong, stdin="")
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr


def test_without_a_cluster_the_next_step_says_where_to_get_one(kai):
    answer = kai("plan", "--from-cluster", "--kubeconfig", "/nonexistent/config")
    assert answer.stderr.splitlines()[0] == "error: kubeconfig /nonexistent/config: there is no such file"
    assert "kai-py minicluster" in answer.stderr


def test_fair_shares_are_shown_as_a_table_and_as_the_stable_document(kai, tmp_path):
    file = tmp_path / "shares.yaml"
    file.write_text(SHARES)
    assert kai("fairshare", "-f", file).stdout.splitlines()[1].split() == ["a", "4", "GPUs"]
    assert json.loads(kai("fairshare", "-f", file, "-o", "json").stdout) == fair_share(yaml.safe_load(SHARES))
    assert yaml.safe_load(kai("fairshare", "-f", "-", "-o", "yaml", stdin=SHARES).stdout)["kind"] == "FairShare"


@pytest.mark.parametrize(
    "question", ["total: {gpu: -1}", "queues: []", "a: [", "", "total: {}\n---\ntotal: {}", "[]", "7"]
)
def test_a_wrong_division_has_status_2_and_names_the_field(kai, question):
    answer = kai("fairshare", "-f", "-", stdin=question)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert "standard input" in answer.stderr or "error: -:" in answer.stderr
