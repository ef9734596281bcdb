"""Extended resources that are devices, in the store: what a snapshot makes of them."""

import dataclasses

import pytest

from kai_py.api.decode import convert
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.resource import DeviceClass, ResourceSlice
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Options
from kai_py.core.result import Bind
from kai_py.core.tables.snapshot import Snapshot
from tests.cluster.test_cluster_claims import NOW, filled
from tests.planning.builders import node
from tests.planning.test_planning_claims import GPU, device_class, slice_of
from tests.planning.test_planning_extended import asking, backing


def whole(manifest, uid):
    space = {"namespace": "default"} if manifest["kind"] == "Pod" else {}
    times = {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": uid}
    return manifest | {"metadata": times | space | manifest["metadata"]}


def stocked(*pods, follows=True, native=0):
    """A store with four devices on n1, and as many GPUs as are asked for on n2."""
    store = filled()
    store.claims.follows_extended = follows
    store.put_node(convert(Node, whole(node("n2", native), "n2")))
    store.claims.put_class(convert(DeviceClass, whole(backing(), "class")))
    for number, one in enumerate(pods):
        store.put_pod(convert(Pod, whole(one, f"p-{number}")), NOW)
    return store


def decided(snapshot):
    result = run_cycle(snapshot, Options(), clock=lambda: 0.0)
    assert violations(snapshot, result) == ()
    return {one.pod: one for one in result.decisions if isinstance(one, Bind)}


def gpus(snapshot):
    return (snapshot.nodes.allocatable[:, snapshot.axis.index["nvidia.com/gpu"]] // 1000).tolist()


def test_devices_are_what_a_node_has_to_offer():
    snapshot = stocked(asking("a")).take(NOW)
    assert gpus(snapshot) == [4, 0]
    (counted,) = snapshot.claims.counted
    assert (counted.capacity, counted.devices) == (0, frozenset())


@pytest.mark.parametrize("native", [0, 2])
def test_whoever_is_placed_on_devices_gets_a_claim_that_has_to_be_made(native):
    snapshot = stocked(*(asking(f"p{n}") for n in range(7)), native=native).take(NOW)
    binds = decided(snapshot)
    made = [granted for one in binds.values() for granted in one.claims]
    assert (len(binds), len(made)) == (4 + native, 4)
    assert {(one.uid, one.extended) for one in made} == {("", True)}


def test_pods_that_ask_for_the_same_are_of_one_class():
    snapshot = stocked(asking("a"), asking("b"), asking("c", 2)).take(NOW)
    of = {key.name: row for key, row in zip(snapshot.pods.keys, snapshot.pods.class_idx.tolist(), strict=True)}
    assert of["a"] == of["b"] != of["c"]


def test_nothing_changes_where_nobody_could_make_the_claim_or_no_class_serves_the_resource():
    store = stocked(asking("a"), follows=False)
    assert (store.take(NOW).claims, gpus(store.take(NOW))) == (None, [0, 0])
    store = stocked(asking("a"))
    store.claims.put_class(convert(DeviceClass, whole(device_class(), "class")))
    assert (store.take(NOW).claims, gpus(store.take(NOW))) == (None, [0, 0])


def test_nodes_and_classes_that_change_are_followed():
    store = stocked(asking("a"))
    assert gpus(store.take(NOW)) == [4, 0]
    store.claims.devices.put(convert(ResourceSlice, whole(slice_of("n2", 3), "s")))
    assert gpus(store.take(NOW)) == [4, 3]
    store.put_node(convert(Node, whole(node("n1", 8), "n1")))
    assert gpus(store.take(NOW)) == [8, 3]
    store.claims.drop_class(GPU)
    assert gpus(store.take(NOW)) == [8, 0]


def test_an_unchanged_cluster_is_not_worked_out_again():
    store = stocked(asking("a"))
    first, second = store.take(NOW), store.take(NOW + 1)
    assert first.nodes is second.nodes
    assert isinstance(dataclasses.replace(second, now=NOW), Snapshot)


def test_the_mapping_says_which_request_serves_which_container():
    pod = convert(Pod, whole(asking("a", 2), "p"))
    store = stocked(asking("a", 2))
    found = store.claims.extended.special_claim(pod, frozenset({"container-0-request-1"}))
    assert [(one.name, one.exactly.count) for one in found.spec.requests] == [("container-0-request-1", 2)]
    assert [(one.resource, one.request) for one in found.mappings] == [("nvidia.com/gpu", "container-0-request-1")]


def test_every_snapshot_has_the_nodes_as_they_are():
    """Nodes change, and earlier tables are gone: where one stood in memory, the next one may stand."""
    store = stocked(asking("a"))
    seen = []
    for turn in range(50):
        changed = node("n2", turn % 3)
        changed["spec"] = {"unschedulable": turn % 2 == 1}
        store.put_node(convert(Node, whole(changed, "n2")))
        snapshot = store.take(NOW)
        seen.append((gpus(snapshot)[1], snapshot.nodes.cordoned.tolist()))
        del snapshot
    assert seen == [(turn % 3, [False, turn % 2 == 1]) for turn in range(50)]
