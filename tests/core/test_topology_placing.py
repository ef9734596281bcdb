"""Gangs that ask to be near each other: where they go, when they wait, and that it always holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.result import Layout, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.classes import NodeTerm, PreferredTerm, Requirement
from kai_py.core.tables.nodes import Taint
from kai_py.core.tables.patterns import Pattern, Shape
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
    evicted,
    leaving,
    moved,
    nominated,
    running,
    sharing,
    waiting,
)
from tests.core.strategies import clustered
from tests.core.test_sharing_properties import shared_clusters
from tests.core.world import after


def rack(path, gpus=2, **what):
    return Node(gpus, labels=dict(zip(("zone", "rack"), path, strict=False)), **what)


#: Two zones of two racks with two nodes of two GPUs each.
FLOOR = {f"{path}{row}": rack(path) for path in ("xa", "xb", "ya", "yb") for row in (1, 2)}


def of_g(places):
    """Places of the gang that a test is about."""
    return {pod: node for pod, node in places.items() if pod.startswith("g-")}


def racks_of(places):
    """The racks of nodes, which are named after their racks."""
    return {node[:2] for node in places.values()}


def test_a_gang_goes_into_one_domain_of_the_required_level():
    """Without the constraint it would fill the two nodes that are half full already."""
    gangs = {"r": Gang([running("xa1"), running("yb2")]), "g": Gang(4, required="rack")}
    places = bound(decide(cluster(nodes=FLOOR, gangs=gangs)))
    assert len(places) == 4
    assert racks_of(places) == {"xb"}


def test_a_gang_that_fits_no_domain_waits_and_is_told_the_best_one():
    gangs = {"r": Gang([running("xa1"), running("xb1"), running("ya1"), running("ya2")]), "g": Gang(5, required="rack")}
    result = decide(cluster(nodes=FLOOR, gangs=gangs))
    reason = waiting(result)["g"].reasons[0]
    assert bound(result) == {}
    assert reason.code is ReasonCode.DOMAINS_TOO_SMALL
    assert reason.details == {"topology": "dc", "level": "rack", "domain": "y/b", "fits": 4, "pods": 5}


def test_a_preferred_level_is_kept_where_it_can_be_and_passed_over_where_not():
    assert racks_of(bound(decide(cluster(nodes=FLOOR, gangs={"g": Gang(4, preferred="rack")})))) == {"xa"}
    places = bound(decide(cluster(nodes=FLOOR, gangs={"g": Gang(6, preferred="rack")})))
    assert len(places) == 6
    assert {name[0] for name in racks_of(places)} in ({"x"}, {"y"})  # one zone at least
    assert len(bound(decide(cluster(nodes=FLOOR, gangs={"g": Gang(16, preferred="rack")})))) == 16


def test_a_gang_larger_than_the_cluster_says_so_whatever_it_prefers():
    result = decide(cluster(nodes=FLOOR, gangs={"g": Gang(17, preferred="rack")}))
    assert codes(result) == {"g": ReasonCode.GANG_DOES_NOT_FIT}


def test_nodes_without_the_labels_are_in_no_domain():
    nodes = {"bare": Node(8), "half": Node(8, labels={"zone": "x"}), **FLOOR}
    assert racks_of(bound(decide(cluster(nodes=nodes, gangs={"g": Gang(4, required="rack")})))) == {"xa"}


def test_subgroups_have_racks_of_their_own_within_the_zone_of_the_podgroup():
    children = {name: Sub(3, required="rack") for name in "uv"}
    gangs = {"r": Gang([running("xa1", 2)]), "g": Gang(children=children, required="zone")}
    places = bound(decide(cluster(nodes=FLOOR, gangs=gangs)))
    u, v = ({node for pod, node in places.items() if pod.startswith(f"g-{name}")} for name in "uv")
    assert len(places) == 6
    assert {name[:2] for name in u} == {"ya"}
    assert {name[:2] for name in v} == {"yb"}


def test_a_subgroup_that_fits_nowhere_is_named():
    children = {"u": Sub(5, required="rack"), "v": Sub(1)}
    result = decide(cluster(nodes=FLOOR, gangs={"g": Gang(children=children, required="zone")}))
    reason = waiting(result)["g"].reasons[0]
    assert reason.code is ReasonCode.SUBGROUP_TOO_LARGE
    assert (reason.details["subGroup"], reason.details["level"], reason.details["fits"]) == ("u", "rack", 4)


def test_subgroups_that_take_each_others_places_wait():
    nodes = {"xa1": rack("xa", 3), "xb1": rack("xb", 1)}
    children = {"u": Sub(2, required="rack"), "v": Sub([Pod(2)], required="rack")}
    result = decide(cluster(nodes=nodes, gangs={"g": Gang(children=children, required="zone")}))
    assert codes(result)["g"] in (ReasonCode.SUBGROUPS_COLLIDE, ReasonCode.DOMAINS_TOO_SMALL)
    assert bound(result) == {}


def test_growth_and_replacements_join_those_that_run():
    gangs = {"g": Gang([running("yb1"), Pod(), Pod()], minimum=1, required="rack")}
    assert racks_of(bound(decide(cluster(nodes=FLOOR, gangs=gangs)))) == {"yb"}
    gangs = {"g": Gang([running("yb1"), Pod()], required="rack")}
    assert racks_of(bound(decide(cluster(nodes=FLOOR, gangs=gangs)))) == {"yb"}


def test_growth_waits_where_the_domain_of_the_others_is_full():
    gangs = {
        "full": Gang([running("yb1"), running("yb2", 2)]),
        "g": Gang([running("yb1"), Pod()], minimum=1, required="rack"),
    }
    result = decide(cluster(nodes=FLOOR, gangs=gangs), consolidation_limit=0)
    assert bound(result) == {}
    assert codes(result) == {"g": ReasonCode.DOMAINS_TOO_SMALL}


def test_members_that_are_apart_already_keep_new_ones_waiting():
    gangs = {"g": Gang([running("xa1"), running("yb1"), Pod()], minimum=1, required="rack")}
    assert codes(decide(cluster(nodes=FLOOR, gangs=gangs))) == {"g": ReasonCode.MEMBERS_APART}


def test_a_domain_that_is_free_now_comes_before_one_that_would_be_tighter_later():
    gangs = {"old": Gang([leaving("xa1", 2)], minimum=0), "g": Gang(4, required="rack")}
    result = decide(cluster(nodes=FLOOR, gangs=gangs))
    assert racks_of(bound(result)) == {"xb"}


def test_a_gang_that_must_wait_for_one_place_is_nominated_as_a_whole():
    nodes = {"xa1": rack("xa"), "xa2": rack("xa"), "ya1": rack("ya", 3)}
    gangs = {"old": Gang([leaving("xa1")], minimum=0), "g": Gang(4, required="rack")}
    result = decide(cluster(nodes=nodes, gangs=gangs))
    assert bound(result) == {}
    assert racks_of(nominated(result)) == {"xa"}
    assert len(nominated(result)) == 4


def test_what_failed_with_a_constraint_says_nothing_about_others_and_the_other_way_round():
    gangs = {"a": Gang(5, required="rack"), "b": Gang(5, required="rack"), "c": Gang(5), "d": Gang(5, required="zone")}
    result = decide(cluster(nodes=FLOOR, gangs=gangs))
    assert codes(result) == {"a": ReasonCode.DOMAINS_TOO_SMALL, "b": ReasonCode.DOMAINS_TOO_SMALL}
    assert len(bound(result)) == 10


def test_a_pod_that_is_larger_than_others_finds_its_node_in_the_same_domain():
    nodes = {"xa1": rack("xa", 2), "xa2": rack("xa", 2), "xb1": rack("xb", 4), "xb2": rack("xb", 1)}
    gangs = {"g": Gang([Pod(3), Pod(), Pod()], required="rack")}
    assert racks_of(bound(decide(cluster(nodes=nodes, gangs=gangs)))) == {"xb"}


def test_parts_of_devices_are_counted_device_by_device():
    nodes = {"xa1": rack("xa", 1), "xa2": rack("xa", 1), "xb1": rack("xb", 1)}
    gangs = {
        "r": Gang([sharing(0.5, "d", on="xa1")]),
        "g": Gang([sharing(0.5)] * 3, required="rack"),
        "h": Gang([sharing(0.6)] * 2, required="rack"),
    }
    result = decide(cluster(nodes=nodes, gangs=gangs))
    assert racks_of(bound(result)) == {"xa"}
    assert len(bound(result)) == 3
    assert codes(result) == {"h": ReasonCode.DOMAINS_TOO_SMALL}


# -- ranks ---------------------------------------------------------------------------------------------


def test_neighbours_by_index_are_near_each_other():
    """By name and age, pod 10 comes before pod 2; by index it does not."""
    nodes = {"xa1": rack("xa"), "xb1": rack("xb"), "xa2": rack("xa"), "xb2": rack("xb")}
    order = [0, 4, 2, 6, 1, 5, 3, 7]
    gangs = {"g": Gang([Pod(rank=rank) for rank in order], required="zone")}
    places = bound(decide(cluster(nodes=nodes, gangs=gangs)))
    by_rank = [node for _, node in sorted((order[int(pod[2:])], node) for pod, node in places.items())]
    assert by_rank[0::2] == by_rank[1::2]
    assert [node[:2] for node in by_rank] in (["xa"] * 4 + ["xb"] * 4, ["xb"] * 4 + ["xa"] * 4)


def test_a_replacement_takes_the_place_next_to_its_neighbours():
    nodes = {"xa1": rack("xa"), "xb1": rack("xb")}
    members = [running("xa1", rank=0), Pod(rank=2), running("xb1", rank=3), Pod(rank=1)]
    places = bound(decide(cluster(nodes=nodes, gangs={"g": Gang(members, required="zone")})))
    assert places == {"g-1": "xb1", "g-3": "xa1"}


def test_pods_without_an_index_keep_their_order():
    gangs = {"g": Gang([Pod(rank=1), Pod(), Pod(rank=0), Pod(rank=2)], required="rack")}
    places = bound(decide(cluster(nodes=FLOOR, gangs=gangs)))
    assert [places[f"g-{n}"] for n in range(4)] == ["xa1", "xa1", "xa2", "xa2"]


def test_each_subgroup_has_a_ring_of_its_own():
    pods = [Pod(rank=rank) for rank in (0, 2, 1, 3)]
    children = {name: Sub(pods, required="rack") for name in "uv"}
    places = bound(decide(cluster(nodes=FLOOR, gangs={"g": Gang(children=children, required="zone")})))
    for name in "uv":
        nodes = [places[f"g-{name}-{n}"] for n in (0, 2, 1, 3)]
        assert nodes[0] == nodes[1] != nodes[2] == nodes[3]


def test_ranks_that_talk_by_another_pattern_are_laid_out_by_it():
    """Of a tree over four nodes, each branch is in one rack: 1, 3, 4 on one side, 2, 5, 6 on the other."""
    nodes = {f"{path}{row}": rack(path, 1) for path in ("xa", "xb") for row in range(4)}
    gang = Gang([Pod(rank=rank) for rank in range(8)], required="zone", pattern=Pattern(Shape.TREE))
    places = bound(decide(cluster(nodes=nodes, gangs={"g": gang})))
    racks = [places[f"g-{rank}"][:2] for rank in range(7)]
    assert racks[1] == racks[3] == racks[4] != racks[2] == racks[5] == racks[6]


def test_groups_that_talk_each_to_each_stay_on_one_node():
    """A ring alone would put 1 and 2 together, which are in different groups, as soon as somebody is in the way."""
    nodes = {"xa1": rack("xa", 1), "xa2": rack("xa", 2), "xb1": rack("xb", 2), "xb2": rack("xb", 1)}
    gang = Gang([Pod(rank=rank) for rank in range(6)], required="zone", pattern=Pattern(group=2))
    places = bound(decide(cluster(nodes=nodes, gangs={"g": gang})))
    whole = [places[f"g-{first}"] for first in (0, 2, 4) if places[f"g-{first}"] == places[f"g-{first + 1}"]]
    assert sorted(whole) == ["xa2", "xb1"]


def test_the_result_says_how_near_a_gang_came():
    gang = Gang([Pod(rank=rank) for rank in range(8)], required="zone")
    nodes = {"xa1": rack("xa"), "xb1": rack("xb"), "xa2": rack("xa"), "xb2": rack("xb")}
    (layout,) = decide(cluster(nodes=nodes, gangs={"g": gang, "plain": 1})).layouts
    assert layout == Layout("ns/g", "dc", 8, {"zone": 1, "rack": 2}, "ring", hops=6, least=6)
    # four nodes in a ring are left four times, twice of that for another rack


def test_without_indices_only_domains_are_told():
    (layout,) = decide(cluster(nodes=FLOOR, gangs={"g": Gang(4, required="rack")})).layouts
    assert layout == Layout("ns/g", "dc", 4, {"zone": 1, "rack": 1})


def test_subgroups_that_are_laid_out_apart_are_counted_apart():
    children = {name: Sub([Pod(rank=rank) for rank in range(4)], required="rack") for name in "uv"}
    (layout,) = decide(cluster(nodes=FLOOR, gangs={"g": Gang(children=children, required="zone")})).layouts
    assert (layout.pods, layout.domains["rack"], layout.hops, layout.least) == (8, 2, 4, 4)


# -- victims -------------------------------------------------------------------------------------------


def test_room_is_made_in_one_domain():
    """Two GPUs are free in other racks already, which is of no use."""
    takers = {f"r{node}": Gang([running(node)] * 2, minimum=1) for node in FLOOR}
    takers["rya1"] = takers["rxb1"] = Gang(0)
    gangs = {**takers, "free": Gang([running("ya1"), running("xb1")]), "g": Gang(4, priority=75, required="rack")}
    result = decide(cluster(nodes=FLOOR, gangs=gangs), consolidation_limit=0)
    assert len(of_g(nominated(result))) == 4
    assert len(racks_of(of_g(nominated(result)))) == 1
    assert set(evicted(result).values()) == {"g"}
    assert violations(cluster(nodes=FLOOR, gangs=gangs), result) == ()


def test_growth_makes_room_where_the_others_are():
    gangs = {
        "low": Gang([running("yb1"), running("yb2", 2)], minimum=1),
        "other": Gang([running("xa1", 2)], minimum=1),
        "g": Gang([running("yb1"), Pod()], minimum=1, priority=75, required="rack"),
    }
    result = decide(cluster(nodes={**FLOOR}, gangs=gangs), consolidation_limit=0)
    assert racks_of(of_g(nominated(result))) == {"yb"}
    assert evicted(result) == {}
    assert set(moved(result)) <= {"low-0", "low-1"}  # there is room for them elsewhere


@pytest.mark.parametrize("required", ["", "rack"])
def test_who_requires_a_level_is_not_moved_away_from_the_others(required):
    nodes = {"xa1": rack("xa", 3), "xb1": rack("xb", 2)}
    gangs = {"r": Gang([running("xa1")], required=required), "g": Gang([Pod(3)])}
    assert moved(decide(cluster(nodes=nodes, gangs=gangs))) == ({} if required else {"r-0": "xb1"})


def test_places_that_are_held_stay_in_one_domain():
    takers = {f"r{node}": Gang([running(node)] * 2, minimum=1) for node in FLOOR}
    snapshot = cluster(nodes=FLOOR, gangs={**takers, "g": Gang(4, priority=75, required="rack")})
    first = decide(snapshot, consolidation_limit=0)
    following = after(snapshot, first)
    second = decide(following, consolidation_limit=0)
    assert of_g(bound(second)) == of_g(nominated(first))
    assert violations(following, second) == ()


#: The floor again, with NVLink domains of two nodes each; two of them cross racks.
LINKED = {
    name: Node(2, labels={**node.labels, "link": link})
    for (name, node), link in zip(FLOOR.items(), "aabcbcdd", strict=True)
}
LINKS = {"nv": ("link",)}


def test_a_subgroup_may_ask_for_a_domain_of_another_topology():
    """Only one rack has both of a pair of linked nodes and room for the rest."""
    children = {"u": Sub(3, required="link", topology="nv"), "v": Sub(1)}
    taken = {"r": Gang([running("xa1")])}
    gangs = {**taken, "g": Gang(children=children, required="rack")}
    result = decide(snapshot := cluster(nodes=LINKED, gangs=gangs, others=LINKS))
    assert racks_of(of_g(bound(result))) == {"yb"}
    assert violations(snapshot, result) == ()


def test_what_keeps_a_subgroup_waiting_is_told_in_its_own_topology():
    children = {"u": Sub(5, required="link", topology="nv"), "v": Sub(1)}
    result = decide(cluster(nodes=LINKED, gangs={"g": Gang(children=children, required="zone")}, others=LINKS))
    reason = waiting(result)["g"].reasons[0]
    assert reason.code is ReasonCode.SUBGROUP_TOO_LARGE
    assert reason.details == {
        "topology": "nv",
        "level": "link",
        "domain": "a",
        "fits": 4,
        "pods": 5,
        "subGroup": "u",
    }


def test_members_join_those_that_run_in_the_domain_of_their_own_topology():
    children = {
        "u": Sub([running("xb1"), Pod()], minimum=1, required="link", topology="nv"),
        "v": Sub(1, required="rack"),
    }
    gangs = {"full": Gang([running("xb1")]), "g": Gang(children=children)}
    places = of_g(bound(decide(cluster(nodes=LINKED, gangs=gangs, others=LINKS))))
    assert places["g-u-1"] == "ya1"


def test_reclaim_makes_room_in_one_domain_too():
    takers = {f"r{node}": Gang([running(node)] * 2, minimum=1, queue="rich") for node in FLOOR}
    queues = {"rich": Queue(quota=8), "poor": Queue(quota=8)}
    snapshot = cluster(nodes=FLOOR, queues=queues, gangs={**takers, "g": Gang(4, queue="poor", required="rack")})
    result = decide(snapshot, actions=(Action.ALLOCATE, Action.RECLAIM))
    assert len(racks_of(of_g(nominated(result)))) == 1
    assert len(evicted(result)) == 4
    assert violations(snapshot, result) == ()


# -- laws ----------------------------------------------------------------------------------------------


@settings(max_examples=150)
@given(clustered())
def test_every_result_keeps_all_invariants(snapshot):
    assert violations(snapshot, decide(snapshot)) == ()


@settings(max_examples=50)
@given(clustered())
def test_it_holds_in_the_cycles_after_too_and_the_same_snapshot_decides_the_same(snapshot):
    for _ in range(3):
        result = decide(snapshot)
        assert violations(snapshot, result) == ()
        assert decide(snapshot).decisions == result.decisions
        snapshot = after(snapshot, result)


@settings(max_examples=100)
@given(shared_clusters(), st.booleans())
def test_a_node_takes_as_many_pods_that_share_one_device_as_are_counted(snapshot, later):
    """One by one, until the next one finds no room there: now, or once leaving pods are gone."""
    for row, pod in enumerate(snapshot.classes.classes):
        if pod.share is None or pod.share.devices > 1:
            continue
        pending = np.flatnonzero((snapshot.pods.class_idx == row) & (snapshot.pods.state == PodState.PENDING))
        if not pending.size:
            continue
        ledger = Ledger(snapshot)
        placer, transaction = Placer(ledger, Options()), Transaction(ledger)
        counted = placer.view(row).slots(np.full(len(snapshot.nodes), len(pending)), later=later)
        for node in range(len(snapshot.nodes)):
            start, taken = transaction.checkpoint(), 0
            for waits in pending.tolist():
                place = placer.view(row).at(node)
                if place is None or not (place.now or later):
                    break
                settle = transaction.nominate if later else transaction.place
                settle(waits, node, action=Action.ALLOCATE, devices=place.devices)
                taken += 1
            transaction.rollback(start)
            assert counted[node] == taken


def test_within_a_domain_pods_go_where_they_like_to_be():
    """The first rack is tight; of its nodes the second is preferred, though the first has less room."""
    liked = PreferredTerm(10, NodeTerm(labels=(Requirement("disk", "In", ("ssd",)),)))
    nodes = {
        "a1": rack("xa", 2),
        "a2": Node(4, labels={"zone": "x", "rack": "a", "disk": "ssd"}),
        "b1": Node(8, labels={"zone": "x", "rack": "b", "disk": "ssd"}),
    }
    pods = [Pod(1, preferred=(liked,))] * 2
    for level in ({"required": "rack"}, {"preferred": "rack"}):
        found = decide(cluster(nodes=nodes, gangs={"g": Gang(pods, **level)}))
        assert set(of_g(bound(found)).values()) == {"a2"}


def test_within_a_domain_soft_taints_are_avoided():
    soft = Taint("soft", "", "PreferNoSchedule")
    nodes = {"a1": rack("xa", 2, taints=(soft,)), "a2": rack("xa", 2), "a3": rack("xa", 2)}
    found = decide(cluster(nodes=nodes, gangs={"g": Gang([Pod(1)] * 4, required="rack")}))
    assert set(of_g(bound(found)).values()) == {"a2", "a3"}
