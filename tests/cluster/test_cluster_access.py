"""Who may use which queue, and that nobody else changes what its owners get."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.decode import convert
from kai_py.api.meta import Namespace
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import CycleResult
from kai_py.core.tables.snapshot import Snapshot
from tests.cluster.objects import NOW, a_store, blocked, node, pod, podgroup, put, queue

LETS_IN_A = {"matchLabels": {"team": "a"}}
BY_NAME = {"matchLabels": {"kubernetes.io/metadata.name": "ns"}}


def namespace(name: str = "ns", **labels: str) -> Namespace:
    return convert(Namespace, {"metadata": {"name": name, "labels": labels}})


def queue_of(snapshot: Snapshot) -> str | None:
    row = int(snapshot.podgroups.queue_idx[0])
    return snapshot.queues.names[row] if row >= 0 else None


def cycle(store: Store) -> CycleResult:
    return run_cycle(store.take(NOW), Options(), clock=lambda: 0.0)


def why(store: Store, name: str = "g") -> str | None:
    return blocked(store.take(NOW), name)


def test_a_namespace_that_is_not_selected_may_not_use_the_queue():
    store = a_store(podgroup("g"), pod("p", group="g"), queue(allowedNamespaces=LETS_IN_A))
    store.put_namespace(namespace(team="b"))
    (found,) = store.take(NOW).podgroups.blocked.values()
    assert found[0] == "QueueNotAllowed"
    assert found[1] == {"queue": "team", "namespace": "ns", "by": "team", "selector": "team=a"}


def test_labels_of_the_namespace_and_the_selector_are_followed():
    store = a_store(podgroup("g"), pod("p", group="g"), queue(allowedNamespaces=LETS_IN_A))
    assert store.put_namespace(namespace(team="a"))
    assert why(store) is None
    assert store.put_namespace(namespace(team="b"))
    assert why(store) == "QueueNotAllowed"
    store.put_queue(queue(allowedNamespaces={"matchLabels": {"team": "b"}}))
    assert why(store) is None
    assert store.drop_namespace("ns")
    assert why(store) == "QueueNotAllowed"
    store.put_queue(queue())
    assert why(store) is None
    assert not store.put_namespace(namespace(team="c"))


def test_what_a_queue_above_keeps_out_stays_out_of_those_below():
    store = a_store(podgroup("g"), pod("p", group="g"), queue(parent="org"))
    store.put_queue(queue("org", allowedNamespaces=LETS_IN_A))
    store.put_namespace(namespace(team="b"))
    assert store.take(NOW).podgroups.blocked[0][1]["by"] == "org"
    store.put_namespace(namespace(team="a"))
    assert why(store) is None
    store.put_queue(queue(parent="org", allowedNamespaces={"matchLabels": {"gpu": "yes"}}))
    assert store.take(NOW).podgroups.blocked[0][1]["by"] == "team"


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (BY_NAME, None),
        ({}, None),
        ({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["x"]}]}, None),
        ({"matchExpressions": [{"key": "untrusted", "operator": "DoesNotExist"}]}, "QueueNotAllowed"),
        (LETS_IN_A, "QueueNotAllowed"),
    ],
)
def test_a_namespace_that_was_not_seen_is_known_by_its_name_alone(selector, expected):
    assert why(a_store(podgroup("g"), pod("p", group="g"), queue(allowedNamespaces=selector))) == expected


def test_a_queue_that_cannot_be_used_at_all_says_so_first():
    closed = {"allowedNamespaces": LETS_IN_A}
    store = a_store(podgroup("g"), pod("p", group="g"), queue(parent="nowhere", **closed))
    assert why(store) == "QueueInvalid"
    assert why(a_store(podgroup("g", queue="other"), pod("p", group="g"), queue(**closed))) == "QueueDoesNotExist"


def test_requests_of_those_who_may_not_use_a_queue_count_nowhere():
    closed = queue(allowedNamespaces=LETS_IN_A)
    store = a_store(podgroup("g"), pod("p", group="g"), closed, queue("other"), node("n"))
    result = cycle(store)
    assert not result.decisions
    assert not result.shares.requested.any()
    store.put_namespace(namespace(team="a"))
    result = cycle(store)
    assert [decision.pod for decision in result.decisions] == ["ns/p"]


def test_what_runs_stays_with_the_queue_that_let_it_in():
    store = a_store(podgroup("g"), pod("p", group="g", on="n"), queue(), node("n"))
    store.put_queue(queue("theirs", allowedNamespaces=LETS_IN_A))
    assert queue_of(store.take(NOW)) == "team"
    put(store, podgroup("g", queue="theirs"))
    snapshot = store.take(NOW)
    assert (queue_of(snapshot), blocked(snapshot, "g")) == ("team", "QueueNotAllowed")
    shares = cycle(store).shares
    assert shares.allocated[shares.names.index("team")].any()
    assert not shares.allocated[shares.names.index("theirs")].any()


def test_what_runs_cannot_be_made_free_of_charge_by_naming_a_queue_that_is_not_there():
    store = a_store(podgroup("g"), pod("p", group="g", on="n"), pod("q", group="g"), queue(), node("n"))
    assert queue_of(store.take(NOW)) == "team"
    put(store, podgroup("g", queue="later"))
    snapshot = store.take(NOW)
    assert (queue_of(snapshot), blocked(snapshot, "g")) == ("team", "QueueDoesNotExist")
    store.put_queue(queue("later"))
    snapshot = store.take(NOW)
    assert (queue_of(snapshot), blocked(snapshot, "g")) == ("later", None)
    store.queues.drop("later")
    assert queue_of(store.take(NOW)) is None


def test_what_waits_has_no_queue_when_the_one_that_it_names_is_not_there():
    store = a_store(podgroup("g"), pod("p", group="g"), queue())
    assert queue_of(store.take(NOW)) == "team"
    put(store, podgroup("g", queue="later"))
    assert (queue_of(store.take(NOW)), why(store)) == (None, "QueueDoesNotExist")


def test_what_runs_and_was_never_let_in_is_charged_to_nobody():
    store = a_store(podgroup("g"), pod("p", group="g", on="n"), queue(allowedNamespaces=LETS_IN_A), node("n"))
    assert queue_of(store.take(NOW)) is None
    assert not cycle(store).shares.allocated.any()


# -- reviews -------------------------------------------------------------------------------------------


def test_where_reviews_are_asked_for_nobody_starts_before_the_answer():
    store = a_store(podgroup("g"), pod("p", group="g"), queue())
    assert store.access.review(wanted=True)
    assert why(store) == "QueueNotAllowed"
    assert list(store.access.wanted) == [("team", "ns")]
    assert store.access.settle({("team", "ns"): True})
    assert why(store) is None
    assert not store.access.wanted
    assert not store.access.settle({("team", "ns"): True})
    assert store.access.settle({("team", "ns"): False})
    assert store.take(NOW).podgroups.blocked[0][1] == {"queue": "team", "namespace": "ns", "verb": "use"}
    assert store.access.review(wanted=False)
    assert why(store) is None


def test_a_review_does_not_open_what_a_selector_closes():
    store = a_store(podgroup("g"), pod("p", group="g"), queue(allowedNamespaces=LETS_IN_A))
    store.access.review(wanted=True)
    store.access.settle({("team", "ns"): True})
    assert why(store) == "QueueNotAllowed"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 4)), max_size=6))
def test_forbidden_podgroups_change_nobodys_share(intruders):
    """Whatever pods of other namespaces ask for in a closed queue, all shares are what they are without them."""
    ours = [podgroup("g"), pod("p", group="g"), queue(allowedNamespaces=LETS_IN_A), queue("other"), node("n")]
    alone, crowded = a_store(*ours), a_store(*ours)
    for store in (alone, crowded):
        store.put_namespace(namespace(team="a"))
        store.put_namespace(namespace("x", team="b"))
    for row, (name, gpus) in enumerate(intruders):
        requests = {"cpu": "1", "nvidia.com/gpu": gpus}
        put(crowded, pod(f"{name}{row}", namespace="x", queue="team", requests=requests))
    before, after = cycle(alone), cycle(crowded)
    assert np.array_equal(before.shares.fair_share, after.shares.fair_share)
    assert np.array_equal(before.shares.requested, after.shares.requested)
    assert [one.pod for one in before.decisions] == [one.pod for one in after.decisions]
