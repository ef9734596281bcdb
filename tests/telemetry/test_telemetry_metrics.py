"""What metrics say about pods, queues, devices and the way to the API server."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kai_py.core.options import Action
from kai_py.core.result import Bind, Diagnosis, Reason, ReasonCode
from kai_py.core.tables.pods import PodState
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.metrics_page import PAGE, metrics_page
from kai_py.telemetry.sizes import SIZES, size_idx
from kai_py.telemetry.watched import Watched
from tests.core.builders import Gang, Node, Pod, Queue, cluster, decide, leaving, running, sharing

ROOT = Path(__file__).parents[2]
NOW = 1_000_000.0


@pytest.fixture
def metrics():
    return Metrics()


def show(metrics, snapshot, result=None):
    metrics.record_cycle(result or decide(snapshot), snapshot, seconds=0.1)


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def samples(metrics, name):
    """Values by labels' values, of one family."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == name
    }


# -- waiting ---------------------------------------------------------------------------------------


def bound(metrics, pod, at):
    metrics.pod_bound(Bind(f"ns/{pod}", pod, "n", "ns/g", Action.ALLOCATE), at)


def test_time_to_bind_is_counted_from_creation_by_queue_and_size(metrics):
    late = Gang([Pod(4, created=NOW - 40)] * 3, queue="a")
    snapshot = cluster(
        nodes={"n": 16}, gangs={"g": late, "one": Gang(1, queue="b")}, queues={"a": Queue(), "b": Queue()}
    )
    show(metrics, snapshot)
    bound(metrics, "g-0", NOW + 2)
    bound(metrics, "g-1", NOW + 3)
    name = "kai_py_time_to_bind_seconds"
    assert value(metrics, f"{name}_sum", queue="a", size="up to 64") == 42 + 43
    assert value(metrics, f"{name}_bucket", queue="a", size="up to 64", le="60.0") == 2
    assert value(metrics, f"{name}_bucket", queue="a", size="up to 64", le="30.0") == 0
    assert value(metrics, f"{name}_count", queue="b", size="up to 1") is None


def test_a_clock_that_goes_backwards_makes_no_negative_wait(metrics):
    show(metrics, cluster(nodes={"n": 1}, gangs={"g": Gang([Pod(1, created=NOW + 5)])}))
    bound(metrics, "g-0", NOW)
    assert value(metrics, "kai_py_time_to_bind_seconds_sum", queue="q", size="up to 1") == 0


def test_a_pod_that_the_last_cycle_did_not_know_is_passed_over(metrics):
    bound(metrics, "g-0", NOW)
    show(metrics, cluster(nodes={"n": 1}, gangs={"g": 1}, foreign={"other": running("n")}))
    bound(metrics, "g-1", NOW)
    bound(metrics, "other", NOW)
    assert samples(metrics, "kai_py_time_to_bind_seconds_count") == {}


@pytest.mark.parametrize(
    ("gpus", "pods", "size"),
    [(0, 3, 0), (0.5, 2, 1), (1, 1, 1), (1, 2, 2), (8, 1, 2), (8, 8, 3), (8, 9, 4), (8, 64, 4), (8, 65, 5)],
)
def test_podgroups_are_sorted_by_the_gpus_of_all_their_pods(gpus, pods, size):
    small = sharing(gpus) if 0 < gpus < 1 else Pod(gpus)
    snapshot = cluster(nodes={"n": 8}, gangs={"a": Gang([small] * pods), "b": Gang([Pod(0)])})
    assert size_idx(snapshot).tolist() == [size, 0]


def test_running_members_count_for_the_size_of_a_podgroup():
    snapshot = cluster(nodes={"n": 16}, gangs={"g": Gang([running("n", 8), Pod(1)], 1)})
    assert SIZES[size_idx(snapshot).item(0)] == "up to 64"


def test_the_longest_wait_is_that_of_the_oldest_pod_that_could_be_placed(metrics):
    gated = Pod(1, created=NOW - 900, state=PodState.GATED)
    gangs = {
        "big": Gang([Pod(8, created=NOW - 60), Pod(8, created=NOW - 90)], 1),
        "small": Gang([Pod(1, created=NOW - 30), gated, running("n", created=NOW - 999)], 1),
        "lost": Gang([Pod(1, created=NOW - 999)], queue="nowhere", blocked=ReasonCode.QUEUE_MISSING),
    }
    show(metrics, cluster(nodes={"n": 1}, gangs=gangs))
    assert samples(metrics, "kai_py_longest_wait_seconds") == {("q", "up to 64"): 90, ("q", "up to 8"): 30}


def test_queues_that_somebody_makes_up_add_no_series(metrics):
    snapshot = cluster(nodes={"n": 1}, gangs={})
    made_up = tuple(
        Diagnosis(f"ns/{n}", f"made-up-{n}", (Reason(ReasonCode.QUEUE_MISSING),), (f"ns/{n}-0",)) for n in range(50)
    )
    show(metrics, snapshot, replace(decide(snapshot), diagnoses=made_up))
    assert samples(metrics, "kai_py_pending_podgroups") == {("", "QueueDoesNotExist"): 50}
    assert samples(metrics, "kai_py_pending_pods") == {("",): 50}


# -- queues ----------------------------------------------------------------------------------------


def test_what_queues_hold_adds_up_over_time(metrics):
    def at(now, *on):
        gang = Gang([running(node, 2, cpu=3) for node in on], 0, queue="team")
        tree = {"top": Queue(), "team": Queue("top"), "idle": Queue()}
        return cluster(nodes={"n": 8}, gangs={"g": gang} if on else {}, queues=tree, now=now)

    name = "kai_py_queue_resource_seconds_total"
    show(metrics, at(NOW, "n"))
    assert value(metrics, name, queue="team", resource="gpu") == 0
    show(metrics, at(NOW + 10, "n"))
    show(metrics, at(NOW + 15, "n", "n"))
    assert value(metrics, name, queue="team", resource="gpu") == 10 * 2 + 5 * 4
    assert value(metrics, name, queue="top", resource="cpu") == 10 * 3 + 5 * 6
    assert value(metrics, name, queue="idle", resource="gpu") == 0
    show(metrics, at(NOW + 20))
    assert value(metrics, name, queue="team", resource="gpu") == 40


def test_a_pause_says_nothing_about_what_was_held(metrics):
    def at(now):
        return cluster(nodes={"n": 8}, gangs={"g": Gang([running("n")])}, now=now)

    show(metrics, at(NOW))
    show(metrics, at(NOW + 3600))
    name = "kai_py_queue_resource_seconds_total"
    assert value(metrics, name, queue="q", resource="gpu") == 60
    metrics.stop_leading()
    show(metrics, at(NOW + 3610))
    assert value(metrics, name, queue="q", resource="gpu") == 60
    show(metrics, at(NOW + 3611))
    assert value(metrics, name, queue="q", resource="gpu") == 61


def test_queues_come_and_go_and_others_keep_their_sums(metrics):
    def at(now, *queues):
        tree = {name: Queue() for name in queues}
        return cluster(nodes={"n": 8}, gangs={"g": Gang([running("n")], queue="b")}, queues=tree, now=now)

    show(metrics, at(NOW, "b"))
    show(metrics, at(NOW + 1, "b"))
    show(metrics, at(NOW + 2, "a", "b"))
    name = "kai_py_queue_resource_seconds_total"
    assert value(metrics, name, queue="b", resource="gpu") == 2
    assert value(metrics, name, queue="a", resource="gpu") == 0
    show(metrics, at(NOW + 3, "b", "c"))
    assert value(metrics, name, queue="a", resource="gpu") is None
    assert value(metrics, name, queue="b", resource="gpu") == 3


def test_the_distance_from_fair_shares_is_what_queues_lack_of_them(metrics):
    queues = {"top": Queue(quota=8), "rich": Queue("top", quota=4), "poor": Queue("top", quota=4)}
    gangs = {
        "had": Gang([running("n") for _ in range(6)], 0, queue="rich"),
        "due": Gang([Pod(1)] * 4, 4, queue="poor"),
    }
    show(metrics, cluster(nodes={"n": 8}, gangs=gangs, queues=queues))
    assert value(metrics, "kai_py_fair_share_distance_ratio", resource="gpu") == 4 / 8
    del gangs["due"]
    show(metrics, cluster(nodes={"n": 8}, gangs=gangs, queues=queues))
    assert value(metrics, "kai_py_fair_share_distance_ratio", resource="gpu") == 0


def test_who_does_not_lead_shows_no_old_numbers(metrics):
    metrics.begin_to_lead()
    show(metrics, cluster(nodes={"n": 1}, gangs={"g": 2}))
    assert samples(metrics, "kai_py_pending_pods")
    assert value(metrics, "kai_py_leader") == 1
    metrics.stop_leading()
    assert samples(metrics, "kai_py_pending_pods") == samples(metrics, "kai_py_queue_quota") == {}
    assert value(metrics, "kai_py_leader") == 0


# -- devices ---------------------------------------------------------------------------------------


def test_gpus_by_state_and_how_broken_up_the_free_ones_are(metrics):
    nodes = {
        "full": 8,
        "half": 8,
        "empty": 8,
        "cordoned": Node(8, cordoned=True),
        "down": Node(8, ready=False),
        "plain": 0,
    }
    pods = [
        running("full", 8),
        running("half", 3),
        leaving("half", 1),
        running("cordoned", 2),
        sharing(0.5, "x", on="half"),
    ]
    show(metrics, cluster(nodes=nodes, gangs={"g": Gang(pods[:3], 0)}, foreign={"f": pods[3], "s": pods[4]}))
    assert samples(metrics, "kai_py_gpus") == {("held",): 14.5, ("free",): 11.5, ("unavailable",): 14}
    assert samples(metrics, "kai_py_nodes") == {
        ("0",): 1,
        ("1",): 0,
        ("2 to 3",): 1,
        ("4 to 7",): 0,
        ("8 and more",): 1,
    }
    assert value(metrics, "kai_py_gpu_fragmentation_ratio") == pytest.approx(3.5 / 11.5)


def test_a_cluster_without_free_gpus_is_not_broken_up(metrics):
    show(metrics, cluster(nodes={"n": 1}, gangs={"g": Gang([running("n")])}))
    assert value(metrics, "kai_py_gpu_fragmentation_ratio") == 0


# -- settings, watches, requests -------------------------------------------------------------------


def test_there_is_one_digest_of_settings_at_a_time(metrics):
    metrics.settings_in_force("one", 5.0)
    metrics.settings_in_force("two", 7.0)
    assert samples(metrics, "kai_py_settings_info") == {("two",): 1}
    assert value(metrics, "kai_py_settings_timestamp_seconds") == 7


def test_a_kind_that_is_watched_twice_has_one_value(metrics):
    metrics.watches.of(
        lambda: [
            Watched("pods", 3.0, 1),
            Watched("jobs.batch", 9.0, 0),
            Watched("jobs.batch", 4.0, 2),
            Watched("q", None, 5),
        ]
    )
    assert samples(metrics, "kai_py_watch_silence_seconds") == {("pods",): 3, ("jobs.batch",): 9}
    assert samples(metrics, "kai_py_malformed_objects") == {("pods",): 1, ("jobs.batch",): 2, ("q",): 5}


def test_requests_are_counted_by_method_and_code(metrics):
    for status in (200, 201, 409, 0):
        metrics.answered("POST", status, 0.2)
    metrics.answered("WATCH", 200, None)
    found = samples(metrics, "kai_py_api_requests_total")
    assert found == {("POST", "2xx"): 2, ("POST", "409"): 1, ("POST", "none"): 1, ("WATCH", "2xx"): 1}
    assert samples(metrics, "kai_py_api_request_seconds_count") == {("POST",): 4}


# -- the declarations ------------------------------------------------------------------------------


def test_what_is_declared_is_what_is_exported(metrics):
    declared = {one.name: one for families in metrics.families.values() for one in families}
    assert len(declared) == sum(map(len, metrics.families.values()))
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): family for family in metrics.registry.collect()
    }
    assert exported.keys() == declared.keys()
    for name, family in exported.items():
        assert (family.type, family.documentation) == (declared[name].kind, declared[name].help)
        assert re.fullmatch(r"kai_py_[a-z][a-z_]*[a-z]", name)
        assert name.endswith("_total") == (family.type == "counter")
        assert family.documentation.endswith(".")
        assert "|" not in family.documentation


def test_labels_are_those_that_are_declared(metrics):
    """As far as a cycle, a binding and some answers give them values."""
    show(metrics, cluster(nodes={"n": 1}, gangs={"g": 2, "run": Gang([running("n")])}))
    bound(metrics, "g-0", NOW)
    metrics.answered("GET", 200, 0.1)
    metrics.restarted("pods", "ended")
    metrics.watches.of(lambda: [Watched("pods", 1.0, 0)])
    metrics.settings_in_force("d", 1.0)
    declared = {one.name: set(one.labels) for families in metrics.families.values() for one in families}
    seen = set()
    for family in metrics.registry.collect():
        name = family.name + ("_total" if family.type == "counter" else "")
        for sample in family.samples:
            seen.add(name)
            assert sample.labels.keys() - {"le"} == declared[name], sample
    assert len(seen) > len(declared) / 2


def test_the_page_of_metrics_is_up_to_date():
    assert (ROOT / PAGE).read_text(encoding="utf-8") == metrics_page(), "run kai-py generate"


def test_sums_are_not_changed_while_somebody_reads_them(metrics):
    snapshot = cluster(nodes={"n": 8}, gangs={"g": Gang([running("n")])}, now=NOW)
    show(metrics, snapshot)
    before = metrics.charges._sums
    kept = before.copy()
    show(metrics, replace(snapshot, now=NOW + 5))
    assert np.array_equal(before, kept)
