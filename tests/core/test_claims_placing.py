from dataclasses import replace
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.claims import Constraint, DeviceClass
from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options, Strategy
from kai_py.core.placement.gang import Placer
from kai_py.core.result import Bind, Nominate, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import PodState
from tests.core.builders import Gang, Pod, Queue, bound, cluster, codes, decide, evicted, leaving, nominated, running
from tests.core.builders import waiting as diagnosed
from tests.core.claiming import Claimed, with_claims
from tests.core_dra.builders import Named, claim, device, gpus, own, partitioned, pool, profiles, request, want

CPU = Pod(0, cpu=1)


def on(node, **more):
    return running(node, 0, cpu=1, **more)


def pools(**counts):
    return [one for node, count in counts.items() for one in pool(node, *gpus(count), node=node)]


def devices_of(result):
    """Pod -> devices that it brings to its claims."""
    return {
        one.pod: sorted(device.device for granted in one.claims for device in granted.allocation.devices)
        for one in result.decisions
        if isinstance(one, Bind | Nominate)
    }


def test_a_pod_goes_where_its_claim_finds_devices_and_brings_them():
    snapshot = cluster(nodes={"a": 0, "b": 0}, gangs={"g": Gang([CPU])})
    snapshot = with_claims(snapshot, pools(a=1, b=2), {"c": Claimed(claim(want(2)), ["g-0"])})
    result = decide(snapshot)
    assert bound(result) == {"g-0": "b"}
    assert devices_of(result) == {"ns/g-0": ["g0", "g1"]}
    assert violations(snapshot, result) == ()


def test_equal_pods_with_claims_of_their_own_share_a_class_and_get_different_devices():
    snapshot = cluster(nodes={"a": 0}, gangs={"g": Gang([CPU, CPU])})
    claims = {f"c{n}": Claimed(claim(want()), [f"g-{n}"]) for n in range(2)}
    snapshot = with_claims(snapshot, pools(a=2), claims)
    assert len(set(snapshot.pods.class_idx.tolist())) == 1
    assert devices_of(decide(snapshot)) == {"ns/g-0": ["g0"], "ns/g-1": ["g1"]}


def test_a_gang_that_finds_devices_for_some_gets_none_and_says_what_is_missing():
    snapshot = cluster(nodes={"a": 0}, gangs={"g": Gang([CPU, CPU, CPU])})
    claims = {f"c{n}": Claimed(claim(want(), name=f"c{n}"), [f"g-{n}"]) for n in range(3)}
    snapshot = with_claims(snapshot, pools(a=2), claims)
    result = decide(snapshot)
    assert (bound(result), codes(result)) == ({}, {"g": ReasonCode.DEVICES_UNAVAILABLE})
    reason = diagnosed(result)["g"].reasons[0]
    assert (reason.details["request"], reason.details["needed"], reason.details["available"]) == ("r0", 1, 0)
    assert reason.nodes == {"DevicesInUse": 1}


def test_a_claim_that_pods_share_is_allocated_once_and_keeps_them_together():
    snapshot = cluster(nodes={"a": 0, "b": 0}, gangs={"g": Gang([CPU, CPU]), "h": Gang([CPU])})
    snapshot = with_claims(snapshot, pools(a=1, b=1), {"c": Claimed(claim(want()), ["g-0", "g-1", "h-0"])})
    result = decide(snapshot)
    assert len(set(bound(result).values())) == 1
    assert devices_of(result) == {"ns/g-0": ["g0"], "ns/g-1": [], "ns/h-0": []}
    assert violations(snapshot, result) == ()


def test_a_pod_goes_where_its_claim_has_its_devices():
    snapshot = cluster(nodes={"a": 0, "b": 0}, gangs={"g": Gang([CPU])})
    held = Claimed(claim(want()), ["g-0"], has=["g0"], on="b")
    result = decide(with_claims(snapshot, pools(a=1, b=1), {"c": held}))
    assert (bound(result), devices_of(result)) == ({"g-0": "b"}, {"ns/g-0": []})


def test_a_claim_serves_256_consumers():
    snapshot = cluster(nodes={"a": 0}, gangs={"g": Gang([CPU, CPU], minimum=1)})
    held = Claimed(claim(want()), ["g-0", "g-1"], has=["g0"], on="a", others=255)
    snapshot = with_claims(snapshot, pools(a=1), {"c": held})
    result = decide(snapshot)
    assert bound(result) == {"g-0": "a"}
    assert codes(result) == {"g": ReasonCode.CLAIM_IN_FULL_USE}
    assert violations(snapshot, result) == ()


def test_who_waits_for_devices_of_a_pod_that_is_gone_is_nominated():
    snapshot = cluster(nodes={"a": 0}, gangs={"g": Gang([CPU]), "h": Gang([CPU])})
    left = Claimed(claim(want()), [], has=["g0"], on="a", leaving=1)
    mine = {name: Claimed(claim(want()), [f"{name}-0"]) for name in ("g", "h")}
    snapshot = with_claims(snapshot, pools(a=1), {"left": left, **mine})
    result = decide(snapshot)
    assert (nominated(result), bound(result)) == ({"g-0": "a"}, {})
    assert violations(snapshot, result) == ()


def test_who_waits_for_devices_of_a_leaving_pod_is_nominated():
    snapshot = cluster(nodes={"a": 0}, gangs={"old": Gang([leaving("a", 0)]), "g": Gang([CPU])})
    held = Claimed(claim(want()), ["old-0"], has=["g0"], on="a")
    snapshot = with_claims(snapshot, pools(a=1), {"c": Claimed(claim(want()), ["g-0"]), "old": held})
    result = decide(snapshot)
    assert (nominated(result), devices_of(result)) == ({"g-0": "a"}, {"ns/g-0": ["g0"]})
    assert violations(snapshot, result) == ()


def test_reclaim_takes_the_devices_of_the_other_queue_and_no_more_pods_than_needed():
    snapshot = cluster(
        nodes={"a": 0},
        queues={"mine": Queue(quota=1), "theirs": Queue(quota=0)},
        gangs={
            "x": Gang([on("a")], queue="theirs"),
            "y": Gang([on("a")], queue="theirs"),
            "g": Gang([CPU], queue="mine"),
        },
    )
    claims = {
        "x": Claimed(claim(want()), ["x-0"], has=["g0"], on="a", gpus=1),
        "y": Claimed(claim(want()), ["y-0"], has=["g1"], on="a", gpus=1),
        "g": Claimed(claim(want()), ["g-0"], gpus=1),
    }
    snapshot = with_claims(snapshot, pools(a=2), claims)
    result = decide(snapshot)
    assert len(evicted(result)) == 1
    assert nominated(result) == {"g-0": "a"}
    assert violations(snapshot, result) == ()


def test_a_limit_counts_devices_that_are_gpus():
    snapshot = cluster(nodes={"a": 0}, queues={"q": Queue(limit=1)}, gangs={"g": Gang([CPU])})
    snapshot = with_claims(snapshot, pools(a=4), {"c": Claimed(claim(want(2)), ["g-0"], gpus=2)})
    assert codes(decide(snapshot)) == {"g": ReasonCode.OVER_LIMIT}


def test_partitions_of_one_device_exclude_each_other():
    snapshot = cluster(nodes={"a": 0}, gangs={"g": Gang([CPU]), "h": Gang([CPU])})
    slices = partitioned("gpu")
    claims = {"g": Claimed(profiles("4g"), ["g-0"]), "h": Claimed(profiles("4g"), ["h-0"])}
    snapshot = with_claims(snapshot, slices, claims)
    result = decide(snapshot)
    assert bound(result) == {"g-0": "a"}
    assert codes(result) == {"h": ReasonCode.DEVICES_UNAVAILABLE}
    assert violations(snapshot, result) == ()


def test_the_checker_sees_a_device_that_is_given_twice():
    snapshot = cluster(nodes={"a": 0}, gangs={"g": Gang([CPU]), "h": Gang([CPU])})
    claims = {name: Claimed(claim(want()), [f"{name}-0"]) for name in "gh"}
    snapshot = with_claims(snapshot, pools(a=2), claims)
    result = decide(snapshot)
    first, second = result.decisions
    forged = replace(second, claims=(replace(second.claims[0], allocation=first.claims[0].allocation),))
    found = violations(snapshot, replace(result, decisions=(first, forged)))
    assert {one.what for one in found} >= {"gets g0, which somebody else has now"}
    bare = replace(result, decisions=(first, replace(second, claims=())))
    assert [one.what for one in violations(snapshot, bare)] == ["is placed though ns/h has no devices"]


# laws ---------------------------------------------------------------------------------------------


def kinds():
    """Devices of a node: whole ones, shared ones, or partitions of one."""
    whole = st.integers(1, 3).map(gpus)
    shared = st.integers(1, 2).map(lambda n: gpus(n, shareable=True, capacity={"memory": 8}))
    return st.one_of(whole, shared, st.none())


@st.composite
def worlds(draw):
    """Up to three nodes, running and waiting podgroups with claims of their own, some with a claim in common."""
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    slices, free = [], {}
    for name in names:
        found = draw(kinds())
        if found is None:
            parts = [replace_pool(one, name) for one in partitioned("gpu")]
            slices += parts
            free[name] = []
        else:
            slices += pool(name, *found, node=name)
            free[name] = [] if found[0].shareable else [one.name for one in found]
    gangs, claims = {}, {}
    for number in range(draw(st.integers(1, 6))):
        name, queue = f"g{number}", draw(st.sampled_from(["q", "r"]))
        where = draw(st.sampled_from([None, *[node for node in names if free[node]]]))
        size = 1 if where else draw(st.integers(1, 3))
        gangs[name] = Gang([on(where)] if where else [CPU] * size, queue=queue, minimum=draw(st.integers(1, size)))
        asked = draw(
            st.sampled_from([claim(want()), claim(want(2)), claim(want(capacity={"memory": 3})), profiles("2g")])
        )
        pods = [f"{name}-{n}" for n in range(size)]
        if where:
            claims[name] = Claimed(asked, pods, has=[free[where].pop()], on=where, gpus=1)
        elif draw(st.booleans()):
            claims[name] = Claimed(asked, pods, gpus=1)
        else:
            claims |= {pod: Claimed(asked, [pod], gpus=1) for pod in pods}
    if draw(st.booleans()):  # a claim that some of them have in common; running ones are on one node then
        seats = {name: gang.pods[0].on for name, gang in gangs.items()}
        home = draw(st.sampled_from(names))
        pods = [f"{name}-0" for name, seat in seats.items() if seat in (None, home) and draw(st.booleans())]
        held = [f"{name}-0" for name, seat in seats.items() if seat] and free[home]
        if any(seats[one[:-2]] for one in pods):
            if held:
                claims["common"] = Claimed(claim(want()), pods, has=[free[home].pop()], on=home)
        elif pods:
            claims["common"] = Claimed(claim(want()), pods, others=draw(st.sampled_from([0, 255])))
    for home in names:  # claims of pods that are gone, and one that a waiting pod has from an earlier attempt
        if free[home] and draw(st.booleans()):
            waiting = [f"{name}-0" for name, gang in gangs.items() if not gang.pods[0].on and f"{name}-0" not in claims]
            pods = waiting[:1] if draw(st.booleans()) else []
            gone = draw(st.integers(0 if pods else 1, 2))
            claims[f"left-{home}"] = Claimed(claim(want()), pods, has=[free[home].pop()], on=home, leaving=gone)
    queues = {"q": Queue(quota=draw(st.integers(0, 3))), "r": Queue(quota=draw(st.integers(0, 3)))}
    snapshot = cluster(nodes=dict.fromkeys(names, 0), queues=queues, gangs=gangs)
    return with_claims(snapshot, slices, claims)


def replace_pool(one, node):
    return replace(one, name=f"{node}-{one.name}", pool=node, reach=replace(one.reach, node=node))


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_no_device_is_given_twice_and_no_counter_exceeded(snapshot):
    result = decide(snapshot)
    assert violations(snapshot, result) == ()


@settings(max_examples=40, deadline=None)
@given(
    worlds(), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2), st.booleans()), max_size=12), st.integers(0, 12)
)
def test_a_rollback_restores_all_claims(snapshot, moves, back):
    ledger = Ledger(snapshot)
    transaction, placer = Transaction(ledger), Placer(ledger, Options())
    images = [(transaction.checkpoint(), image(ledger))]
    for number, node, later in moves:
        pod = number % len(snapshot.pods)
        state = ledger.state.item(pod)
        if state in (PodState.BOUND, PodState.ALLOCATED, PodState.NOMINATED):
            transaction.evict(pod, action=Action.RECLAIM, preemptor=0)
        else:
            place = placer.view(snapshot.pods.class_idx.item(pod)).at(node % len(snapshot.nodes))
            if place is not None:
                waits = later or not place.now or state == PodState.RELEASING
                settle = transaction.nominate if waits else transaction.place
                settle(pod, place.node, action=Action.ALLOCATE, grants=place.grants)
        images.append((transaction.checkpoint(), image(ledger)))
    for to, before in reversed(images[: back + 1]):
        transaction.rollback(to)
        assert image(ledger) == before


def image(ledger):
    sums = (ledger.free, ledger.releasing, ledger.queue_allocated, ledger.active, ledger.state, ledger.node)
    return [np.asarray(one).tobytes() for one in sums], ledger.claims.state()


def test_nodes_are_packed_by_the_devices_that_they_have_left():
    """By cores, a is the fullest node."""
    snapshot = cluster(nodes={"a": 0, "b": 0, "c": 0}, gangs={"g": Gang([CPU]), "x": Gang([on("a")])})
    snapshot = with_claims(snapshot, pools(a=2, b=1, c=3), {"c": Claimed(claim(want()), ["g-0"])})
    assert bound(decide(snapshot)) == {"g-0": "b"}


def snapshot_of_two():
    return cluster(nodes={"a": 0, "b": 0}, gangs={"g": Gang([CPU])})


def test_spreading_looks_at_the_part_of_a_nodes_devices_that_is_left():
    claims = {"c": Claimed(claim(want()), ["g-0"]), "d": Claimed(claim(want()), [], has=["g0", "g1"], on="a", others=1)}
    snapshot = with_claims(snapshot_of_two(), pools(a=6, b=2), claims)
    assert bound(decide(snapshot, gpu=Strategy.SPREAD))["g-0"] == "b"
    assert bound(decide(with_claims(snapshot_of_two(), pools(a=6, b=5), claims)))["g-0"] == "a"


def test_pods_without_claims_leave_nodes_with_devices_to_those_who_need_them():
    snapshot = cluster(nodes={"a": 0, "b": 0}, gangs={"g": Gang([CPU]), "h": Gang([CPU])})
    snapshot = with_claims(snapshot, pools(a=1), {"c": Claimed(claim(want()), ["g-0"])})
    counted = tuple(replace(one, homes=(0,)) for one in snapshot.claims.counted)
    snapshot = replace(snapshot, claims=replace(snapshot.claims, counted=counted))
    assert bound(decide(snapshot)) == {"g-0": "a", "h-0": "b"}


def kinds_on(**nodes):
    """Devices called after the kind that a node has."""
    return [one for node, kind in nodes.items() for one in pool(node, device(kind), node=node)]


def either(*names):
    return claim(request("r", *(want(1, name) for name in names)))


def placed(snapshot):
    result = decide(snapshot)
    assert violations(snapshot, result) == ()
    return bound(result), devices_of(result)


def test_nodes_that_can_give_the_first_alternative_come_first():
    snapshot = cluster(nodes={"a": 0, "b": 0, "c": 0}, gangs={"g": Gang([CPU])})
    slices = kinds_on(a="third", b="second", c="first")
    lists = {("first", "second", "third"): "c", ("none", "second", "third"): "b", ("none", "third"): "a"}
    for wanted, node in lists.items():
        got, devices = placed(with_claims(snapshot, slices, {"c": Claimed(either(*wanted), ["g-0"])}))
        assert got == {"g-0": node}
        assert devices["ns/g-0"] == [next(one for one in wanted if one != "none")]


def test_a_first_alternative_that_must_be_waited_for_comes_after_a_second_that_is_free():
    gangs = {"old": Gang([leaving("b", 0)]), "g": Gang([CPU])}
    snapshot = cluster(nodes={"a": 0, "b": 0}, gangs=gangs)
    claims = {
        "old": Claimed(claim(want(1, "first")), ["old-0"], has=["first"], on="b"),
        "new": Claimed(either("first", "second"), ["g-0"]),
    }
    got, devices = placed(with_claims(snapshot, kinds_on(a="second", b="first"), claims))
    assert (got, devices["ns/g-0"]) == ({"g-0": "a"}, ["second"])


def test_pods_take_second_alternatives_when_the_first_ones_are_given():
    snapshot = cluster(nodes={"a": 0, "b": 0, "c": 0}, gangs={"g": Gang([CPU, CPU, CPU])})
    claims = {f"c{n}": Claimed(either("first", "second"), [f"g-{n}"]) for n in range(3)}
    _, devices = placed(with_claims(snapshot, kinds_on(a="second", b="first", c="second"), claims))
    assert sorted(one for (one,) in devices.values()) == ["first", "second", "second"]


def test_the_node_that_comes_nearest_is_found_behind_many_without_devices():
    plain = {f"a{number:02}": 0 for number in range(20)}
    snapshot = cluster(nodes={**plain, "b": 0}, gangs={"g": Gang([CPU])})
    snapshot = with_claims(snapshot, pools(b=2), {"c": Claimed(claim(want(3)), ["g-0"])})
    reason = next(reason for one in decide(snapshot).diagnoses for reason in one.reasons)
    assert reason.code is ReasonCode.DEVICES_UNAVAILABLE
    assert (reason.details["node"], reason.details["needed"], reason.details["matched"]) == ("b", 3, 2)


# -- claims that are made to be searched for -------------------------------------------------------


def puzzles(count):
    """Pods that each need a value that no two of many devices share, in a way that no sum disproves."""
    devices = [device(f"d{n}", has={f"a{k}": n % (k + 2) for k in range(16)}) for n in range(128)]
    same = [Constraint(own(f"a{n % 16}")) for n in range(32)]
    return devices, {
        f"c{n}": Claimed(claim(*[want() for _ in range(24 + n)], constraints=same), [f"g{n}-0"]) for n in range(count)
    }


def test_claims_that_explode_do_not_keep_others_waiting():
    """Each alone may use up its budget on every node; all together they may not use up the cycle."""
    devices, claims = puzzles(3)
    names = ["a", "b", "c"]
    slices = [one for name in names for part in range(8) for one in pool(f"{name}-{part}", *devices, node=name)]
    gangs = {f"g{n}": Gang([CPU]) for n in range(3)} | {"plain": Gang([CPU])}
    snapshot = cluster(nodes=dict.fromkeys(names, 0), gangs=gangs)
    snapshot = with_claims(snapshot, slices, claims | {"c": Claimed(claim(want(2)), ["plain-0"])})
    tried = []
    allocate = Allocator.allocate

    def counting(self, *what, **how):
        found = allocate(self, *what, **how)
        tried.append(found.steps)
        return found

    with patch.object(Allocator, "allocate", counting), patch("kai_py.core.state.claims._VAIN", 6_000):
        result = decide(snapshot)
    assert set(bound(result)) == {"plain-0"}
    assert max(tried) > 4_000
    assert sum(tried) < 6_000 + 4_001 + 501 * len(tried)
    assert {one.details["why"] for reasons in diagnosed(result).values() for one in reasons.reasons[:1]} == {
        "SearchCut"
    }


def apart_but_one(nodes, good):
    """Nodes with two devices each that have no zone in common, but on one node."""
    return [
        one
        for node in nodes
        for one in pool(
            node, *(device(f"g{n}", has={"zone": "x" if node == good else str(n)}) for n in range(2)), node=node
        )
    ]


def test_the_only_node_that_meets_a_constraint_is_found_among_hundreds_and_asked_again_only_when_it_changes():
    names = [f"n{number:03}" for number in range(200)]
    snapshot = cluster(nodes=dict.fromkeys(names, 0), gangs={"g": Gang([CPU]), "h": Gang([CPU])})
    pair = claim(want(2), constraints=[Constraint(own("zone"))])
    claims = {"c": Claimed(pair, ["g-0"]), "d": Claimed(pair, ["h-0"])}
    snapshot = with_claims(snapshot, apart_but_one(names, "n150"), claims)
    with patch.object(Allocator, "allocate", autospec=True, side_effect=Allocator.allocate) as asked:
        result = decide(snapshot)
        assert bound(result) == {"g-0": "n150"}
        first = asked.call_count
        assert first <= 2 * len(names) + 20
        assert bound(decide(snapshot)) == {"g-0": "n150"}
        # The next cycle knows who has refused; reasons are asked of a few nodes.
        assert asked.call_count - first <= 20


def test_a_selector_that_fails_is_told_first_with_its_place_and_the_device():
    """On one node devices are in use, which says nothing about the selector that fails on all others."""
    snapshot = cluster(nodes={"a": 0, "b": 0}, gangs={"g": Gang([CPU]), "busy": Gang([on("a")])})
    broken = DeviceClass("broken", selectors=(Named(broken=("g0",)),))
    claims = {
        "c": Claimed(claim(want(device_class=broken)), ["g-0"]),
        "d": Claimed(claim(want()), ["busy-0"], has=["g0"], on="a"),
    }
    result = decide(with_claims(snapshot, pools(a=1, b=1), claims))
    (reason, *_) = diagnosed(result)["g"].reasons
    assert (reason.details["why"], reason.details["node"]) == ("SelectorFailed", "b")
    assert reason.details["message"].startswith("spec.selectors[0] of DeviceClass broken on device ")
    assert reason.details["message"].endswith("/b/g0: no such key on g0")
    assert reason.nodes == {"SelectorFailed": 2}


def test_nodes_whose_free_devices_do_not_meet_a_constraint_are_counted_as_such():
    names = ["a", "b", "c"]
    snapshot = cluster(nodes=dict.fromkeys(names, 0), gangs={"g": Gang([CPU])})
    pair = claim(want(2), constraints=[Constraint(own("zone"))])
    snapshot = with_claims(
        snapshot, [*apart_but_one(names[:2], ""), *pool("c", *gpus(1), node="c")], {"c": Claimed(pair, ["g-0"])}
    )
    (reason, *_) = diagnosed(decide(snapshot))["g"].reasons
    assert (reason.details["why"], reason.details["node"]) == ("ConstraintNotMet", "a")
    assert reason.nodes == {"DevicesAgainstConstraint": 2, "NoDeviceMatches": 1}
