"""What has happened to podgroups is kept in annotations, so that the next leader knows it."""

from __future__ import annotations

from math import inf

import pytest
from msgspec.structs import replace

from kai_py.api.keys import LAST_EVICTION_ANNOTATION, LAST_START_ANNOTATION, STALE_SINCE_ANNOTATION
from kai_py.api.podgroup import PodGroup
from kai_py.cluster.history import HistoryBook
from kai_py.core.options import Action
from kai_py.core.result import Evict
from kai_py.core.tables.pods import PodKey
from tests.cluster.objects import NOW, a_store, pod, podgroup, put, row_of

NAME = ("ns", "g")
NOON, LATER = "2027-01-15T12:00:00Z", "2027-01-15T12:05:00Z"
AT_NOON = 1_800_014_400.0


def stamped(**annotations):
    return PodGroup.parse(
        {"metadata": {"name": "g", "namespace": "ns", "uid": "u", "annotations": annotations}, "spec": {"queue": "q"}}
    )


@pytest.fixture
def book():
    return HistoryBook()


def due(book, obj):
    return {key: text for name in book.marked() if name == NAME for key, text in book.changes(obj).items()}


def test_a_start_is_written_once(book):
    book.put(stamped())
    book.started(NAME, AT_NOON + 0.7)
    assert due(book, stamped()) == {LAST_START_ANNOTATION: NOON}
    book.put(stamped(**{LAST_START_ANNOTATION: NOON}))
    book.started(NAME, AT_NOON + 0.7)
    assert due(book, stamped(**{LAST_START_ANNOTATION: NOON})) == {}


def test_an_object_that_comes_after_the_start_is_written_to(book):
    book.started(NAME, AT_NOON)
    book.marked()
    book.put(stamped())
    assert due(book, stamped()) == {LAST_START_ANNOTATION: NOON}


def test_staleness_is_noted_at_its_beginning_and_removed_at_its_end(book):
    book.put(stamped())
    book.marked()
    book.stale({NAME}, AT_NOON)
    assert due(book, stamped()) == {STALE_SINCE_ANNOTATION: NOON}
    book.stale({NAME}, AT_NOON + 10)
    assert book.marked() == []
    book.stale(set(), AT_NOON + 20)
    assert due(book, stamped(**{STALE_SINCE_ANNOTATION: NOON})) == {STALE_SINCE_ANNOTATION: None}


def test_what_an_object_says_at_first_sight_is_taken_over_and_not_written_again(book):
    says = stamped(**{LAST_START_ANNOTATION: NOON, LAST_EVICTION_ANNOTATION: NOON, STALE_SINCE_ANNOTATION: LATER})
    book.put(says)
    assert book._pasts[NAME].started == AT_NOON
    assert book._pasts[NAME].stale_since == AT_NOON + 300
    assert due(book, says) == {}


def test_an_old_version_of_the_object_does_not_bring_staleness_back(book):
    says = stamped(**{STALE_SINCE_ANNOTATION: NOON})
    book.put(says)
    book.stale(set(), AT_NOON + 60)
    book.put(says)
    assert NAME not in book._pasts


def test_another_hand_may_change_an_annotation(book):
    book.put(stamped(**{LAST_START_ANNOTATION: NOON}))
    book.put(stamped(**{LAST_START_ANNOTATION: LATER}))
    assert book._pasts[NAME].started == AT_NOON + 300
    book.put(stamped())
    assert NAME not in book._pasts


def test_a_time_that_cannot_be_read_is_long_ago(book):
    book.put(stamped(**{LAST_START_ANNOTATION: "yesterday"}))
    assert book._pasts[NAME].started == 0.0


def test_a_restarted_scheduler_remembers_when_a_podgroup_started():
    store = a_store(stamped(**{LAST_START_ANNOTATION: NOON}), pod("p", on="a", group="g"))
    snapshot = store.take(NOW)
    assert snapshot.podgroups.history.started[row_of(snapshot, "g")] == AT_NOON


def test_a_restarted_scheduler_learns_from_a_pod_that_stands_alone_when_it_started():
    runs = pod("p", on="a")
    store = a_store(replace(runs, status=replace(runs.status, start_time=NOON)), pod("q", on="a"))
    snapshot = store.take(NOW)
    started = dict(zip((key.name for key in snapshot.pods.keys), snapshot.podgroups.history.started, strict=True))
    assert started == {"p": AT_NOON, "q": -inf}


def test_a_start_that_we_have_seen_is_better_than_what_the_kubelet_says(book):
    book.started(NAME, AT_NOON)
    book.begun(NAME, AT_NOON + 5)
    assert book.of(NAME).started == AT_NOON


def test_an_eviction_is_written_to_the_podgroup_of_the_victim():
    store = a_store(podgroup("g"), pod("p", on="a", group="g"))
    list(store.carryover.stamps())
    store.carryover.evicted(Evict("ns/p", "uid-p", "a", "ns/g", Action.RECLAIM), AT_NOON)
    assert list(store.carryover.stamps()) == [(NAME, {LAST_EVICTION_ANNOTATION: NOON})]
    assert list(store.carryover.stamps()) == []


def test_histories_of_podgroups_that_are_gone_are_thrown_away():
    store = a_store(pod("p", on="a"))
    (name,) = store.groups.groups
    store.history.started(name, NOW)
    store.carryover.tidy(NOW)
    assert name in store.history._pasts
    store.put_pod(pod("p", on="a", phase="Succeeded"), NOW)
    store.carryover.tidy(NOW + 120)
    assert store.history._pasts == {}


def test_a_podgroup_that_is_deleted_takes_its_past_along():
    store = a_store(podgroup("g"))
    store.history.started(NAME, NOW)
    store.drop_podgroup(NAME)
    assert NAME not in store.history._pasts


def started_in(snapshot):
    history = snapshot.podgroups.history
    return dict(zip((key.name for key in snapshot.podgroups.keys), history.started.tolist(), strict=True))


def test_a_past_stays_with_its_podgroup_while_rows_come_and_go():
    store = a_store(podgroup("m"), pod("m", on="a", group="m"))
    store.history.started(("ns", "m"), NOW)
    first = store.take(NOW)
    for name in ("a", "z"):
        put(store, podgroup(name))
        put(store, pod(name, on="a", group=name))
    store.history.started(("ns", "z"), NOW + 1)
    assert started_in(store.take(NOW)) == {"a": -inf, "m": NOW, "z": NOW + 1}
    store.history.started(("ns", "m"), NOW + 2)
    store.drop_pod(PodKey("ns", "a", "uid-a"))
    assert started_in(store.take(NOW)) == {"m": NOW + 2, "z": NOW + 1}
    assert started_in(first) == {"m": NOW}


def test_a_past_that_does_not_change_leaves_the_table_as_it_is():
    store = a_store(podgroup("g"), pod("p", on="a", group="g"))
    store.history.never_preempts(NAME)
    first = store.take(NOW).podgroups
    store.history.never_preempts(NAME)
    assert store.take(NOW).podgroups is first
    store.history.succeeded(NAME)
    assert store.take(NOW).podgroups.history.finishing.tolist() == [True]


def test_without_any_past_there_are_no_columns():
    store = a_store(podgroup("g"), pod("p", on="a", group="g"))
    assert store.take(NOW).podgroups.history is None
    store.history.stale([NAME], NOW)
    assert store.take(NOW).podgroups.history.stale_since.tolist() == [NOW]
    store.history.stale([], NOW)
    assert store.take(NOW).podgroups.history is None


def test_only_stale_podgroups_that_are_there_are_remembered_as_such(book):
    book.stale([("ns", "x"), ("ns", "y")], NOW)
    book.drop(("ns", "x"))
    book.marked()
    book.stale([], NOW + 1)
    assert book.marked() == [("ns", "y")]
    assert (book.of(("ns", "x")).stale_since, book.of(("ns", "y")).stale_since) == (inf, inf)
