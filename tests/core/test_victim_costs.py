"""Who is cheapest to end: by disruption budgets, priority, the work that is lost, and how many."""

import dataclasses

import numpy as np
import pytest

from kai_py.core.options import Action, Options
from kai_py.core.tables.pods import NONE, Budgets
from kai_py.core.victims.chunks import Chunk
from kai_py.core.victims.costs import Costs
from kai_py.core.victims.search import ATTEMPTS
from tests.core.builders import (
    Gang,
    Node,
    Pod,
    Queue,
    Sub,
    cluster,
    decide,
    evicted,
    moved,
    nominated,
    running,
    waiting,
)

NOW = 1_000_000.0
PREEMPT = (Action.ALLOCATE, Action.PREEMPT)
RECLAIM = (Action.ALLOCATE, Action.RECLAIM)
CONSOLIDATE = (Action.ALLOCATE, Action.CONSOLIDATE)


def held(gpus=1, on="a", **what):
    return Gang([running(on, gpus)], **{"priority": 10, **what})


def with_budgets(snapshot, allowed, **of_pod):
    """The snapshot with budgets; ``of_pod`` gives the row of the budget by podgroup."""
    names = [key.name.rpartition("-")[0] for key in snapshot.pods.keys]
    rows = np.array([of_pod.get(name, NONE) for name in names], dtype=np.int32)
    return dataclasses.replace(snapshot, budgets=Budgets(np.array(allowed, dtype=np.int32), rows))


def test_who_has_worked_for_the_shortest_time_goes():
    """The older podgroup has started later: it is the one that loses less."""
    gangs = {"old": held(started=NOW - 60), "new": held(started=NOW - 3600), "p": Gang(1)}
    assert evicted(decide(cluster(nodes={"a": 2}, gangs=gangs), actions=PREEMPT)) == {"old-0": "p"}


def test_work_that_was_saved_is_not_lost():
    gangs = {
        "saved": held(started=NOW - 7200, checkpointed=NOW - 60),
        "young": held(started=NOW - 3600),
        "p": Gang(1),
    }
    assert evicted(decide(cluster(nodes={"a": 2}, gangs=gangs), actions=PREEMPT)) == {"saved-0": "p"}


@pytest.mark.parametrize(
    ("what", "seconds"),
    [
        ({"started": NOW - 100}, 400.0),
        ({"started": NOW - 100, "checkpointed": NOW - 40}, 340.0),
        ({"started": NOW - 100, "checkpointed": NOW + 500}, 300.0),  # a clock that is ahead
        ({}, 0.0),  # nobody knows
    ],
)
def test_each_gpu_loses_the_time_since_the_last_checkpoint_and_a_restart(what, seconds):
    snapshot = cluster(nodes={"a": 8}, gangs={"v": held(2, **what)}, now=NOW)
    costs = Costs(snapshot, Options(restart_seconds=300.0))
    assert costs.seconds.tolist() == [seconds]
    assert costs.work(Chunk(0, (0,), (0, 0, 2000), core=True)) == 2 * seconds


def test_the_least_important_go_even_if_they_lose_more():
    gangs = {
        "low": held(priority=5, started=NOW - 7200),
        "high": held(priority=10, started=NOW - 60),
        "p": Gang(1),
    }
    assert evicted(decide(cluster(nodes={"a": 2}, gangs=gangs), actions=PREEMPT)) == {"low-0": "p"}


def test_one_goes_rather_than_two_of_the_same_size_together():
    gangs = {"new": held(1, "a"), "newer": held(1, "a"), "old": held(2, "b"), "p": Gang([Pod(2)])}
    gangs = {"old": gangs["old"], "new": gangs["new"], "newer": gangs["newer"], "p": gangs["p"]}
    assert evicted(decide(cluster(nodes={"a": 2, "b": 2}, gangs=gangs), actions=PREEMPT)) == {"old-0": "p"}


def test_two_small_ones_go_rather_than_a_large_one_that_loses_more_work():
    gangs = {
        "large": held(5, started=NOW - 60),
        "x": held(1, started=NOW - 60),
        "y": held(1, started=NOW - 60),
        "p": Gang([Pod(3)]),
    }
    assert set(evicted(decide(cluster(nodes={"a": 8}, gangs=gangs), actions=PREEMPT))) == {"x-0", "y-0"}


def test_a_gang_is_priced_with_all_its_pods():
    """One pod of the gang would make as much room as the single pod; but the gang would lose its other pod, too."""
    gangs = {"one": held(), "gang": Gang([running("a"), running("b")], priority=10), "p": Gang(1)}
    assert evicted(decide(cluster(nodes={"a": 2, "b": 1}, gangs=gangs), actions=PREEMPT)) == {"one-0": "p"}


def test_who_is_under_an_exhausted_budget_goes_last():
    gangs = {"safe": held(priority=1), "free": held(priority=10), "p": Gang(1)}
    snapshot = cluster(nodes={"a": 2}, gangs=gangs)
    assert evicted(decide(snapshot, actions=PREEMPT)) == {"safe-0": "p"}
    assert evicted(decide(with_budgets(snapshot, [0], safe=0), actions=PREEMPT)) == {"free-0": "p"}
    both = with_budgets(snapshot, [0, 0], safe=0, free=1)
    assert evicted(decide(both, actions=PREEMPT)) == {"safe-0": "p"}


def test_no_more_of_one_budget_go_than_it_allows():
    """Two of the three on a are under one budget that allows one; the two on b are under none."""
    gangs = {"x": held(1, "a"), "y": held(1, "a"), "u": held(1, "b"), "v": held(1, "b"), "p": Gang([Pod(2)])}
    snapshot = cluster(nodes={"a": 2, "b": 2}, gangs={"u": gangs["u"], "v": gangs["v"], **gangs})
    assert set(evicted(decide(snapshot, actions=PREEMPT))) == {"x-0", "y-0"}
    assert set(evicted(decide(with_budgets(snapshot, [2], x=0, y=0), actions=PREEMPT))) == {"x-0", "y-0"}
    assert set(evicted(decide(with_budgets(snapshot, [1], x=0, y=0), actions=PREEMPT))) == {"u-0", "v-0"}


def test_what_one_search_takes_from_a_budget_the_next_one_misses():
    """Both preemptors would take a pod of the budget, which allows one."""
    gangs = {"x": held(1, "a"), "y": held(1, "b"), "u": held(1, "c", created=0), "p": Gang(1), "r": Gang(1)}
    snapshot = cluster(nodes=dict.fromkeys("abc", 1), gangs={"u": gangs["u"], **gangs})
    assert set(evicted(decide(snapshot, actions=PREEMPT))) == {"x-0", "y-0"}
    assert set(evicted(decide(with_budgets(snapshot, [1], x=0, y=0), actions=PREEMPT))) == {"y-0", "u-0"}


def test_who_was_evicted_lately_is_not_moved():
    def movers(**what):
        gangs = {"x": held(1, "a", **what), "y": held(1, "b", started=NOW - 900), "p": Gang([Pod(2)])}
        snapshot = cluster(nodes={"a": 2, "b": 2}, gangs=gangs)
        return set(moved(decide(snapshot, actions=CONSOLIDATE, consolidation_pause=300.0)))

    assert movers() == {"x-0"}
    assert movers(evicted=NOW - 301) == {"x-0"}
    assert movers(evicted=NOW - 299) == {"y-0"}


def maze(nodes):
    """Many nodes where the pod that stands in the way fits nowhere else, and one, considered last, where one does."""
    gangs = {f"x{number:02}": held(3, f"n{number:02}", created=9) for number in range(nodes)}
    gangs["good"] = Gang([running("z", 1)] * 3, minimum=0, priority=10, created=0)
    names = [f"n{number:02}" for number in range(nodes)]
    return cluster(nodes={**dict.fromkeys(names, 4), "z": 4}, gangs={**gangs, "p": Gang([Pod(2)])})


def test_a_search_that_its_budget_ended_goes_on_where_it_was():
    snapshot = maze(ATTEMPTS + 12)
    first = decide(snapshot, actions=CONSOLIDATE)
    assert nominated(first) == {}
    assert first.searched == {("ns/p", "consolidate"): ATTEMPTS}
    row = next(row for row, key in enumerate(snapshot.podgroups.keys) if key.name == "p")
    podgroups = dataclasses.replace(snapshot.podgroups, searched={(row, Action.CONSOLIDATE): ATTEMPTS})
    second = decide(dataclasses.replace(snapshot, podgroups=podgroups), actions=CONSOLIDATE)
    assert nominated(second)["p-0"] == "z"
    assert second.searched == {}


def test_a_search_that_has_seen_everything_begins_anew():
    assert nominated(decide(maze(ATTEMPTS - 12), actions=CONSOLIDATE))["p-0"] == "z"
    nothing = cluster(nodes={"a": 4, "b": 4}, gangs={"x": held(3, "a"), "y": held(3, "b"), "p": Gang([Pod(2)])})
    assert decide(nothing, actions=CONSOLIDATE).searched == {}


def test_where_all_victims_together_are_not_enough_the_reason_says_how_many_would_fit():
    """Eighty pods of lower priority, on nodes that others keep too full for a third pod of four GPUs."""
    gangs = {f"v{number:02}": held(1, f"n{number % 40:02}") for number in range(80)}
    gangs |= {f"k{number:02}": held(2, f"n{number:02}", preemptible=False) for number in range(38)}
    snapshot = cluster(nodes={f"n{number:02}": 4 for number in range(40)}, gangs={**gangs, "p": Gang([Pod(4)] * 3)})
    reason = waiting(decide(snapshot, actions=PREEMPT))["p"].reasons[1]
    assert reason.details == {"fits": 2, "pods": 3}


def test_of_a_subgroup_that_loses_its_minimum_nobody_is_left():
    """Each child needs two; the third pod of the child that has to go is of no use, and goes with it."""
    children = {"s": Sub([running("a"), running("a")]), "t": Sub([running("b"), running("b"), running("c")], minimum=2)}
    gangs = {"v": Gang(children=children, min_subgroups=1, queue="rich"), "p": Gang([Pod(2)], queue="poor")}
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=5)}
    nodes = {"a": Node(gpus=2), "b": Node(gpus=2), "c": Node(gpus=1)}
    result = decide(cluster(nodes=nodes, gangs=gangs, queues=queues), actions=RECLAIM)
    assert len(evicted(result)) in (2, 3)
    left = {"v-s-0", "v-s-1", "v-t-0", "v-t-1", "v-t-2"} - set(evicted(result))
    assert left in ({"v-s-0", "v-s-1"}, {"v-t-0", "v-t-1", "v-t-2"})
