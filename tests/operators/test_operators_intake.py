"""What is wrong with an object is told to its author, once, and stops nobody else."""

from __future__ import annotations

import pytest

from kai_py.api.decode import convert
from kai_py.api.dra_taint_rule import DeviceTaintRule
from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.api.numa import NodeResourceTopology
from kai_py.api.resource import DeviceClass, ResourceClaim, ResourceSlice
from kai_py.operators.intake import Intake
from kai_py.operators.kinds import BUDGETS, CLAIMS, DEVICE_CLASSES, OWNERS, PODS, SLICES, TAINT_RULES, ZONES
from tests.cluster.objects import NOW, a_store, budget, pod
from tests.planning.test_planning_claims import claim, device_class, slice_of

NONSENSE = {"matchExpressions": [{"key": "app", "operator": "Like"}]}
SAVED = "kai.scheduler/last-checkpoint-timestamp"


class Author:
    """Hears what is wrong with which object."""

    def __init__(self):
        self.heard = []

    def __call__(self, body, faults):
        meta = body["metadata"]
        self.heard.append((body["apiVersion"], body["kind"], meta["name"], meta["uid"], faults[0].field))


@pytest.fixture
def author():
    return Author()


@pytest.fixture
def store():
    return a_store()


@pytest.fixture
def woken():
    return []


@pytest.fixture
def intake(store, author, woken):
    return Intake(store, lambda: woken.append(True), lambda: NOW, author)


def allowed(store):
    budgets = store.take(NOW).budgets
    return budgets.allowed.tolist() if budgets is not None else None


def test_budgets_come_and_go_and_wake_nobody(intake, store, woken):
    intake.apply(PODS, [("ADDED", pod("p", on="a"))])
    woken.clear()
    intake.apply(BUDGETS, [("ADDED", budget("x", {}, allowed=1)), ("ADDED", budget("y", {}, allowed=2))])
    assert allowed(store) == [1, 2]
    intake.apply(BUDGETS, [("DELETED", budget("x", {}, allowed=1))])
    assert allowed(store) == [2]
    assert woken == []
    intake.replace(BUDGETS, [], set())
    assert allowed(store) is None


def test_a_malformed_budget_is_told_once_and_the_others_hold(intake, store, author):
    intake.apply(PODS, [("ADDED", pod("p", on="a"))])
    for _ in range(2):
        intake.replace(BUDGETS, [budget("bad", NONSENSE), budget("good", {}, allowed=1)], set())
    assert author.heard == [
        ("policy/v1", "PodDisruptionBudget", "bad", "uid-bad", "spec.selector.matchExpressions[0].operator")
    ]
    assert allowed(store) == [1]


def test_a_checkpoint_that_is_no_time_is_told_to_the_pods_author_once(intake, store, author):
    spoilt = pod("p", on="a", annotations={SAVED: "yesterday"})
    intake.apply(PODS, [("ADDED", spoilt), ("MODIFIED", spoilt)])
    assert author.heard == [("v1", "Pod", "p", "uid-p", f"metadata.annotations[{SAVED}]")]
    assert store.take(NOW).pods.node_idx.tolist() == [0]


def test_a_checkpoint_that_is_no_time_is_told_to_the_owners_author(intake, author):
    (jobs, *_) = OWNERS
    meta = ObjectMeta("j", "ns", "uid-j", annotations={SAVED: "yesterday"})
    intake.apply(jobs, [("ADDED", PartialObject(meta, "meta.k8s.io/v1", "PartialObjectMetadata"))])
    assert author.heard == [("batch/v1", "Job", "j", "uid-j", f"metadata.annotations[{SAVED}]")]


def test_a_checkpoint_that_is_no_time_is_told_to_the_podgroups_author_once(intake, author):
    meta = {"name": "g", "namespace": "ns", "uid": "u", "annotations": {SAVED: "2026-01-31 noon"}}
    body = {
        "apiVersion": "scheduling.run.ai/v2alpha2",
        "kind": "PodGroup",
        "metadata": meta,
        "spec": {"queue": "q", "minMember": 1},
    }
    intake.put_podgroup(body)
    intake.put_podgroup(body)
    assert author.heard == [("scheduling.run.ai/v2alpha2", "PodGroup", "g", "u", f"metadata.annotations[{SAVED}]")]


def test_numa_nodes_come_and_go_and_wake_the_loop_when_they_matter(intake, author, store, woken):
    def zones(free):
        amounts = {"name": "cpu", "allocatable": "4", "available": free}
        attributes = [{"name": "topologyManagerPolicy", "value": "single-numa-node"}]
        body = {"metadata": {"name": "a", "uid": "u"}, "attributes": attributes}
        body["zones"] = [{"name": "node-0", "type": "Node", "resources": [amounts]}]
        return convert(NodeResourceTopology, body)

    intake.apply(ZONES, [("ADDED", zones("4"))])
    assert store.take(NOW).zones.available[0].tolist() == [[4000]]
    assert woken == [True]
    intake.apply(ZONES, [("MODIFIED", zones("4"))])
    assert woken == [True]
    intake.apply(ZONES, [("MODIFIED", zones("lots"))])
    intake.apply(ZONES, [("MODIFIED", zones("lots"))])
    assert author.heard == [
        ("topology.node.k8s.io/v1alpha2", "NodeResourceTopology", "a", "u", "zones[0].resources[0].available")
    ]
    intake.replace(ZONES, [], set())
    assert store.take(NOW).zones is None
    assert store.faults == {}


def api(struct, manifest, **metadata):
    meta = {"uid": f"uid-{manifest['metadata']['name']}", **metadata}
    return convert(struct, manifest | {"metadata": manifest["metadata"] | meta})


def test_devices_wake_a_cycle_when_something_about_them_changes(intake, woken):
    rule = {"metadata": {"name": "r"}, "spec": {"taint": {"key": "k", "effect": "NoSchedule"}}}
    events = [
        (DEVICE_CLASSES, api(DeviceClass, device_class())),
        (SLICES, api(ResourceSlice, slice_of("n1", 2))),
        (TAINT_RULES[0], api(DeviceTaintRule, rule)),
        (CLAIMS, api(ResourceClaim, claim("c"), namespace="ns", resourceVersion="5")),
    ]
    for kind, obj in events:
        for event, expected in (("ADDED", 1), ("MODIFIED", 1), ("DELETED", 2), ("DELETED", 2)):
            intake.apply(kind, [(event, obj)])
            assert (kind.plural, len(woken)) == (kind.plural, expected)
        woken.clear()


def test_a_class_and_a_slice_that_make_no_sense_are_told_once_and_the_others_hold(intake, store, author):
    bad_class = device_class("bad")
    bad_class["spec"]["selectors"] = [{}]
    bad_slice = slice_of("n2", 1)
    bad_slice["spec"]["devices"][0]["capacity"] = {"memory": {"value": "much"}}
    for _ in range(2):
        intake.replace(DEVICE_CLASSES, [api(DeviceClass, bad_class), api(DeviceClass, device_class())], set())
        intake.replace(SLICES, [api(ResourceSlice, bad_slice), api(ResourceSlice, slice_of("n1", 1))], set())
    assert [(kind, name) for _, kind, name, _, _ in author.heard] == [
        ("DeviceClass", "bad"),
        ("ResourceSlice", "n2-gpu.nvidia.com"),
    ]
    assert len(store.claims.devices) == 2


def test_whoever_waits_for_claims_is_told_which_the_watch_has_shown(store):
    shown = []
    intake = Intake(store, lambda: None, lambda: NOW, claims_changed=shown.extend)
    intake.apply(CLAIMS, [("ADDED", api(ResourceClaim, claim("c"), namespace="ns"))])
    intake.replace(CLAIMS, [api(ResourceClaim, claim("d"), namespace="ns")], set())
    assert shown == [("ns", "c"), ("ns", "d")]
