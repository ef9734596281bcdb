"""What devices take of nodes, from objects to decisions: laws of whole cycles, and what pods are told."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.api.pod import NodeClaimStatus
from kai_py.core.cycle import run_cycle
from kai_py.core.dra.table import NO_TERMS
from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.result import Bind
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import USING, PodState
from tests.cluster.test_cluster_claims import NOW, filled
from tests.planning.builders import node, queue
from tests.planning.test_planning_claims import claim, slice_of
from tests.planning.test_planning_node_shares import CORES, GI, TAKES, held, part, uid, using


def binds_of(store):
    result = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0)
    return {one.pod: one for one in result.decisions if isinstance(one, Bind)}


def test_a_pod_is_told_what_its_devices_take_claim_by_claim():
    made = using("a", "d", "c")
    made["spec"]["initContainers"] = [{"name": "init", "resources": {"claims": [{"name": "c"}]}}]
    pool = slice_of("n1", 4, **TAKES)
    pool["spec"]["devices"].append({"name": "cores", **CORES})
    cores = part("c", "3")
    store = filled(pool, cores, claim("d", 2), made)
    bind = binds_of(store)["default/a"]
    key = next(iter(store.known_pods()))
    assert store.claims.has_to_tell(key, bind.of_node)
    assert store.claims.takes_told(key, bind.of_node) == (
        NodeClaimStatus("c", ("init", "main"), {"cpu": "6"}),
        NodeClaimStatus("d", ("main",), {"memory": "200Gi"}),
    )


def test_a_pod_whose_devices_take_nothing_is_told_nothing_unless_it_was_told_something_before():
    made = using("a", "c")
    store = filled(claim("c"), made)
    key = next(iter(store.known_pods()))
    assert binds_of(store)["default/a"].of_node == ()
    assert not store.claims.has_to_tell(key, ())
    told = [{"resourceClaimName": "c", "containers": ["main"], "resources": {"memory": "1Gi"}}]
    store = filled(claim("c"), made | {"status": {"nodeAllocatableResourceClaimStatuses": told}})
    assert store.claims.has_to_tell(next(iter(store.known_pods())), ())


def test_what_is_on_its_way_counts_before_the_server_knows_it():
    store = filled(slice_of("n1", 4, **TAKES), claim("c", 2), using("a", "c"))
    bind = binds_of(store)["default/a"]
    store.decisions.assume(bind, NOW)
    ledger = Ledger(store.take(NOW))
    assert ledger.free[0, 1] == 56 * GI


def test_a_quantity_that_cannot_be_read_is_left_out():
    runs = uid(using("a", "c", on="n1"))
    told = [{"resourceClaimName": "c", "containers": ["main"], "resources": {"memory": "much"}}]
    runs["status"] = {"nodeAllocatableResourceClaimStatuses": told}
    snapshot = filled(slice_of("n1", 4, **TAKES), held("c", "gpu-0", by=["a"]), runs).take(NOW)
    assert Ledger(snapshot).free[0, 1] == 156 * GI


# -- laws --------------------------------------------------------------------------------------------

MAPPINGS = st.sampled_from(
    [
        {},
        {"memory": {"allocationMultiplier": "60Gi"}},
        {"memory": {"allocationMultiplier": "90Gi"}},
        {"cpu": {"allocationMultiplier": "12"}, "memory": {"allocationMultiplier": "30Gi"}},
    ]
)


@st.composite
def worlds(draw):
    """Two or three nodes, devices that take something of them, pods that run and wait in two queues."""
    names = ["n1", "n2", "n3"][: draw(st.integers(2, 3))]
    objects = [node(name, 0) for name in names[1:]] + [queue("rich", draw(st.integers(0, 4)))]
    for name in names:
        pool = slice_of(name, draw(st.integers(1, 4)))
        for one in pool["spec"]["devices"]:
            if mappings := draw(MAPPINGS):
                one["nodeAllocatableResourceMappings"] = mappings
        if draw(st.booleans()):
            pool["spec"]["devices"].append({"name": "cores", **CORES})
        objects.append(pool)
    left = {one["spec"]["nodeName"]: [d["name"] for d in one["spec"]["devices"]] for one in objects[-len(names) :]}
    for number in range(draw(st.integers(0, 4))):
        on, name = draw(st.sampled_from(names)), f"r{number}"
        if left[on] and left[on][0] != "cores":
            team = draw(st.sampled_from(["team", "rich"]))
            runs = uid(using(name, f"c{number}", on=on, queue=team, memory=draw(st.sampled_from(["0", "40Gi"]))))
            if draw(st.booleans()):
                ends = st.sampled_from(["2026-01-31T12:00:00Z", "2027-01-15T08:00:10Z"])
                runs["metadata"]["deletionTimestamp"] = draw(ends)
            if draw(st.booleans()):
                told = {"resourceClaimName": f"c{number}", "containers": ["main"], "resources": {"memory": "70Gi"}}
                runs["status"] = {"nodeAllocatableResourceClaimStatuses": [told]}
            taken = held(f"c{number}", left[on].pop(0), on=on, by=[name])
            taken["metadata"]["labels"]["kai.scheduler/queue"] = team
            objects += [taken, runs]
    for number in range(draw(st.integers(1, 5))):
        name, team = f"w{number}", draw(st.sampled_from(["team", "rich"]))
        pod_level = draw(st.sampled_from([None, None, {"memory": "80Gi"}, {"memory": "80Gi", "cpu": "20"}]))
        wants = draw(st.sampled_from([name, name, "shared"]))
        made = using(name, wants, queue=team, memory=draw(st.sampled_from(["0", "40Gi"])), pod_level=pod_level)
        if draw(st.sampled_from([False] * 5 + [True])):
            del made["spec"]["containers"][0]["resources"]["claims"]
        asked = claim(wants, draw(st.integers(1, 2)), of=team)
        if wants == name:
            objects += [asked, made]
        else:
            made["metadata"]["labels"]["kai.scheduler/queue"] = "team"
            objects.append(made)
    objects.append(claim("shared"))
    return filled(*objects).take(NOW)


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_every_cycle_keeps_all_invariants(snapshot):
    result = run_cycle(snapshot, Options(), clock=lambda: 0.0)
    assert violations(snapshot, result) == ()


@settings(max_examples=80, deadline=None)
@given(
    worlds(), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2), st.booleans()), max_size=14), st.integers(0, 14)
)
def test_a_rollback_restores_every_byte(snapshot, moves, back):
    ledger = Ledger(snapshot)
    transaction, placer = Transaction(ledger), Placer(ledger, Options())
    images = [(transaction.checkpoint(), image(ledger))]
    for number, place_on, later in moves:
        pod = number % len(snapshot.pods)
        state = ledger.state.item(pod)
        if state in (PodState.BOUND, PodState.ALLOCATED, PodState.NOMINATED):
            transaction.evict(pod, action=Action.RECLAIM, preemptor=0)
        elif state in (PodState.PENDING, PodState.RELEASING):
            place = placer.view(snapshot.pods.class_idx.item(pod)).at(place_on % len(snapshot.nodes))
            if place is not None:
                waits = later or not place.now or state == PodState.RELEASING
                settle = transaction.nominate if waits else transaction.place
                settle(pod, place.node, action=Action.ALLOCATE, grants=place.grants)
        assert_sums(ledger)
        images.append((transaction.checkpoint(), image(ledger)))
    for to, before in reversed(images[: back + 1]):
        transaction.rollback(to)
        assert image(ledger) == before


def assert_sums(ledger):
    """What is free now and later, reckoned from scratch: pods one by one, and each claim once on a node."""
    snapshot, pods = ledger.snapshot, ledger.snapshot.pods
    table, shares = snapshot.claims, ledger.node_shares
    if shares is None:
        return
    now, later = [], []
    for pod in range(len(pods)):
        state, first = ledger.state.item(pod), pods.node_idx.item(pod)
        if pods.state.item(pod) in USING and first >= 0:
            now.append((pod, first, table.node_takes.get(pod, ())))
        if state == PodState.ALLOCATED:
            now.append((pod, ledger.node.item(pod), shares.of_pod.get(pod, ())))
        if state in (PodState.BOUND, PodState.STUCK, PodState.ALLOCATED, PodState.NOMINATED):
            later.append((pod, ledger.node.item(pod), shares.of_pod.get(pod, ())))
    for users, free in ((now, ledger.free), (later, ledger.free + ledger.releasing)):
        left = snapshot.nodes.allocatable.copy()
        for pod, on, _ in users:
            class_idx = pods.class_idx.item(pod)
            left[on] -= snapshot.classes.request[class_idx]
            for column, units in table.terms.get(class_idx, NO_TERMS).included:
                left[on, column] += units
        for on, take in {(on, take) for _, on, takes in users for take in takes}:
            for column, units in take.amounts:
                left[on, column] -= units
        assert (left == free).all()


def image(ledger):
    sums = (ledger.free, ledger.releasing, ledger.queue_allocated, ledger.active, ledger.state, ledger.node)
    shares = () if ledger.node_shares is None else ledger.node_shares.state()
    return [np.asarray(one).tobytes() for one in sums], ledger.claims.state(), shares
