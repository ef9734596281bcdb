from __future__ import annotations

from kai_py.cluster.owners import OwnerBook
from kai_py.cluster.pods import key_of
from tests.cluster.objects import owner, pod


def attached(book: OwnerBook, *pods: object) -> list[object]:
    for each in pods:
        book.attach(key_of(each), each.metadata)
    return [key_of(each) for each in pods]


def test_pods_are_found_below_owners_of_owners_that_became_known_in_any_order():
    book = OwnerBook()
    (key,) = attached(book, pod("p", owner=("Job", "run")))
    book.put(owner("CronJob", "nightly"))
    assert book.below("uid-nightly") == []
    book.put(owner("Job", "run", above=("CronJob", "nightly")))
    assert book.below("uid-nightly") == book.below("uid-run") == [key]


def test_a_pod_that_was_detached_is_not_found():
    book = OwnerBook()
    each = pod("p", owner=("Job", "run"))
    attached(book, each)
    book.detach(key_of(each), each.metadata)
    assert book.below("uid-run") == []
    assert not book._pods


def test_owners_that_own_each_other_are_found_once():
    book = OwnerBook()
    (key,) = attached(book, pod("p", owner=("Job", "a")))
    book.put(owner("Job", "a", above=("Job", "b")))
    book.put(owner("Job", "b", above=("Job", "a")))
    assert book.below("uid-a") == book.below("uid-b") == [key]
    assert book.knows_all_above(pod("p", owner=("Job", "a")).metadata)


def test_all_above_are_known_when_the_topmost_is():
    book, meta = OwnerBook(), pod("p", owner=("ReplicaSet", "set")).metadata
    assert book.knows_all_above(pod("q").metadata)
    assert not book.knows_all_above(meta)
    book.put(owner("ReplicaSet", "set", above=("Deployment", "web")))
    assert not book.knows_all_above(meta)
    book.put(owner("Deployment", "web"))
    assert book.knows_all_above(meta)
    book.drop("uid-web")
    assert not book.knows_all_above(meta)


def test_an_owner_that_says_the_same_changes_nothing():
    book = OwnerBook()
    assert book.put(owner("Job", "a"))
    assert not book.put(owner("Job", "a", resourceVersion="9"))
    assert book.put(owner("Job", "a", labels={"x": "y"}))
    assert book.put(owner("Job", "a", labels={"x": "y"}, above=("CronJob", "c")))
    assert book.put(owner("Job", "a", labels={"x": "y"}))
    assert not book._owned


def test_a_spec_that_changes_may_change_the_grouping():
    book = OwnerBook()
    book.put(owner("Job", "a"))
    other = owner("Job", "a")
    other.spec["parallelism"] = 4
    assert book.put(other)


def test_an_owner_is_forgotten_once():
    book = OwnerBook()
    book.put(owner("Job", "a", above=("CronJob", "c")))
    assert book.drop("uid-a")
    assert not book.drop("uid-a")
    assert (book.objects, book._owned) == ({}, {})
