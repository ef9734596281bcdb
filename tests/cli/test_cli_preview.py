"""``kai-py preview`` from a snapshot: tables, documents and exit statuses."""

import json

import pytest

from kai_py.planning.manifests import Sourced
from kai_py.planning.snapshot import snapshot_of, write_snapshot
from tests.planning.builders import node, pod, queue

FEWER = """\
apiVersion: scheduling.run.ai/v2
kind: Queue
metadata: {name: second}
spec: {resources: {gpu: {quota: 0, overQuotaWeight: 0}}}
"""


@pytest.fixture
def taken(tmp_path):
    """A snapshot: eight GPUs, all taken by one queue, of which two are owed to another."""
    objects = [
        node(),
        queue("first", 4),
        queue("second", 4),
        *(pod(f"old-{n}", queue="first", on="n1", owner=f"old-{n}") for n in range(8)),
        *(pod(f"new-{n}", queue="second") for n in range(2)),
    ]
    file = tmp_path / "cluster.json.gz"
    file.write_bytes(write_snapshot(snapshot_of(map(Sourced, objects), 1_800_000_000.0)))
    return file


def test_a_change_is_told_in_tables(kai, taken):
    answer = kai("preview", "-f", "-", "--from-snapshot", taken, stdin=FEWER)
    assert answer.exit_code == 0
    lines = [line.split() for line in answer.stdout.splitlines()]
    assert " ".join(lines[0]) == (
        "2 queues with other numbers; 2 pods no longer evicted; 2 pods no longer started; 2 podgroups waiting in "
        "addition; 2 podgroups no longer waiting."
    )
    assert ["second", "gpu", "fair", "share", "2", "GPUs", "0", "GPUs"] in lines
    assert ["does", "not", "start", "default/new-0"] in [line[:4] for line in lines]
    assert "OverFairShare" in answer.stdout


def test_a_change_is_told_to_programs(kai, taken):
    answer = json.loads(kai("preview", "-f", "-", "--from-snapshot", taken, "-o", "json", stdin=FEWER).stdout)
    assert (answer["kind"], answer["same"]) == ("Preview", False)
    assert [one["pod"] for one in answer["starts"]["fewer"]] == ["default/new-0", "default/new-1"]


def test_a_difference_can_be_an_exit_status(kai, taken):
    command = ("preview", "-f", "-", "--from-snapshot", taken, "--exit-code")
    same = kai(*command, stdin="gangs: {stalenessGracePeriod: 60s}\n")
    assert (same.exit_code, same.stdout) == (0, "Nothing differs.\n")
    assert kai(*command, stdin=FEWER).exit_code == 3


def test_faults_of_new_settings_are_all_told(kai, taken):
    answer = kai(
        "preview", "-f", "-", "--from-snapshot", taken, stdin="fairness: {kvalue: 1}\nactions: {order: [alocate]}\n"
    )
    assert answer.exit_code == 2
    assert "there are 2 faults" in answer.stderr
    assert "did you mean kValue?" in answer.stderr
    assert "did you mean allocate?" in answer.stderr
