"""What holds for every cluster in which somebody has to make room."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.invariants import violations
from kai_py.core.options import Action
from kai_py.core.result import Evict, Nominate, ReasonCode
from tests.core.builders import Gang, Pod, Queue, Sub, bound, cluster, decide, evicted, nominated, running
from tests.core.strategies import crowded, snapshots
from tests.core.test_cycle_properties import answer, arrays
from tests.core.world import after

#: Random clusters came to rest after five at most, in thousands of examples; growth takes a cycle per step.
CYCLES = 12


@settings(max_examples=150)
@given(crowded())
def test_every_result_keeps_all_invariants(snapshot):
    assert violations(snapshot, decide(snapshot)) == ()


@settings(max_examples=50)
@given(crowded(), st.permutations(Action), st.integers(1, 5))
def test_in_whatever_order_actions_run(snapshot, order, count):
    result = decide(snapshot, actions=tuple(order[:count]), consolidation_limit=-1, reclaim_resolution="queue")
    assert violations(snapshot, result) == ()


@settings(max_examples=50)
@given(crowded())
def test_the_same_snapshot_decides_the_same_and_is_not_changed(snapshot):
    before = [array.tobytes() for array in arrays(snapshot)]
    assert answer(decide(snapshot)) == answer(decide(snapshot))
    assert [array.tobytes() for array in arrays(snapshot)] == before


def come_to_rest(snapshot):
    """Snapshots and results of the cycles until one decides nothing but what is held already."""
    found = []
    for _ in range(CYCLES):
        result = decide(snapshot)
        found.append((snapshot, result))
        if all(isinstance(decision, Nominate) for decision in result.decisions):
            return found
        snapshot = after(snapshot, result)
    raise AssertionError(f"still deciding after {CYCLES} cycles: {result.decisions}")


@settings(max_examples=80)
@given(st.one_of(crowded(), snapshots()))
def test_a_cluster_that_nothing_happens_to_comes_to_rest_and_stays_sound(snapshot):
    for before, result in come_to_rest(snapshot):
        assert violations(before, result) == ()


@settings(max_examples=80)
@given(crowded())
def test_nobody_takes_back_the_place_that_it_has_just_lost(snapshot):
    """A podgroup that had to go for another one does not have that one evicted in turn."""
    made_room: set[tuple[str, str]] = set()
    for _, result in come_to_rest(snapshot):
        for decision in result.decisions:
            if isinstance(decision, Evict) and decision.preemptor is not None and not decision.moved:
                assert (decision.preemptor, decision.podgroup) not in made_room
                made_room.add((decision.podgroup, decision.preemptor))


def gpus_by_node(snapshot, decisions):
    """GPUs that get a user by decisions, now or later."""
    sizes = {str(key): request for key, request in zip(snapshot.pods.keys, gpus_of(snapshot), strict=True)}
    found = Counter()
    for decision in decisions:
        if not isinstance(decision, Evict):
            found[decision.node] += sizes[decision.pod]
    return found


def gpus_of(snapshot):
    return snapshot.classes.request[snapshot.pods.class_idx, 3].tolist()


@settings(max_examples=80)
@given(crowded())
def test_what_was_freed_is_used_in_the_next_cycle(snapshot):
    """By whom it was freed for, unless one that is owed more, or more important, takes as much of it as it needs."""
    first = decide(snapshot)
    gained = {evict.preemptor for evict in first.decisions if isinstance(evict, Evict)} - {None}
    second = decide(after(snapshot, first))
    gained -= {one.podgroup for one in second.diagnoses if any(why.code is ReasonCode.OUTRANKED for why in one.reasons)}
    freed = [d for d in first.decisions if isinstance(d, Nominate) and d.podgroup in gained]
    assert gpus_by_node(snapshot, freed) <= gpus_by_node(snapshot, second.decisions)


def test_who_takes_the_new_place_of_one_that_moves_is_who_evicts_it():
    """Consolidation moves r from a to b for w; then the more important u preempts r's new place."""
    queues = {"q": Queue(limit=4), "o": Queue()}
    gangs = {
        "r": Gang([running("a")], priority=50),
        "f": Gang([running("b")] * 3, preemptible=False),
        "w": Gang([Pod(2)], queue="o", priority=50),
        "u": Gang(1, priority=75),
    }
    snapshot = cluster(nodes={"a": 2, "b": 4}, queues=queues, gangs=gangs)
    result = decide(snapshot, actions=(Action.CONSOLIDATE, Action.PREEMPT))
    assert nominated(result) == {"w-0": "a", "u-0": "b"}
    assert violations(snapshot, result) == ()


def test_nobody_takes_a_place_over_that_its_own_pods_have_moved_for():
    """Consolidation moves n of the more important g from b to a for w; that is not how g gets room for its m."""
    workers = {"m": Sub([Pod(2)], minimum=0), "n": Sub([running("b")], minimum=1)}
    gangs = {
        "w": Gang([Pod(2)], priority=50),
        "f": Gang([running("a")], preemptible=False),
        "g": Gang(children={"u": Sub(children=workers)}, priority=100),
    }
    snapshot = cluster(nodes={"a": 2, "b": 2}, gangs=gangs)
    result = decide(snapshot)
    assert (nominated(result), evicted(result)) == ({"w-0": "b", "g-u-n-0": "a"}, {})
    assert violations(snapshot, result) == ()
    later = after(snapshot, result)
    assert bound(decide(later)) == {"g-u-n-0": "a"}
    assert nominated(decide(later)) == {"g-u-m-0": "b"}  # nobody has to move for it any more


def test_nobody_takes_a_place_over_that_others_have_moved_for_whom_it_may_not_disturb():
    """r of another queue moves for w; u, who cannot consolidate, may preempt w, but not r."""
    gangs = {
        "r": Gang([running("b")], queue="o"),
        "f": Gang([running("a")], queue="o", preemptible=False),
        "w": Gang([Pod(2)], priority=50),
        "u": Gang([Pod(2)], priority=100, preemptible=False),
    }
    snapshot = cluster(nodes={"a": 2, "b": 2}, queues={"q": Queue(), "o": Queue()}, gangs=gangs)
    rounds = come_to_rest(snapshot)
    assert [(nominated(result), bound(result)) for _, result in rounds[:3]] == [
        ({"w-0": "b", "r-0": "a"}, {}),
        ({"u-0": "b"}, {"r-0": "a"}),
        ({}, {"u-0": "b"}),
    ]
    assert all(violations(*one) == () for one in rounds)


def test_what_was_freed_and_is_not_needed_after_all_is_given_back():
    """Four GPUs are freed for w0; then the more important w1 takes one of them, and three are free for nobody."""
    queues = {"top": Queue(quota=2), "p": Queue("top", quota=8), "v": Queue("top", quota=8, limit=1, weight=0)}
    gangs = {
        "r": Gang([running("a", 7)], queue="p"),
        "s": Gang([running("a", 1)], queue="v"),
        "t": Gang([running("b", 2)] * 2, queue="v"),
        "w0": Gang([Pod(4)], queue="p"),
        "w1": Gang([Pod(1)], queue="p", priority=75),
    }
    result = decide(cluster(nodes={"a": 8, "b": 4}, queues=queues, gangs=gangs))
    assert "w0-0" in nominated(result) or len(evicted(result)) <= 1


def test_two_queues_that_both_want_everything_share_and_stop():
    queues = {"x": Queue(quota=4), "y": Queue(quota=4)}
    gangs = {f"x{n}": Gang([running("a")], queue="x") for n in range(8)}
    gangs |= {f"y{n}": Gang(1, queue="y") for n in range(8)}
    rounds = come_to_rest(cluster(nodes={"a": 8}, queues=queues, gangs=gangs))
    assert [len(evicted(result)) for _, result in rounds] == [4, 0, 0]
    last = rounds[-1][1].shares
    assert last.allocated[:, 2].tolist() == last.fair_share[:, 2].tolist() == [4000, 4000]


def test_a_victim_that_comes_back_waits_while_its_place_is_held():
    """The victim is recreated before its pod's place is used, and comes first by age; it does not get it back."""
    gangs = {"v": Gang([running("a", 4)], priority=10), "p": Gang([Pod(4)])}
    snapshot = cluster(nodes={"a": 4}, gangs=gangs)
    first = decide(snapshot)
    assert nominated(first) == {"p-0": "a"}
    second = decide(after(snapshot, first))
    assert [(type(d).__name__, d.pod) for d in second.decisions] == [("Bind", "ns/p-0")]
