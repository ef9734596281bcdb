"""NodeResourceTopologies and what pods take of zones: from objects to tables."""

from __future__ import annotations

import pytest

from kai_py.api.decode import convert
from kai_py.api.numa import NodeResourceTopology
from kai_py.cluster.encode.alignment import alignment_of
from kai_py.cluster.encode.zones import predicted, seating_of
from kai_py.core.options import Action
from kai_py.core.result import Bind
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.zones import Alignment, Policy
from tests.cluster.objects import GPU, NOW, a_store, node, pod

PREDICTED = "kai.scheduler/numa-placement-predicted"
OBSERVED = "kai.scheduler/numa-placement-observed"
WHOLE = {"cpu": "2", "memory": "1Gi"}


def zone(name, cpu="4", free=None, kind="Node"):
    resources = [{"name": "cpu", "capacity": cpu, "allocatable": cpu, "available": free or cpu}]
    return {"name": name, "type": kind, "resources": resources}


def topology(name="a", *zones, policy="single-numa-node", scope="pod", **what):
    attributes = [
        {"name": "topologyManagerPolicy", "value": policy},
        {"name": "topologyManagerScope", "value": scope},
    ]
    body = {"metadata": {"name": name}, "zones": list(zones), "attributes": attributes, **what}
    return convert(NodeResourceTopology, body)


def guaranteed(name, **what):
    return pod(name, containers=[container(WHOLE, WHOLE)], **what)


def container(requests=None, limits=None, **what):
    return {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}, **what}


def taken(store, **names):
    snapshot = store.take(NOW)
    return Ledger(snapshot).zones.free[0, :, 0].tolist()


@pytest.fixture
def store():
    made = a_store()
    made.put_node(node("a"))
    return made


# -- objects ---------------------------------------------------------------------------------------


def test_without_objects_there_is_no_table(store):
    assert store.take(NOW).zones is None
    store.zones.put(topology("a", zone("node-0"), policy="none"))
    assert store.take(NOW).zones is None


def test_zones_come_in_the_order_of_their_numbers_and_only_numa_nodes_count(store):
    zones = [zone("node-10", "1"), zone("socket-0", kind="Socket"), zone("node-2", "2", free="500m"), zone("odd", "3")]
    assert store.zones.put(topology("a", *zones))
    table = store.take(NOW).zones
    assert table.names == (("node-2", "node-10", "odd"), ())
    assert table.allocatable[0, :, 0].tolist() == [2000, 1000, 3000]
    assert table.available[0, :, 0].tolist() == [500, 1000, 3000]
    assert not store.zones.put(topology("a", *zones))


@pytest.mark.parametrize(
    ("old", "policy", "by_pod"),
    [
        ("SingleNUMANodePodLevel", Policy.SINGLE, True),
        ("SingleNUMANodeContainerLevel", Policy.SINGLE, False),
        ("RestrictedPodLevel", Policy.RESTRICTED, True),
        ("Restricted", Policy.RESTRICTED, False),
        ("BestEffortPodLevel", Policy.BEST_EFFORT, True),
        ("BestEffort", Policy.BEST_EFFORT, False),
    ],
)
def test_what_exporters_wrote_before_attributes_is_understood(store, old, policy, by_pod):
    store.zones.put(topology("a", zone("node-0"), attributes=[], topologyPolicies=[old]))
    table = store.take(NOW).zones
    assert (table.policy[0], table.by_pod[0]) == (policy, by_pod)


def test_attributes_win_and_the_scope_is_container_unless_they_say_pod(store):
    attributes = [{"name": "topologyManagerPolicy", "value": "restricted"}]
    store.zones.put(topology("a", zone("node-0"), attributes=attributes, topologyPolicies=["SingleNUMANodePodLevel"]))
    table = store.take(NOW).zones
    assert (table.policy[0], table.by_pod[0]) == (Policy.RESTRICTED, False)


def test_an_object_that_cannot_be_read_keeps_its_last_good_state_and_is_told(store):
    store.zones.put(topology("a", zone("node-0")))
    assert not store.zones.put(topology("a", zone("node-0", free="many")))
    (fault,) = store.faults["NodeResourceTopology", "a"]
    assert fault.field == "zones[0].resources[0].available"
    assert taken(store) == [4000]
    store.zones.put(topology("a", *[zone(f"node-{n}") for n in range(17)]))
    assert store.faults["NodeResourceTopology", "a"][0].field == "zones"
    store.zones.put(topology("a", zone("node-0", "2")))
    assert store.faults == {}
    assert store.zones.drop("a")
    assert store.take(NOW).zones is None


# -- what is aligned of pods -----------------------------------------------------------------------


def alignment(*containers, **what):
    return alignment_of(pod("p", containers=list(containers), **what))


def test_of_guaranteed_pods_whole_cpus_and_memory_are_aligned():
    one = (("cpu", 2000), ("memory", 2**30))
    assert alignment(container(WHOLE, WHOLE)) == Alignment(one, (one,))
    assert alignment(container({}, WHOLE)) == Alignment(one, (one,))
    part = {"cpu": "1500m", "memory": "1Gi"}
    assert alignment(container(part, part)) == Alignment((("memory", 2**30),), ((("memory", 2**30),),))


@pytest.mark.parametrize(
    "requests",
    [
        container(WHOLE),
        container({"cpu": "1", "memory": "1Gi"}, WHOLE),
        container(WHOLE, {"cpu": "2"}),
        container({"cpu": "0", "memory": "1Gi"}, {"cpu": "0", "memory": "1Gi"}),
    ],
)
def test_of_other_pods_devices_alone(requests):
    assert alignment(requests) is None
    gpus = {**requests["resources"]["limits"], GPU: 2}
    assert alignment(container(requests["resources"]["requests"], gpus)) == Alignment(((GPU, 2000),), (((GPU, 2000),),))


def test_one_container_that_is_not_limited_makes_the_pod_another_class():
    assert alignment(container(WHOLE, WHOLE), container(WHOLE)) is None


def test_requests_for_the_pod_as_a_whole_leave_devices():
    whole = {"requests": WHOLE, "limits": WHOLE}
    found = alignment(container(WHOLE, {**WHOLE, GPU: 1}), resources=whole)
    assert found == Alignment(((GPU, 1000),), (((GPU, 1000),),))


def test_sidecars_run_beside_containers_and_init_containers_one_after_the_other():
    def gpus(count, **what):
        return container({}, {GPU: count}, **what)

    found = alignment(gpus(1), initContainers=[gpus(5), gpus(1, restartPolicy="Always"), gpus(2)])
    one, two, five = ((GPU, 1000),), ((GPU, 2000),), ((GPU, 5000),)
    assert found == Alignment(five, (one, one), (five, two))


# -- what pods take --------------------------------------------------------------------------------


def test_what_was_observed_wins_over_what_was_predicted():
    notes = {PREDICTED: '[{"zone":"node-1","amount":{"cpu":"2"}}]'}
    assert seating_of(pod("p", annotations=notes)) == (("node-1", (("cpu", 2000),)),)
    notes[OBSERVED] = '[{"zone":"node-0","amount":{"cpu":"1500m"}}]'
    assert seating_of(pod("p", annotations=notes)) == (("node-0", (("cpu", 1500),)),)
    notes[OBSERVED] = "[]"
    assert seating_of(pod("p", annotations=notes)) == (("node-1", (("cpu", 2000),)),)


@pytest.mark.parametrize("text", ["", "{", '{"zone": 1}', '[{"amount": {}}]', '[{"zone":"x","amount":{"cpu":"much"}}]'])
def test_what_cannot_be_read_says_nothing(text):
    assert seating_of(pod("p", annotations={OBSERVED: text})) == ()


def test_a_prediction_can_be_read_again():
    seating = (("node-0", (("cpu", 2500), (GPU, 1000))), ("node-1", (("memory", 2**30),)))
    assert seating_of(pod("p", annotations=predicted(seating))) == seating
    assert predicted(()) == {}


def test_a_pod_that_is_bound_a_moment_ago_holds_its_zone_until_the_exporter_sees_it(store):
    store.zones.put(topology("a", zone("node-0"), zone("node-1")))
    waiting = guaranteed("p")
    store.put_pod(waiting, NOW)
    seating = (("node-1", (("cpu", 2000),)),)
    store.decisions.assume(Bind("ns/p", "uid-p", "a", "ns/p", Action.ALLOCATE, zones=seating), NOW)
    assert taken(store) == [4000, 2000]
    store.put_pod(guaranteed("p", on="a", annotations=predicted(seating)), NOW)
    assert taken(store) == [4000, 2000]
    store.zones.put(topology("a", zone("node-0", free="2"), zone("node-1")))
    assert taken(store) == [2000, 4000]  # the kubelet had a mind of its own
    store.drop_pod(store.pod_key("ns/p"))
    assert taken(store) == [2000, 4000]
    store.zones.put(topology("a", zone("node-0"), zone("node-1")))
    assert taken(store) == [4000, 4000]


def test_zones_that_a_node_does_not_have_are_not_guessed(store):
    store.zones.put(topology("a", zone("node-0")))
    store.put_pod(guaranteed("p", on="a", annotations=predicted((("node-7", (("cpu", 2000),)),))), NOW)
    assert store.take(NOW).zones.records == {}


def test_the_zones_of_other_nodes_do_not_matter(store):
    store.zones.put(topology("gone", zone("node-0")))
    assert store.take(NOW).zones is None
    store.put_node(node("gone"))
    assert store.take(NOW).zones.policy.tolist() == [Policy.NONE, Policy.NONE, Policy.SINGLE]
