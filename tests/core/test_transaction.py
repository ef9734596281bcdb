import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.options import Action
from kai_py.core.result import Bind, Evict, Nominate
from kai_py.core.state.decisions import account, decisions_of
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import PodState
from tests.core.builders import AXIS, GPUS, Gang, Pod, Queue, Sub, cluster, leaving, running

GPU = AXIS.index["nvidia.com/gpu"]
ALLOCATE = Action.ALLOCATE


def begin(snapshot):
    transaction = Transaction(Ledger(snapshot))
    rows = {key.name: row for row, key in enumerate(snapshot.pods.keys)}
    return transaction, transaction.ledger, rows


def gpus(amounts):
    return (amounts[..., GPU] / 1000).tolist()


def test_running_leaving_and_foreign_pods_hold_their_node():
    ledger = Ledger(
        cluster(
            nodes={"a": 8},
            gangs={"g": Gang([running("a", 1), leaving("a", 2), Pod(4)])},
            foreign={"x": running("a", 3)},
        )
    )
    assert gpus(ledger.free) == [2]
    assert gpus(ledger.releasing) == [2]


def test_a_stuck_pod_holds_its_node_and_promises_nothing():
    stuck = Pod(5, on="a", state=PodState.STUCK)
    ledger = Ledger(cluster(nodes={"a": 8}, gangs={"g": Gang([stuck])}))
    assert (gpus(ledger.free), gpus(ledger.releasing)) == ([3], [0])


def test_a_pod_slot_is_held_too():
    ledger = Ledger(cluster(nodes={"a": 8}, foreign={"x": running("a"), "y": running("a")}))
    assert ledger.free[0, AXIS.index["pods"]] == 108


def test_bound_pods_charge_their_queue_and_all_above_and_leaving_ones_nobody():
    snapshot = cluster(
        nodes={"a": 8},
        queues={"lab": Queue(), "q": Queue("lab"), "other": Queue()},
        gangs={
            "g": Gang([running("a", 2), leaving("a", 4), Pod(1)]),
            "firm": Gang([running("a", 1)], preemptible=False),
        },
    )
    ledger = Ledger(snapshot)
    by_name = dict(zip(snapshot.queues.names, (ledger.queue_allocated[:, GPUS] / 1000).tolist(), strict=True))
    assert by_name == {"lab": 3, "q": 3, "other": 0}
    assert (ledger.queue_non_preemptible[:, GPUS] / 1000).tolist() == [1, 0, 1]


def test_a_bound_pod_whose_node_is_gone_still_charges_its_queue():
    gone = Pod(2, state=PodState.BOUND)
    ledger = Ledger(cluster(nodes={"a": 8}, gangs={"g": Gang([gone])}))
    assert gpus(ledger.free) == [8]
    assert ledger.queue_allocated[0, GPUS] == 2000


def test_placing_a_pod_takes_from_what_is_free():
    transaction, ledger, rows = begin(cluster(nodes={"a": 8}, gangs={"g": Gang([Pod(3)])}))
    transaction.place(rows["g-0"], 0, action=ALLOCATE)
    assert gpus(ledger.free) == [5]
    assert (ledger.active.tolist(), ledger.allocated.tolist(), ledger.pending.tolist()) == ([1], [1], [0])
    assert ledger.queue_allocated[0, GPUS] == 3000


def test_nominating_a_pod_takes_from_what_is_to_be_released():
    transaction, ledger, rows = begin(cluster(nodes={"a": 8}, gangs={"g": Gang([leaving("a", 8), Pod(3)])}))
    transaction.nominate(rows["g-1"], 0, action=ALLOCATE)
    assert (gpus(ledger.free), gpus(ledger.releasing)) == ([0], [5])
    assert (ledger.active.tolist(), ledger.allocated.tolist(), ledger.pending.tolist()) == ([1], [0], [0])


def test_evicting_a_pod_makes_its_place_releasing():
    transaction, ledger, rows = begin(cluster(nodes={"a": 8}, gangs={"g": Gang([running("a", 3)])}))
    transaction.evict(rows["g-0"], action=Action.RECLAIM, preemptor=0)
    assert (gpus(ledger.free), gpus(ledger.releasing)) == ([5], [3])
    assert ledger.queue_allocated[0, GPUS] == 0


def test_evicting_a_pod_whose_node_is_gone_touches_no_node():
    transaction, ledger, rows = begin(cluster(nodes={"a": 8}, gangs={"g": Gang([Pod(2, state=PodState.BOUND)])}))
    transaction.evict(rows["g-0"], action=Action.RECLAIM, preemptor=0)
    assert gpus(ledger.releasing) == [0]
    assert ledger.queue_allocated[0, GPUS] == 0


def test_decisions_follow_the_order_of_the_last_operation_on_each_pod():
    transaction, ledger, rows = begin(cluster(nodes={"a": 8, "b": 8}, gangs={"g": Gang([Pod(), Pod()])}))
    transaction.place(rows["g-1"], 1, action=ALLOCATE)
    transaction.nominate(rows["g-0"], 0, action=ALLOCATE)
    assert decisions_of(ledger, transaction.journal) == [
        Bind("ns/g-1", "g-1", "b", "ns/g", ALLOCATE),
        Nominate("ns/g-0", "g-0", "a", "ns/g", ALLOCATE),
    ]


def test_a_pod_that_is_evicted_and_nominated_elsewhere_moves():
    transaction, ledger, rows = begin(cluster(nodes={"a": 8, "b": 8}, gangs={"g": Gang([running("a")]), "h": 1}))
    transaction.evict(rows["g-0"], action=Action.CONSOLIDATE, preemptor=1)
    transaction.nominate(rows["g-0"], 1, action=Action.CONSOLIDATE)
    assert decisions_of(ledger, transaction.journal) == [
        Evict("ns/g-0", "g-0", "a", "ns/g", Action.CONSOLIDATE, "ns/h", moved=True),
        Nominate("ns/g-0", "g-0", "b", "ns/g", Action.CONSOLIDATE),
    ]


def test_a_pod_that_is_evicted_and_nominated_to_its_own_node_stays():
    transaction, ledger, rows = begin(cluster(nodes={"a": 8}, gangs={"g": Gang([running("a")])}))
    transaction.evict(rows["g-0"], action=Action.CONSOLIDATE, preemptor=0)
    transaction.nominate(rows["g-0"], 0, action=Action.CONSOLIDATE)
    assert decisions_of(ledger, transaction.journal) == []


def moved_for_h():
    """``g`` (row 0) moves from a to b for ``h`` (1), who gets its place; ``u`` (2) and ``v`` (3) wait."""
    gangs = {"g": Gang([running("a")]), "h": 1, "u": 1, "v": 1}
    transaction, ledger, rows = begin(cluster(nodes={"a": 8, "b": 8}, gangs=gangs))
    transaction.evict(rows["g-0"], action=Action.CONSOLIDATE, preemptor=1)
    transaction.nominate(rows["h-0"], 0, action=Action.CONSOLIDATE)
    transaction.nominate(rows["g-0"], 1, action=Action.CONSOLIDATE)
    return transaction, ledger, rows


def whose(ledger, transaction):
    """On whose account pods are evicted."""
    return [d.preemptor for d in decisions_of(ledger, transaction.journal) if isinstance(d, Evict)]


def test_who_moves_does_so_for_whoever_has_the_place_in_the_end():
    transaction, ledger, rows = moved_for_h()
    assert whose(ledger, transaction) == ["ns/h"]
    for before, now in ("hu", "uv"):
        preemptor = "ghuv".index(now)
        transaction.evict(rows[f"{before}-0"], action=Action.PREEMPT, preemptor=preemptor)
        transaction.nominate(rows[f"{now}-0"], 0, action=Action.PREEMPT)
    assert whose(ledger, transaction) == ["ns/v"]
    assert account(ledger, transaction.journal).moved_for(3) == [rows["g-0"]]


def test_who_is_asked_for_its_new_place_and_spared_moves_for_the_same_one_as_before():
    transaction, ledger, rows = moved_for_h()
    transaction.evict(rows["g-0"], action=Action.PREEMPT, preemptor=2)
    assert whose(ledger, transaction) == ["ns/u"]
    transaction.nominate(rows["g-0"], 1, action=Action.PREEMPT, spared_for=2)
    assert whose(ledger, transaction) == ["ns/h"]


def test_who_is_moved_within_the_cycle_has_its_place_by_the_action_that_gave_it_one_first():
    transaction, ledger, rows = moved_for_h()
    transaction.evict(rows["h-0"], action=Action.RECLAIM, preemptor=2)
    transaction.nominate(rows["u-0"], 0, action=Action.RECLAIM)
    transaction.nominate(rows["h-0"], 1, action=Action.RECLAIM, spared_for=2)
    found = decisions_of(ledger, transaction.journal)
    assert [(d.pod, d.action) for d in found if isinstance(d, Nominate)] == [
        ("ns/h-0", Action.CONSOLIDATE),
        ("ns/g-0", Action.CONSOLIDATE),
        ("ns/u-0", Action.RECLAIM),
    ]
    assert whose(ledger, transaction) == ["ns/h"]


def test_who_only_moves_has_not_got_back_the_place_that_others_moved_for():
    gangs = {"g": Gang([running("a")]), "h": Gang([running("b"), Pod()], minimum=1), "u": 1}
    transaction, ledger, rows = begin(cluster(nodes={"a": 8, "b": 8, "c": 8}, gangs=gangs))
    transaction.evict(rows["g-0"], action=Action.CONSOLIDATE, preemptor=1)
    transaction.nominate(rows["h-1"], 0, action=Action.CONSOLIDATE)
    transaction.nominate(rows["g-0"], 2, action=Action.CONSOLIDATE)
    for victim in ("h-0", "h-1"):
        transaction.evict(rows[victim], action=Action.RECLAIM, preemptor=2)
    transaction.nominate(rows["u-0"], 1, action=Action.RECLAIM)
    transaction.nominate(rows["h-0"], 0, action=Action.RECLAIM, spared_for=2)
    assert whose(ledger, transaction) == ["ns/u", "ns/u"]


def test_starts_become_nominations_and_evictions_stay_evictions():
    snapshot = cluster(nodes={"a": 8, "b": 8}, gangs={"g": 2, "v": Gang([running("b")]), "w": 1})
    transaction, ledger, rows = begin(snapshot)
    transaction.place(rows["w-0"], 0, action=Action.RECLAIM)
    before = transaction.checkpoint()
    transaction.evict(rows["v-0"], action=Action.RECLAIM, preemptor=0)
    transaction.place(rows["g-0"], 0, action=Action.RECLAIM)
    transaction.nominate(rows["g-1"], 1, action=Action.RECLAIM)
    transaction.nominate_instead(before, podgroup=0)
    assert [(type(d), d.pod) for d in decisions_of(ledger, transaction.journal)] == [
        (Bind, "ns/w-0"),
        (Evict, "ns/v-0"),
        (Nominate, "ns/g-0"),
        (Nominate, "ns/g-1"),
    ]
    assert (ledger.active.tolist(), ledger.allocated.tolist()) == ([2, 0, 1], [0, 0, 1])


BUSY = cluster(
    nodes={"a": 8, "b": 8, "c": 8},
    queues={"lab": Queue(), "q": Queue("lab"), "r": Queue()},
    gangs={
        "g": Gang([Pod(2), Pod(1, cpu=4), Pod(1), running("a", 2), running("b", 1)]),
        "h": Gang(children={"x": Sub([Pod(), running("c")]), "y": Sub([Pod(4)])}, queue="r", preemptible=False),
        "i": Gang([leaving("c", 5), Pod(3, state=PodState.BOUND), Pod()]),
    },
)

SUMS = (
    "free",
    "releasing",
    "queue_allocated",
    "queue_non_preemptible",
    "active",
    "allocated",
    "pending",
    "state",
    "node",
)


def image(ledger):
    return {name: getattr(ledger, name).tobytes() for name in SUMS}


class Player:
    """Does whatever operation is possible for a number, and remembers what the ledger was at each checkpoint."""

    def __init__(self):
        self.transaction, self.ledger, _ = begin(BUSY)
        self.images = [(self.transaction.checkpoint(), image(self.ledger))]

    def play(self, choice, number, node):
        possible = [pod for pod in range(len(BUSY.pods)) if BUSY.pods.subgroup_idx[pod] != -1 and self.moves(pod)]
        match choice:
            case "checkpoint":
                self.images.append((self.transaction.checkpoint(), image(self.ledger)))
            case "rollback":
                while len(self.images) > 1 and number % 3:
                    number -= 1
                    self.images.pop()
                self.transaction.rollback(self.images[-1][0])
            case "operation" if possible:
                pod = possible[number % len(possible)]
                moves = self.moves(pod)
                getattr(self, moves[number % len(moves)])(pod, node)

    def moves(self, pod):
        state = self.ledger.state[pod]
        if state == PodState.BOUND:
            return ["evict"]
        evicted = state == PodState.RELEASING and BUSY.pods.state[pod] == PodState.BOUND
        return ["nominate"] if evicted else ["place", "nominate"] if state == PodState.PENDING else []

    def place(self, pod, node):
        self.transaction.place(pod, node, action=ALLOCATE)

    def nominate(self, pod, node):
        self.transaction.nominate(pod, node, action=ALLOCATE)

    def evict(self, pod, _):
        self.transaction.evict(pod, action=Action.PREEMPT, preemptor=0)


moves = st.tuples(
    st.sampled_from(["operation"] * 4 + ["checkpoint", "rollback"]), st.integers(0, 50), st.integers(0, 2)
)


@given(st.lists(moves, max_size=30))
def test_a_rollback_restores_every_byte(sequence):
    player = Player()
    for move in sequence:
        player.play(*move)
        if move[0] == "rollback":
            assert image(player.ledger) == player.images[-1][1]
    player.transaction.rollback(player.images[0][0])
    assert image(player.ledger) == player.images[0][1]


@given(st.lists(moves, max_size=30))
def test_the_sums_are_always_those_of_the_states(sequence):
    player = Player()
    for move in sequence:
        player.play(*move)
    ledger, pods = player.ledger, BUSY.pods
    # A nominated victim has left its node and is awaited on another: it stands in two sums, so it is counted apart.
    moved = (ledger.state == PodState.NOMINATED) & (pods.state == PodState.BOUND)
    free, releasing = BUSY.nodes.allocatable.copy(), np.zeros_like(BUSY.nodes.allocatable)
    for pod in range(len(pods)):
        request, state = BUSY.classes.request[pods.class_idx[pod]], PodState(ledger.state[pod])
        here, there = pods.node_idx[pod], ledger.node[pod]
        if here != -1:
            free[here] -= request
            if state is PodState.RELEASING or moved[pod]:
                releasing[here] += request
        if state is PodState.ALLOCATED:
            free[there] -= request
        if state is PodState.NOMINATED:
            releasing[there] -= request
    assert ledger.free.tolist() == free.tolist()
    assert ledger.releasing.tolist() == releasing.tolist()


def test_a_sealed_snapshot_refuses_to_be_written():
    with pytest.raises(ValueError, match="read-only"):
        BUSY.pods.state[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cluster(nodes={"a": 1}, gangs={"g": 1}).nodes.allocatable[0] = 0


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(0, 6), st.booleans())
def test_pods_that_are_placed_together_are_placed_as_if_one_by_one(nodes, first, preemptible):
    many = Gang(8, minimum=0, queue="r", preemptible=preemptible)
    scene = cluster(
        nodes=dict.fromkeys("abc", 8),
        queues={"p": Queue(), "q": Queue("p"), "r": Queue("p")},
        gangs={"many": many, "one": Gang(1, queue="q")},
    )
    together, ledger, rows = begin(scene)
    apart, reference, _ = begin(scene)
    pods = sorted(rows.values())[first:][: len(nodes)]
    for pod, node in zip(pods, nodes, strict=False):
        apart.place(pod, node, action=ALLOCATE)
    start, before = together.checkpoint(), image(ledger)
    together.place_alike(pods, nodes[: len(pods)], action=ALLOCATE)
    assert (image(ledger), together.journal) == (image(reference), apart.journal)
    assert ledger.touched == reference.touched
    together.rollback(start)
    assert image(ledger) == before
