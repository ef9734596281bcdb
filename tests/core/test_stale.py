"""Stale gangs: what runs below its minimum ends after a grace period."""

from math import inf

import pytest

from kai_py.core.options import Action
from tests.core.builders import Gang, Pod, Queue, Sub, cluster, decide, evicted, running

STALE = (Action.ALLOCATE, Action.STALE_GANG_EVICTION)
NOW = 1000.0


def cycle(gang, *, grace=60.0, **options):
    """The cycle of a node of four where one gang has lost members; a foreign pod takes what is free."""
    snapshot = cluster(nodes={"a": 4}, gangs={"g": gang}, foreign={"f": running("a", 4)}, now=NOW)
    return decide(snapshot, **{"actions": STALE, "staleness_grace": grace, **options})


def broken(**what):
    return Gang([running("a"), running("a"), Pod()], **what)


def test_a_gang_is_noted_when_it_is_first_seen_and_keeps_its_pods():
    result = cycle(broken())
    assert result.stale == ("ns/g",)
    assert evicted(result) == {}


@pytest.mark.parametrize(("since", "gone"), [(NOW - 59, False), (NOW - 60, True), (inf, False)])
def test_it_ends_when_the_grace_period_is_over(since, gone):
    result = cycle(broken(stale_since=since))
    assert set(evicted(result)) == ({"g-0", "g-1"} if gone else set())
    assert result.stale == ("ns/g",)


def test_it_ends_for_nobody():
    assert evicted(cycle(broken(stale_since=0.0))) == {"g-0": "", "g-1": ""}


@pytest.mark.parametrize(
    ("own", "default", "gone"),
    [(5.0, 60.0, True), (60.0, 5.0, False), (-1.0, 0.0, False), (0.0, -1.0, True)],
)
def test_the_grace_period_of_a_podgroup_overrides_the_default(own, default, gone):
    result = cycle(broken(stale_since=NOW - 10, grace=own), grace=default)
    assert bool(evicted(result)) == gone


@pytest.mark.parametrize(("grace", "gone"), [(0.0, True), (-1.0, False)])
def test_no_grace_ends_it_at_once_and_a_negative_one_never(grace, gone):
    assert bool(evicted(cycle(broken(stale_since=inf), grace=grace))) == gone


def test_a_gang_on_its_way_to_its_end_is_never_stale():
    result = cycle(broken(stale_since=0.0, finishing=True))
    assert evicted(result) == {}
    assert result.stale == ()


@pytest.mark.parametrize(
    "gang",
    [
        Gang([running("a"), running("a")]),
        Gang([running("a"), Pod()], minimum=1),
        Gang([Pod(), Pod()]),
        Gang(children={"x": Sub([running("a")]), "y": Sub(1)}, min_subgroups=1),
    ],
    ids=["whole", "elastic", "nobody runs", "enough subgroups"],
)
def test_what_has_its_minimum_or_nothing_is_not_stale(gang):
    result = cycle(gang, grace=0.0)
    assert evicted(result) == {}
    assert result.stale == ()


def test_a_broken_subgroup_ends_alone_where_the_podgroup_has_enough_others():
    gang = Gang(children={"x": Sub([running("a")]), "y": Sub([running("a"), Pod()])}, min_subgroups=1)
    result = cycle(gang, grace=0.0)
    assert set(evicted(result)) == {"g-y-0"}
    assert result.stale == ("ns/g",)


def test_where_all_subgroups_are_needed_a_broken_one_takes_all_with_it():
    gang = Gang(children={"x": Sub([running("a")]), "y": Sub([running("a"), Pod()])})
    assert set(evicted(cycle(gang, grace=0.0))) == {"g-x-0", "g-y-0"}


def test_a_subgroup_within_a_subgroup_ends_alone_where_it_is_not_needed():
    inner = Sub(children={"u": Sub([running("a")]), "v": Sub([running("a"), Pod()])}, min_subgroups=1)
    assert set(evicted(cycle(Gang(children={"m": inner}), grace=0.0))) == {"g-m-v-0"}


def test_a_gang_that_gets_a_replacement_in_this_very_cycle_is_not_stale():
    snapshot = cluster(nodes={"a": 4}, gangs={"g": broken(stale_since=0.0)}, now=NOW)
    result = decide(snapshot, actions=STALE)
    assert evicted(result) == {}
    assert result.stale == ()


def test_what_cannot_be_preempted_is_stale_all_the_same():
    assert len(evicted(cycle(broken(stale_since=0.0, preemptible=False)))) == 2


def test_a_stale_gang_of_a_queue_within_its_quota_ends_too():
    snapshot = cluster(nodes={"a": 2}, queues={"q": Queue(quota=8)}, gangs={"g": broken(stale_since=0.0)}, now=NOW)
    assert len(evicted(decide(snapshot, actions=STALE))) == 2
