"""Reclaim: who may take how much from whom."""

from dataclasses import replace

import pytest

from kai_py.core.invariants import violations
from kai_py.core.options import Action
from kai_py.core.result import ReasonCode
from tests.core.builders import (
    Gang,
    Node,
    Pod,
    Queue,
    cluster,
    decide,
    evicted,
    leaving,
    moved,
    nominated,
    running,
    waiting,
)

RECLAIM = (Action.ALLOCATE, Action.RECLAIM)


def held(count, on="a", *, queue="rich", gpus=1, **what):
    """A podgroup that runs; every pod may go by itself unless told otherwise."""
    return Gang([running(on, gpus)] * count, queue=queue, **{"minimum": 0, **what})


def between(rich, poor, *, runs=8, asks=1, own=0, **options):
    """The cycle of a full node: queue rich runs so many pods, poor some of its own, and asks for more as one gang."""
    gangs = {"v": held(runs), "own": held(own, queue="poor"), "p": Gang(asks, queue="poor")}
    snapshot = cluster(nodes={"a": runs + own}, queues={"rich": rich, "poor": poor}, gangs=gangs)
    return decide(snapshot, actions=RECLAIM, **options)


def second(result, podgroup="p"):
    """Why nobody makes room for a podgroup."""
    return waiting(result)[podgroup].reasons[1].code


def test_a_queue_takes_back_its_quota_and_its_pods_wait_for_the_victims_to_leave():
    result = between(Queue(quota=4), Queue(quota=4), asks=3)
    assert evicted(result) == {"v-7": "p", "v-6": "p", "v-5": "p"}
    assert nominated(result) == {"p-0": "a", "p-1": "a", "p-2": "a"}


def test_a_queue_takes_back_up_to_its_fair_share_and_no_more():
    assert len(evicted(between(Queue(quota=4), Queue(quota=4), asks=4))) == 4
    result = between(Queue(quota=4), Queue(quota=4), asks=5)
    assert evicted(result) == {}
    assert second(result) == ReasonCode.OVER_FAIR_SHARE


def test_a_queue_within_its_quota_loses_nothing():
    for weight in (0.0, 9.0):
        result = between(Queue(quota=8), Queue(quota=4, weight=weight))
        assert evicted(result) == {}


def test_a_victim_exactly_at_its_quota_loses_nothing_to_one_within_its_quota():
    # Quotas add up to more than there is: both are entitled to eight.
    result = between(Queue(quota=8), Queue(quota=8), asks=1)
    assert evicted(result) == {}
    assert second(result) == ReasonCode.NOT_ENOUGH_RECLAIMABLE


def test_without_any_quota_the_fair_share_decides():
    result = between(Queue(quota=0), Queue(quota=0), asks=4)
    assert len(evicted(result)) == 4
    assert second(between(Queue(quota=0), Queue(quota=0), asks=5)) == ReasonCode.OVER_FAIR_SHARE


def test_without_weight_only_quota_is_taken_back():
    assert len(evicted(between(Queue(quota=0), Queue(quota=2, weight=0), asks=2))) == 2
    assert evicted(between(Queue(quota=0), Queue(quota=2, weight=0), asks=3)) == {}


def test_an_elastic_podgroup_shrinks_to_its_minimum_and_then_goes_whole():
    def lost(asks):
        gangs = {"v": held(8, minimum=4), "p": Gang(asks, queue="poor")}
        queues = {"rich": Queue(quota=0), "poor": Queue(quota=8)}
        return evicted(decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs), actions=RECLAIM))

    assert list(lost(3)) == ["v-7", "v-6", "v-5"]
    assert len(lost(4)) == 4
    assert len(lost(5)) == 8


def test_a_core_that_reaches_below_the_quota_goes_whole_as_long_as_the_queue_is_above_it():
    """The queue is one above its quota, so its next piece may go, however large."""
    gangs = {"v": held(8, minimum=8), "p": Gang(1, queue="poor")}
    queues = {"rich": Queue(quota=7), "poor": Queue(quota=1)}
    assert len(evicted(decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs), actions=RECLAIM))) == 8


def test_what_cannot_be_preempted_stays_and_reclaims_within_its_quota_only():
    firm = {"v": held(8, preemptible=False), "p": Gang(1, queue="poor")}
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=2)}
    assert evicted(decide(cluster(nodes={"a": 8}, queues=queues, gangs=firm), actions=RECLAIM)) == {}

    def asks(count):
        gangs = {"v": held(8), "p": Gang(count, queue="poor", preemptible=False)}
        return evicted(decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs), actions=RECLAIM))

    assert len(asks(2)) == 2
    assert asks(3) == {}


def test_a_department_within_its_quota_protects_a_team_beyond_its_own():
    queues = {
        "x": Queue(quota=8),
        "y": Queue(quota=8),
        "x1": Queue("x", quota=2),
        "x2": Queue("x", quota=6),
        "y1": Queue("y", quota=8),
    }

    def lost(queue):
        gangs = {"v": held(8, queue="x1"), "w": held(8, "b", queue="y1"), "p": Gang(1, queue=queue)}
        return evicted(decide(cluster(nodes={"a": 8, "b": 8}, queues=queues, gangs=gangs), actions=RECLAIM))

    assert lost("y1") == {}
    assert lost("x2") == {"v-7": "p"}  # a sibling is owed, and the department does not lose by it


def test_a_queue_does_not_take_from_itself():
    gangs = {"v": held(8, queue="poor"), "p": Gang(1, queue="poor", priority=100)}
    result = decide(cluster(nodes={"a": 8}, queues={"poor": Queue()}, gangs=gangs), actions=RECLAIM)
    assert evicted(result) == {}


def test_the_multiplier_keeps_a_victim_fuller_than_a_reclaimer_beyond_its_share():
    """One more makes x half as full again as its share; y stays two and a half times as full as its own."""
    queues = {
        "x": Queue(quota=2, weight=0),
        "y": Queue(quota=2, weight=0),
        "x1": Queue("x", quota=4),
        "x2": Queue("x", quota=4),
        "y1": Queue("y", quota=2),
    }
    gangs = {"own": held(2, queue="x2"), "v": held(6, "b", queue="y1"), "p": Gang(1, queue="x1")}
    snapshot = cluster(nodes={"a": 2, "b": 6}, queues=queues, gangs=gangs)
    assert set(evicted(decide(snapshot, actions=RECLAIM, reclaim_saturation=1.6))) == {"v-5"}
    strict = decide(snapshot, actions=RECLAIM, reclaim_saturation=1.7)
    assert evicted(strict) == {}
    assert second(strict) == ReasonCode.RECLAIMER_OVER_SHARE


def test_a_victim_that_was_not_needed_stays():
    """Two have to leave one node: the pod on the other node, considered first, is given back."""
    gangs = {"new": held(1, gpus=1), "old": held(2, "b"), "p": Gang([Pod(2)], queue="poor")}
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=2)}
    snapshot = cluster(nodes={"a": 1, "b": 3}, queues=queues, gangs={**gangs, "firm": held(1, "b", preemptible=False)})
    assert evicted(decide(snapshot, actions=RECLAIM)) == {"old-1": "p", "old-0": "p"}
    tight = cluster(
        nodes={"a": 2, "b": 2},
        queues=queues,
        gangs={"p": gangs["p"], "new": held(1), "old": held(2, "b")},
    )
    assert evicted(decide(tight, actions=RECLAIM)) == {"new-0": "p"}


def test_what_is_free_or_leaving_is_used_before_anybody_has_to_go():
    gangs = {"v": held(5), "old": Gang([leaving("a", 2)], queue="rich"), "p": Gang(3, queue="poor")}
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=8)}
    result = decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs), actions=RECLAIM)
    assert evicted(result) == {}
    assert set(nominated(result)) == {"p-0", "p-1", "p-2"}


def test_a_victim_moves_where_it_fits():
    nodes = {"a": 4, "b": Node(gpus=4, labels={"kind": "old"})}
    new = Pod(4, selector=(("kind", "old"),))
    gangs = {"v": held(1, "b"), "p": Gang([new], queue="poor")}
    result = decide(
        cluster(nodes=nodes, queues={"rich": Queue(quota=0), "poor": Queue(quota=4)}, gangs=gangs), actions=RECLAIM
    )
    assert evicted(result) == {}
    assert moved(result) == {"v-0": "a"}
    assert nominated(result)["p-0"] == "b"


def test_it_is_proved_in_numbers_that_not_enough_can_be_reclaimed():
    """Eighty pods of eight nodes run; one is beyond what the queue is entitled to, so 79 of 80 can be had."""
    runs = {f"v{number:02}": held(1, f"n{number // 8}") for number in range(79)}
    nodes = {f"n{number}": 8 for number in range(10)}
    queues = {"rich": Queue(quota=1, weight=0), "poor": Queue(quota=80)}
    firm = held(1, "n9", preemptible=False, queue="rich")
    gangs = {**runs, "firm": firm, "p": Gang([Pod(8)] * 10, queue="poor")}
    result = decide(cluster(nodes=nodes, queues=queues, gangs=gangs), actions=RECLAIM)
    reason = waiting(result)["p"].reasons[1]
    assert reason.code == ReasonCode.NOT_ENOUGH_RECLAIMABLE
    numbers = {key: reason.details[key] for key in ("resource", "requested", "free", "reclaimable")}
    assert numbers == {"resource": "gpu", "requested": 80_000, "free": 0, "reclaimable": 79_000}


@pytest.mark.parametrize(
    ("patience", "code"), [({"never": True}, ReasonCode.NEVER_PREEMPTS), ({"delay": 60.0}, ReasonCode.PREEMPTION_DELAY)]
)
def test_a_patient_podgroup_has_nobody_evicted(patience, code):
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=8)}

    def at(now):
        gangs = {"v": held(8), "p": Gang(1, queue="poor", created=100.0, **patience)}
        return decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs, now=now), actions=RECLAIM)

    assert evicted(at(159.0)) == {}
    assert second(at(159.0)) == code
    assert bool(evicted(at(160.0))) == ("delay" in patience)


def test_minimum_run_time_protects_from_reclaim():
    def at(now, **options):
        queues = {"rich": Queue(quota=0, reclaim_min_runtime=60), "poor": Queue(quota=8)}
        gangs = {"v": held(8, minimum=8, started=100.0), "p": Gang(1, queue="poor")}
        return evicted(decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs, now=now), actions=RECLAIM, **options))

    assert len(at(160.0)) == 8
    assert at(159.0, reclaim_resolution="lca") == {}
    assert at(159.0, reclaim_resolution="queue") == {}


def test_reclaims_of_one_cycle_see_each_other():
    """Two podgroups of three, and the other queue may lose four: one is served."""
    gangs = {"v": held(8), "p": Gang(3, queue="poor"), "s": Gang(3, queue="poor")}
    queues = {"rich": Queue(quota=4), "poor": Queue(quota=4)}
    result = decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs), actions=RECLAIM)
    assert set(evicted(result).values()) == {"p"}
    assert len(evicted(result)) == 3
    assert second(result, "s") == ReasonCode.OVER_FAIR_SHARE


def test_the_order_of_the_tables_does_not_decide_who_loses():
    gangs = {"v": held(4), "w": held(4, created=-1), "p": Gang(1, queue="poor")}
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=8)}
    assert list(evicted(decide(cluster(nodes={"a": 8}, queues=queues, gangs=gangs), actions=RECLAIM))) == ["v-3"]
    swapped = {"v": replace(gangs["v"], created=-1), "w": replace(gangs["w"], created=0), "p": gangs["p"]}
    assert list(evicted(decide(cluster(nodes={"a": 8}, queues=queues, gangs=swapped), actions=RECLAIM))) == ["w-3"]


@pytest.mark.parametrize(("quota", "nodes", "most"), [(40, 6, 48), (40, 2, 16), (48, 6, 0)])
def test_no_more_is_moved_than_is_asked_for_and_nothing_of_a_queue_within_its_quota(quota, nodes, most):
    """Queue rich holds 48 GPUs, half of each node; poor wants whole nodes."""
    gangs = {f"v{number:02}": held(1, f"n{number // 4:02}") for number in range(48)}
    gangs["p"] = Gang([Pod(8)] * nodes, queue="poor", preemptible=False)
    queues = {"rich": Queue(quota=quota), "poor": Queue(quota=48)}
    result = decide(cluster(nodes={f"n{number:02}": 8 for number in range(12)}, queues=queues, gangs=gangs))
    assert len(moved(result)) <= most
    assert (len(nominated(result)) > 0) == (most > 0)
    assert evicted(result) == {}


def test_who_gives_way_while_it_stands_in_line_does_not_grow_back():
    """Gang r1 lacks its fourth pod; the other three are taken before its turn comes: the fourth gets no place alone."""
    gangs = {
        "r1": Gang([*[running("a")] * 3, Pod(1)], queue="p0"),
        "r2": Gang([running("a")] * 3, queue="q0"),
        "r3": Gang([running("a")], queue="p0"),
        "r4": Gang([running("b", 2)] * 2, queue="p0"),
        "r5": Gang([running("b", 2)] * 2, queue="q0"),
        "w0": Gang(3, queue="q0"),
        "w1": Gang(4, queue="q0"),
    }
    queues = {
        "p": Queue(quota=2, weight=0),
        "p0": Queue("p", quota=2, limit=8, weight=0),
        "q": Queue(quota=2),
        "q0": Queue("q", quota=2),
    }
    snapshot = cluster(nodes={"a": 8, "b": 8}, queues=queues, gangs=gangs)
    result = decide(snapshot)
    assert {"r1-0", "r1-1", "r1-2"} <= set(evicted(result))
    assert "r1-3" not in nominated(result)
    assert violations(snapshot, result) == ()


def test_a_queue_that_has_just_been_given_places_gives_them_back_with_what_stands_beside_them():
    gangs = {
        "r": Gang([running("a", 6), running("b", 2)], minimum=1, queue="rich"),
        "new": Gang([Pod(3)] * 2, queue="rich"),
        "p": Gang([Pod(8)], queue="poor"),
    }
    queues = {"rich": Queue(quota=8), "poor": Queue(quota=8)}
    snapshot = cluster(nodes={"a": Node(gpus=6), "b": Node(gpus=8)}, queues=queues, gangs=gangs)
    result = decide(snapshot, actions=RECLAIM)
    assert evicted(result) == {"r-1": "p"}
    assert waiting(result)["new"].reasons[0].code == ReasonCode.OUTRANKED
    assert violations(snapshot, result) == ()
