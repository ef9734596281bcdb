"""Room in one domain: in which one, and at whose expense."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.invariants import violations
from kai_py.core.options import Action
from kai_py.core.result import Reason, ReasonCode
from tests.core.builders import (
    Gang,
    Node,
    Pod,
    Sub,
    cluster,
    decide,
    evicted,
    moved,
    nominated,
    running,
    waiting,
)

ACTIONS = (Action.ALLOCATE, Action.PREEMPT)


def rack(path, gpus=2):
    return Node(gpus, labels=dict(zip(("zone", "rack"), path, strict=False)))


def of_g(places):
    return {pod: node for pod, node in places.items() if pod.startswith("g-")}


def test_the_domain_with_the_least_important_victims_is_taken():
    nodes = {f"{path}{row}": rack(path) for path in ("xa", "xb", "xc") for row in (1, 2)}
    importance = {"xa": 60, "xb": 50, "xc": 55}
    gangs = {f"r{node}": Gang([running(node, 2)], priority=importance[node[:2]]) for node in nodes}
    result = decide(cluster(nodes=nodes, gangs={**gangs, "g": Gang(4, priority=75, required="rack")}))
    assert evicted(result) == {"rxb1-0": "g", "rxb2-0": "g"}


def test_who_is_in_the_way_of_nobody_stays():
    """Of the four in the rack two are enough; the older ones stay."""
    nodes = {"xa1": rack("xa", 4), "xb1": rack("xb", 1)}
    gangs = {f"r{n}": Gang([running("xa1")]) for n in range(4)} | {"s": Gang([running("xb1")])}
    result = decide(cluster(nodes=nodes, gangs={**gangs, "g": Gang(2, priority=75, required="rack")}))
    assert evicted(result) == {"r2-0": "g", "r3-0": "g"}


def test_a_gang_that_loses_a_member_in_the_domain_goes_whole():
    nodes = {"xa1": rack("xa"), "xb1": rack("xb")}
    gangs = {
        "pair": Gang([running("xa1", 2), running("xb1")]),
        "single": Gang([running("xb1")], priority=70),
        "g": Gang([Pod(2)], priority=75, required="rack"),
    }
    result = decide(cluster(nodes=nodes, gangs=gangs), actions=ACTIONS)
    assert evicted(result) == {"pair-0": "g", "pair-1": "g"}
    assert violations(cluster(nodes=nodes, gangs=gangs), result) == ()


def test_where_no_domain_is_large_enough_nobody_goes():
    nodes = {f"{path}{row}": rack(path) for path in ("xa", "xb") for row in (1, 2)}
    gangs = {f"r{node}": Gang([running(node, 2)]) for node in nodes}
    result = decide(cluster(nodes=nodes, gangs={**gangs, "g": Gang(5, priority=75, required="rack")}))
    assert evicted(result) == {}
    assert [reason.code for reason in waiting(result)["g"].reasons] == [
        ReasonCode.DOMAINS_TOO_SMALL,
        ReasonCode.NOT_ENOUGH_VICTIMS,
    ]


def test_pods_that_differ_and_sums_that_promise_too_much():
    """By sums the first rack is enough once one pod is gone, but the large pod needs a whole node."""
    nodes = {"xa1": rack("xa"), "xa2": rack("xa")}
    gangs = {
        "young": Gang([running("xa1")], created=2),
        "old": Gang([running("xa2")], created=1),
        "g": Gang([Pod(2), Pod(1)], priority=75, required="rack"),
    }
    result = decide(cluster(nodes=nodes, gangs=gangs), actions=ACTIONS)
    assert len(of_g(nominated(result))) == 2
    assert len(evicted(result)) == 1


def test_subgroups_that_require_a_level_have_room_made_for_them():
    nodes = {f"{path}{row}": rack(path) for path in ("xa", "xb", "xc") for row in (1, 2)}
    gangs = {f"r{node}": Gang([running(node, 2)]) for node in nodes}
    children = {name: Sub(4, required="rack") for name in "uv"}
    snapshot = cluster(nodes=nodes, gangs={**gangs, "g": Gang(children=children, priority=75)})
    result = decide(snapshot, actions=ACTIONS)
    assert len(of_g(nominated(result))) == 8
    assert len(evicted(result)) == 4
    assert violations(snapshot, result) == ()


def test_nobody_is_moved_who_is_not_in_the_way():
    """Candidates come in an order that has nothing to do with racks: half of them are looked at in vain."""
    nodes = {f"x{letter}{row}": rack(f"x{letter}") for letter in "abcdef" for row in (1, 2)}
    age = {node: row * 7 % 12 for row, node in enumerate(nodes)}
    gangs = {f"r{node}": Gang([running(node, 2)], created=age[node]) for node in nodes}
    children = {name: Sub(4, required="rack") for name in "uv"}
    for required in ("", "zone"):
        gang = Gang(children=children, priority=75, required=required)
        result = decide(cluster(nodes=nodes, gangs={**gangs, "g": gang}), actions=ACTIONS)
        assert len(of_g(nominated(result))) == 8
        assert (len(evicted(result)), moved(result)) == (4, {})


def test_a_likeness_with_another_constraint_is_no_likeness():
    """What failed for a rack is tried again for a zone."""
    nodes = {f"{path}{row}": rack(path) for path in ("xa", "xb") for row in (1, 2)}
    gangs = {f"r{node}": Gang([running(node, 2)]) for node in nodes}
    gangs |= {"a": Gang(5, priority=75, required="rack"), "g": Gang(5, priority=75, required="zone")}
    result = decide(cluster(nodes=nodes, gangs=gangs), actions=ACTIONS)
    assert isinstance(waiting(result)["a"].reasons[0], Reason)
    assert len(of_g(nominated(result))) == 5


@st.composite
def racks(draw):
    """Racks of one node, partly taken by single pods: node -> (GPUs, taken)."""
    sizes = draw(st.lists(st.integers(1, 4).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), min_size=1))
    return dict(zip((f"x{letter}1" for letter in "abcd"), sizes, strict=False))


@given(racks(), st.integers(1, 4))
def test_no_more_are_disturbed_than_the_best_domain_lacks(floor, wanted):
    nodes = {name: rack(name, gpus) for name, (gpus, _) in floor.items()}
    gangs = {f"r{name}{n}": Gang([running(name)]) for name, (_, taken) in floor.items() for n in range(taken)}
    snapshot = cluster(nodes=nodes, gangs={**gangs, "g": Gang(wanted, priority=75, required="rack")})
    result = decide(snapshot, actions=ACTIONS)
    lacking = [max(0, wanted - (gpus - taken)) for gpus, taken in floor.values() if gpus >= wanted]
    assert len(evicted(result)) + len(moved(result)) == min(lacking, default=0)


# -- a level that is only preferred --------------------------------------------------------------------


#: Three racks of two nodes with two GPUs each, in two zones.
RACKS = {f"{path}{row}": rack(path) for path in ("xa", "xb", "ya") for row in (1, 2)}


def full(*oldest, gpus=2, **what):
    """A podgroup on every node of the racks; those that are named are the oldest, and go last."""
    names = [*oldest, *(name for name in RACKS if name not in oldest)]
    return {f"r{name}": Gang([running(name, gpus)], **what) for name in names}


def test_of_victims_that_cost_the_same_those_in_one_domain_of_the_preferred_level_go():
    """The youngest two are in two racks; of the four others, two are in one rack."""
    gangs = {**full("xa1", "xa2", "xb1", "ya1"), "g": Gang(4, priority=75, preferred="rack")}
    result = decide(snapshot := cluster(nodes=RACKS, gangs=gangs), actions=ACTIONS)
    assert {node[:2] for node in of_g(nominated(result)).values()} == {"ya"}
    assert evicted(result) == {"rya1-0": "g", "rya2-0": "g"}
    assert violations(snapshot, result) == ()
    gangs["g"] = Gang(4, priority=75)
    assert evicted(decide(cluster(nodes=RACKS, gangs=gangs), actions=ACTIONS)) == {"rxb2-0": "g", "rya2-0": "g"}


def test_a_wish_is_worth_nobody_more_important():
    gangs = full("xa1", "xa2", "xb1", "ya1")
    gangs |= {f"r{name}": Gang([running(name, 2)], priority=60) for name in ("xa1", "xa2", "xb1", "ya1")}
    result = decide(cluster(nodes=RACKS, gangs={**gangs, "g": Gang(4, priority=75, preferred="rack")}), actions=ACTIONS)
    assert evicted(result).keys() == {"rxb2-0", "rya2-0"}


def test_nor_is_it_worth_more_work_than_restarts_cost():
    """The others in either rack have run for a day."""
    day, minute = 1_000_000.0 - 86_400, 1_000_000.0 - 60

    def victims(started):
        old = {f"r{name}": Gang([running(name, 2)], started=started) for name in ("xa1", "xa2", "xb1", "ya1")}
        young = {f"r{name}": Gang([running(name, 2)], started=minute) for name in ("xb2", "ya2")}
        gangs = {**old, **young, "g": Gang(4, priority=75, preferred="rack")}
        return evicted(decide(cluster(nodes=RACKS, gangs=gangs), actions=ACTIONS)).keys()

    assert victims(day) == {"rxb2-0", "rya2-0"}
    assert victims(minute - 120) == {"rya1-0", "rya2-0"}


def test_where_no_rack_can_be_had_one_zone_is_better_than_two():
    """A rack has four places. Of zone x the first rack is left, which nobody may be ended in."""
    kept = {f"k{name}": Gang([running(name, 2)], preemptible=False) for name in ("xa1", "ya1")}
    young = {f"r{name}": Gang([running(name, 2)]) for name in ("xb1", "xa2", "ya2", "xb2")}
    level = {"preferred": "rack"}
    gangs = {**kept, **young, "g": Gang(6, priority=75, **level)}
    result = decide(snapshot := cluster(nodes=RACKS, gangs=gangs), actions=ACTIONS)
    assert {node[0] for node in of_g(nominated(result)).values()} == {"x"}
    assert violations(snapshot, result) == ()


def test_growth_makes_room_where_the_others_run_if_that_costs_no_more():
    nodes = {**RACKS, "xa1": rack("xa", 4)}
    gangs = {**full("xa1", "xa2", "xb1"), "g": Gang([running("xa1", 2), Pod(2)], priority=75, preferred="rack")}
    result = decide(cluster(nodes=nodes, gangs=gangs), actions=ACTIONS)
    assert of_g(nominated(result)) == {"g-1": "xa2"}


def test_pods_that_differ_have_a_say_too():
    gangs = {
        **full("xa1", "xa2", "xb1", "ya1"),
        "g": Gang([Pod(2), Pod(1), Pod(1)], priority=75, preferred="rack"),
    }
    result = decide(snapshot := cluster(nodes=RACKS, gangs=gangs), actions=ACTIONS)
    assert {node[:2] for node in of_g(nominated(result)).values()} == {"ya"}
    assert violations(snapshot, result) == ()


def test_within_a_required_level_the_preferred_one_decides_between_equals():
    """Room in the zone is to be made; of its two racks the one that can be had as a whole."""
    gangs = {**full("ya1", "ya2", "xa1", "xb1"), "g": Gang(4, priority=75, required="zone", preferred="rack")}
    result = decide(snapshot := cluster(nodes=RACKS, gangs=gangs), actions=ACTIONS)
    assert len({node[:2] for node in of_g(nominated(result)).values()}) == 1
    assert violations(snapshot, result) == ()
