import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.api.decode import convert
from kai_py.api.meta import Namespace
from kai_py.api.pod import Pod
from kai_py.cluster.pods import key_of
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import PodState
from tests.cluster.objects import NOW, priority_class, put
from tests.neighbours.worlds import HOST, ZONES, a_world, app, evenly, far, manifest, near, pods, starts, term

NODES = {"n": "x", "m": "y", "o": "y"}
TERMS = st.builds(lambda name, key: term(app(name), key), st.sampled_from("ab"), st.sampled_from(["zone", HOST]))
SPECS = st.one_of(
    st.just({}),
    TERMS.map(lambda one: {"affinity": near(one)}),
    TERMS.map(lambda one: {"affinity": far(one)}),
    st.builds(lambda one, other: {"affinity": {**near(one), **far(other)}}, TERMS, TERMS),
    st.builds(lambda name, key: evenly(app(name), key), st.sampled_from("ab"), st.sampled_from(["zone", HOST])),
    st.just({"ports": [{"containerPort": 80, "hostPort": 80}]}),
)


@st.composite
def crowds(draw):
    """A few small nodes, pods that run, and gangs of pods that wait and care about each other."""
    nodes = {f"n{row}": draw(st.sampled_from(ZONES[:2])) for row in range(draw(st.integers(1, 4)))}
    found, groups = [], {}
    for row in range(draw(st.integers(0, 5))):
        spec, priority = draw(SPECS), draw(st.sampled_from(["low", "high"]))
        labels, on = {"app": draw(st.sampled_from("ab"))}, draw(st.sampled_from(sorted(nodes)))
        leaving = draw(st.integers(0, 5)) == 0
        found.append(manifest(f"r{row}", labels, on=on, leaving=leaving, priorityClassName=priority, **spec))
    for row in range(draw(st.integers(1, 4))):
        kinds = [(draw(st.sampled_from("ab")), draw(SPECS)) for _ in range(draw(st.sampled_from([1, 1, 2])))] * draw(
            st.integers(1, 2)
        )
        groups[f"g{row}"] = draw(st.sampled_from([len(kinds), 1]))
        priority = draw(st.sampled_from(["low", "high"]))
        for number, (name, spec) in enumerate(kinds):
            found.append(
                manifest(f"g{row}-{number}", {"app": name}, group=f"g{row}", priorityClassName=priority, **spec)
            )
    store = a_world(nodes, groups=groups, gpus=draw(st.sampled_from([2, 3])))
    put(store, priority_class("low", 10))
    put(store, priority_class("high", 75))
    return store, found


def filled(world):
    store, found = world
    for one in found:
        put(store, convert(Pod, one))
    return store


@settings(max_examples=250, deadline=None)
@given(crowds())
def test_whatever_is_decided_keeps_everybody_where_neighbours_let_them(world):
    snapshot = filled(world).take(NOW)
    result = run_cycle(snapshot, Options(), clock=lambda: 0.0)
    assert violations(snapshot, result) == ()
    assert result.errors == {}
    assert run_cycle(snapshot, Options(), clock=lambda: 0.0).decisions == result.decisions


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_store_that_has_seen_much_knows_what_a_fresh_one_knows(data):
    store, there, spaces = a_world(NODES, gpus=64), {}, {}
    for row in range(data.draw(st.integers(1, 12))):
        name = data.draw(st.sampled_from("pqrst"))
        what = data.draw(st.sampled_from(["put", "put", "put", "drop", "namespace", "look"]))
        if what == "put":
            on = data.draw(st.sampled_from(sorted(NODES)))
            one = data.draw(pods(name, "affinity spread ports", on=on))
            one["metadata"]["uid"] = f"uid-{name}-{row}"
            there[one["metadata"]["namespace"], name] = one
            put(store, convert(Pod, one))
        elif what == "drop":
            for gone in [key for key in there if key[1] == name]:
                store.drop_pod(key_of(convert(Pod, there.pop(gone))))
        elif what == "namespace":
            space = data.draw(st.sampled_from(["ns", "other"]))
            spaces[space] = data.draw(st.sampled_from([{}, {"team": "red"}]))
            store.put_namespace(convert(Namespace, {"metadata": {"name": space, "labels": spaces[space]}}))
        else:
            store.take(NOW)
    new = data.draw(pods("new", "affinity spread ports"))
    put(store, convert(Pod, new))
    fresh = a_world(NODES, *there.values(), new, namespaces=spaces, gpus=64)
    assert starts(store, "new") == starts(fresh, "new")


@settings(max_examples=60, deadline=None)
@given(crowds(), st.randoms(use_true_random=False))
def test_rollback_restores_every_tally(world, random):
    snapshot = filled(world).take(NOW)
    ledger = Ledger(snapshot)
    placer = Placer(ledger, Options())
    for row in range(len(snapshot.classes)):
        placer.view(row)
    if ledger.neighbours is None:
        return
    tallies = list(ledger.neighbours._tallies.values())
    before = [(tally.now.tobytes(), tally.later.tobytes()) for tally in tallies]
    transaction = Transaction(ledger)
    for pod in random.sample(range(len(snapshot.pods)), len(snapshot.pods)):
        if snapshot.pods.subgroup_idx.item(pod) < 0:
            continue
        if ledger.state.item(pod) == PodState.BOUND:
            transaction.evict(pod, action=Action.PREEMPT, preemptor=-1)
        elif ledger.state.item(pod) == PodState.PENDING:
            settle = random.choice([transaction.place, transaction.nominate])
            settle(pod, random.randrange(len(snapshot.nodes)), action=Action.ALLOCATE)
    fresh = [(tally.now.copy(), tally.later.copy()) for tally in tallies]
    for tally, (now, later) in zip(tallies, fresh, strict=True):
        tally.now[:], tally.later[:] = 0, 0
        ledger.neighbours._count(tally)  # from the ledger as it stands
        assert np.array_equal(tally.now, now)
        assert np.array_equal(tally.later, later)
    transaction.rollback(0)
    assert [(tally.now.tobytes(), tally.later.tobytes()) for tally in tallies] == before
