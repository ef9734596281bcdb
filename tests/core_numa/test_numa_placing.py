"""Pods on NUMA nodes, as the Topology Manager's policies and KAI's page about NUMA have it."""

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.result import Bind, FilterReason
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.devices import Share
from kai_py.core.tables.pods import PodState
from kai_py.core.tables.zones import Policy
from tests.core.builders import Gang, Node, Pod, bound, decide, evicted, moved, nominated, waiting
from tests.core_numa.builders import RESOURCES, Zoned, aligned, zoned
from tests.core_numa.reference import admit


def zones(result):
    """Pod name -> the numbers of the zones that it takes."""
    placed = [d for d in result.decisions if isinstance(d, Bind)]
    return {d.pod.removeprefix("ns/"): [int(zone.removeprefix("node-")) for zone, _ in d.zones] for d in placed}


def settled(snapshot, **options):
    result = decide(snapshot, **options)
    assert violations(snapshot, result) == ()
    return result


def test_a_pod_takes_the_lowest_zone_that_holds_it():
    snapshot = zoned({"a": Zoned(free=((2, 4), (4, 4)))}, nodes={"a": 8}, gangs={"g": Gang([aligned(3)])})
    assert zones(settled(snapshot)) == {"g-0": [1]}


def test_a_pod_that_shares_a_gpu_is_aligned_as_others_are():
    pod = dataclasses.replace(aligned(3), share=Share(millionths=500_000), gpus=0)
    result = settled(zoned({"a": Zoned()}, nodes={"a": 8}, gangs={"g": Gang([pod] * 3, minimum=1)}))
    assert zones(result) == {"g-0": [0], "g-1": [1]}
    assert waiting(result)["g"].reasons[0].nodes == {FilterReason.NUMA_NODE: 1}


def test_two_pods_of_a_gang_take_a_zone_each():
    snapshot = zoned({"a": Zoned()}, nodes={"a": 8}, gangs={"g": Gang([aligned(3, 2)] * 2)})
    assert zones(settled(snapshot)) == {"g-0": [0], "g-1": [1]}


def test_what_fits_the_node_but_no_zone_waits_and_says_so():
    snapshot = zoned({"a": Zoned(), "b": Zoned()}, nodes={"a": 8, "b": 8}, gangs={"g": Gang([aligned(6, 2)])})
    result = settled(snapshot)
    assert bound(result) == {}
    reason = waiting(result)["g"].reasons[0]
    assert reason.nodes == {FilterReason.NUMA_NODE: 2}
    assert reason.details["numa"] == {"cpu": 6000, "nvidia.com/gpu": 2000}


def test_a_pod_of_which_nothing_is_aligned_goes_where_it_fits():
    snapshot = zoned({"a": Zoned()}, nodes={"a": 8}, gangs={"g": Gang([Pod(6, cpu=6)])})
    assert zones(settled(snapshot)) == {"g-0": []}


def test_restricted_takes_as_few_zones_as_an_empty_node_needs():
    node = Zoned(policy=Policy.RESTRICTED)
    assert zones(settled(zoned({"a": node}, nodes={"a": 8}, gangs={"g": Gang([aligned(6)])}))) == {"g-0": [0, 1]}
    busy = dataclasses.replace(node, free=((2, 4), (2, 4)))
    foreign = {"x": aligned(2, on="a"), "y": aligned(2, on="a")}
    result = settled(zoned({"a": busy}, nodes={"a": 8}, gangs={"g": Gang([aligned(3)])}, foreign=foreign))
    assert waiting(result)["g"].reasons[0].nodes == {FilterReason.NUMA_NODES: 1}


def test_restricted_refuses_what_needs_two_zones_of_one_resource_and_one_of_another():
    node = Zoned(policy=Policy.RESTRICTED)
    result = settled(zoned({"a": node}, nodes={"a": 8}, gangs={"g": Gang([aligned(6, 1)])}))
    assert bound(result) == {}


def test_best_effort_refuses_nobody_and_prefers_fewer_zones():
    snapshot = zoned(
        {"a": Zoned(free=((2, 4), (2, 4)), policy=Policy.BEST_EFFORT), "b": Zoned(policy=Policy.BEST_EFFORT)},
        nodes={"a": 8, "b": 8},
        gangs={"g": Gang([aligned(4)])},
    )
    assert zones(settled(snapshot)) == {"g-0": [0]}
    assert bound(settled(snapshot)) == {"g-0": "b"}
    assert zones(settled(snapshot, weights={})) == {"g-0": [0, 1]}


def test_containers_are_aligned_one_by_one_where_the_scope_says_so():
    pod = aligned(0, 0, (3, 1), (3, 1))
    by_container = zoned({"a": Zoned(by_pod=False)}, nodes={"a": 8}, gangs={"g": Gang([pod])})
    assert zones(settled(by_container)) == {"g-0": [0, 1]}
    assert bound(settled(zoned({"a": Zoned()}, nodes={"a": 8}, gangs={"g": Gang([pod])}))) == {}


def in_full_zones(wanted):
    """What is decided about an urgent pod when each of both zones has one GPU left, and a pod with the other three."""
    snapshot = zoned(
        {"a": Zoned(free=((1, 4), (1, 4)))},
        taken={"one-0": [(0, 3, 0)], "two-0": [(1, 3, 0)]},
        nodes={"a": 8},
        gangs={
            "one": Gang([aligned(3, on="a")], priority=20),
            "two": Gang([aligned(3, on="a")], priority=10),
            "urgent": Gang([aligned(wanted)], priority=90),
        },
    )
    return settled(snapshot)


def test_victims_give_back_the_zone_that_is_written_down():
    result = in_full_zones(4)
    assert evicted(result) == {"two-0": "urgent"}
    assert nominated(result) == {"urgent-0": "a"}


def test_nobody_is_ended_for_a_pod_that_no_zone_could_hold():
    result = in_full_zones(5)
    assert evicted(result) == nominated(result) == {}
    assert waiting(result)["urgent"].reasons[0].nodes == {FilterReason.NUMA_NODE: 1}


def test_only_those_in_one_zone_go_and_nobody_else_is_moved():
    """The least important are scattered over all zones; once it is known which zone it will be, the others stay."""
    gangs, taken = {}, {}
    for number in range(4 * 2 * 2):
        node, zone = "abcd"[number % 4], number // 4 % 2
        gangs[f"v{number:02}"] = Gang([aligned(0, 2, on=node)], priority=10 + number % 3)
        taken[f"v{number:02}-0"] = [(zone, 0, 2)]
    snapshot = zoned(
        dict.fromkeys("abcd", Zoned(free=((4, 0), (4, 0)))),
        taken=taken,
        nodes=dict.fromkeys("abcd", 8),
        gangs={**gangs, "urgent": Gang([aligned(0, 4)], priority=90)},
    )
    result = settled(snapshot)
    assert list(nominated(result)) == ["urgent-0"]
    assert len(evicted(result)) == 2
    assert moved(result) == {}


def test_no_zone_is_guessed_for_a_victim_of_which_nothing_is_written_down():
    snapshot = zoned(
        {"a": Zoned(free=((1, 4), (1, 4)))},
        nodes={"a": 8},
        gangs={"one": Gang([aligned(6, on="a")], priority=20), "urgent": Gang([aligned(4)], priority=90)},
    )
    assert evicted(settled(snapshot)) == {}


def test_who_stays_on_its_node_keeps_its_zone():
    """The preemptor takes the victim's zone; another victim could only come back to the other zone, so it moves."""
    snapshot = zoned(
        {"a": Zoned(zones=((4, 4), (4, 4)), free=((0, 4), (4, 4)))},
        taken={"low-0": [(0, 4, 0)]},
        nodes={"a": 8},
        gangs={"low": Gang([aligned(4, on="a")], priority=10), "urgent": Gang([aligned(4)] * 2, priority=90)},
    )
    assert evicted(settled(snapshot)) == {"low-0": "urgent"}


def test_what_a_leaving_pod_will_give_back_can_be_waited_for():
    snapshot = zoned(
        {"a": Zoned(free=((0, 4), (0, 4)))},
        taken={"old": [(1, 4, 0)]},
        nodes={"a": 8},
        foreign={"old": aligned(4, on="a", state=PodState.RELEASING), "rest": aligned(4, on="a")},
        gangs={"g": Gang([aligned(4)])},
    )
    result = settled(snapshot)
    assert nominated(result) == {"g-0": "a"}
    assert bound(result) == {}


def test_a_pod_that_the_exporter_has_not_seen_holds_its_zone():
    """The exporter says that all is free, though a pod was bound a moment ago to zone 0."""
    snapshot = zoned(
        {"a": Zoned()},
        taken={"new": [(0, 3, 0)]},
        nodes={"a": 8},
        foreign={"new": aligned(3, on="a")},
        gangs={"g": Gang([aligned(3)])},
    )
    assert zones(settled(snapshot)) == {"g-0": [1]}


def test_an_exporter_that_has_seen_all_pods_is_believed_wherever_they_were_expected():
    snapshot = zoned(
        {"a": Zoned(free=((4, 4), (1, 4)))},
        taken={"new": [(0, 3, 0)]},
        nodes={"a": 8},
        foreign={"new": aligned(3, on="a")},
        gangs={"g": Gang([aligned(4)])},
    )
    assert zones(settled(snapshot)) == {"g-0": [0]}


def test_a_gang_in_one_rack_counts_zones_not_sums():
    """Both racks have room for three pods by sums, but the zones of one are half full."""
    half = Zoned(free=((2, 4), (2, 4)))
    nodes = {f"{rack}{n}": _in(rack) for rack in "xy" for n in range(2)}
    snapshot = zoned(
        {"x0": half, "x1": half, "y0": Zoned(), "y1": Zoned()},
        nodes=nodes,
        gangs={"g": Gang([aligned(4)] * 3, required="rack")},
        levels=("rack",),
    )
    assert set(bound(settled(snapshot)).values()) == {"y0", "y1"}


def _in(rack):
    return Node(labels={"rack": rack})


sizes = st.tuples(st.integers(0, 4), st.integers(0, 4))
pods = st.builds(aligned, st.integers(0, 4), st.integers(0, 2)) | st.builds(
    lambda one, two: aligned(0, 0, one, two), st.tuples(st.integers(1, 2), st.integers(0, 1)), st.just((1, 1))
)


@st.composite
def clusters(draw, waiting=None):
    """Two nodes with zones and one without; pods run with and without a word about their zones, and many wait.

    With ``waiting``, so many podgroups of one pod each.
    """
    machines = {
        name: Zoned(
            zones=((4, 4), (4, 4)),
            free=draw(st.tuples(sizes, sizes)),
            policy=draw(st.sampled_from(Policy)),
            by_pod=draw(st.booleans()),
        )
        for name in "ab"
    }
    gangs, taken = {}, {}
    for n in range(draw(st.integers(0, 4))):
        pod = dataclasses.replace(draw(pods), on=draw(st.sampled_from("abc")))
        state = draw(st.sampled_from([None, None, PodState.RELEASING]))
        gangs[f"r{n}"] = Gang([dataclasses.replace(pod, state=state)], priority=draw(st.sampled_from([10, 50])))
        if pod.on in machines and draw(st.booleans()):
            taken[f"r{n}-0"] = [(draw(st.integers(0, 1)), int(pod.cpu), int(pod.gpus))]
    for n in range(waiting or draw(st.integers(1, 3))):
        members = [draw(pods)] * (1 if waiting else draw(st.integers(1, 3)))
        gangs[f"w{n}"] = Gang(members, priority=draw(st.sampled_from([10, 50, 90])))
    return zoned(machines, taken=taken, nodes=dict.fromkeys("abc", 8), gangs=gangs)


@given(clusters())
def test_whatever_is_decided_suits_the_zones(snapshot):
    result = run_cycle(snapshot, Options(), clock=lambda: 0.0)
    assert violations(snapshot, result) == ()
    assert run_cycle(snapshot, Options(), clock=lambda: 0.0).decisions == result.decisions


def admitting(snapshot, pod, *, later):
    """Nodes that have room for a pod and whose kubelet would take it, told slowly."""
    ledger, table = Ledger(snapshot), snapshot.zones
    one = snapshot.classes.classes[snapshot.pods.class_idx.item(pod)]
    found = []
    for node in range(len(snapshot.nodes)):
        free = ledger.free[node] + ledger.releasing[node] * later
        zones = (ledger.zones.free[node] + ledger.zones.releasing[node] * later).clip(max=table.allocatable[node])
        units = (one.alignment.pod,) if table.by_pod.item(node) else one.alignment.together
        needs = [[dict(unit).get(name, 0) for name in RESOURCES] for unit in units]
        sizes = table.allocatable[node][: len(table.names[node])].tolist()
        left = zones[: len(table.names[node])].tolist()
        admitted, _ = admit(table.policy[node], sizes, left, table.reported[node], needs, [])
        if admitted and (free >= np.array(one.request)).all():
            found.append(snapshot.nodes.names[node])
    return found


@given(clusters(waiting=1))
def test_a_pod_waits_only_if_no_node_takes_it(snapshot):
    pod = next(row for row, key in enumerate(snapshot.pods.keys) if key.name == "w0-0")
    if snapshot.classes.classes[snapshot.pods.class_idx.item(pod)].alignment.pod == ():
        return
    result = decide(snapshot, actions=(Action.ALLOCATE,))
    now, later = admitting(snapshot, pod, later=False), admitting(snapshot, pod, later=True)
    assert ("w0-0" in bound(result)) == bool(set(now) & set(later))
    assert ("w0-0" in {**bound(result), **nominated(result)}) == bool(later)
    assert {**bound(result), **nominated(result)}.get("w0-0", *later[:1] or [""]) in [*later, ""]


@given(clusters(), st.lists(st.integers(0, 20), max_size=8))
def test_rolling_back_restores_every_bit_of_the_zones(snapshot, steps):
    ledger = Ledger(snapshot)
    transaction = Transaction(ledger)
    before = ledger.zones.free.tobytes(), ledger.zones.releasing.tobytes(), dict(ledger.zones.of_pod)
    start = transaction.checkpoint()
    for step in steps:
        pod = step % len(snapshot.pods)
        state = ledger.state.item(pod)
        if state == PodState.PENDING:
            transaction.place(pod, step % 2, action=Action.ALLOCATE, seat=((0, 0, 1000), (1, 1, 1000)))
        elif state == PodState.BOUND:
            transaction.evict(pod, action=Action.PREEMPT, preemptor=0)
        elif state == PodState.RELEASING and ledger.state.item(pod) != snapshot.pods.state.item(pod):
            transaction.nominate(pod, step % 2, action=Action.PREEMPT, seat=((1, 0, 1000),))
    transaction.rollback(start)
    assert (ledger.zones.free.tobytes(), ledger.zones.releasing.tobytes(), ledger.zones.of_pod) == before


@given(clusters(), st.lists(st.integers(0, 30), max_size=10))
def test_a_view_that_followed_the_zones_equals_a_new_one_to_the_bit(snapshot, steps):
    ledger = Ledger(snapshot)
    transaction, placer = Transaction(ledger), Placer(ledger, Options())
    views = [placer.view(row) for row in range(len(snapshot.classes))]
    for step in steps:
        pod = step % len(snapshot.pods)
        view, state = placer.view(snapshot.pods.class_idx.item(pod)), ledger.state.item(pod)
        place = view.best()
        if state == PodState.PENDING and place is not None:
            place.give(transaction, pod, action=Action.ALLOCATE, start=step % 3 > 0)
        elif state in (PodState.BOUND, PodState.ALLOCATED):
            transaction.evict(pod, action=Action.PREEMPT, preemptor=0)
    for row, view in enumerate(views):
        view.refresh()
        new = Placer(ledger, Options()).view(row)
        assert view._value.tobytes() == new._value.tobytes()
        assert view._now.tobytes() == new._now.tobytes()
        assert [view.at(node) for node in range(3)] == [new.at(node) for node in range(3)]


def test_a_checker_that_finds_what_is_wrong():
    snapshot = zoned({"a": Zoned()}, nodes={"a": 8}, gangs={"g": Gang([aligned(3)] * 2)})
    result = decide(snapshot)
    both = [
        dataclasses.replace(d, zones=(("node-0", (("cpu", 3000),)),)) for d in result.decisions if isinstance(d, Bind)
    ]
    wrong = dataclasses.replace(result, decisions=tuple(both))
    assert [str(one) for one in violations(snapshot, wrong)] == [
        "a: more cpu is given than zone node-0 has: 6000 of 4000 now",
        "a: more cpu is given than zone node-0 has: 6000 of 4000 later",
    ]
    spread = tuple(dataclasses.replace(d, zones=(*d.zones, ("node-1", (("cpu", 1),)))) for d in both[:1])
    said = [str(one) for one in violations(snapshot, dataclasses.replace(result, decisions=(*spread, *both[1:])))]
    assert any("takes" in one for one in said)
