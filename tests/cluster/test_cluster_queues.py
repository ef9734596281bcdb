from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.queue import Queue
from kai_py.cluster.encode.axis import Accounting, gpus_per_unit, make_axis
from kai_py.cluster.encode.queue import queue_faults, queue_warnings
from kai_py.cluster.queues import QueueBook
from kai_py.core.tables.queues import ROOT
from kai_py.errors import Fault
from tests.cluster.objects import GPU, NOW, a_store, blocked, pod, queue

AXIS = make_axis({GPU}, Accounting())
FAULT = Fault("Queue q", "spec.priority", "is no number")


def book(*queues: Queue) -> QueueBook:
    made = QueueBook()
    for each in queues:
        made.put(each)
    return made


def test_amounts_are_in_base_units_and_what_is_not_mentioned_is_unlimited():
    resources = {
        "cpu": {"quota": 1500, "limit": 2000, "overQuotaWeight": 2},
        "memory": {"quota": 10, "limit": -1},
        "gpu": {"quota": 2.5, "limit": 4},
    }
    table = book(Queue.parse({"metadata": {"name": "q"}, "spec": {"resources": resources}})).table(AXIS)
    assert table.quota.tolist() == [[1500, 10_000_000, 2500]]
    assert table.limit.tolist() == [[2000, inf, 4000]]
    assert table.weight.tolist() == [[2, 0, 0]]


def test_an_amount_beyond_all_numbers_is_unlimited():
    assert book(queue("q", gpus=1e306, limit=1e300)).table(AXIS).quota[0, 2] == inf


def test_additional_resources_are_accounted_under_their_own_names():
    extra = {"name": "example.com/nic", "quota": 2, "limit": 3, "overQuotaWeight": 1}
    store = a_store(queue("q", resources={"additional": [extra]}), pod("p", requests={"example.com/nic": 1}))
    snapshot = store.take(NOW)
    column = snapshot.axis.accounted.index("example.com/nic")
    assert snapshot.queues.quota[:, column].tolist() == [2, inf]
    assert snapshot.classes.accounted[0, column] == 1
    store.queues.drop("q")
    assert "example.com/nic" not in store.take(NOW).axis.accounted


def test_queues_are_sorted_and_know_their_parents_rows():
    found = book(queue("root"), queue("b", parent="root"), queue("a", parent="b")).table(AXIS)
    assert found.names == ("a", "b", "root")
    assert found.parent.tolist() == [1, 2, ROOT]


def test_a_queue_whose_parent_is_missing_takes_all_below_it_along():
    faults = book(queue("a", parent="b"), queue("b", parent="gone"), queue("c")).faults
    assert {name: str(fault) for name, fault in faults.items()} == {
        "a": "Queue a: spec.parentQueue: there is no queue 'gone'",
        "b": "Queue b: spec.parentQueue: there is no queue 'gone'",
    }


def test_a_cycle_takes_along_what_hangs_on_it():
    faults = book(queue("a", parent="b"), queue("b", parent="a"), queue("below", parent="a"), queue("c")).faults
    assert sorted(faults) == ["a", "b", "below"]
    assert faults["below"].message == "the parents form a cycle: a → b → a"


def test_a_parent_that_comes_later_mends_the_queue():
    queues = book(queue("a", parent="b"))
    assert queues.faults
    queues.put(queue("b"))
    assert not queues.faults
    assert queues.table(AXIS).names == ("a", "b")
    queues.drop("b")
    assert len(queues.table(AXIS)) == 0


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["", *"abcdefgh"]), max_size=8))
def test_the_sound_queues_are_those_that_lead_to_the_top(parents):
    queues = {name: queue(name, parent=parent) for name, parent in parents.items() if name != parent}

    def is_sound(name: str) -> bool:
        for _ in range(len(queues) + 1):
            if name not in queues:
                return False
            if not (name := queues[name].spec.parent_queue):
                return True
        return False

    assert set(queue_faults(queues)) == {name for name in queues if not is_sound(name)}


def test_our_own_status_writes_change_nothing():
    queues = book(queue("q"))
    before = queues.table(AXIS)
    written = Queue.parse({**queue("q").to_manifest(), "status": {"childQueues": ["x"]}})
    assert not queues.put(written)
    assert queues.table(AXIS) is before
    assert queues.put(queue("q", gpus=7))


def test_a_queue_that_becomes_malformed_keeps_its_last_good_spec():
    store = a_store(queue("q", gpus=3), pod("p", queue="q"))
    assert store.queues.put_malformed("q", FAULT)
    assert not store.queues.put_malformed("q", FAULT)
    snapshot = store.take(NOW)
    assert snapshot.queues.quota[0, 2] == 3000
    assert blocked(snapshot, "pg-p-uid-p") is None
    assert store.faults == {("Queue", "q"): (FAULT,)}


def test_a_queue_that_was_never_good_is_as_good_as_missing():
    store = a_store(pod("p", queue="q"), queue("below", parent="q"))
    assert blocked(store.take(NOW), "pg-p-uid-p") == "QueueDoesNotExist"
    store.queues.put_malformed("q", FAULT)
    assert blocked(store.take(NOW), "pg-p-uid-p") == "QueueInvalid"
    assert "below" in store.queues.faults
    store.put_queue(queue("q"))
    assert not store.faults
    assert "below" not in store.queues.faults


@pytest.mark.parametrize("good", [True, False])
def test_a_malformed_queue_that_is_deleted_is_forgotten(good):
    store = a_store(*([queue("q")] if good else []), pod("p", queue="q"))
    store.queues.put_malformed("q", FAULT)
    assert store.queues.drop("q")
    assert not store.queues.drop("q")
    assert blocked(store.take(NOW), "pg-p-uid-p") == "QueueDoesNotExist"
    assert not store.faults


def surprises(*queues):
    return [str(one) for found in queue_warnings({each.name: each for each in queues}).values() for one in found]


def test_a_limit_below_the_quota_is_worth_a_warning():
    assert surprises(queue("q", gpus=4, limit=2)) == [
        "Queue q: spec.resources.gpu.limit: the limit 2 is below the quota (4); the limit wins"
    ]
    assert surprises(queue("q", gpus=2, limit=4)) == []


def test_children_that_are_promised_more_than_their_parent_has_are_worth_a_warning():
    dept, one, other = queue("dept", gpus=4), queue("one", parent="dept", gpus=3), queue("two", parent="dept", gpus=2)
    assert surprises(dept, one, other) == [
        "Queue dept: spec.resources.gpu.quota: the quotas of its children add up to 5, more than its own 4"
    ]
    assert surprises(dept, one) == []


@pytest.mark.parametrize(
    ("resource", "thousandths"),
    [
        (GPU, 1),
        ("amd.com/gpu", 1),
        ("nvidia.com/mig-3g.20gb", 3000),
        ("nvidia.com/mig-1c.2g.10gb", 2000),
        ("example.com/gpu", 1000),
        ("cpu", 0),
    ],
)
def test_what_a_base_unit_counts_as_gpu(resource, thousandths):
    assert gpus_per_unit(resource, frozenset({GPU, "amd.com/gpu", "example.com/gpu"})) == thousandths
