"""Usage over time: half-life, windows, what is written down, and what it does to queues in the long run."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from kai_py.cluster.usage import UsageBook, Window
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Action, Options
from kai_py.core.result import Bind
from tests.cluster.objects import NOW, a_store, node, pod, queue

GPU = ("gpu",)


def feed(book, now, seconds, capacity=10.0, **held):
    book.record(
        now,
        seconds,
        resources=GPU,
        queues=tuple(held),
        held=np.array([[amount] for amount in held.values()], dtype=np.float64),
        capacity=np.array([capacity]),
    )


def used(book, now):
    return {name: float(amounts[0]) for name, amounts in book.usage(now).items()}


def test_usage_is_what_was_held_by_what_was_there():
    book = UsageBook()
    feed(book, 100.0, 10, a=5, b=2)
    feed(book, 110.0, 30, a=1)
    assert used(book, 110.0) == pytest.approx({"a": (50 + 30) / 400, "b": 20 / 400})


def test_incremental_sums_are_those_of_the_formula():
    samples = np.random.default_rng(1).integers(0, 10, 50)
    half_life, book = 120.0, UsageBook(Window(half_life=120.0))
    moments = 1000.0 + 60.0 * np.arange(1, 51)
    for moment, sample in zip(moments, samples, strict=True):
        feed(book, moment, 60, a=sample)
    weights = 0.5 ** ((moments[-1] + 30 - moments) / half_life)
    expected = (samples * weights).sum() / (10 * weights).sum()
    assert used(book, moments[-1] + 30)["a"] == pytest.approx(expected)


def test_a_sliding_window_forgets_part_by_part():
    book = UsageBook(Window(size=1200.0))
    feed(book, 60.0, 60, a=10)
    for minute in range(2, 41):
        feed(book, 60.0 * minute, 60, b=5)
        assert len(book._buckets) <= 13
    assert used(book, 2400.0) == pytest.approx({"b": 0.5})


def test_a_tumbling_window_begins_anew_for_everybody():
    book = UsageBook(Window("tumbling", size=3600.0, start=100.0))
    feed(book, 3600.0, 60, a=10)
    assert used(book, 3699.0) == {"a": 1.0}
    assert used(book, 3700.0) == {}
    feed(book, 3760.0, 60, b=10)
    assert used(book, 3760.0) == {"b": 1.0}


def test_a_cron_window_begins_when_the_expression_says():
    book = UsageBook(Window("cron", cron="0 6 * * MON"))
    monday = datetime(2026, 11, 23, 6, tzinfo=UTC).timestamp()
    assert book.window.begins(monday + 86_400) == monday
    feed(book, monday - 60, 60, a=10)
    feed(book, monday + 60, 60, b=10)
    assert used(book, monday + 60) == {"b": 1.0}


def test_resources_may_come_and_go():
    book = UsageBook()
    feed(book, 10.0, 10, a=5)
    held, capacity = np.array([[4.0, 5.0]]), np.array([8.0, 10.0])
    book.record(20.0, 10, resources=("cpu", "gpu"), queues=("a",), held=held, capacity=capacity)
    assert book.usage(20.0)["a"].tolist() == [0.5, 0.5]


def test_what_was_written_down_is_read_back():
    book, again = UsageBook(), UsageBook()
    feed(book, 100.0, 10, a=5, b=1 / 3)
    again.read(json.loads(json.dumps(book.document())))
    assert used(again, 200.0) == pytest.approx(used(book, 200.0), rel=1e-3)


def test_a_week_of_a_queue_is_a_few_hundred_bytes():
    book, names = UsageBook(), ("cpu", "memory", "gpu")
    queues = tuple(f"department-{number}" for number in range(10))
    random = np.random.default_rng(2)
    for hour in range(1, 24 * 7):
        held = random.integers(0, 2**40, (10, 3))
        book.record(3600.0 * hour, 3600, resources=names, queues=queues, held=held, capacity=held.sum(axis=0))
    assert len(json.dumps(book.document(), separators=(",", ":"))) / 10 < 700


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"version": 2, "resources": [], "buckets": []},
        {"version": 1, "resources": ["gpu"], "buckets": [{"start": 0, "at": 0, "capacity": [1, 2], "used": {}}]},
        {"version": 1, "resources": ["gpu"], "buckets": [{"start": 0, "at": 0, "capacity": [-1], "used": {}}]},
        {"version": 1, "resources": ["gpu"], "buckets": [{"start": 0, "at": "noon", "capacity": [1], "used": {}}]},
    ],
)
def test_what_is_broken_is_refused_and_changes_nothing(broken):
    book = UsageBook()
    feed(book, 100.0, 10, a=5)
    with pytest.raises((ValueError, TypeError, LookupError)):
        book.read(broken)
    assert used(book, 100.0) == {"a": 0.5}


def test_a_queue_table_is_made_anew_only_when_usage_has_moved_noticeably():
    store = a_store()
    assert store.queues.remember_usage({"team": np.array([0.0, 0.0, 0.5])}, first_axis(store))
    second = store.take(NOW).queues
    assert second.usage.tolist() == [[0.0, 0.0, 0.5]]
    assert not store.queues.remember_usage({"team": np.array([0.0, 0.0, 0.5005])}, first_axis(store))
    assert store.take(NOW).queues is second


def test_usage_of_other_resources_does_not_count():
    store = a_store()
    store.queues.remember_usage({"team": np.array([0.5])}, GPU)
    assert store.take(NOW).queues.usage.tolist() == [[0.0, 0.0, 0.0]]


def first_axis(store):
    return store.snapshots.axis().accounted


# -- in the long run -------------------------------------------------------------------------------

QUEUES = ("a", "b", "c")


def long_run(k_value, *, steps=400, gpus=4):
    """GPU-steps by queue: equal weights, no quota, always more demand than room, and a GPU that cannot be divided."""
    store = a_store(node("a", gpus=gpus), node("b", gpus=0), *(queue(name, gpus=0) for name in QUEUES))
    book, held = UsageBook(Window(size=1e9)), dict.fromkeys(QUEUES, 0)
    options = Options(k_value=k_value, actions=(Action.ALLOCATE,))
    running, number = {}, 0
    for name in QUEUES:
        for _ in range(gpus):
            store.put_pod(pod(f"{name}-{(number := number + 1)}", queue=name), NOW)
    for step in range(1, steps + 1):
        now = NOW + 60.0 * step
        result = run_cycle(store.take(now), options, clock=lambda: 0.0)
        shares = result.shares
        resources = store.snapshots.axis().accounted
        book.record(now, 60.0, resources=resources, queues=shares.names, held=shares.allocated, capacity=shares.total)
        store.queues.remember_usage(book.usage(now), resources)
        for decision in result.decisions:
            assert isinstance(decision, Bind)
            name = decision.pod.removeprefix("ns/")
            running[name] = step
            store.put_pod(pod(name, queue=name[0], on=decision.node), now)
        for name in list(running):
            held[name[0]] += 1
            if step - running[name] >= 2:
                del running[name]
                store.put_pod(pod(name, queue=name[0], on="a", phase="Succeeded"), now)
                store.put_pod(pod(f"{name[0]}-{(number := number + 1)}", queue=name[0]), now)
    return held


def deviation(held):
    """The largest distance from an equal part, as a fraction of that part."""
    equal = sum(held.values()) / len(held)
    return max(abs(amount - equal) for amount in held.values()) / equal


def test_with_k_queues_of_equal_weight_have_used_the_same_in_the_long_run():
    assert deviation(long_run(1.0)) < 0.02


def test_without_k_the_past_does_not_matter():
    assert deviation(long_run(0.0)) > 0.2
