import re
from dataclasses import replace

import pytest
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from kai_py.core.options import Action
from kai_py.core.result import Bind, CycleResult, Diagnosis, Evict, Layout, Nominate, Reason, ReasonCode
from kai_py.telemetry import events
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.record import Record
from kai_py.telemetry.told import News, Told
from tests.core.builders import Gang, Node, Queue, cluster, decide

NOW = 1_000_000.0


@pytest.fixture
def lines():
    return structlog.testing.LogCapture()


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def record(lines, metrics):
    log = structlog.wrap_logger(structlog.PrintLogger(), processors=[lines], wrapper_class=structlog.BoundLogger)
    return Record(metrics, Told(), log)


def tell(record, snapshot, result=None, number=7, now=0.0):
    return record.cycle(result or decide(snapshot), snapshot, number=number, seconds=0.25, now=now)


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_a_bound_pod_is_one_log_line_with_its_facts_as_keys(record, lines):
    tell(record, cluster(nodes={"n": 1}, gangs={"train": 1}))
    assert [line for line in lines.entries if line["log_level"] == "info"] == [
        {
            "event": "bind",
            "log_level": "info",
            "cycle": 7,
            "queue": "q",
            "podgroup": "ns/train",
            "pod": "ns/train-0",
            "node": "n",
            "action": "allocate",
        }
    ]


def test_a_cycle_that_changes_nothing_logs_nothing_above_debug(record, lines):
    tell(record, cluster(nodes={"n": 0}, gangs={"train": 1}))
    assert [line["log_level"] for line in lines.entries] == ["debug"]


def test_an_eviction_names_who_needed_the_place(record, lines):
    snapshot = cluster(nodes={"n": 1}, gangs={"train": 1})
    evict = Evict("ns/v", "uid", "n", "ns/gone", Action.RECLAIM, preemptor="ns/train")
    tell(record, snapshot, replace(decide(snapshot), decisions=(evict,)))
    line = lines.entries[0]
    assert (line["event"], line["preemptor"], line["moved"]) == ("evict", "ns/train", False)
    assert line["queue"] == ""  # of a podgroup that the snapshot does not have


def test_a_nomination_is_logged_once_while_it_stays(record, lines):
    snapshot = cluster(nodes={"n": 1}, gangs={"train": 1})
    for number, nodes in enumerate([["n"], ["n"], ["m"], ["m"], [], ["m"]]):
        there = tuple(Nominate("ns/train-0", "uid", node, "ns/train", Action.ALLOCATE) for node in nodes)
        tell(record, snapshot, replace(decide(snapshot), decisions=there), number=number)
    logged = [(line["cycle"], line["node"]) for line in lines.entries if line["event"] == "nominate"]
    assert logged == [(0, "n"), (2, "m"), (5, "m")]


def test_a_reason_makes_one_event_however_many_cycles_it_lasts(record):
    snapshot = cluster(nodes={"n": 1}, gangs={"train": 2})
    first = tell(record, snapshot)
    assert [item.news for item in first.news] == [News.REASON]
    assert first.in_line == {"q": 1}
    assert first.events == (
        events.EventText(
            events.Regarding("scheduling.run.ai/v2alpha2", "PodGroup", "ns", "train", "train"),
            "Warning",
            "FailedScheduling",
            "Scheduling",
            "1 of 2 pods that must start together find a node: for the next one 0/1 nodes fit (1 lacks "
            "nvidia.com/gpu). 1 more GPU on one node would take the next one. Queue q may not take back more than its "
            "GPU fair share: that is 1 GPU, it holds 0 GPUs and 2 GPUs more are asked for. It is 1st of 1 in queue q. "
            "Ask for less per pod, wait until running pods finish, or add nodes.",
        ),
    )
    second = tell(record, snapshot, now=1.0)
    assert (second.news, second.events) == ((), ())


def test_a_group_that_exists_in_memory_only_is_told_to_its_pod():
    diagnosis = Diagnosis("ns/solo", "q", (Reason(ReasonCode.QUEUE_NOT_NAMED),), ("ns/solo",))
    assert events.waiting(diagnosis).regarding == events.Regarding("v1", "Pod", "ns", "solo")


def test_decisions_become_events_of_their_pod():
    bind = Bind("ns/p", "uid", "n1", "ns/g", Action.ALLOCATE)
    said = events.decided(bind)
    assert said.regarding == events.Regarding("v1", "Pod", "ns", "p", "uid")
    assert (said.reason, said.action, said.note) == ("Scheduled", "Binding", "Successfully assigned ns/p to n1")
    assert events.decided(Nominate("ns/p", "uid", "n1", "ns/g", Action.ALLOCATE)).reason == "Nominated"
    victim = events.decided(Evict("ns/v", "uid", "n1", "ns/g", Action.PREEMPT, preemptor="ns/big"))
    assert (victim.type, victim.reason, victim.action) == ("Normal", "Preempted", "Preempting")
    assert victim.note == "Evicted from n1 by preempt to make room for podgroup ns/big."
    assert "no such node" in events.bind_failed(bind, "no such node").note


def test_queue_gauges_are_in_base_units(record, metrics):
    snapshot = cluster(
        nodes={"n": Node(gpus=8, cpu=128)}, gangs={"train": Gang(2, queue="a")}, queues={"a": Queue(quota=4, limit=6)}
    )
    tell(record, snapshot)
    assert value(metrics, "kai_py_queue_requested", queue="a", resource="gpu") == 2.0
    assert value(metrics, "kai_py_queue_fair_share", queue="a", resource="gpu") == 2.0
    assert value(metrics, "kai_py_queue_allocated", queue="a", resource="gpu") == 0.0
    assert value(metrics, "kai_py_queue_quota", queue="a", resource="gpu") == 4.0
    assert value(metrics, "kai_py_queue_limit", queue="a", resource="gpu") == 6.0
    assert value(metrics, "kai_py_queue_limit", queue="a", resource="memory") == float("inf")


def test_a_queue_that_is_gone_leaves_no_series(record, metrics):
    bind = Bind("ns/t-0", "t-0", "n", "ns/t", Action.ALLOCATE)
    tell(record, cluster(nodes={"n": 1}, gangs={"t": Gang(2, queue="old")}, queues={"old": Queue(), "new": Queue()}))
    metrics.pod_bound(bind, NOW)
    assert value(metrics, "kai_py_time_to_bind_seconds_count", queue="old", size="up to 8") == 1
    tell(record, cluster(nodes={"n": 1}, queues={"new": Queue()}))
    metrics.pod_bound(bind, NOW)  # an answer that came late
    assert 'queue="old"' not in metrics.exposition().decode()


def test_what_waits_is_counted_by_queue_and_reason(record, metrics):
    tell(record, cluster(nodes={"n": 1}, gangs={"a": 2, "b": 2, "c": Gang(3, minimum=4)}))
    assert value(metrics, "kai_py_pending_podgroups", queue="q", reason="GangDoesNotFit") == 2
    assert value(metrics, "kai_py_pending_podgroups", queue="q", reason="GangNotReady") == 1
    assert value(metrics, "kai_py_pending_pods", queue="q") == 7
    tell(record, cluster(nodes={"n": 1}, gangs={}))
    assert value(metrics, "kai_py_pending_podgroups", queue="q", reason="GangNotReady") is None


def test_decisions_and_evictions_are_counted(record, metrics):
    snapshot = cluster(nodes={"n": 2}, gangs={"a": 1, "b": 1})
    victims = (
        Evict("ns/x", "x", "n", "ns/x", Action.RECLAIM, preemptor="ns/a"),
        Evict("ns/y", "y", "n", "ns/y", Action.CONSOLIDATE, moved=True),
        Evict("ns/z", "z", "n", "ns/z", Action.STALE_GANG_EVICTION),
    )
    result = decide(snapshot)
    tell(record, snapshot, replace(result, decisions=(*result.decisions, *victims)))
    assert value(metrics, "kai_py_decisions_total", action="allocate", kind="bind") == 2
    assert value(metrics, "kai_py_decisions_total", action="reclaim", kind="evict") == 1
    for action, reason in (("reclaim", "preempted"), ("consolidate", "moved"), ("staleGangEviction", "stale")):
        assert value(metrics, "kai_py_evictions_total", action=action, reason=reason) == 1
    assert value(metrics, "kai_py_cycle_seconds_sum") == 0.25
    assert value(metrics, "kai_py_action_seconds_count", action="allocate") == 1


def test_the_exposition_has_help_for_every_family_and_our_prefix(record, metrics):
    tell(record, cluster(nodes={"n": 1}, gangs={"a": 1, "b": 1}))
    families = list(text_string_to_metric_families(metrics.exposition().decode()))
    assert len(families) > 20
    for family in families:
        assert family.name.startswith("kai_py_")
        assert family.documentation.endswith("."), family.name


def test_names_follow_prometheus_and_no_label_is_unbounded(metrics):
    text = metrics.exposition().decode()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        assert (kind == "counter") == name.endswith("_total")
        assert not re.search(r"millis|_ms$|_gb$", name)
    assert not set(re.findall(r'[{,](\w+)="', text)) & {"pod", "podgroup", "uid", "namespace", "node"}


def test_two_schedulers_in_one_process_do_not_share_numbers():
    one, other = Metrics(), Metrics()
    one.leader.set(1)
    assert value(one, "kai_py_leader") == 1
    assert value(other, "kai_py_leader") == 0


def test_a_registry_can_be_handed_in_and_the_version_is_told():
    registry = CollectorRegistry()
    Metrics(registry)
    [sample] = [s for family in registry.collect() if family.name == "kai_py_build_info" for s in family.samples]
    assert sample.value == 1
    assert sample.labels["version"]


def test_an_empty_result_is_recorded_before_any_cycle_had_queues(record, metrics):
    snapshot = cluster(nodes={})
    result = decide(snapshot)
    assert isinstance(result, CycleResult)
    assert tell(record, snapshot, result).news == ()
    assert value(metrics, "kai_py_pending_pods", queue="q") is None


def test_an_error_of_ours_is_logged_when_it_appears_and_not_in_every_cycle(record, lines):
    snapshot = cluster(nodes={"n": 1}, gangs={"odd": 1})
    details = {"error": "ValueError: no", "where": "gang.py:7"}
    result = replace(decide(snapshot), errors={"ns/odd": Reason(ReasonCode.INTERNAL_ERROR, details)})
    for _ in range(2):
        tell(record, snapshot, result)
    errors = [line for line in lines.entries if line["log_level"] == "error"]
    assert [(line["podgroup"], line["error"], line["where"]) for line in errors] == [
        ("ns/odd", "ValueError: no", "gang.py:7")
    ]


def test_how_near_a_gang_starts_is_one_event_and_one_line(record, lines):
    snapshot = cluster(nodes={"n": 1}, gangs={"train": 1})
    layout = Layout("ns/train", "floor", 8, {"zone": 1, "rack": 2}, "ring", hops=10, least=8)
    report = tell(record, snapshot, replace(decide(snapshot), layouts=(layout,)))
    (event,) = report.events
    assert (event.regarding, event.reason) == (events.podgroup("ns/train", "train"), "LaidOut")
    assert event.note == (
        "8 pods in topology floor: 1 of zone, 2 of rack. "
        "The ring of their ranks takes 10 hops; none can have fewer than 8."
    )
    assert [line["hops"] for line in lines.entries if line["event"] == "laid out"] == [10]
