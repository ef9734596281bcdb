"""Claims in the store: what a snapshot makes of them."""

import subprocess
import sys

import pytest

from kai_py.api.decode import convert
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.resource import DeviceClass, ResourceClaim, ResourceSlice
from kai_py.cluster.needs import needs_of
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import Bind, ReasonCode
from kai_py.core.tables.pods import PodKey, PodState
from kai_py.podgrouper.grouping import group_of
from tests.planning.builders import node, pod, queue
from tests.planning.test_planning_claims import GPU, claim, device_class, slice_of, user

NOW = 1_800_000_000.0


def filled(*objects):
    store = Store(lambda one, owners: group_of(one, owners, priority_classes=()))
    for number, manifest in enumerate([node("n1", 0), queue(), device_class(), slice_of("n1", 4), *objects]):
        space = {"namespace": "default"} if manifest["kind"] in ("Pod", "PodGroup", "ResourceClaim") else {}
        times = {"creationTimestamp": "2026-01-01T00:00:00Z", "uid": f"u-{number}"}
        whole = manifest | {"metadata": times | space | manifest["metadata"]}
        match manifest["kind"]:
            case "Node":
                store.put_node(convert(Node, whole))
            case "Queue":
                store.put_queue(Queue.parse(whole))
            case "DeviceClass":
                store.claims.put_class(convert(DeviceClass, whole))
            case "ResourceSlice":
                store.claims.devices.put(convert(ResourceSlice, whole))
            case "ResourceClaim":
                store.claims.put(convert(ResourceClaim, whole))
            case "PodGroup":
                store.put_podgroup(PodGroup.parse(whole))
            case "Pod":
                store.put_pod(convert(Pod, whole), NOW)
    return store


def owned(name):
    return user(name, made_from=["gpu"]) | {
        "status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": f"{name}-gpu"}]}
    }


def classes_of(snapshot):
    return {key.name: row for key, row in zip(snapshot.pods.keys, snapshot.pods.class_idx.tolist(), strict=True)}


def test_without_claims_the_tables_are_those_of_before():
    store = filled(pod("a", 0))
    first, second = store.take(NOW), store.take(NOW + 1)
    assert first.claims is None
    assert first.classes is second.classes


def test_pods_whose_own_claims_ask_for_the_same_are_of_one_class():
    pods = [owned(name) for name in ("a", "b", "c")]
    claims = [claim("a-gpu", of=None), claim("b-gpu", of=None), claim("c-gpu", 2, of=None)]
    of = classes_of(filled(*pods, *claims).take(NOW))
    assert of["a"] == of["b"] != of["c"]


def test_queues_pay_for_a_shared_claim_with_one_pod():
    snapshot = filled(user("a", "c"), user("b", "c"), claim("c", 2)).take(NOW)
    costs = {name: snapshot.classes.accounted[row, 2].item() for name, row in classes_of(snapshot).items()}
    assert costs == {"a": 2000, "b": 0}


def test_whoever_runs_pays():
    snapshot = filled(user("a", "c"), user("b", "c", on="n1"), claim("c", 2)).take(NOW)
    costs = {name: snapshot.classes.accounted[row, 2].item() for name, row in classes_of(snapshot).items()}
    assert costs == {"a": 0, "b": 2000}


def test_an_allocated_claim_counts_what_it_has_whoever_has_it():
    results = [{"request": "gpu", "driver": GPU, "pool": "n1", "device": f"gpu-{n}"} for n in range(2)]
    status = {
        "allocation": {"devices": {"results": results}},
        "reservedFor": [{"resource": "pods", "name": "stranger", "uid": "s"}],
    }
    snapshot = filled(claim("c") | {"status": status}, user("a", "d"), claim("d")).take(NOW)
    row = next(one for one in snapshot.claims.claims if one.key == "default/c")
    assert (len(row.held.takes), row.others) == (2, 1)


def test_a_pod_whose_claim_is_missing_is_held_back_and_its_podgroup_says_why():
    snapshot = filled(user("a", "nowhere"), user("b", "c"), claim("c")).take(NOW)
    states = {key.name: state for key, state in zip(snapshot.pods.keys, snapshot.pods.state.tolist(), strict=True)}
    assert states == {"a": PodState.GATED, "b": PodState.PENDING}
    assert list(snapshot.podgroups.blocked.values()) == [(ReasonCode.CLAIM_MISSING, {"claim": "default/nowhere"})]


def test_what_a_pod_that_is_gone_needed_is_forgotten():
    store = filled(user("a", "c"), claim("c"))
    store.drop_pod(next(iter(store.known_pods())))
    assert store.take(NOW).claims is None


def test_a_device_on_a_node_that_is_gone_is_nobodys_share():
    snapshot = filled(slice_of("n2", 4), user("a", "c"), claim("c")).take(NOW)
    assert [one.capacity for one in snapshot.claims.counted] == [4]


@pytest.mark.parametrize(
    ("entry", "status", "claims", "missing"),
    [
        ({"name": "x", "resourceClaimName": "c"}, [], (("default", "c"),), ""),
        ({"name": "x", "resourceClaimTemplateName": "t"}, [], (), "default/t"),
        ({"name": "x", "resourceClaimTemplateName": "t"}, [{"name": "x"}], (), ""),
    ],
)
def test_which_claims_a_pod_needs(entry, status, claims, missing):
    manifest = pod("a", 0, resourceClaims=[entry]) | {"status": {"resourceClaimStatuses": status}}
    manifest["metadata"]["namespace"] = "default"
    needs = needs_of(convert(Pod, manifest))
    assert (needs.claims, needs.missing) == (claims, missing)


def test_the_language_of_selectors_is_imported_with_the_first_of_them():
    """It would be an eighth of the program's start."""
    program = "import sys, kai_py.cluster.store; print([name for name in sys.modules if 'cel' in name.split('.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_slice_that_changes_leaves_the_layout_of_other_pools_alone():
    store = filled(slice_of("n2", 2), user("a", "c"), claim("c"))
    before = store.take(NOW).claims.inventory
    changed = slice_of("n1", 4) | {"metadata": {"name": f"n1-{GPU}", "uid": "u"}}
    changed["spec"]["devices"][0]["attributes"]["index"]["int"] = 7
    store.claims.devices.put(convert(ResourceSlice, changed))
    after = store.take(NOW).claims.inventory
    assert after is not before
    assert [one.attributes["index"].values for one in after.devices] == [(7,), (1,), (2,), (3,), (0,), (1,)]
    assert [one is other for one, other in zip(after.devices, before.devices, strict=True)] == [False] * 4 + [True] * 2


def test_a_claim_that_changes_is_laid_out_anew_and_others_are_not():
    store = filled(user("a", "c"), claim("c"), user("b", "d"), claim("d"))
    before = store.take(NOW).claims.claims
    manifest = claim("c", 2)
    manifest["metadata"] |= {"namespace": "default", "uid": "u-c"}
    store.claims.put(convert(ResourceClaim, manifest))
    after = store.take(NOW).claims.claims
    assert [one is other for one, other in zip(after, before, strict=True)] == [False, True]
    assert after[0].asked.requests[0].alternatives[0].count == 2


def test_a_class_that_vanishes_leaves_claims_without_devices_waiting():
    store = filled(user("a", "c"), claim("c"))
    assert not store.take(NOW).podgroups.blocked
    store.claims.drop_class(GPU)
    ((code, details),) = store.take(NOW).podgroups.blocked.values()
    assert (code, GPU in details["message"]) == (ReasonCode.CLAIM_INVALID, True)
    store.claims.put_class(convert(DeviceClass, device_class() | {"metadata": {"name": GPU, "uid": "u"}}))
    assert not store.take(NOW).podgroups.blocked


def given(name, *devices, reserved=()):
    results = [{"request": "gpu", "driver": GPU, "pool": "n1", "device": device} for device in devices]
    status = {
        "allocation": {"devices": {"results": results}},
        "reservedFor": [{"resource": "pods", "name": one, "uid": uid} for one, uid in reserved],
    }
    return claim(name, of=None) | {"status": status}


def test_classes_that_say_nothing_new_wake_nobody_and_one_that_goes_is_missed():
    store = filled(user("a", "c"), claim("c"))
    again = convert(DeviceClass, device_class())
    assert not store.claims.put_class(again)
    assert store.claims.drop_class(GPU)
    assert not store.claims.drop_class(GPU)
    ((code, details),) = store.take(NOW).podgroups.blocked.values()
    assert (code, "DeviceClass" in details["message"]) == (ReasonCode.CLAIM_INVALID, True)
    assert store.claims.put_class(again)
    assert not store.take(NOW).podgroups.blocked


def test_a_server_without_claims_is_told_to_whoever_needs_some():
    store = filled(user("a", "c"), pod("b", 0))
    store.claims.served = lambda: False
    ((code, details),) = store.take(NOW).podgroups.blocked.values()
    assert (code, "resource.k8s.io/v1" in details["field"]) == (ReasonCode.UNSUPPORTED, True)


def test_a_pod_that_learns_the_name_of_its_claim_matters():
    store = filled(claim("a-gpu", of=None), user("a", made_from=["gpu"]))
    (key,) = store.known_pods()
    manifest = owned("a")
    manifest["metadata"] |= {"namespace": "default", "uid": key.uid, "creationTimestamp": "2026-01-01T00:00:00Z"}
    named = convert(Pod, manifest)
    assert store.put_pod(named, NOW)
    assert not store.put_pod(named, NOW)


def test_devices_of_a_pod_that_is_over_are_about_to_be_free():
    store = filled(user("a", "c", on="n1"), given("c", "gpu-0", reserved=[("a", "u-4"), ("b", "stranger")]), owned("b"))
    key = store.pod_key("default/a")
    assert key.uid == "u-4"
    row = next(iter(store.take(NOW).claims.claims))
    assert (row.others, row.leaving) == (1, 0)
    store.drop_pod(key)
    row = next(iter(store.take(NOW).claims.claims))
    assert (row.others, row.leaving) == (1, 1)


def test_pods_that_are_over_are_forgotten_though_nobody_takes_a_snapshot():
    store = filled(given("c", "gpu-0", reserved=[("stays", "kept")]))
    waiting = convert(Pod, user("p", "c"))
    for number in range(3000):
        key = PodKey("default", f"p-{number}", "kept" if number == 7 else str(number))
        store.claims.see(key, waiting)
        store.claims.forget(key, over=True)
    assert "kept" in store.claims._over
    assert len(store.claims._over) < 1100


def test_nobody_is_evicted_for_a_device_that_is_about_to_be_free():
    first = given("c", "gpu-0", "gpu-1", "gpu-2", reserved=[("gone", "u-4")])
    store = filled(user("gone", "c", on="n1"), first, owned("runs"), owned("waits"), claim("waits-gpu", 2, of=None))
    store.drop_pod(store.pod_key("default/gone"))
    decisions = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions
    assert [type(one).__name__ for one in decisions if "waits" in one.pod] == ["Nominate"]
    store.claims.drop(("default", "c"))
    decisions = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions
    assert [type(one).__name__ for one in decisions if "waits" in one.pod] == ["Bind"]


def test_devices_that_are_on_their_way_are_given_to_nobody_else():
    pods = [owned(name) for name in ("a", "b", "c")]
    store = filled(*pods, *(claim(f"{name}-gpu", 2, of=None) for name in ("a", "b", "c")))
    sent = [one for one in run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions if isinstance(one, Bind)]
    assert len(sent) == 2
    for bind in sent:
        store.decisions.assume(bind, NOW)
    assert run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions == ()
    store.decisions.release(sent[0], NOW)
    again = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions
    assert [type(one).__name__ for one in again] == ["Bind"]


def test_unused_is_what_we_allocated_for_pods_that_wait():
    objects = [given(name, f"gpu-{row}", reserved=[("a", "u-9")]) for row, name in enumerate(("ours", "theirs"))]
    for one in objects:
        one["status"]["allocation"]["allocationTimestamp"] = "2026-01-01T00:00:00Z"
    objects[0]["metadata"]["annotations"] = {"kai.scheduler/allocated": "kai-scheduler 2026-01-01T00:00:00Z"}
    store = filled(user("b", "ours"), user("c", "ours"), user("d"), *objects, user("a", "ours", "theirs"))
    assert store.pod_key("default/a").uid == "u-9"
    assert list(store.claims.unused(lambda _key: True)) == [("default", "ours")]
    assert list(store.claims.unused(lambda key: key.name != "a")) == []


def test_who_lacks_devices_is_told_its_own_claim_or_none():
    def told(*objects):
        (diagnosis,) = run_cycle(filled(*objects).take(NOW), Options(), clock=lambda: 0.0).diagnoses
        return diagnosis.reasons[0].details.get("claim", "")

    alone = [owned("a"), claim("a-gpu", 5, of=None)]
    assert "default/a-gpu" in told(*alone)
    status = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "b-gpu"}]}
    runs = user("b", made_from=["gpu"], on="n1") | {"status": status}
    alike = [owned("c"), claim("c-gpu", 3, of=None), runs, claim("b-gpu", 3, of=None)]
    results = [{"request": "gpu", "driver": GPU, "pool": "n1", "device": f"gpu-{n}"} for n in range(3)]
    alike[3]["status"] = {"allocation": {"devices": {"results": results}}}
    assert told(*alike) == ""


def test_a_driver_that_vanishes_leaves_claims_and_pods_alone_and_finds_its_devices_taken_when_it_is_back():
    results = [{"request": "gpu", "driver": GPU, "pool": "n1", "device": "gpu-0"}]
    users = [{"resource": "pods", "name": "a", "uid": "a"}]
    has = claim("c") | {"status": {"allocation": {"devices": {"results": results}}, "reservedFor": users}}
    runs = user("a", "c", on="n1")
    runs["metadata"]["uid"] = "a"
    store = filled(has, runs, claim("d"), user("b", "d"))
    before = store.claims.objects.by_name["default", "c"]

    def decided():
        result = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0)
        return [
            (one.pod, [device.device for granted in one.claims for device in granted.allocation.devices])
            for one in result.decisions
        ]

    store.claims.devices.drop(f"n1-{GPU}")
    assert decided() == []
    assert store.claims.objects.by_name["default", "c"] is before
    back = slice_of("n1", 2)
    back["metadata"]["uid"] = "u"
    store.claims.devices.put(convert(ResourceSlice, back))
    assert decided() == [("default/b", ["gpu-1"])]
