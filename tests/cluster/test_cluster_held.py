"""Places that are held outlive the process: they are nominations in the API."""

from __future__ import annotations

import dataclasses

import pytest

from kai_py.cluster.held import HeldBook
from kai_py.core.options import Action
from kai_py.core.result import CycleResult, Nominate
from kai_py.core.tables.pods import PodKey
from tests.cluster.objects import NOW, a_store, pod, podgroup, row_of

A, B = PodKey("ns", "a", "uid-a"), PodKey("ns", "b", "uid-b")


@pytest.fixture
def book():
    return HeldBook()


def write(book):
    """What a writer does: write what is due, and count with it."""
    written = {key.name: book.due(key) for key in list(book.unwritten())}
    for key in list(book.unwritten()):
        book.wrote(key, book.due(key))
    return written


def test_a_held_place_is_written_once(book):
    book.replace({A: "n1"})
    assert write(book) == {"a": "n1"}
    book.replace({A: "n1"})
    assert write(book) == {}


def test_a_place_that_was_given_up_is_cleared_once(book):
    book.replace({A: "n1"})
    write(book)
    book.see(A, "n1")
    book.replace({})
    assert write(book) == {"a": ""}
    assert write(book) == {}
    book.see(A, "")
    assert write(book) == {}


def test_what_somebody_else_wrote_is_taken_over_and_not_written_again(book):
    book.see(A, "n1")
    assert book.get(A) == "n1"
    assert write(book) == {}
    book.see(A, "")
    assert A not in book


def test_the_echo_of_a_place_that_we_have_given_up_meanwhile_does_not_bring_it_back(book):
    book.replace({A: "n1"})
    write(book)
    book.replace({})
    book.see(A, "n1")
    assert A not in book
    assert write(book) == {"a": ""}


def test_a_pod_that_is_gone_leaves_nothing(book):
    book.see(A, "n1")
    book.replace({A: "n1", B: "n2"})
    book.drop(A)
    book.drop(B)
    assert len(book) == 0
    assert write(book) == {}


def result_of(store, *decisions):
    blank = dict.fromkeys([field.name for field in dataclasses.fields(CycleResult)], ())
    return CycleResult(**{**blank, "decisions": decisions})


def held_in(snapshot):
    rows = snapshot.pods.held_idx
    if rows is None:
        return {}
    pairs = zip(snapshot.pods.keys, rows.tolist(), strict=True)
    return {key.name: snapshot.nodes.names[row] for key, row in pairs if row >= 0}


def test_a_restarted_scheduler_goes_on_holding():
    store = a_store(pod("waits", nominated="b"))
    assert held_in(store.take(NOW)) == {"waits": "b"}


def test_a_place_for_which_nobody_was_evicted_is_not_held():
    store = a_store(pod("waits"))
    store.carryover.remember(result_of(store, Nominate("ns/waits", "uid-waits", "a", "ns/g", Action.ALLOCATE)), NOW)
    assert held_in(store.take(NOW)) == {}


def test_a_place_is_held_from_reclaim_until_the_pod_is_bound():
    store = a_store(pod("waits"))
    store.carryover.remember(result_of(store, Nominate("ns/waits", "uid-waits", "a", "ns/g", Action.RECLAIM)), NOW)
    assert held_in(store.take(NOW)) == {"waits": "a"}
    store.put_pod(pod("waits", on="a"), NOW)
    assert held_in(store.take(NOW)) == {}
    assert list(store.held.unwritten()) == []


def test_a_nomination_by_another_scheduler_counts_as_a_pod_and_is_not_held():
    store = a_store(pod("theirs", foreign=True, nominated="b"))
    assert held_in(store.take(NOW)) == {}
    assert list(store.held.unwritten()) == []


def test_the_next_cycle_knows_how_far_a_search_has_come():
    store = a_store(pod("waits", group="g"), podgroup("g"))
    result = dataclasses.replace(result_of(store), searched={("ns/g", "reclaim"): 48, ("ns/gone", "preempt"): 7})
    store.carryover.remember(result, NOW)
    snapshot = store.take(NOW)
    assert snapshot.podgroups.searched == {(row_of(snapshot, "g"), Action.RECLAIM): 48}
    store.carryover.remember(result_of(store), NOW)
    assert store.take(NOW).podgroups.searched == {}
