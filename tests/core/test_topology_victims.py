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
