"""The strategy ``leastFragmentation``: a pod goes where what becomes useless to others is least."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options, Strategy
from kai_py.core.placement.fragments import Fragments, Memo
from kai_py.core.placement.gang import Placer
from kai_py.core.placement.sharing import SharingView
from kai_py.core.placement.suitability import Suitabilities
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from tests.core.builders import Gang, Node, Pod, bound, cluster, decide, leaving, running, sharing
from tests.core.test_sharing_properties import shared_clusters
from tests.reference import usable as reference

SPARING = {"gpu": Strategy.LEAST_FRAGMENTATION, "cpu": Strategy.LEAST_FRAGMENTATION}


def placed(pod, others=(), **what):
    """Where a pod goes, while others wait that are too important to be forgotten, and too large to be placed."""
    gangs = {"new": Gang([pod]), **{f"z{n}": Gang([other]) for n, other in enumerate(others)}}
    return bound(decide(cluster(gangs=gangs, **what), **SPARING, actions=(Action.ALLOCATE,)))["new-0"]


def test_cores_are_kept_for_gpus_that_others_could_use():
    nodes = {"a": Node(4, cpu=16), "b": Node(4, cpu=64)}
    # 12 of 16 cores gone would leave four GPUs with cores for one of them; of 64 there is enough for all.
    assert placed(Pod(0, cpu=12), [Pod(1, cpu=4)] * 9, nodes=nodes) == "b"


def test_a_node_whose_gpus_nobody_can_use_any_more_is_taken_first():
    nodes = {"a": Node(4, cpu=16), "b": Node(4, cpu=16)}
    foreign = {"x": Pod(0, cpu=14, on="b")}
    assert placed(Pod(0, cpu=2), [Pod(1, cpu=4), Pod(4, cpu=4)] * 20, nodes=nodes, foreign=foreign) == "b"


def test_where_nothing_is_lost_nodes_are_filled():
    nodes = {"a": Node(8, cpu=64), "b": Node(8, cpu=64)}
    assert placed(Pod(1), [Pod(2)], nodes=nodes, foreign={"x": running("b", 2)}) == "b"


def test_whole_nodes_are_kept_for_those_who_need_them():
    nodes = {"a": Node(4), "b": Node(4)}
    assert placed(Pod(1), [Pod(4), Pod(4), Pod(4)], nodes=nodes, foreign={"x": running("b", 1)}) == "b"


def test_nodes_that_others_cannot_use_anyway_are_taken_first():
    """Only nodes of one model are of use to most pods."""
    nodes = {"a": Node(4, labels={"model": "new"}), "b": Node(4, labels={"model": "old"})}
    picky = Pod(1, cpu=1, selector=(("model", "new"),))
    assert placed(Pod(1), [picky] * 5, nodes=nodes) == "b"


def test_pieces_are_left_that_others_fit_into():
    """0.3 of a device with 0.8 left would spoil it for those who want 0.6; one with 0.4 left has nothing to lose."""
    nodes = {"a": Node(1), "b": Node(1)}
    old = {"x": Gang([sharing(0.2, "d", on="a")]), "y": Gang([sharing(0.6, "d", on="b")])}
    gangs = {"new": Gang([sharing(0.3)]), **old, "z": Gang([sharing(0.6)] * 9, minimum=9)}
    assert bound(decide(cluster(nodes=nodes, gangs=gangs), **SPARING))["new-0"] == "b"


def test_with_equal_pods_only_nothing_is_computed():
    ledger = Ledger(cluster(nodes={"a": 8}, gangs={"g": 3, "h": 2}))
    assert Fragments(ledger, Suitabilities(ledger.snapshot, Options())).typical is None


def test_a_cluster_without_nodes_has_nothing_to_lose():
    gangs = {"g": Gang([Pod(1)]), "h": Gang([Pod(2)])}
    assert decide(cluster(nodes={}, gangs=gangs), **SPARING).decisions == ()


def test_rare_pods_do_not_count_as_typical():
    gangs = {"many": Gang([Pod(1)] * 96), "few": Gang([Pod(2)] * 4)}
    ledger = Ledger(cluster(nodes={"a": 8}, gangs=gangs))
    typical = Fragments(ledger, Suitabilities(ledger.snapshot, Options())).typical
    assert typical is not None
    assert typical.weight.tolist() == [96]


def test_pods_of_other_schedulers_and_leaving_ones_do_not_count():
    snapshot = cluster(
        nodes={"a": Node(8), "b": 8},
        gangs={"g": Gang([Pod(1), Pod(2)]), "old": Gang([leaving("a", 4)])},
        foreign={"x": running("b", 6)},
    )
    ledger = Ledger(snapshot)
    typical = Fragments(ledger, Suitabilities(snapshot, Options())).typical
    assert typical is not None
    assert sorted(typical.gpus.tolist()) == [1000, 2000]


@st.composite
def mixed_clusters(draw):
    """Nodes with some load, and pods that ask for GPUs, parts of them, or none."""
    nodes, gangs = {}, {}
    for name in "abc"[: draw(st.integers(1, 3))]:
        nodes[name] = Node(draw(st.integers(0, 4)), cpu=draw(st.sampled_from([8, 16, 64])))
        for device in range(draw(st.integers(0, nodes[name].gpus))):
            amount = draw(st.sampled_from([0.1, 0.33, 0.5, 0.81, 1.0]))
            pod = sharing(amount, f"d{device}", on=name, cpu=draw(st.integers(0, 3)))
            gangs[f"{name}{device}"] = Gang([pod])
    asks = st.one_of(
        st.builds(Pod, st.integers(0, 2), cpu=st.integers(0, 9)),
        st.builds(
            sharing, st.sampled_from([0.25, 0.5, 0.7]), cpu=st.integers(0, 5), devices=st.sampled_from([1, 1, 2])
        ),
    )
    for number, pods in enumerate(draw(st.lists(st.lists(asks, min_size=1, max_size=3), min_size=2, max_size=5))):
        gangs[f"w{number}"] = Gang(pods, minimum=1)
    return cluster(nodes=nodes, gangs=gangs)


def state_of(snapshot, node):
    """(free by resource, thousandths left of each device) of a node, counted pod by pod."""
    names = snapshot.axis.names
    free = dict(zip(names, snapshot.nodes.allocatable[node].tolist(), strict=True))
    shared = {}
    for row in np.flatnonzero(snapshot.pods.node_idx == node).tolist():
        pod = snapshot.classes.classes[snapshot.pods.class_idx[row]]
        for name, amount in zip(names, pod.request, strict=True):
            free[name] -= amount
        for device in snapshot.devices.groups[row] if snapshot.devices is not None and pod.share else ():
            shared[device] = shared.get(device, 1000) - pod.share.millionths // 1000
    whole = free.pop("nvidia.com/gpu") // 1000 - len(shared)
    return free, [1000] * whole + list(shared.values())


def asked_of(snapshot, amounts):
    """What is asked for; where nothing is, a node may have less than nothing."""
    return {name: amount for name, amount in zip(snapshot.axis.names, amounts, strict=False) if amount}


def as_reference(snapshot, pod):
    asked = asked_of(snapshot, pod.request)
    gpus = asked.pop("nvidia.com/gpu", 0) // 1000
    return (asked, gpus, 1000) if pod.share is None else (asked, pod.share.devices, pod.share.millionths // 1000)


@settings(max_examples=80)
@given(mixed_clusters())
def test_what_is_usable_is_what_a_count_device_by_device_says(snapshot):
    ledger = Ledger(snapshot)
    fragments = Fragments(ledger, Suitabilities(snapshot, Options()))
    typical = fragments.typical
    if typical is None or snapshot.devices is None:
        return
    rows = np.arange(len(snapshot.nodes), dtype=np.int32)
    pieces = ledger.devices.rooms.pieces(rows)
    found = typical.usable(ledger.free, pieces, fragments.kind)
    pods = [
        (asked_of(snapshot, request[:3]), devices, size if devices else 0)
        for request, devices, size in zip(
            typical.request.tolist(), typical.devices.tolist(), typical.sizes[0, typical.size_idx].tolist(), strict=True
        )
    ]
    for node in rows.tolist():
        expected = sum(
            weight * reference.usable(*state_of(snapshot, node), [pod])
            for weight, pod in zip(typical.weight.tolist(), pods, strict=True)
        )
        assert found[node] == 2 * expected


@settings(max_examples=80)
@given(mixed_clusters())
def test_a_loss_is_what_is_usable_before_less_what_is_usable_after(snapshot):
    """Losses are looked up by state and kept as the ledger changes; counted anew they are the same."""
    options = Options(**SPARING)
    ledger = Ledger(snapshot)
    placer, transaction = Placer(ledger, options), Transaction(ledger)
    fragments = Fragments(ledger, Suitabilities(snapshot, options))
    if fragments.typical is None:
        return
    memos = {}
    for pod in np.flatnonzero(snapshot.pods.node_idx < 0).tolist():
        row = snapshot.pods.class_idx.item(pod)
        fitting = np.array([n for n in range(len(snapshot.nodes)) if placer.view(row).at(n)], dtype=np.int32)
        asked = snapshot.classes.classes[row]
        kept = fragments.loss(asked, memos.setdefault(row, Memo()), fitting)
        anew = Fragments(ledger, Suitabilities(snapshot, options)).loss(asked, Memo(), fitting)
        assert kept.tolist() == anew.tolist()
        assert (kept >= 0).all()
        if (place := placer.view(row).best()) is not None:
            place.give(transaction, pod, action=Action.ALLOCATE)


@settings(max_examples=80)
@given(shared_clusters(), st.sampled_from(Strategy))
def test_devices_looked_at_together_are_valued_as_one_by_one(snapshot, strategy):
    ledger = Ledger(snapshot)
    placer = Placer(ledger, Options(gpu=strategy))
    for row, pod in enumerate(snapshot.classes.classes):
        if pod.share is None:
            continue
        view = placer.view(row)
        assert isinstance(view, SharingView)
        for node in range(len(snapshot.nodes)):
            together = view.at(node)
            view._evaluate_one(node) if strategy is not Strategy.LEAST_FRAGMENTATION else None
            assert view.at(node) == together


@settings(max_examples=60)
@given(mixed_clusters())
def test_all_invariants_hold(snapshot):
    assert violations(snapshot, decide(snapshot, **SPARING)) == ()


@pytest.mark.parametrize("strategy", [Strategy.BINPACK, Strategy.LEAST_FRAGMENTATION])
def test_a_device_that_is_shared_already_comes_first(strategy):
    gangs = {"old": Gang([sharing(0.5, "d", on="a")]), "new": Gang([sharing(0.5)])}
    assert bound(decide(cluster(nodes={"a": 2, "b": 2}, gangs=gangs), gpu=strategy))["new-0"] == "a"
