import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.options import DEFAULT_WEIGHTS, Action, Options, Strategy
from kai_py.core.placement.gang import Placer
from kai_py.core.placement.views import Place
from kai_py.core.result import FilterReason
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from tests.core.builders import Gang, Node, Pod, cluster, leaving, running


def view(pod=None, *, nodes, gangs=None, foreign=None, **options):
    pod = pod or Pod()
    snapshot = cluster(nodes=nodes, gangs={"new": Gang([pod]), **(gangs or {})}, foreign=foreign)
    class_idx = int(snapshot.pods.class_idx[[key.name for key in snapshot.pods.keys].index("new-0")])
    return Placer(Ledger(snapshot), Options(**options)).view(class_idx)


def test_the_fullest_node_with_room_is_the_best():
    assert view(
        Pod(2), nodes={"a": 8, "b": 8, "c": 8}, foreign={"x": running("b", 6), "y": running("c", 7)}
    ).best() == (Place(1, now=True))


def test_among_equal_nodes_the_first_by_name_is_the_best():
    assert view(nodes={"b": 8, "a": 8}).best() == Place(0, now=True)


def test_a_node_with_room_now_beats_one_that_will_have_it():
    assert view(Pod(4), nodes={"a": 8, "b": 8}, gangs={"old": Gang([leaving("a", 8)])}).best() == Place(1, now=True)


def test_a_node_that_will_have_room_is_taken_when_none_has_it_now():
    gangs = {"old": Gang([leaving("b", 8)])}
    assert view(Pod(4), nodes={"a": 2, "b": 8}, gangs=gangs).best() == Place(1, now=False)


def test_without_room_there_is_no_best_node():
    assert view(Pod(9), nodes={"a": 8}).best() is None
    assert view(Pod(1), nodes={}).best() is None


def test_the_choice_may_be_confined_to_some_nodes():
    candidates = view(nodes={"a": 8, "b": 8})
    assert candidates.best(np.array([False, True])) == Place(1, now=True)
    assert candidates.best(np.array([False, False])) is None


def test_idle_capacity_that_is_promised_is_not_promised_again():
    snapshot = cluster(nodes={"a": 8}, gangs={"g": Gang([Pod(5), Pod(5)])})
    ledger = Ledger(snapshot)
    Transaction(ledger).nominate(0, 0, action=Action.ALLOCATE)
    assert Placer(ledger, Options()).view(0).best() is None


def test_preferences_outweigh_packing_and_room_now_outweighs_preferences():
    nodes = {"a": Node(taints=()), "b": 8}
    heavy = {**DEFAULT_WEIGHTS, "packing": 2000.0}
    gangs = {"old": Gang([leaving("a", 7)])}
    assert view(Pod(2), nodes=nodes, gangs=gangs).best() == Place(1, now=True)
    assert view(Pod(2), nodes=nodes, gangs=gangs, foreign={"x": running("a", 1)}, weights=heavy).best().node in (0, 1)


def test_every_node_is_counted_under_its_first_reason():
    nodes = {"a": Node(ready=False, cordoned=True), "b": Node(cordoned=True), "c": 1, "d": 0}
    reasons, shortages = view(Pod(4), nodes=nodes).explain()
    assert reasons == {
        FilterReason.NOT_READY: 1,
        FilterReason.CORDONED: 1,
        FilterReason.RESOURCES: 2,
    }
    assert shortages == {"nvidia.com/gpu": (2, 3000)}


PODS = [Pod(1, selector=(("disk", "ssd"),)), Pod(1, cpu=2), Pod(3, memory=5), Pod(0, cpu=40), Pod(0.5)]
SCENE = cluster(
    nodes={"a": 8, "b": Node(4, labels={"disk": "ssd"}), "c": Node(8, cpu=64), "d": 0},
    gangs={
        "g": Gang([*PODS, *PODS, running("a", 2), running("b", 3), running("d", 0, cpu=9)]),
        "h": Gang([leaving("c", 6)]),
    },
)

operations = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.booleans(), st.integers(0, 6)), max_size=40)


ALLOCATION = {"leastAllocated": 3.0, "mostAllocated": 0.7, "balancedAllocation": 1.3}


@given(operations, st.sampled_from([Strategy.BINPACK, Strategy.SPREAD]), st.sampled_from([{}, ALLOCATION]))
def test_a_view_that_followed_the_ledger_equals_a_new_one_to_the_bit(sequence, strategy, weights):
    ledger, options = Ledger(SCENE), Options(gpu=strategy, cpu=strategy, weights={**DEFAULT_WEIGHTS, **weights})
    transaction, placer = Transaction(ledger), Placer(ledger, options)
    followed = [placer.view(class_idx) for class_idx in range(len(SCENE.classes))]
    start = transaction.checkpoint()
    for number, node, now, act in sequence:
        pending = [pod for pod in range(len(SCENE.pods)) if ledger.state[pod] == 0]
        bound = [pod for pod in range(len(SCENE.pods)) if ledger.state[pod] == 2]
        if act == 0:
            transaction.rollback(start)
        elif act == 1 and bound:
            transaction.evict(bound[number % len(bound)], action=Action.RECLAIM, preemptor=0)
        elif pending:
            (transaction.place if now else transaction.nominate)(
                pending[number % len(pending)], node, action=Action.ALLOCATE
            )
        if act == 2:
            followed[number % len(followed)].best()
    fresh = Placer(ledger, options)
    for class_idx, view_ in enumerate(followed):
        view_.refresh()
        assert view_._value.tobytes() == fresh.view(class_idx)._value.tobytes()
        assert view_.best() == fresh.view(class_idx).best()


holds = st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([0, 0, 1, 2]), st.sampled_from([3, 110]))


@given(
    st.lists(holds, max_size=7),
    st.sampled_from([Pod(1), Pod(2, cpu=3), Pod(0, cpu=2)]),
    st.sampled_from(list(Strategy)),
    st.sampled_from([1, 3, 8, 40]),
    st.sampled_from([DEFAULT_WEIGHTS, {"packing": 9.0}]),
)
def test_places_ahead_are_those_that_pods_find_one_by_one(nodes, pod, strategy, limit, weights):
    scene = cluster(
        nodes={f"n{row}": Node(4, cpu=8, pods=slots) for row, (*_, slots) in enumerate(nodes)},
        foreign={f"x{row}": running(f"n{row}", taken) for row, (taken, *_) in enumerate(nodes)},
        gangs={
            "new": Gang([pod] * 41),
            **{f"old{row}": Gang([leaving(f"n{row}", gone)]) for row, (_, _, gone, _) in enumerate(nodes) if gone},
        },
    )
    ledger = Ledger(scene)
    transaction, options = Transaction(ledger), Options(gpu=strategy, cpu=strategy, weights=weights)
    waiting = [row for row, key in enumerate(scene.pods.keys) if key.name.startswith("new-")]
    placer = Placer(ledger, options)
    view_ = placer.view(scene.pods.class_idx.item(waiting[0]))
    ahead = view_.ahead(limit)
    first = view_.best()
    assert len(ahead) <= limit
    assert bool(ahead) == (first is not None and first.now)
    for row, node in zip(waiting, ahead, strict=False):
        assert view_.best() == Place(node, now=True)
        transaction.place(row, node, action=Action.ALLOCATE)


def test_a_whole_cluster_is_filled_in_one_look_when_nodes_are_filled_one_by_one():
    new = view(nodes=dict.fromkeys("abcd", 8), gangs={"more": Gang([Pod()] * 40)})
    assert new.ahead(20) == [0] * 8 + [1] * 8 + [2] * 4
    assert new.ahead(100) == [0] * 8 + [1] * 8 + [2] * 8 + [3] * 8


def test_nobody_is_placed_ahead_where_room_is_only_awaited():
    assert view(nodes={"a": 8}, gangs={"old": Gang([leaving("a", 8)])}).ahead(8) == []
