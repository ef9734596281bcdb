"""The checkers find what they are for: each test tampers with a result, or makes one up."""

from dataclasses import replace

import pytest

from kai_py.core.invariants import violations
from kai_py.core.options import Action
from kai_py.core.result import Bind, Diagnosis, Evict, Nominate, Reason, ReasonCode
from kai_py.core.tables.pods import PodState
from tests.core.builders import Gang, Node, Pod, Queue, Sub, cluster, decide, leaving, running

ALLOCATE, CONSOLIDATE, RECLAIM, PREEMPT, STALE = Action
#: A podgroup that others of the same queue have to make room for.
URGENT = Gang(1, priority=100)


def bind(pod, node="a", *, podgroup="g", kind=Bind, action=ALLOCATE):
    return kind(f"ns/{pod}", pod, node, f"ns/{podgroup}", action)


def nominate(pod, node="a", *, podgroup="g", action=PREEMPT):
    return bind(pod, node, podgroup=podgroup, kind=Nominate, action=action)


def evict(pod, node="a", *, podgroup="g", action=PREEMPT, preemptor="ns/p", moved=False):
    return Evict(f"ns/{pod}", pod, node, f"ns/{podgroup}", action, preemptor, moved)


def found(snapshot, *decisions):
    """What is wrong with decisions, apart from diagnoses; as subject -> the first thing."""
    result = replace(decide(snapshot, actions=()), decisions=decisions)
    return {
        violation.subject: violation.what
        for violation in reversed(violations(snapshot, result))
        if "diagnosis" not in violation.what and "says why" not in violation.what
    }


def test_a_sound_result_has_no_violations():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": 4, "h": 5})
    assert violations(snapshot, decide(snapshot)) == ()


def test_a_violation_reads_as_a_sentence():
    snapshot = cluster(nodes={"a": 1}, gangs={"g": Gang([Pod(2)])})
    result = replace(decide(snapshot, actions=()), decisions=(bind("g-0"),))
    assert "a: pods that are starting take 2000 nvidia.com/gpu of 1000 left" in map(str, violations(snapshot, result))


def test_no_node_is_overcommitted():
    assert "a" in found(cluster(nodes={"a": 1}, gangs={"g": 2}), bind("g-0"), bind("g-1"))


def test_a_pod_slot_is_a_resource_too():
    assert "pods" in found(cluster(nodes={"a": Node(pods=1)}, gangs={"g": 2}), bind("g-0"), bind("g-1"))["a"]


def test_what_pods_hold_that_are_leaving_or_stuck_is_not_free():
    for state in (PodState.RELEASING, PodState.STUCK):
        snapshot = cluster(nodes={"a": 1}, gangs={"g": 1, "old": Gang([Pod(1, on="a", state=state)])})
        assert "a" in found(snapshot, bind("g-0"))


def test_an_overcommitted_node_may_stay_so_but_gets_no_more_of_the_same():
    snapshot = cluster(nodes={"a": 1}, foreign={"x": running("a", 2)}, gangs={"g": Gang([Pod(0, cpu=1)]), "h": 1})
    assert found(snapshot, bind("g-0")) == {}
    assert "a" in found(snapshot, bind("h-0", podgroup="h"))


def test_nominations_fit_into_what_is_left_and_what_leaves():
    snapshot = cluster(nodes={"a": 4}, gangs={"g": 4, "old": Gang([leaving("a", 2)])})
    four = [nominate(f"g-{n}") for n in range(4)]
    assert found(snapshot, *four) == {}
    crowded = cluster(nodes={"a": 4}, gangs={"g": 4, "h": 1, "old": Gang([leaving("a", 2)])})
    assert "nominated" in found(crowded, bind("h-0", podgroup="h"), *four)["a"]


def test_nobody_is_nominated_onto_what_a_stuck_pod_holds():
    snapshot = cluster(nodes={"a": 1}, gangs={"g": 1, "old": Gang([Pod(1, on="a", state=PodState.STUCK)])})
    assert "nominated" in found(snapshot, nominate("g-0"))["a"]


def test_evicted_pods_make_room_for_nominations_but_not_for_starts():
    snapshot = cluster(nodes={"a": 1}, gangs={"p": URGENT, "v": Gang([running("a")])})
    going = evict("v-0", podgroup="v")
    assert found(snapshot, going, nominate("p-0", podgroup="p")) == {}
    assert "starting" in found(snapshot, going, bind("p-0", podgroup="p"))["a"]


def test_places_are_allowed_by_the_filters():
    snapshot = cluster(nodes={"a": Node(cordoned=True), "b": 8}, gangs={"g": 1})
    assert "NodeUnschedulable" in found(snapshot, bind("g-0"))["ns/g-0"]
    assert "NodeUnschedulable" in found(snapshot, nominate("g-0"))["ns/g-0"]


def test_a_gang_does_not_start_in_parts():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": 3})
    assert found(snapshot, bind("g-0"), bind("g-1")) == {"ns/g": "starts though the podgroup lacks its minimum"}
    assert "is given places" in found(snapshot, nominate("g-0"), nominate("g-1"))["ns/g"]
    assert "ns/g" in found(snapshot, bind("g-0"), bind("g-1"), nominate("g-2"))
    assert found(snapshot, *(bind(f"g-{n}") for n in range(3))) == {}


def test_members_that_run_already_count():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a"), Pod(), Pod()], minimum=2)})
    assert found(snapshot, bind("g-1")) == {}


def test_every_subgroup_that_starts_is_whole():
    gang = Gang(children={"x": Sub(1), "y": Sub(2)}, min_subgroups=1)
    snapshot = cluster(nodes={"a": 8}, gangs={"g": gang})
    assert found(snapshot, bind("g-x-0")) == {}
    assert "subgroup y" in found(snapshot, bind("g-x-0"), bind("g-y-0"))["ns/g"]


def test_enough_subgroups_start_at_every_level():
    inner = Sub(children={"x": Sub(1), "y": Sub(1)}, min_subgroups=2)
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang(children={"a": inner, "b": Sub(1)}, min_subgroups=2)})
    assert "ns/g" in found(snapshot, bind("g-a-x-0"), bind("g-b-0"))
    assert "ns/g" in found(snapshot, bind("g-a-x-0"), bind("g-a-y-0"))
    assert found(snapshot, bind("g-a-x-0"), bind("g-a-y-0"), bind("g-b-0")) == {}


def test_a_blocked_podgroup_gets_nothing():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang(1, blocked=ReasonCode.BACKING_OFF)})
    assert "blocked" in found(snapshot, bind("g-0"))["ns/g"]


def test_a_victim_loses_what_is_beyond_its_minimum_or_everything():
    victim = Gang([running("a"), running("a"), running("a")], minimum=2)
    snapshot = cluster(nodes={"a": 8}, gangs={"v": victim, "p": URGENT})
    one, two, three = (evict(f"v-{n}", podgroup="v") for n in range(3))
    gain = nominate("p-0", podgroup="p")
    assert found(snapshot, one, gain) == {}
    assert "minimum" in found(snapshot, one, two, gain)["ns/v"]
    assert found(snapshot, one, two, three, gain) == {}


def test_new_work_goes_through_no_limit_on_the_way_up():
    queues = {"lab": Queue(limit=2), "q": Queue("lab")}
    snapshot = cluster(nodes={"a": 8}, queues=queues, gangs={"r": Gang([running("a")]), "g": 2})
    assert "limit" in found(snapshot, bind("g-0"), bind("g-1"))["lab"]
    assert "limit" in found(snapshot, nominate("g-0"), nominate("g-1"))["lab"]


def test_a_queue_that_is_beyond_a_lowered_limit_already_is_left_alone():
    snapshot = cluster(
        nodes={"a": 8}, queues={"q": Queue(limit=1)}, gangs={"r": Gang([running("a", 3)]), "g": Gang([Pod(0)])}
    )
    assert found(snapshot, bind("g-0")) == {}


def test_non_preemptible_new_work_stays_within_the_quota():
    queues = {"q": Queue(quota=1)}
    firm = Gang(1, preemptible=False)
    snapshot = cluster(nodes={"a": 8}, queues=queues, gangs={"g": firm, "h": firm, "soft": Gang([running("a", 4)])})
    assert found(snapshot, bind("g-0")) == {}
    assert "quota" in found(snapshot, bind("g-0"), bind("h-0", podgroup="h"))["q"]


@pytest.mark.parametrize(
    ("decision", "what"),
    [
        (bind("gone-0"), "not a pod that we schedule"),
        (bind("x"), "not a pod that we schedule"),
        (replace(bind("g-0"), uid="another"), "not a pod that we schedule"),
        (bind("g-0", podgroup="h"), "not of podgroup"),
        (bind("g-0", "nowhere"), "does not exist"),
        (bind("g-1"), "is placed though it is BOUND"),
        (nominate("g-1"), "is placed though it is BOUND"),
        (bind("g-2"), "is placed though it is GATED"),
        (evict("g-0"), "where it does not run"),
        (evict("g-1", "b"), "where it does not run"),
        (evict("g-3"), "where it does not run"),
    ],
)
def test_decisions_are_about_what_there_is(decision, what):
    gang = Gang([Pod(), running("a"), Pod(state=PodState.GATED), leaving("a")], minimum=0)
    snapshot = cluster(nodes={"a": 8, "b": 8}, gangs={"g": gang, "h": 1}, foreign={"x": Pod()})
    assert what in found(snapshot, decision)[decision.pod]


@pytest.mark.parametrize("again", [bind("g-0"), bind("g-0", "b"), nominate("g-0", "b")])
def test_a_pod_gets_one_place(again):
    assert found(cluster(nodes={"a": 8, "b": 8}, gangs={"g": 1}), bind("g-0"), again) == {
        "ns/g-0": "is decided about twice"
    }


def test_a_pod_is_evicted_once():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a")]), "p": 1})
    assert found(snapshot, evict("g-0"), evict("g-0")) == {"ns/g-0": "is decided about twice"}


def test_a_pod_that_moves_is_evicted_and_nominated_and_says_so():
    snapshot = cluster(nodes={"a": 8, "b": 8}, gangs={"g": Gang([running("a")]), "p": URGENT})
    gain = nominate("p-0", podgroup="p")
    assert found(snapshot, evict("g-0", moved=True), gain, nominate("g-0", "b")) == {}
    assert "move" in found(snapshot, evict("g-0"), nominate("g-0", "b"))["ns/g-0"]
    assert "move" in found(snapshot, evict("g-0", moved=True))["ns/g-0"]


def test_only_stale_gangs_are_evicted_for_nobody():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a"), Pod()])})
    assert "by preempt for None" in found(snapshot, evict("g-0", preemptor=None))["ns/g-0"]
    assert found(snapshot, evict("g-0", preemptor=None, action=STALE)) == {}


def test_what_has_its_minimum_or_finishes_is_not_stale():
    stale = evict("g-0", preemptor=None, action=STALE)
    sound = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a"), Pod()], minimum=1)})
    finishing = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a"), Pod()], finishing=True)})
    assert "nothing lacks" in found(sound, stale)["ns/g-0"]
    assert "finishes" in found(finishing, stale)["ns/g-0"]


def test_an_eviction_gains_a_place_in_the_same_result_and_by_the_same_action():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a")]), "p": URGENT})
    gain = nominate("p-0", podgroup="p")
    assert found(snapshot, evict("g-0"), gain) == {}
    for other in ((), (bind("p-0", podgroup="p"),), (replace(gain, action=RECLAIM),)):
        assert found(snapshot, evict("g-0"), *other)["ns/p"] == "has others evicted by preempt and gains no place"


@pytest.mark.parametrize(("patience", "what"), [({"never": True}, "never preempts"), ({"delay": 2e6}, "delay")])
def test_whoever_waits_patiently_has_nobody_evicted(patience, what):
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a")]), "p": Gang(1, priority=100, **patience)})
    assert what in found(snapshot, evict("g-0"), nominate("p-0", podgroup="p"))["ns/p"]


def test_preemption_takes_from_lower_priority_in_the_same_queue():
    queues = {"q": Queue(), "r": Queue()}
    gangs = {"g": Gang([running("a")]), "far": Gang([running("a")], queue="r"), "p": Gang(1), "u": URGENT}
    snapshot = cluster(nodes={"a": 8}, queues=queues, gangs=gangs)
    for_p, for_u = nominate("p-0", podgroup="p"), nominate("u-0", podgroup="u")
    assert "not more important" in found(snapshot, evict("g-0"), for_p)["ns/g"]
    assert "another queue" in found(snapshot, evict("far-0", podgroup="far", preemptor="ns/u"), for_u)["ns/far"]
    assert found(snapshot, evict("g-0", preemptor="ns/u"), for_u) == {}


def test_what_was_freed_for_one_is_not_given_to_another():
    queues = {"rich": Queue(quota=0), "q": Queue(quota=4)}
    gangs = {"g": Gang([running("a")], queue="rich"), "p": Gang(1), "u": URGENT}
    snapshot = cluster(nodes={"a": 1}, queues=queues, gangs=gangs)
    takes = nominate("u-0", podgroup="u")
    assert "gains no place" in found(snapshot, evict("g-0", action=RECLAIM), takes)["ns/p"]


def test_reclaim_moves_no_more_than_it_asks_for():
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=4)}
    gangs = {"g": Gang([running("a")] * 2, queue="rich"), "p": Gang(1, queue="poor")}
    snapshot = cluster(nodes={"a": 2, "b": 8}, queues=queues, gangs=gangs)
    gain = nominate("p-0", podgroup="p", action=RECLAIM)
    moves = [(evict(pod, action=RECLAIM, moved=True), nominate(pod, "b", action=RECLAIM)) for pod in ("g-0", "g-1")]
    assert found(snapshot, *moves[0], gain) == {}
    assert "more moved than it asks for" in found(snapshot, *moves[0], *moves[1], gain)["ns/p"]


def test_a_pod_that_moves_within_a_queue_beyond_its_limit_is_not_new():
    queues = {"q": Queue(limit=1)}
    snapshot = cluster(nodes={"a": 8, "b": 8}, queues=queues, gangs={"g": Gang([running("a", 2)]), "p": Gang([Pod(0)])})
    gain = nominate("p-0", podgroup="p", action=CONSOLIDATE)
    moves = (evict("g-0", action=CONSOLIDATE, moved=True), nominate("g-0", "b", action=CONSOLIDATE))
    assert found(snapshot, *moves, gain) == {}


def test_consolidation_ends_nobody():
    snapshot = cluster(nodes={"a": 8, "b": 8}, gangs={"g": Gang([running("a")]), "p": 1})
    gain = nominate("p-0", podgroup="p", action=CONSOLIDATE)
    moves = evict("g-0", action=CONSOLIDATE, moved=True)
    assert found(snapshot, moves, gain, nominate("g-0", "b", action=CONSOLIDATE)) == {}
    assert "lose their places" in found(snapshot, evict("g-0", action=CONSOLIDATE), gain)["ns/p"]


def between(taken, *, rich=2, poor=2, asks=1):
    """What is wrong when queue poor, which has nothing, takes some of the four GPUs of queue rich; by their quotas."""
    gangs = {"v": Gang([running("a")] * 4, minimum=0, queue="rich"), "p": Gang(asks, queue="poor")}
    queues = {"rich": Queue(quota=rich), "poor": Queue(quota=poor)}
    snapshot = cluster(nodes={"a": 4}, queues=queues, gangs=gangs)
    lost = [evict(f"v-{n}", podgroup="v", action=RECLAIM) for n in range(taken)]
    return found(snapshot, *lost, *(nominate(f"p-{n}", podgroup="p", action=RECLAIM) for n in range(asks)))


def test_reclaim_takes_what_is_beyond_quota_and_fair_share():
    assert between(2, asks=2) == {}
    assert between(1) == {}


def test_reclaim_takes_nothing_from_a_queue_within_its_quota():
    assert between(1, rich=4, poor=0) == {
        "poor": "reclaims more than its fair share",
        "rich": "loses to reclaim what it is entitled to",
    }


def test_a_queue_reclaims_no_more_than_its_fair_share():
    assert between(3, asks=3)["poor"] == "reclaims more than its fair share"


def test_a_reclaimer_beyond_its_share_at_any_level_leaves_its_siblings_fuller():
    queues = {
        "x": Queue(quota=2),
        "y": Queue(quota=2),
        "x1": Queue("x", quota=2),
        "x2": Queue("x", quota=2),
        "y1": Queue("y", quota=2),
    }
    gangs = {
        "mine": Gang([running("a")] * 2, queue="x2"),
        "v": Gang([running("b")] * 2, minimum=0, queue="y1"),
        "p": Gang(1, queue="x1"),
    }
    snapshot = cluster(nodes={"a": 2, "b": 2}, queues=queues, gangs=gangs)
    lost = evict("v-0", "b", podgroup="v", action=RECLAIM)
    said = found(snapshot, lost, nominate("p-0", "b", podgroup="p", action=RECLAIM))
    assert said["x"] == "reclaims from y, which is less full"


def test_nobody_is_ended_within_its_minimum_run_time():
    def what(started, **more):
        victim = Gang([running("a")] * 2, minimum=1, started=started)
        queues = {"q": Queue(preempt_min_runtime=60)}
        snapshot = cluster(nodes={"a": 8}, queues=queues, gangs={"v": victim, "p": URGENT}, now=100.0)
        return found(snapshot, *more["lost"], nominate("p-0", podgroup="p"))

    core = [evict(f"v-{n}", podgroup="v") for n in range(2)]
    assert what(41.0, lost=core) == {"ns/v": "loses its minimum within its minimum run time"}
    assert what(40.0, lost=core) == {}
    assert what(41.0, lost=core[:1]) == {}


def test_who_lacks_its_minimum_may_lose_what_is_beyond_it_at_any_time():
    children = {"u": Sub([Pod()]), "m": Sub([running("a")], minimum=0)}
    gangs = {"v": Gang(children=children, started=41.0), "p": URGENT}
    snapshot = cluster(nodes={"a": 8}, queues={"q": Queue(preempt_min_runtime=60)}, gangs=gangs, now=100.0)
    assert found(snapshot, evict("v-m-0", podgroup="v"), nominate("p-0", podgroup="p")) == {}


def test_a_place_that_nobody_had_to_leave_was_not_there_before():
    """Reclaim for w frees more than w needs; consolidation finds room in it for u, of the same queue at its share."""
    gangs = {
        "r": Gang([running("b", 2)] * 3, queue="y"),
        "w": Gang(1, queue="x"),
        "u": Gang([Pod(2)], queue="x"),
    }
    queues = {"x": Queue(quota=2, weight=0), "y": Queue(quota=2, weight=0)}
    snapshot = cluster(nodes={"b": 6}, queues=queues, gangs=gangs)
    result = decide(snapshot, actions=(RECLAIM, Action.CONSOLIDATE))
    assert {one.pod: one.action for one in result.decisions if isinstance(one, Nominate)} == {
        "ns/w-0": RECLAIM,
        "ns/u-0": Action.CONSOLIDATE,
    }
    assert violations(snapshot, result) == ()


def test_whoever_goes_for_somebody_is_preemptible():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang([running("a")], preemptible=False), "p": URGENT})
    assert "not preemptible" in found(snapshot, evict("g-0"), nominate("p-0", podgroup="p"))["ns/g-0"]


def said(snapshot, *diagnoses):
    return {v.subject: v.what for v in violations(snapshot, replace(decide(snapshot), diagnoses=diagnoses))}


REASON = Reason(ReasonCode.UNSCHEDULABLE)


def test_whoever_waits_says_why_and_nobody_else_does():
    snapshot = cluster(nodes={"a": 1}, gangs={"g": 1, "h": 1, "gated": Gang([Pod(state=PodState.GATED)])})
    h, gated = (Diagnosis(f"ns/{name}", "q", (REASON,), (f"ns/{name}-0",)) for name in ("h", "gated"))
    assert said(snapshot, h, gated) == {}
    assert said(snapshot, gated) == {"ns/h": "waits without a diagnosis"}
    assert "ns/g" in said(snapshot, h, gated, replace(h, podgroup="ns/g"))
    assert "diagnoses" in said(snapshot, h, h, gated)
    assert "ns/h" in said(snapshot, replace(h, reasons=()), gated)
    assert "ns/h" in said(snapshot, replace(h, pods=()), gated)


def test_pods_that_require_a_level_are_in_one_domain_of_it():
    nodes = {name: Node(2, labels=labels) for name, labels in (("a", {"rack": "x"}), ("b", {"rack": "y"}), ("c", {}))}
    near = {"required": "rack"}
    snapshot = cluster(
        nodes=nodes, gangs={"g": Gang(2, **near), "h": Gang([running("a"), Pod()], **near)}, levels=["rack"]
    )
    assert found(snapshot, bind("g-0", "b"), bind("g-1", "b")) == {}
    assert "rack" in found(snapshot, bind("g-0", "b"), bind("g-1", "a"))["ns/g"]
    assert "rack" in found(snapshot, bind("g-0", "c"), bind("g-1", "c"))["ns/g"]
    assert "rack" in found(snapshot, bind("h-1", "b", podgroup="h"))["ns/h"]


def test_a_subgroup_that_requires_a_level_is_named():
    nodes = {name: Node(2, labels={"rack": name}) for name in "ab"}
    children = {name: Sub(2, required="rack") for name in "uv"}
    snapshot = cluster(nodes=nodes, gangs={"g": Gang(children=children)}, levels=["rack"])
    places = [bind("g-u-0", "a"), bind("g-u-1", "a"), bind("g-v-0", "a"), bind("g-v-1", "b")]
    assert set(found(snapshot, *places)) == {"a", "ns/g v"}  # the node is overcommitted, too
