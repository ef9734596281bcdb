"""What holds for all clusters in which GPUs are shared."""

from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.invariants import violations
from kai_py.core.options import Action, Strategy
from kai_py.core.result import Bind, Nominate
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import PodState
from tests.core.builders import Gang, Node, Pod, Queue, cluster, decide, sharing
from tests.core.test_cycle_properties import answer

#: Consolidation stands alone: whom it moves may be evicted by a later action, and then has lost its place for nobody.
actions = st.sampled_from([(Action.ALLOCATE, Action.RECLAIM, Action.PREEMPT), (Action.ALLOCATE, Action.CONSOLIDATE)])
asks = st.one_of(
    st.sampled_from([0.2, 0.3, 0.5, 0.5, 0.7, 1.0]).map(lambda fraction: {"fraction": fraction}),
    st.sampled_from([10, 33, 50, 60, 100]).map(lambda memory: {"memory": memory}),
)


@st.composite
def occupants(draw, node: str, gpus: int):
    """Pods that run on some devices of a node, within what they have, and some that are leaving."""
    pods, left = [], 0
    for device in range(draw(st.integers(0, gpus))):
        if draw(st.integers(0, 3)) == 0:
            pods.append(Pod(1, on=node))
            continue
        left = 100
        for _ in range(draw(st.integers(1, 3))):
            memory = draw(st.sampled_from([10, 25, 30, 50, 70]))
            if memory <= left:
                left -= memory
                state = draw(st.sampled_from([None, None, None, PodState.RELEASING, PodState.STUCK]))
                what = {"fraction": memory / 100} if draw(st.booleans()) else {"memory": memory}
                fraction = what.pop("fraction", 0.0)
                pods.append(sharing(fraction, f"{node}-{device}", on=node, state=state, **what))
    return pods


@st.composite
def waiting(draw):
    if draw(st.integers(0, 2)) == 0:
        return Pod(draw(st.sampled_from([1, 2])))
    what = draw(asks)
    devices = draw(st.sampled_from([1, 1, 1, 2]))
    return sharing(what.get("fraction", 0.0), memory=what.get("memory", 0), devices=devices)


@st.composite
def shared_clusters(draw):
    nodes = {name: Node(draw(st.integers(1, 3))) for name in draw(st.sampled_from(["a", "ab", "abc"]))}
    queues = {
        name: Queue(quota=draw(st.sampled_from([0.5, 1, 2])), weight=draw(st.sampled_from([0, 1])))
        for name in ("q0", "q1")
    }
    of = st.sampled_from(["q0", "q1"])
    work = {}
    for name, node in nodes.items():
        for number, pod in enumerate(draw(occupants(name, node.gpus))):
            work[f"{name}{number}"] = Gang(
                [pod],
                minimum=0 if pod.state else 1,
                queue=draw(of),
                priority=draw(st.sampled_from([40, 50])),
                preemptible=draw(st.sampled_from([True, True, True, False])),
            )
    for number in range(draw(st.integers(1, 3))):
        pods = draw(st.lists(waiting(), min_size=1, max_size=3))
        work[f"w{number}"] = Gang(
            pods,
            minimum=draw(st.sampled_from([len(pods), 1])),
            queue=draw(of),
            priority=draw(st.sampled_from([50, 100])),
            preemptible=draw(st.booleans()),
        )
    return cluster(nodes=nodes, queues=queues, gangs=work)


@settings(max_examples=200)
@given(shared_clusters(), st.sampled_from(Strategy), actions)
def test_no_device_is_ever_given_beyond_its_memory_and_all_other_invariants_hold(snapshot, strategy, order):
    assert violations(snapshot, decide(snapshot, gpu=strategy, actions=order)) == ()


@settings(max_examples=50)
@given(shared_clusters())
def test_the_same_cluster_decides_the_same(snapshot):
    assert answer(decide(snapshot)) == answer(decide(snapshot))


@settings(max_examples=100)
@given(shared_clusters(), st.data())
def test_a_rollback_restores_every_byte_and_every_device(snapshot, data):
    """The decisions of a cycle, and evictions of anybody, in any order; then everything is undone."""
    transaction = Transaction(Ledger(snapshot))
    ledger, rows = transaction.ledger, {str(key): row for row, key in enumerate(snapshot.pods.keys)}

    def state():
        arrays = (ledger.free, ledger.releasing, ledger.queue_allocated, ledger.active, ledger.state, ledger.node)
        taken = {node: dict(devices) for node, devices in ledger.devices.taken.items()}
        return [array.tobytes() for array in arrays], taken, dict(ledger.devices.of_pod)

    if ledger.devices is None:
        return
    states = [(transaction.checkpoint(), state())]
    given_ = [one for one in decide(snapshot).decisions if isinstance(one, Bind | Nominate)]
    for one in given_:
        if snapshot.pods.state[rows[one.pod]] == PodState.PENDING:
            place = transaction.place if isinstance(one, Bind) else transaction.nominate
            place(rows[one.pod], snapshot.nodes.names.index(one.node), action=one.action, devices=one.gpu_groups)
            states.append((transaction.checkpoint(), state()))
    held = [row for row in rows.values() if ledger.state[row] in (PodState.BOUND, PodState.NOMINATED)]
    for row in data.draw(st.lists(st.sampled_from(held), unique=True)) if held else ():
        transaction.evict(row, action=Action.PREEMPT, preemptor=-1)
        states.append((transaction.checkpoint(), state()))
    for checkpoint, before in data.draw(st.permutations(states)):
        if checkpoint <= transaction.checkpoint():
            transaction.rollback(checkpoint)
            assert state() == before
    transaction.rollback(0)
    assert state() == states[0][1]
