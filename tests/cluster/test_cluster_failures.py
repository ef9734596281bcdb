from __future__ import annotations

from kai_py.cluster.failures import FIRST_PAUSE, LONGEST_PAUSE, NODE_MEMORY, Failures
from kai_py.core.tables.pods import PodKey

POD = PodKey("ns", "p", "uid")


def test_pauses_double_up_to_a_ceiling():
    failures = Failures()
    pauses = [failures.note(POD, None, 100.0) - 100.0 for _ in range(10)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


def test_a_pod_may_fail_for_months():
    failures = Failures()
    for _ in range(5000):
        failures.note(POD, None, 0.0)
    assert failures.paused(POD, LONGEST_PAUSE - 1)
    assert not failures.paused(POD, LONGEST_PAUSE)


def test_a_node_is_avoided_longer_than_the_pause_lasts():
    failures = Failures()
    failures.note(POD, "a", 0.0)
    failures.note(POD, None, 1.0)
    assert not failures.paused(POD, NODE_MEMORY - 1)
    assert failures.excluded(POD, NODE_MEMORY - 1) == {"a"}
    assert failures.excluded(POD, NODE_MEMORY) == frozenset()


def test_each_ending_is_told_once():
    failures = Failures()
    failures.note(POD, "a", 0.0)
    assert failures.expiring(FIRST_PAUSE / 2) == []
    assert failures.expiring(FIRST_PAUSE) == [POD]
    assert failures.expiring(FIRST_PAUSE) == []
    assert failures.expiring(NODE_MEMORY) == [POD]
    assert failures.expiring(NODE_MEMORY) == []


def test_a_pause_goes_on_when_an_exclusion_ends():
    failures = Failures()
    failures.note(POD, "a", 0.0)
    failures.note(POD, None, NODE_MEMORY - 1)
    assert failures.expiring(NODE_MEMORY) == [POD]
    assert failures.paused(POD, NODE_MEMORY)
    assert failures.expiring(NODE_MEMORY + 1) == [POD]


def test_the_next_ending_is_never_missed_and_never_in_the_past():
    failures = Failures()
    assert failures.next_expiry(0.0) is None
    failures.note(POD, "a", 0.0)
    assert failures.next_expiry(0.0) == FIRST_PAUSE
    assert failures.next_expiry(50.0) == 50.0
    failures.expiring(50.0)
    assert failures.next_expiry(50.0) == NODE_MEMORY
    failures.expiring(NODE_MEMORY)
    assert failures.next_expiry(NODE_MEMORY) is None


def test_a_pod_that_is_bound_starts_afresh():
    failures = Failures()
    failures.note(POD, "a", 0.0)
    failures.note(POD, "a", 0.0)
    failures.forget(POD)
    assert (len(failures), failures.paused(POD, 0.0), failures.excluded(POD, 0.0)) == (0, False, frozenset())
    assert failures.note(POD, None, 0.0) == FIRST_PAUSE
