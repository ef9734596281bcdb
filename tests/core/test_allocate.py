"""Whole cycles: what is bound, what is nominated, and what is said to the rest."""

from math import inf

import pytest

from kai_py.core.invariants import violations
from kai_py.core.options import Action, Strategy
from kai_py.core.result import ReasonCode
from kai_py.core.tables.pods import PodState
from tests.core.builders import (
    Gang,
    Node,
    Pod,
    Queue,
    Sub,
    bound,
    cluster,
    codes,
    decide,
    leaving,
    nominated,
    running,
    waiting,
)


def cycle(*, options=None, **what):
    """One cycle, whose result keeps all invariants."""
    snapshot = cluster(**what)
    result = decide(snapshot, **(options or {}))
    assert violations(snapshot, result) == ()
    return result


def test_pods_are_packed_onto_few_nodes():
    result = cycle(nodes={"a": 8, "b": 8}, foreign={"x": running("b", 4)}, gangs={"g": 4})
    assert set(bound(result).values()) == {"b"}


def test_pods_are_spread_when_the_operator_says_so():
    result = cycle(nodes={"a": 8, "b": 8}, gangs={"g": 4}, options={"gpu": Strategy.SPREAD})
    assert sorted(bound(result).values()) == ["a", "a", "b", "b"]


def test_a_gang_that_does_not_fit_starts_nothing_and_leaves_room_for_others():
    result = cycle(nodes={"a": 8}, gangs={"large": 9, "small": 8})
    assert set(bound(result)) == {f"small-{n}" for n in range(8)}
    refusal = waiting(result)["large"].reasons[0]
    assert refusal.code is ReasonCode.GANG_DOES_NOT_FIT
    assert refusal.details == {"nodes": 1, "placed": 8, "pods": 9}


def test_a_gang_that_no_node_takes_says_what_is_missing():
    refusal = waiting(cycle(nodes={"a": 8, "b": 4}, gangs={"g": Gang([Pod(10)])}))["g"].reasons[0]
    assert refusal.code is ReasonCode.UNSCHEDULABLE
    assert refusal.nodes == {"InsufficientResources": 2}
    assert refusal.shortages == {"nvidia.com/gpu": (2, 2000)}


def test_a_gang_of_four_of_which_one_must_wait_is_nominated_whole():
    result = cycle(nodes={"a": 3, "b": 1}, gangs={"old": Gang([leaving("b")]), "g": 4})
    assert bound(result) == {}
    assert sorted(nominated(result).values()) == ["a", "a", "a", "b"]
    assert waiting(result)["g"].reasons[0].details == {"nominated": 4, "pods": 4}


def test_what_is_nominated_is_not_given_to_anybody_else():
    result = cycle(nodes={"a": 3, "b": 1}, gangs={"old": Gang([leaving("b")]), "g": 4, "late": 1})
    assert bound(result) == {}
    assert codes(result) == {"g": ReasonCode.WAITING_FOR_RELEASE, "late": ReasonCode.UNSCHEDULABLE}


def test_idle_capacity_is_given_away_when_what_leaves_suffices_for_the_nominated():
    result = cycle(nodes={"a": 8}, gangs={"old": Gang([leaving("a", 4)]), "g": Gang([Pod(4), Pod(4)]), "late": 1})
    assert bound(result) == {}
    result = cycle(nodes={"a": 8}, gangs={"old": Gang([leaving("a", 6)]), "g": Gang([Pod(6)]), "late": Gang([Pod(2)])})
    assert (set(bound(result)), set(nominated(result))) == ({"late-0"}, {"g-0"})


def test_nobody_counts_on_a_pod_that_is_stuck_in_leaving():
    stuck = Pod(4, on="a", state=PodState.STUCK)
    result = cycle(nodes={"a": 4}, gangs={"old": Gang([stuck]), "g": 1})
    assert codes(result)["g"] is ReasonCode.UNSCHEDULABLE


def test_growth_is_bound_when_the_minimum_is_and_waits_on_its_own():
    result = cycle(nodes={"a": 2, "b": 1}, gangs={"old": Gang([leaving("b")]), "g": Gang(3, minimum=2)})
    assert (set(bound(result)), set(nominated(result))) == ({"g-0", "g-1"}, {"g-2"})
    assert waiting(result)["g"].has_minimum


def test_growth_is_nominated_when_the_minimum_had_to_be():
    gangs = {"old": Gang([leaving("b", 2)]), "g": Gang([Pod(2), Pod(2), Pod(1)], minimum=2)}
    result = cycle(nodes={"a": 3, "b": 2}, gangs=gangs)
    assert bound(result) == {}
    assert nominated(result) == {"g-0": "a", "g-1": "b", "g-2": "a"}


def test_a_further_subgroup_of_which_one_pod_must_wait_is_nominated_whole_beside_one_that_starts():
    gangs = {"old": Gang([leaving("b")]), "g": Gang(children={"x": Sub(2), "y": Sub(2)}, min_subgroups=1)}
    result = cycle(nodes={"a": 3, "b": 1}, gangs=gangs)
    assert set(bound(result)) == {"g-x-0", "g-x-1"}
    assert nominated(result) == {"g-y-0": "a", "g-y-1": "b"}


def test_growth_within_a_nominated_subgroup_is_nominated_too():
    subgroups = {"x": Sub(1), "y": Sub([Pod(2), Pod(1)], minimum=1)}
    gangs = {"old": Gang([leaving("b", 2)]), "g": Gang(children=subgroups, min_subgroups=1)}
    result = cycle(nodes={"a": 2, "b": 2}, gangs=gangs)
    assert (set(bound(result)), set(nominated(result))) == ({"g-x-0"}, {"g-y-0", "g-y-1"})


def test_a_gang_that_runs_in_part_starts_when_the_rest_fits():
    result = cycle(nodes={"a": 8}, gangs={"g": Gang([running("a"), Pod(), Pod()], minimum=3)})
    assert set(bound(result)) == {"g-1", "g-2"}


def test_a_gang_that_runs_in_part_waits_when_the_rest_does_not_fit():
    result = cycle(nodes={"a": 2}, gangs={"g": Gang([running("a"), Pod(), Pod()], minimum=3)})
    assert bound(result) == {}
    assert codes(result) == {"g": ReasonCode.GANG_DOES_NOT_FIT}


def test_an_elastic_podgroup_takes_what_there_is():
    result = cycle(nodes={"a": 4}, gangs={"g": Gang(6, minimum=2)})
    assert len(bound(result)) == 4
    diagnosis = waiting(result)["g"]
    assert (diagnosis.reasons[0].code, diagnosis.has_minimum) == (ReasonCode.UNSCHEDULABLE, True)
    assert diagnosis.pods == ("ns/g-4", "ns/g-5")


def test_a_smaller_pod_grows_past_a_larger_one_that_does_not_fit():
    result = cycle(nodes={"a": 4}, gangs={"g": Gang([Pod(3), Pod(3), Pod(1)], minimum=1)})
    assert set(bound(result)) == {"g-0", "g-2"}


def test_minima_come_before_growth_of_the_same_priority():
    result = cycle(nodes={"a": 3}, gangs={"elastic": Gang(3, minimum=1), "late": 1})
    assert set(bound(result)) == {"elastic-0", "elastic-1", "late-0"}


def test_growth_of_a_higher_priority_comes_before_minima_of_a_lower_one():
    result = cycle(nodes={"a": 3}, gangs={"elastic": Gang(3, minimum=1, priority=75), "late": 1})
    assert set(bound(result)) == {"elastic-0", "elastic-1", "elastic-2"}


def test_growth_beyond_a_limit_is_said_to_be_about_growth():
    result = cycle(nodes={"a": 8}, queues={"q": Queue(limit=2)}, gangs={"g": Gang(3, minimum=2)})
    diagnosis = waiting(result)["g"]
    assert (diagnosis.reasons[0].code, diagnosis.has_minimum) == (ReasonCode.OVER_LIMIT, True)


def test_a_nominated_minimum_is_reported_before_growth_that_found_no_place():
    gangs = {"old": Gang([leaving("a", 2)]), "g": Gang([Pod(2), Pod(1)], minimum=1)}
    result = cycle(nodes={"a": 2}, gangs=gangs, options={"actions": (Action.ALLOCATE,)})
    assert [reason.code for reason in waiting(result)["g"].reasons] == [
        ReasonCode.WAITING_FOR_RELEASE,
        ReasonCode.UNSCHEDULABLE,
    ]
    assert not waiting(result)["g"].has_minimum


def test_what_a_queue_may_not_take_it_does_not_get_on_an_empty_cluster_either():
    queues = {"q": Queue(quota=2)}
    result = cycle(
        nodes={"a": 8}, queues=queues, gangs={"g": Gang(2, preemptible=False), "h": Gang(1, preemptible=False)}
    )
    assert set(bound(result)) == {"g-0", "g-1"}
    assert codes(result) == {"h": ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA}


def test_a_queue_without_weight_may_use_idle_capacity_beyond_its_fair_share():
    result = cycle(nodes={"a": 16}, queues={"q": Queue(quota=4, weight=0)}, gangs={f"g{n}": 1 for n in range(10)})
    assert len(bound(result)) == 10
    assert result.shares.fair_share[0, 2] == 4000


def test_two_queues_share_what_is_scarce():
    queues = {"p": Queue(quota=4), "q": Queue(quota=4)}
    gangs = {f"{queue}{n}": Gang(1, queue=queue) for queue in "pq" for n in range(8)}
    started = sorted(name[0] for name in bound(cycle(nodes={"a": 8}, queues=queues, gangs=gangs)))
    assert started == ["p"] * 4 + ["q"] * 4


def test_departments_share_before_their_queues_do():
    queues = {
        "lab": Queue(quota=4),
        "shop": Queue(quota=4),
        "l1": Queue("lab"),
        "l2": Queue("lab"),
        "s1": Queue("shop"),
    }
    gangs = {f"{queue}-{n}": Gang(1, queue=queue) for queue in ("l1", "l2", "s1") for n in range(8)}
    started = [name[:2] for name in bound(cycle(nodes={"a": 8}, queues=queues, gangs=gangs))]
    assert {queue: started.count(queue) for queue in ("l1", "l2", "s1")} == {"l1": 2, "l2": 2, "s1": 4}


def test_a_gang_without_all_its_pods_waits_for_them():
    diagnosis = waiting(cycle(nodes={"a": 8}, gangs={"g": Gang(2, minimum=3)}))["g"]
    assert diagnosis.reasons[0].code is ReasonCode.GANG_NOT_READY
    assert diagnosis.reasons[0].details == {"subGroup": "", "minMember": 3, "pods": 2, "gated": 0}
    assert diagnosis.position == 0


def test_a_gang_held_back_by_scheduling_gates_says_so():
    gated = Pod(state=PodState.GATED)
    result = cycle(nodes={"a": 8}, gangs={"g": Gang([Pod(), gated]), "h": Gang([gated])})
    assert codes(result) == {"g": ReasonCode.GATED, "h": ReasonCode.GATED}
    assert waiting(result)["h"].pods == ("ns/h-0",)


def test_too_few_subgroups_are_reported_as_such():
    result = cycle(nodes={"a": 8}, gangs={"g": Gang(children={"x": Sub(1)}, min_subgroups=2)})
    assert waiting(result)["g"].reasons[0].details == {"subGroup": "", "minSubGroup": 2, "subGroups": 1}


def test_the_subgroup_that_cannot_be_formed_is_named():
    inner = Sub(children={"x": Sub(1), "y": Sub(1, minimum=2)})
    result = cycle(nodes={"a": 8}, gangs={"g": Gang(children={"a": Sub(1), "b": inner})})
    assert waiting(result)["g"].reasons[0].details["subGroup"] == "y"


def test_a_blocked_podgroup_waits_for_the_reason_that_it_came_with():
    result = cycle(nodes={"a": 8}, gangs={"g": Gang(1, queue="gone", blocked=ReasonCode.QUEUE_MISSING), "h": 1})
    assert codes(result) == {"g": ReasonCode.QUEUE_MISSING}
    assert set(bound(result)) == {"h-0"}


def test_the_queue_depth_counts_only_those_who_could_start():
    gangs = {"incomplete": Gang(1, minimum=2), "first": 1, "second": 1, "third": 1}
    result = cycle(
        nodes={"a": 8}, gangs=gangs, options={"queue_depth": {Action.ALLOCATE: 2}, "actions": (Action.ALLOCATE,)}
    )
    assert set(bound(result)) == {"first-0", "second-0"}
    assert codes(result) == {"incomplete": ReasonCode.GANG_NOT_READY, "third": ReasonCode.QUEUE_DEPTH}
    assert waiting(result)["third"].position == 3


def test_the_queue_depth_holds_for_every_leaf_queue_apart():
    gangs = {f"{queue}{n}": Gang(1, queue=queue) for queue in "pq" for n in range(3)}
    result = cycle(
        nodes={"a": 8}, queues={"p": Queue(), "q": Queue()}, gangs=gangs, options={"queue_depth": {Action.ALLOCATE: 1}}
    )
    assert set(bound(result)) == {"p0-0", "q0-0"}


def test_the_place_in_line_is_the_order_of_service():
    result = cycle(nodes={"a": 1}, gangs={"old": Gang(2), "urgent": Gang(2, priority=90), "young": Gang(2)})
    assert {name: diagnosis.position for name, diagnosis in waiting(result).items()} == {
        "urgent": 1,
        "old": 2,
        "young": 3,
    }


def test_a_larger_gang_that_failed_does_not_speak_for_a_smaller_one():
    result = cycle(nodes={"a": 4}, gangs={"g5": 5, "g3": 3, "g2": 2})
    assert set(bound(result)) == {"g3-0", "g3-1", "g3-2"}
    assert set(codes(result).values()) == {ReasonCode.GANG_DOES_NOT_FIT}


def test_a_gang_of_several_classes_that_failed_does_not_speak_for_its_parts():
    pods = [Pod(2), Pod(3)]
    result = cycle(nodes={"a": 4}, gangs={"mixed": Gang(pods), "again": Gang(pods), "large": Gang([Pod(3)])})
    assert set(bound(result)) == {"large-0"}


def test_an_action_that_is_not_listed_does_not_run():
    result = cycle(nodes={"a": 8}, gangs={"g": Gang(1, minimum=2)}, options={"actions": ()})
    assert result.decisions == ()


def test_the_numbers_of_the_queues_are_those_before_the_cycle():
    shares = cycle(
        nodes={"a": 8}, queues={"q": Queue(quota=4)}, gangs={"r": Gang([running("a", 2)], preemptible=False), "g": 3}
    ).shares
    assert shares.allocated[0, 2] == 2000
    assert shares.allocated_non_preemptible[0, 2] == 2000
    assert shares.requested[0, 2] == 5000
    assert shares.fair_share[0, 2] == 5000


def test_capacity_is_what_ready_nodes_offer_and_foreign_pods_leave():
    result = cycle(
        nodes={"a": 8, "b": Node(ready=False)},
        queues={"q": Queue(quota=inf)},
        foreign={"x": running("a", 3), "y": running("b", 1)},
        gangs={"g": Gang(20, minimum=0)},
    )
    assert result.shares.fair_share[0, 2] == 5000


def test_a_foreign_overcommitment_leaves_nothing_to_share_and_nothing_negative():
    result = cycle(nodes={"a": 1}, foreign={"x": running("a", 3)}, gangs={"g": 1})
    assert result.shares.fair_share[0, 2] == 0
    assert codes(result) == {"g": ReasonCode.UNSCHEDULABLE}


def test_a_pod_without_a_slot_on_any_node_waits():
    result = cycle(nodes={"a": Node(pods=1)}, foreign={"x": running("a", 0)}, gangs={"g": 1})
    assert waiting(result)["g"].reasons[0].shortages == {"pods": (1, 1)}


def test_an_empty_cluster_decides_nothing():
    result = cycle(nodes={}, gangs={})
    assert (result.decisions, result.diagnoses) == ((), ())


@pytest.mark.parametrize("gangs", [{"g": 1}, {"g": Gang(3, minimum=0)}, {"g": Gang(children={"x": Sub(1)})}])
def test_without_nodes_everybody_waits(gangs):
    assert codes(cycle(nodes={}, gangs=gangs))["g"] in (ReasonCode.UNSCHEDULABLE, ReasonCode.GANG_DOES_NOT_FIT)
