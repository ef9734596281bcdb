"""What evictions cost is logged and counted."""

from dataclasses import replace

import pytest

from kai_py.core.options import Action
from kai_py.core.result import Bind, Evict
from kai_py.telemetry.lost_work import lost_work
from tests.core.builders import Gang, cluster, decide, running
from tests.telemetry.test_telemetry_record import lines, metrics, record, tell, value  # noqa: F401  # fixtures

NOW = 1_000_000.0  # as in the builders


def evict(snapshot, name, action=Action.RECLAIM):
    (key,) = [key for key in snapshot.pods.keys if key.name == name]
    return Evict(str(key), key.uid, "n", "ns/g", action)


def lost(gang, name="g-0"):
    snapshot = cluster(nodes={"n": 8}, gangs={"g": gang})
    return list(lost_work([evict(snapshot, name)], snapshot).values())


def test_work_is_lost_since_the_start_or_the_last_checkpoint():
    assert lost(Gang([running("n", 4)], started=NOW - 100)) == [400]
    assert lost(Gang([running("n", 4)], started=NOW - 100, checkpointed=NOW - 30)) == [120]
    assert lost(Gang([running("n", 4)], started=NOW - 100, checkpointed=NOW - 3000)) == [400]


def test_parts_of_gpus_count_as_parts_and_pods_of_a_gang_by_themselves():
    gang = Gang([running("n", 0.5), running("n", 2)], started=NOW - 100)
    assert lost(gang) == [50]
    assert lost(gang, "g-1") == [200]


def test_without_gpus_or_a_known_start_nothing_is_lost():
    assert lost(Gang([running("n", 0, cpu=1)], started=NOW - 100)) == [0]
    assert lost(Gang([running("n", 4)])) == [0]


def test_a_pod_that_the_snapshot_does_not_have_costs_nothing():
    snapshot = cluster(nodes={"n": 8}, gangs={"g": Gang([running("n", 4)], started=NOW - 100)})
    stranger = Evict("ns/z", "z", "n", "ns/z", Action.RECLAIM)
    assert lost_work([stranger, Bind("ns/b", "b", "n", "ns/b", Action.ALLOCATE)], snapshot) == {"z": 0.0}


def test_what_is_lost_is_logged_and_counted_by_action(record, lines, metrics):  # noqa: F811  # fixtures
    gang = Gang([running("n", 4), running("n", 1)], started=NOW - 100)
    snapshot = cluster(nodes={"n": 8}, gangs={"g": gang})
    decisions = evict(snapshot, "g-0"), evict(snapshot, "g-1", Action.PREEMPT)
    for number in (1, 2):
        tell(record, snapshot, replace(decide(snapshot), decisions=decisions), number=number)
    assert value(metrics, "kai_py_evicted_gpu_seconds_total", action="reclaim") == pytest.approx(800)
    assert value(metrics, "kai_py_evicted_gpu_seconds_total", action="preempt") == pytest.approx(200)
    assert [line["gpu_seconds"] for line in lines.entries if line["event"] == "evict"][:2] == [400, 100]
