"""Claims that pods use through their PodGroup: whose they are, for whom they are reserved, and when they come free."""

from __future__ import annotations

import pytest

from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.api.resource import Consumer, ResourceClaim
from kai_py.api.workload import Workload
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Action, Options
from kai_py.core.result import Bind, ReasonCode
from kai_py.core.tables.pods import PodState
from tests.cluster.test_cluster_claims import NOW, filled, given
from tests.planning.builders import node
from tests.planning.test_planning_claims import claim, user

WHEN = "2026-01-01T00:00:00Z"
GROUP = Consumer("podgroups", "group", "u-group", "scheduling.k8s.io")
SHARED = {"name": "c", "resourceClaimName": "c"}


def group(*entries, uid="u-group"):
    found = {
        "apiVersion": "scheduling.k8s.io/v1alpha2",
        "kind": "PodGroup",
        "metadata": {"name": "group", "namespace": "default", "uid": uid},
        "spec": {"schedulingPolicy": {"basic": {}}, "resourceClaims": list(entries)},
    }
    return convert(Workload, found)


def member(name, *claims, **more):
    """A pod of the group; with ``on``, it has a node."""
    return user(name, *claims, schedulingGroup={"podGroupName": "group"}, **more)


def reserved(name="c", device="gpu-0", *, ours=True, uid="u-group"):
    """A claim with a device that is reserved for the PodGroup."""
    one = given(name, device)
    one["status"]["reservedFor"] = [
        {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "group", "uid": uid}
    ]
    one["status"]["allocation"]["allocationTimestamp"] = WHEN
    one["metadata"]["labels"] = {"kai.scheduler/queue": "team"}
    if ours:
        one["metadata"]["annotations"] = {"kai.scheduler/allocated": f"kai-scheduler {WHEN}"}
    return one


def world(*objects, pod_group=None):
    store = filled(*objects)
    store.lineages.put(pod_group or group(SHARED), NOW)
    return store


def row(store, key="default/c"):
    return next(one for one in store.take(NOW).claims.claims if one.key == key)


def standing(store):
    one = row(store)
    return one.others, one.leaving, one.spared


def keys(store, *names):
    return tuple(store.pod_key(f"default/{name}") for name in names)


def gone(store, name, *, evicted=False):
    """A pod that had a node goes; ``evicted`` says why, as the watch shows it before."""
    key = store.pod_key(f"default/{name}")
    if evicted:
        manifest = member(name, "c", on="n1")
        manifest["metadata"] |= {"namespace": "default", "uid": key.uid, "creationTimestamp": WHEN}
        manifest["status"] = {"phase": "Running", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}
        store.put_pod(convert(Pod, manifest), NOW)
    store.drop_pod(key)


def test_a_claim_on_which_both_agree_is_reserved_for_the_group_once():
    store = world(member("a", "c"), member("b", "c"), claim("c"))
    assert store.claims.consumers(("default", "c"), keys(store, "a", "b")) == (GROUP,)


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "other", "resourceClaimName": "c"},
        {"name": "c", "resourceClaimName": "d"},
        {"name": "c", "resourceClaimTemplateName": "c"},
    ],
)
def test_what_differs_in_name_or_source_is_the_pods_own(entry):
    store = world(member("a", "c"), claim("c"), pod_group=group(entry))
    (one,) = store.claims.consumers(("default", "c"), keys(store, "a"))
    assert (one.resource, one.name) == ("pods", "a")


def test_a_pod_of_another_group_or_of_none_uses_the_claim_itself():
    store = world(member("a", "c"), user("b", "c"), claim("c"))
    consumers = store.claims.consumers(("default", "c"), keys(store, "a", "b"))
    assert [one.resource for one in consumers] == ["podgroups", "pods"]


def test_a_claim_from_a_template_is_found_by_the_name_in_the_pods_status():
    pod = member("a") | {"status": {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "group-gpu-x"}]}}
    pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    store = world(pod, claim("group-gpu-x", of=None), pod_group=group(dict(pod["spec"]["resourceClaims"][0])))
    assert store.claims.consumers(("default", "group-gpu-x"), keys(store, "a")) == (GROUP,)


def blocked(store):
    return list(store.take(NOW).podgroups.blocked.values())


def test_a_claim_that_has_not_been_made_for_the_group_is_waited_for_by_its_name():
    pod = member("a")
    pod["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimTemplateName": "t"}]
    entry = dict(pod["spec"]["resourceClaims"][0])
    store = world(pod, pod_group=group(entry))
    missing = {"claim": "default/t"}
    assert blocked(store) == [(ReasonCode.CLAIM_MISSING, missing | {"pod_group": "default/group"})]
    assert blocked(world(pod, pod_group=group())) == [(ReasonCode.CLAIM_MISSING, missing)]


def test_a_group_that_is_not_known_yet_is_waited_for_where_there_may_be_one():
    store = filled(member("a", "c"), claim("c"))
    assert blocked(store) == []
    store.owners.kinds.follow([("scheduling.k8s.io", "PodGroup")])
    assert blocked(store) == [(ReasonCode.CLAIM_MISSING, {"pod_group": "default/group"})]
    assert store.lineages.put(group(SHARED), NOW)
    assert blocked(store) == []


@pytest.mark.parametrize(
    "entry", [{"name": "c"}, {"name": "c", "resourceClaimName": "a", "resourceClaimTemplateName": "b"}, 7, None]
)
def test_an_entry_that_cannot_be_understood_is_named_and_keeps_only_pods_of_the_group(entry):
    store = world(member("a", "c"), user("b", "c"), claim("c"), pod_group=group(entry))
    ((code, details),) = blocked(store)
    assert code == ReasonCode.UNSUPPORTED
    assert (details["object"], details["field"][:22]) == ("PodGroup default/group", "spec.resourceClaims[0]")
    snapshot = store.take(NOW)
    states = {key.name: state for key, state in zip(snapshot.pods.keys, snapshot.pods.state.tolist(), strict=True)}
    assert states == {"a": PodState.GATED, "b": PodState.PENDING}


def test_pods_beyond_the_limit_of_consumers_share_a_claim_through_their_group():
    def bound(make):
        roomy = node("n1", 0)
        roomy["status"]["allocatable"] |= {"pods": "1000", "cpu": "1000"}
        store = world(roomy, *[make(f"p-{number:03}", "c") for number in range(300)], claim("c"))
        result = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0)
        return sum(isinstance(one, Bind) for one in result.decisions)

    assert bound(member) == 300
    assert bound(user) == 256


def test_a_claim_that_the_group_holds_is_nobodys_elses():
    store = world(member("a", "c", on="n1"), member("b", "c"), reserved())
    assert standing(store) == (0, 0, 1)
    assert list(store.claims.unused(store.decisions.waits)) == []


def test_when_the_last_pod_of_the_group_is_gone_its_claim_comes_free():
    store = world(member("a", "c", on="n1"), member("b", "c", on="n1"), user("x", "c"), reserved())
    gone(store, "a")
    assert standing(store)[:2] == (0, 0)
    gone(store, "b")
    assert standing(store)[:2] == (0, 1)
    assert list(store.claims.unused(store.decisions.waits)) == [("default", "c")]


def test_what_others_allocated_is_left_to_the_group():
    store = world(member("a", "c", on="n1"), user("x", "c"), reserved(ours=False))
    assert standing(store) == (1, 0, 1)
    gone(store, "a")
    assert standing(store) == (1, 0, 0)
    assert list(store.claims.unused(store.decisions.waits)) == []


def test_pods_that_come_back_find_the_claim_as_it_was():
    store = world(member("a", "c", on="n1"), member("b", "c"), reserved())
    gone(store, "a")
    assert standing(store)[:2] == (0, 0)
    (bind,) = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions
    assert (bind.pod, bind.claims) == ("default/b", ())


def test_pods_that_come_back_after_an_eviction_wait_until_the_claim_is_free():
    store = world(member("a", "c", on="n1"), member("b", "c"), reserved())
    gone(store, "a", evicted=True)
    assert standing(store)[:2] == (0, 1)
    decisions = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions
    assert not any(isinstance(one, Bind) for one in decisions)
    freed = claim("c")
    freed["metadata"] |= {"namespace": "default", "uid": store.claims.objects.by_name["default", "c"].metadata.uid}
    store.claims.put(convert(ResourceClaim, freed))
    (bind,) = run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions
    assert (bind.pod, len(bind.claims)) == ("default/b", 1)


def kept(store, *uids):
    found = store.claims.objects.by_name["default", "c"]
    return [one.name for one in store.claims.pod_groups.kept(found, frozenset(uids))]


def test_the_group_keeps_its_claim_while_any_pod_of_it_does():
    store = world(member("a", "c"), member("b", "c"), member("x", "c", on="n1"), reserved())
    a, b = keys(store, "a", "b")
    assert kept(store, a.uid, b.uid) == ["group"]
    gone(store, "x")
    assert kept(store, a.uid) == []
    assert kept(store, "stranger") == ["group"]


def test_a_pod_on_its_way_keeps_the_claim_for_its_group():
    store = world(member("a", "c"), member("b", "c"), reserved())
    a, b = keys(store, "a", "b")
    store.decisions.assume(Bind("default/b", b.uid, "n1", "default/b", Action.ALLOCATE), NOW)
    assert kept(store, a.uid) == ["group"]
    assert kept(store, "u-group") == ["group"]
    assert kept(store, a.uid, b.uid) == []
    assert list(store.claims.unused(store.decisions.waits)) == []


def test_a_group_that_was_made_anew_reserves_anew():
    store = world(member("a", "c"), reserved(uid="u-old"), pod_group=group(SHARED, uid="u-new"))
    (one,) = store.claims.consumers(("default", "c"), keys(store, "a"))
    assert one.uid == "u-new"
