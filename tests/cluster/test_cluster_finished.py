"""A gang of which some have succeeded is whole without them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.cluster.encode.podgroup import single_leaf
from kai_py.cluster.finished import relieved
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from tests.cluster.objects import GPU, NOW, a_store, node, owner, pod, podgroup, put

GANG = podgroup("g", minMember=4)
DONE = tuple(pod(f"done-{number}", group="g", on="n", phase="Succeeded") for number in range(2))
LAST = pod("last", group="g", on="n")
AGAIN = pod("again", group="g")


def bound(store: Store) -> list[str]:
    return sorted(one.pod for one in run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions)


def test_a_lost_pod_is_made_up_for_though_others_have_succeeded():
    assert bound(a_store(node("n"), GANG, *DONE, LAST, AGAIN)) == ["ns/again"]


def test_as_long_as_nobody_has_succeeded_the_gang_waits_for_all():
    assert bound(a_store(node("n"), GANG, LAST, AGAIN)) == []


def test_what_is_left_waits_for_each_other():
    store = a_store(node("n"), GANG, *DONE, AGAIN)
    assert bound(store) == []
    put(store, pod("and-again", group="g"))
    assert bound(store) == ["ns/again", "ns/and-again"]


def test_who_has_gone_after_success_is_waited_for_again():
    store = a_store(node("n"), GANG, *DONE, LAST, AGAIN)
    for one in DONE:
        store.drop_pod(key_of(one))
    assert bound(store) == []


def test_a_pod_of_the_same_name_takes_the_place_of_one_that_succeeded():
    store = a_store(node("n"), GANG, *DONE, LAST, AGAIN)
    for one in DONE:
        put(store, pod(one.metadata.name, uid="another", group="other"))
    assert store.finished.of(("ns", "g")) == {}
    for one in DONE:
        put(store, one)
    assert store.finished.of(("ns", "g")) == {"": 2}
    store.drop_pod(key_of(pod("done-0", uid="another")))  # news of long ago
    assert store.finished.of(("ns", "g")) == {"": 2}


def test_a_pod_that_succeeded_is_among_those_that_a_list_is_compared_with():
    assert key_of(DONE[0]) in a_store(node("n"), GANG, *DONE).known_pods()


def test_those_in_place_of_the_succeeded_ones_start_together():
    """A Job with more completions than pods at once: after the first have ended, all of the next are still a gang."""
    assert len(bound(a_store(GANG, *DONE, *(pod(f"more-{n}", group="g") for n in range(4))))) == 4
    large = {"cpu": "1", GPU: 8}
    assert bound(a_store(GANG, *DONE, *(pod(f"more-{n}", group="g", requests=large) for n in range(4)))) == []


def test_a_pod_that_goes_is_nobody_to_wait_for():
    leaving = pod("leaving", group="g", on="n", deleted=NOW)
    assert bound(a_store(node("n"), GANG, *DONE, LAST, AGAIN, leaving)) == ["ns/again"]


@pytest.mark.parametrize("done", ["driver", "worker"])
def test_a_part_that_has_succeeded_is_satisfied(done: str):
    parts = [{"name": "driver", "minMember": 1}, {"name": "worker", "minMember": 1}]
    left = {"driver": "worker", "worker": "driver"}[done]
    ended = pod("ended", group="g", subgroup=done, on="n", phase="Succeeded")
    again = pod("again", group="g", subgroup=left)
    whole = podgroup("g", minSubGroup=2, subGroups=parts)
    assert bound(a_store(node("n"), whole, again)) == []
    assert bound(a_store(node("n"), whole, ended, again)) == ["ns/again"]


def test_a_succeeded_pod_belongs_where_its_owners_say_once_they_are_known():
    """After a restart, pods are seen before their owners: until then it is taken for one of the nearer owner."""
    store = a_store(node("n"), pod("done", owner=("Inner", "train"), on="n", phase="Succeeded"))
    assert store.finished.of(("ns", "pg-train-uid-train")) == {"": 1}
    store.lineages.put(owner("Inner", "train", above=("Outer", "night")), NOW)
    store.lineages.put(owner("Outer", "night"), NOW)
    assert store.finished.of(("ns", "pg-train-uid-train")) == {}
    assert store.finished.of(("ns", "pg-night-uid-night")) == {"": 1}
    store.drop_pod(key_of(pod("done")))
    assert store.finished.of(("ns", "pg-night-uid-night")) == {}


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_no_more_is_needed_than_before_nor_than_can_come(minimum: int, succeeded: int, there: int):
    (row,) = relieved(single_leaf(minimum), {"": succeeded} if succeeded else {}, {"": there})
    assert row.min_member <= minimum
    assert row.min_member >= min(minimum, there)
    assert row.min_member + succeeded >= minimum
