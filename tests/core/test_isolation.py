"""An error of ours over one podgroup ends neither its action nor the cycle."""

import pytest

from kai_py.core.actions.context import Context
from kai_py.core.options import Action
from kai_py.core.placement.gang import Placer
from kai_py.core.result import ReasonCode
from kai_py.core.state.transaction import Transaction
from kai_py.core.victims.search import Search
from kai_py.telemetry.sentences import sentence
from tests.core.builders import Gang, bound, cluster, codes, decide, evicted, nominated, running


@pytest.fixture
def stumble(monkeypatch):
    """Let a method fail for one podgroup, after it has done its work."""

    def install(owner, name, snapshot, victim):
        row = [key.name for key in snapshot.podgroups.keys].index(victim)
        real = getattr(owner, name)

        def failing(*args, **kwargs):
            result = real(*args, **kwargs)
            if any(getattr(arg, "podgroup", arg) == row for arg in args if not isinstance(arg, Context)):
                raise ZeroDivisionError("we did not think of this")
            return result

        monkeypatch.setattr(owner, name, failing)

    return install


def test_the_others_are_placed_and_the_one_says_what_happened(stumble):
    snapshot = cluster(nodes={"a": 8}, gangs={"good": 2, "odd": 2, "other": 2})
    stumble(Placer, "place", snapshot, "odd")
    result = decide(snapshot)
    assert sorted(bound(result)) == ["good-0", "good-1", "other-0", "other-1"]
    assert codes(result) == {"odd": ReasonCode.INTERNAL_ERROR}
    reason = result.errors["ns/odd"]
    assert reason.details["error"] == "ZeroDivisionError: we did not think of this"
    assert reason.details["where"].startswith(f"{__name__}:")


def test_one_that_cannot_be_ranked_stands_in_no_line(stumble):
    snapshot = cluster(nodes={"a": 8}, gangs={"good": 2, "odd": 2})
    stumble(Context, "waiting", snapshot, "odd")
    result = decide(snapshot)
    assert sorted(bound(result)) == ["good-0", "good-1"]
    assert codes(result) == {"odd": ReasonCode.INTERNAL_ERROR}


def test_what_was_begun_is_taken_back(stumble):
    snapshot = cluster(nodes={"a": 2}, gangs={"odd": Gang(2, priority=90), "good": 2})
    stumble(Placer, "place", snapshot, "odd")
    assert sorted(bound(decide(snapshot))) == ["good-0", "good-1"]


def test_it_is_left_alone_by_the_actions_that_follow(stumble):
    gangs = {"v": Gang([running("a")] * 2, priority=1, minimum=0), "odd": Gang(1, priority=50)}
    snapshot = cluster(nodes={"a": 2}, gangs=gangs)
    stumble(Placer, "place", snapshot, "odd")
    result = decide(snapshot)
    assert evicted(result) == {}
    assert codes(result) == {"odd": ReasonCode.INTERNAL_ERROR}


def test_a_search_for_victims_that_fails_evicts_nobody(monkeypatch):
    gangs = {"v": Gang([running("a")] * 2, priority=1, minimum=0), "p": Gang(1, priority=50)}
    snapshot = cluster(nodes={"a": 2}, gangs=gangs)
    real = Search.run

    def failing(self, *args):
        assert real(self, *args) is None
        raise ValueError("after the deed")

    monkeypatch.setattr(Search, "run", failing)
    result = decide(snapshot)
    assert (evicted(result), nominated(result)) == ({}, {})
    assert codes(result) == {"p": ReasonCode.INTERNAL_ERROR}


def test_an_error_over_one_stale_gang_does_not_save_another(stumble):
    gangs = {name: Gang([running("a")], minimum=2) for name in ("odd", "stale")}
    snapshot = cluster(nodes={"a": 4}, gangs=gangs)
    stumble(Context, "grace_over", snapshot, "odd")
    result = decide(snapshot, actions=(Action.STALE_GANG_EVICTION,), staleness_grace=0.0)
    assert sorted(evicted(result)) == ["stale-0"]
    assert list(result.errors) == ["ns/odd"]


def test_the_reason_reads_well(stumble):
    snapshot = cluster(nodes={"a": 2}, gangs={"odd": 2})
    stumble(Placer, "place", snapshot, "odd")
    said = sentence(decide(snapshot).errors["ns/odd"])
    assert said.startswith("The scheduler made a mistake over this podgroup and left it alone for this cycle: ")
    assert "ZeroDivisionError: we did not think of this" in said


def test_when_many_cannot_be_served_at_once_they_are_served_one_by_one(monkeypatch):
    snapshot = cluster(nodes={"a": 3, "b": 8}, gangs={f"g{number}": 1 for number in range(9)})
    expected = decide(snapshot)
    real = Transaction.place_alike

    def failing(self, *args, **kwargs):
        real(self, *args, **kwargs)
        raise ZeroDivisionError("after the deed")

    monkeypatch.setattr(Transaction, "place_alike", failing)
    result = decide(snapshot)
    assert len(bound(result)) == 9
    assert (result.decisions, result.errors, result.stats) == (expected.decisions, {}, expected.stats)


def test_an_error_on_the_way_to_serving_many_at_once_is_nobodys_but_its_own(stumble):
    snapshot = cluster(nodes={"a": 64}, gangs={**{f"g{number}": 1 for number in range(9)}, "odd": 1})
    stumble(Placer, "wish", snapshot, "odd")
    result = decide(snapshot)
    assert sorted(bound(result)) == [f"g{number}-0" for number in range(9)]
    assert list(result.errors) == ["ns/odd"]
