"""Preemption within a queue, and for how long a podgroup is safe from it and from reclaim."""

from math import nan

import pytest

from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options
from kai_py.core.queues.min_runtime import preempt_min_runtime, reclaim_min_runtime
from kai_py.core.result import ReasonCode
from tests.core.builders import Gang, Pod, Queue, cluster, decide, evicted, nominated, running, waiting

PREEMPT = (Action.ALLOCATE, Action.PREEMPT)


def held(count=1, on="a", *, gpus=1, **what):
    return Gang([running(on, gpus)] * count, **what)


def cycle(gangs, *, nodes=None, queues=None, now=1_000_000.0, **options):
    snapshot = cluster(nodes=nodes or {"a": 4}, gangs=gangs, queues=queues, now=now)
    return decide(snapshot, **{"actions": PREEMPT, **options})


@pytest.mark.parametrize(("priority", "loses"), [(49, True), (50, False), (51, False)])
def test_only_strictly_lower_priority_makes_room(priority, loses):
    result = cycle({"v": held(4, priority=priority), "p": Gang(1, priority=50)})
    assert bool(evicted(result)) == loses
    assert bool(nominated(result)) == loses


def test_the_least_important_of_the_lower_ones_goes():
    gangs = {"low": held(priority=10), "older": held(priority=20), "younger": held(priority=20), "x": held(priority=90)}
    assert evicted(cycle({**gangs, "p": Gang(1, priority=50)})) == {"low-0": "p"}
    assert evicted(cycle({**gangs, "p": Gang(2, priority=50)})) == {"low-0": "p", "younger-0": "p"}


def test_the_important_one_that_shares_a_node_with_the_unimportant_is_spared():
    """Two GPUs on one node: the least important alone does not make room, and its eviction would help nobody."""
    gangs = {
        "lowest": held(1, "b", priority=1),
        "firm": held(1, "b", preemptible=False),
        "low": held(2, "a", priority=2, minimum=0),
        "p": Gang([Pod(2)]),
    }
    assert evicted(cycle(gangs, nodes={"a": 2, "b": 2})) == {"low-1": "p", "low-0": "p"}


def test_other_queues_and_what_cannot_be_preempted_are_left_alone():
    queues = {"q": Queue(), "r": Queue()}
    gangs = {"far": held(2, priority=1, queue="r"), "firm": held(2, priority=1, preemptible=False)}
    result = cycle({**gangs, "p": Gang(1, priority=50)}, queues=queues)
    assert evicted(result) == {}
    assert nominated(result) == {}


def test_what_cannot_be_preempted_itself_preempts_within_its_quota():
    def lost(quota):
        gangs = {"v": held(4, priority=1, minimum=0), "p": Gang(2, preemptible=False)}
        return evicted(cycle(gangs, queues={"q": Queue(quota=quota)}))

    assert len(lost(2)) == 2
    assert lost(1) == {}


def test_a_queue_at_its_limit_makes_room_within_itself_though_nodes_are_free():
    gangs = {"v": held(2, priority=1, minimum=0), "p": Gang(1)}
    result = cycle(gangs, nodes={"a": 8}, queues={"q": Queue(limit=2)})
    assert evicted(result) == {"v-1": "p"}
    assert nominated(result) == {"p-0": "a"}


def test_a_gang_is_preempted_whole_once_its_surplus_is_gone():
    assert len(evicted(cycle({"v": held(4, priority=1, minimum=3), "p": Gang(1)}))) == 1
    assert len(evicted(cycle({"v": held(4, priority=1, minimum=3), "p": Gang(2)}))) == 4


def test_a_victim_that_was_not_needed_is_given_back():
    """Two of three small ones make room for two; the third, which was considered before them, stays."""
    gangs = {
        "b": held(1, "b", priority=1),
        "firm": held(1, "b", preemptible=False),
        "a1": held(1, "a", priority=2),
        "a2": held(1, "a", priority=3),
        "p": Gang([Pod(2)]),
    }
    assert set(evicted(cycle(gangs, nodes={"a": 2, "b": 2}))) == {"a1-0", "a2-0"}


def test_a_gang_of_different_pods_is_served_too():
    gangs = {"v": held(4, priority=1, minimum=0), "p": Gang([Pod(2), Pod(1)])}
    result = cycle(gangs)
    assert len(evicted(result)) == 3
    assert set(nominated(result)) == {"p-0", "p-1"}


def test_when_all_victims_are_not_enough_nobody_goes():
    gangs = {"v": held(2, priority=1, minimum=0), "firm": held(2, preemptible=False), "p": Gang(3)}
    result = cycle(gangs)
    assert evicted(result) == {}
    reason = waiting(result)["p"].reasons[1]
    assert reason.code == ReasonCode.NOT_ENOUGH_VICTIMS
    assert reason.details == {"fits": 2, "pods": 3}


def test_who_never_preempts_waits_and_says_so():
    result = cycle({"v": held(4, priority=1), "p": Gang(1, never=True)})
    assert evicted(result) == {}
    assert waiting(result)["p"].reasons[1].code == ReasonCode.NEVER_PREEMPTS


def test_the_preemption_delay_counts_from_the_creation():
    def lost(now):
        return cycle({"v": held(4, priority=1, minimum=0), "p": Gang(1, created=100.0, delay=30.0)}, now=now)

    assert evicted(lost(129.0)) == {}
    assert waiting(lost(129.0))["p"].reasons[1].details == {"seconds": 1.0}
    assert evicted(lost(130.0)) == {"v-3": "p"}


def test_minimum_run_time_protects_from_preemption():
    def lost(now):
        gangs = {"v": held(4, priority=1, started=100.0), "p": Gang(1)}
        return evicted(cycle(gangs, now=now, queues={"q": Queue(preempt_min_runtime=60)}))

    assert lost(159.0) == {}
    assert len(lost(160.0)) == 4


#: A tree with values here and there: (parent, preempt, reclaim).
TREE = {
    "x": Queue(preempt_min_runtime=1, reclaim_min_runtime=11),
    "y": Queue(),
    "x1": Queue("x", reclaim_min_runtime=12),
    "x2": Queue("x"),
    "x11": Queue("x1", preempt_min_runtime=3, reclaim_min_runtime=13),
    "x12": Queue("x1"),
    "y1": Queue("y"),
}


@pytest.mark.parametrize(("victim", "seconds"), [("x11", 3), ("x12", 1), ("x2", 1), ("y1", 99)])
def test_preemption_goes_by_the_nearest_value_upwards_and_else_by_the_default(victim, seconds):
    table = cluster(nodes={}, queues=TREE).queues
    assert preempt_min_runtime(table, table.names.index(victim), Options(preempt_min_runtime=99)) == seconds


@pytest.mark.parametrize(
    ("victim", "reclaimer", "lca", "queue"),
    [
        ("x11", "x12", 13, 13),  # siblings: the victim's own value
        ("x12", "x11", 12, 12),
        ("x11", "x2", 12, 13),  # the lowest common queue is x: the value of x1
        ("x2", "x11", 11, 11),
        ("x11", "y1", 11, 13),  # nothing in common: the value of the top queue
        ("y1", "x11", 99, 99),
    ],
)
def test_reclaim_goes_by_the_queue_below_the_lowest_common_one_or_by_the_own_one(victim, reclaimer, lca, queue):
    table = cluster(nodes={}, queues=TREE).queues
    rows = table.names.index(victim), table.names.index(reclaimer)
    for resolution, seconds in (("lca", lca), ("queue", queue)):
        options = Options(reclaim_min_runtime=99, reclaim_resolution=resolution)
        assert reclaim_min_runtime(table, *rows, options) == seconds


def test_an_elastic_podgroup_gives_its_surplus_within_its_minimum_run_time():
    gangs = {"v": held(4, priority=1, minimum=3, started=100.0), "p": Gang(1)}
    queues = {"q": Queue(preempt_min_runtime=60)}
    assert evicted(cycle(gangs, now=120.0, queues=queues)) == {"v-3": "p"}


def test_a_queue_without_values_protects_nobody():
    table = cluster(nodes={}, queues={"q": Queue(preempt_min_runtime=nan)}).queues
    assert preempt_min_runtime(table, 0, Options()) == 0.0


def test_a_place_that_is_lost_and_had_again_by_another_action_is_told_as_that_one_s():
    """Consolidation finds a place for r5's fourth pod, preemption takes it, and reclaim evicts r6 to give it back."""
    queues = {
        "p": Queue(quota=2, weight=0),
        "p0": Queue("p", quota=2, weight=0),
        "p1": Queue("p", quota=8, weight=0),
    }
    gangs = {
        "r1": Gang([running("a", 4)], queue="p0", preemptible=False),
        "r4": Gang([running("b")] * 4, queue="p0"),
        "r5": Gang([*[running("c")] * 3, Pod(1)], minimum=1, queue="p1"),
        "r6": Gang([running("c", 4)], queue="p0"),
        "w0": Gang([Pod(2)], queue="p1", priority=75),
    }
    snapshot = cluster(nodes={"a": 4, "b": 4, "c": 8}, queues=queues, gangs=gangs)
    result = decide(snapshot, actions=(Action.CONSOLIDATE, Action.PREEMPT, Action.RECLAIM))
    told = {decision.pod: decision.action for decision in result.decisions}
    assert told["ns/r5-3"] == told["ns/r6-0"] == Action.RECLAIM
    assert violations(snapshot, result) == ()
