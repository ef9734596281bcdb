"""Consolidation: pods are moved together so that a podgroup fits, and nobody loses its place."""

import pytest

from kai_py.core.invariants import violations
from kai_py.core.options import Action, Strategy
from kai_py.core.result import Nominate, ReasonCode
from tests.core.builders import Gang, Node, Pod, Queue, cluster, decide, evicted, moved, nominated, running, waiting
from tests.core.claiming import Claimed, with_claims
from tests.core_dra.builders import claim, gpus, pool, want

CONSOLIDATE = (Action.ALLOCATE, Action.CONSOLIDATE)


def held(count, on, *, gpus=1, **what):
    return Gang([running(on, gpus)] * count, **what)


def cycle(nodes, gangs, *, queues=None, **options):
    return decide(cluster(nodes=nodes, gangs=gangs, queues=queues), **{"actions": CONSOLIDATE, **options})


def fragments(**what):
    """Two nodes of four with two GPUs free each, and a podgroup that needs four on one node."""
    return {"x": held(2, "a", **what), "y": held(2, "b", **what), "p": Gang([Pod(4)])}


def test_a_podgroup_that_fits_in_sum_gets_a_node_and_the_others_move_together():
    result = cycle({"a": 4, "b": 4}, fragments())
    assert evicted(result) == {}
    assert len(moved(result)) == 2
    (place,) = {node for pod, node in nominated(result).items() if pod == "p-0"}
    assert set(moved(result).values()) == {"a", "b"} - {place}


def test_as_few_pods_move_as_will_do():
    nodes = {"a": 4, "b": 4, "c": 4}
    gangs = {"x": held(3, "a"), "y": held(1, "b"), "z": held(3, "c"), "p": Gang([Pod(4)])}
    result = cycle(nodes, gangs)
    assert set(moved(result)) == {"y-0"}
    assert nominated(result)["p-0"] == "b"


def test_nobody_moves_when_one_of_them_would_find_no_place():
    nodes = {"a": 4, "b": 4}
    pinned = {"selector": (("zone", "x"),)}
    gangs = {
        "x": Gang([running("a", 2, **pinned)]),
        "y": Gang([running("b", 2, **pinned)]),
        "p": Gang([Pod(4)]),
    }
    result = cycle(nodes, gangs)
    assert moved(result) == {}
    assert nominated(result) == {}


def test_what_is_not_free_in_sum_cannot_be_found_by_moving():
    result = cycle({"a": 4, "b": 4}, {"x": held(3, "a"), "y": held(2, "b"), "p": Gang([Pod(4)])})
    reason = waiting(result)["p"].reasons[1]
    assert reason.code == ReasonCode.NOT_ENOUGH_RECLAIMABLE
    assert reason.details == {"resource": "gpu", "requested": 4000, "free": 3000}


def test_a_podgroup_that_cannot_be_preempted_moves_nobody_and_is_not_moved():
    firm = {**fragments(), "p": Gang([Pod(4)], preemptible=False)}
    assert moved(cycle({"a": 4, "b": 4}, firm)) == {}
    assert moved(cycle({"a": 4, "b": 4}, fragments(preemptible=False))) == {}


@pytest.mark.parametrize("options", [{"gpu": Strategy.SPREAD}, {"cpu": Strategy.SPREAD}, {"consolidation_limit": 0}])
def test_it_can_be_switched_off_and_excludes_spreading(options):
    assert moved(cycle({"a": 4, "b": 4}, fragments(), **options)) == {}


def test_not_more_podgroups_move_than_may_for_one():
    nodes = {"a": 4, "b": 4}
    gangs = {f"{name}{n}": held(1, name) for name in ("a", "b") for n in range(2)}
    wants = {**gangs, "p": Gang([Pod(4)])}
    assert len(moved(cycle(nodes, wants, consolidation_limit=2))) == 2
    result = cycle(nodes, wants, consolidation_limit=1)
    assert moved(result) == {}
    assert waiting(result)["p"].reasons[1].code == ReasonCode.VICTIMS_WITHOUT_PLACE
    assert len(moved(cycle(nodes, wants, consolidation_limit=-1))) == 2


def test_all_queues_may_be_asked_to_move():
    queues = {"q": Queue(), "r": Queue()}
    gangs = {"x": held(2, "a", queue="r"), "y": held(2, "b", queue="r"), "p": Gang([Pod(4)])}
    assert len(moved(cycle({"a": 4, "b": 4}, gangs, queues=queues))) == 2


def test_a_gang_finds_room_on_several_nodes():
    nodes = dict.fromkeys("abcd", 4)
    gangs = {name: held(2, name) for name in "abcd"}
    result = cycle(nodes, {**gangs, "p": Gang([Pod(4)] * 2)})
    assert len(moved(result)) == 4
    assert {"p-0", "p-1"} <= set(nominated(result))


def test_a_gang_that_moves_keeps_all_its_members():
    """One member of x is in the way; it moves alone, the other one stays where it is."""
    nodes = {"a": 4, "b": Node(gpus=4), "c": 2}
    gangs = {"x": Gang([running("a"), running("b", 2)]), "f": held(1, "c"), "p": Gang([Pod(4)])}
    result = cycle(nodes, gangs)
    assert evicted(result) == {}
    assert len(moved(result)) == 1
    assert nominated(result)["p-0"] in ("a", "b")


def test_consolidation_comes_before_anybody_is_evicted():
    queues = {"rich": Queue(quota=0), "poor": Queue(quota=8)}
    gangs = {"x": held(2, "a", queue="rich"), "y": held(2, "b", queue="rich"), "p": Gang([Pod(4)], queue="poor")}
    result = cycle({"a": 4, "b": 4}, gangs, queues=queues, actions=tuple(Action))
    assert evicted(result) == {}
    assert len(moved(result)) == 2


def test_a_gang_that_lacks_its_minimum_is_not_moved():
    """One of two runs: to restart it elsewhere would help nobody."""
    gangs = {"half": Gang([running("a"), Pod(1, selector=(("zone", "x"),))]), "p": Gang([Pod(2)])}
    assert moved(cycle({"a": 2, "b": 1}, gangs)) == {}
    assert set(moved(cycle({"a": 2, "b": 1}, {**gangs, "half": Gang([running("a")])}))) == {"half-0"}


def test_nobody_starts_while_its_gang_is_being_moved():
    """r1's missing pod was about to start on b; then r1's other pod moves there, so both start together."""
    gangs = {
        "r1": Gang([running("a"), Pod(1)]),
        "r2": Gang([Pod(2)]),
        "r3": Gang([running("b", 2), Pod(2)]),
        "r4": Gang([running("b", 4)]),
        "w0": Gang([Pod(2)]),
    }
    queues = {
        "p": Queue(quota=2, weight=0),
        "q": Queue("p", quota=2, weight=0),
        "o": Queue(quota=2, weight=0),
        "o0": Queue("o", quota=2, weight=0),
    }
    snapshot = cluster(nodes={"a": 4, "b": 8}, queues=queues, gangs=gangs)
    result = decide(snapshot)
    assert moved(result) == {"r1-0": "b"}
    assert nominated(result)["r1-1"] == "b"
    assert violations(snapshot, result) == ()


def test_a_podgroup_that_may_not_be_placed_is_not_moved():
    gangs = {"x": held(1, "a"), "y": held(1, "b", created=9), "p": Gang([Pod(2)])}
    assert set(moved(cycle({"a": 2, "b": 2}, gangs))) == {"y-0"}
    gangs["y"] = held(1, "b", created=9, blocked=ReasonCode.BACKING_OFF)
    assert set(moved(cycle({"a": 2, "b": 2}, gangs))) == {"x-0"}


# -- claims move with their pods -------------------------------------------------------------------


def claimed():
    """Two nodes of four devices with two pods each that have a claim on one, and a pod that claims four."""
    gangs = {name: Gang([running(name[0], 0, cpu=1)]) for name in ("a0", "a1", "b0", "b1")}
    snapshot = cluster(nodes={"a": 0, "b": 0}, gangs=gangs | {"p": Gang([Pod(0, cpu=1)])})
    slices = [one for node in "ab" for one in pool(node, *gpus(4), node=node)]
    claims = {
        f"c-{name}": Claimed(claim(want()), [f"{name}-0"], has=[f"g{name[1]}"], on=name[0], gpus=1) for name in gangs
    }
    return with_claims(snapshot, slices, claims | {"c-p": Claimed(claim(want(4)), ["p-0"], gpus=4)})


def test_pods_move_with_their_claims_so_that_a_claim_on_all_devices_of_a_node_fits():
    snapshot = claimed()
    result = decide(snapshot, actions=CONSOLIDATE)
    assert evicted(result) == {}
    (place,) = {node for pod, node in nominated(result).items() if pod == "p-0"}
    assert set(moved(result).values()) == {"a", "b"} - {place}
    assert violations(snapshot, result) == ()
    given = {
        one.pod: sorted(device.device for granted in one.claims for device in granted.allocation.devices)
        for one in result.decisions
        if isinstance(one, Nominate)
    }
    assert given.pop("ns/p-0") == ["g0", "g1", "g2", "g3"]
    assert sorted(device for found in given.values() for device in found) == ["g2", "g3"]
