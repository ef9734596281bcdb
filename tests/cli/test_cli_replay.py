import json
from pathlib import Path

import pytest

from tests.planning.test_planning_replay import NODE_LINES, NODES, POD_LINES, PODS


@pytest.fixture
def folder(tmp_path):
    (tmp_path / NODES).write_text("\n".join(NODE_LINES))
    (tmp_path / PODS).write_text("\n".join([*POD_LINES, *POD_LINES[1:]]))
    return str(tmp_path)


def test_a_replay_prints_every_seed_and_the_mean(kai, folder):
    result = kai("replay", "openb", "--trace-dir", folder, "--seeds", 2, "--seed", 7)
    assert result.exit_code == 0, result.output
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:3] == ["TRACE", "SEED", "GPUS-GIVEN-%"]
    assert [line[:2] for line in lines[1:]] == [["small", "7"], ["small", "8"], ["small", "mean"]]


@pytest.mark.parametrize("policy", ["default", "binpack", "spread", "leastFragmentation"])
def test_a_replay_answers_programs(kai, folder, policy):
    result = kai("replay", "openb", "--trace-dir", folder, "--policy", policy, "--seeds", 1, "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert (document["kind"], document["policy"]) == ("Replay", policy)
    [one] = document["results"]
    [run] = one["runs"]
    assert (run["seed"], run["ofGpus"], run["broken"]) == (42, 6, 0)
    assert run["percent"] == one["meanPercent"] == round(100 * run["gpus"] / 6, 3) > 0


def test_a_folder_without_traces_and_an_unknown_trace_are_named(kai, folder, tmp_path):
    missing = kai("replay", "openb", "--trace-dir", folder, "--trace", "large")
    assert missing.exit_code == 2
    assert "openb_pod_list_large.csv: No such file or directory" in missing.stderr.replace("\n", "")
    Path(folder, PODS).unlink()
    empty = kai("replay", "openb", "--trace-dir", folder)
    assert empty.exit_code == 2
    assert "there is no openb_pod_list_*.csv" in empty.stderr
