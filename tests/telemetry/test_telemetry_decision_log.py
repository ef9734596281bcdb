"""The ring of decisions: what each says of itself, and that it stays small."""

from kai_py.core.options import Action
from kai_py.core.result import Evict
from kai_py.telemetry.decision_log import DecisionLog, rows
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.record import Record
from kai_py.telemetry.told import Told
from tests.core.builders import Gang, Queue, cluster, decide, running

NOW = 1_800_000_000.0


def run(log, snapshot, *, number=1, record=None):
    result = decide(snapshot)
    record = record or Record(Metrics(), Told())
    report = record.cycle(result, snapshot, number=number, seconds=0.1, now=NOW)
    log.cycle(result, snapshot, report, number=number, now=NOW)
    return result


def test_a_bind_says_who_where_and_by_which_action():
    log = DecisionLog()
    run(log, cluster(nodes={"n": 1}, gangs={"train": 1}))
    (entry,) = log.entries({})
    assert {key: entry[key] for key in ("id", "kind", "pod", "podGroup", "queue", "node", "action", "outcome")} == {
        "id": 1,
        "kind": "bind",
        "pod": "ns/train-0",
        "podGroup": "ns/train",
        "queue": "q",
        "node": "n",
        "action": "allocate",
        "outcome": "decided",
    }
    assert entry["time"] == "2027-01-15T08:00:00.000+00:00"
    assert entry["alternatives"] is None


def test_who_waited_before_has_what_was_in_the_way():
    log, record = DecisionLog(), Record(Metrics(), Told())
    run(log, cluster(nodes={"n": 0}, gangs={"train": 1}), record=record)
    (waits,) = log.entries({"kind": "wait"})
    assert waits["podGroup"] == "ns/train"
    assert waits["reasons"][0]["code"] == "PodSchedulingErrors"
    assert waits["alternatives"]["nodes"] == {"InsufficientResources": 1}
    run(log, cluster(nodes={"n": 1}, gangs={"train": 1}), number=2, record=record)
    (bind,) = log.entries({"kind": "bind"})
    assert bind["alternatives"]["nodes"] == {"InsufficientResources": 1}
    assert bind["alternatives"]["waitedFor"].startswith(waits["reasons"][0]["message"])


def owed():
    """Queue ``b`` is owed what ``a`` has borrowed."""
    queues = {"a": Queue(quota=0), "b": Queue(quota=2)}
    gangs = {"old": Gang([running("n"), running("n")], queue="a"), "new": Gang(2, queue="b")}
    return cluster(nodes={"n": 2}, queues=queues, gangs=gangs)


def test_an_eviction_says_for_whom_and_who_goes_together():
    log = DecisionLog()
    result = run(log, owed())
    evictions = [one for one in result.decisions if isinstance(one, Evict)]
    assert len(evictions) == 2
    first, second = log.entries({"kind": "evict"})
    assert (first["for"], first["action"]) == ("ns/new", str(Action.RECLAIM))
    assert first["why"] == "Evicted from n by reclaim to make room for podgroup ns/new."
    assert first["together"] == second["together"] == {"pods": 2, "named": [one.pod for one in evictions]}
    nominations = log.entries({"kind": "nominate"})
    assert [one["why"] for one in nominations] == [
        "It fits there once others have left. Room was made by evicting 2 pods."
    ] * 2
    assert [one["kind"] for one in log.entries({"podgroup": "ns/new"})].count("evict") == 2


def test_what_became_of_a_decision_is_noted():
    log = DecisionLog()
    result = run(log, cluster(nodes={"n": 2}, gangs={"a": 1, "b": 1}))
    log.answered(result.decisions[0], ok=True, why="")
    log.answered(result.decisions[1], ok=False, why="it is gone")
    log.answered(result.decisions[1], ok=True, why="")
    assert [one["outcome"] for one in log.entries({})] == ["done", "failed: it is gone"]


def test_a_nomination_that_stays_is_told_once():
    log = DecisionLog()
    run(log, owed())
    run(log, owed(), number=2)
    assert len(log.entries({"kind": "nominate"})) == 2


def test_the_ring_forgets_the_oldest_and_counts_on():
    log = DecisionLog(length=3)
    for number in range(5):
        run(log, cluster(nodes={"n": 1}, gangs={f"g{number}": 1}), number=number)
    assert [one["id"] for one in log.entries({})] == [3, 4, 5]
    assert [one["id"] for one in log.entries({}, since=4)] == [5]
    assert [one["id"] for one in log.entries({}, limit=2)] == [4, 5]
    assert log.last == 5
    assert len(log._open) == 3


def test_entries_are_found_by_each_filter():
    log = DecisionLog()
    run(log, cluster(nodes={"n": 1}, gangs={"a": 1, "b": 1}))
    for name, value in {"pod": "ns/a-0", "podgroup": "ns/a", "node": "n", "kind": "bind"}.items():
        assert [one["pod"] for one in log.entries({name: value})] == ["ns/a-0"]
    assert len(log.entries({"queue": "q"})) == 2
    assert log.entries({"pod": "ns/c"}) == []
    assert [row[2] for row in rows(log.entries({}))] == ["ns/a-0", "ns/b"]
