"""Who and what is let in, decided without a server."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.admission import podgroups, pods, queues, settings, topologies
from kai_py.admission.manifests import service_client, webhook_configuration
from kai_py.admission.verdict import FORBIDDEN, INVALID, LET_IN, Known, Request
from kai_py.api.keys import DERIVED_ANNOTATION
from kai_py.api.queue import Queue
from kai_py.settings.load import load_settings

DECIDERS = [queues.decide, podgroups.decide, topologies.decide, pods.decide, settings.decide]


def a_queue(name: str, parent: str = "", *, quota: float = -1, limit: float = -1, **more: Any) -> dict[str, Any]:
    spec = {"resources": {"gpu": {"quota": quota, "limit": limit}}, **({"parentQueue": parent} if parent else {})}
    return {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": {**spec, **more.pop("spec", {})},
        **more,
    }


def known(*there: dict[str, Any], **said: Any) -> Known:
    found = Known(settings=load_settings({"admission": said}))
    for one in there:
        found.queues.put(Queue.parse(one))
    return found


def create(manifest: dict[str, Any], namespace: str = "") -> Request:
    return Request("CREATE", manifest, {}, namespace)


# -- queues --------------------------------------------------------------------------------------------


def test_a_queue_may_not_become_its_own_ancestor():
    there = known(a_queue("a", "b"), a_queue("b", "c"), a_queue("c"))
    verdict = queues.decide(Request("UPDATE", a_queue("c", "a"), a_queue("c")), there)
    assert verdict.refusal == "spec.parentQueue: the parents would form a cycle: c → a → b → c"
    assert verdict.code == INVALID
    assert queues.decide(create(a_queue("d", "a")), there) == LET_IN


def test_a_queue_below_somebody_elses_cycle_is_let_in():
    assert queues.decide(create(a_queue("x", "a")), known(a_queue("a", "b"), a_queue("b", "a"))).allowed


def test_a_missing_parent_is_a_warning():
    verdict = queues.decide(create(a_queue("a", "later")), known())
    assert verdict.allowed
    assert verdict.warnings == (
        "spec.parentQueue: there is no queue 'later': until there is, this queue takes no pods",
    )


@pytest.mark.parametrize(
    ("rigour", "allowed", "warnings"), [("ignore", True, 0), ("warn", True, 1), ("refuse", False, 0)]
)
def test_a_limit_below_the_quota_is_what_the_settings_make_of_it(rigour, allowed, warnings):
    verdict = queues.decide(create(a_queue("a", quota=8, limit=4)), known(quotas=rigour))
    assert (verdict.allowed, len(verdict.warnings)) == (allowed, warnings)


def test_children_that_are_promised_more_than_their_parent_has_are_told():
    there = known(a_queue("org", quota=8), a_queue("a", "org", quota=6), quotas="refuse")
    assert queues.decide(create(a_queue("b", "org", quota=2)), there).allowed
    verdict = queues.decide(create(a_queue("b", "org", quota=3)), there)
    assert verdict.refusal == (
        "Queue org, spec.resources.gpu.quota: the quotas of its children add up to 9, more than its own 8"
    )


def test_what_was_wrong_before_is_no_reason_to_refuse_a_change():
    there = known(a_queue("org", quota=8), a_queue("a", "org", quota=20), quotas="refuse")
    verdict = queues.decide(Request("UPDATE", a_queue("a", "org", quota=10), a_queue("a", "org", quota=20)), there)
    assert verdict.allowed
    assert len(verdict.warnings) == 1


def test_a_queue_with_children_or_pods_may_not_be_deleted():
    there = known(a_queue("org"), a_queue("a", "org"))
    verdict = queues.decide(Request("DELETE", old=a_queue("org")), there)
    assert (verdict.refusal, verdict.code) == ("queue 'org' has child queues: a", FORBIDDEN)
    holding = a_queue("a", "org", status={"allocated": {"gpu": "2"}})
    assert "in use" in queues.decide(Request("DELETE", old=holding), there).refusal
    waiting = a_queue("a", "org", status={"allocated": {"gpu": "0"}, "requested": {"gpu": 500e-3}})
    assert "in use" in queues.decide(Request("DELETE", old=waiting), there).refusal
    empty = a_queue("a", "org", status={"allocated": {"gpu": "0"}, "requested": {"cpu": 0}})
    assert queues.decide(Request("DELETE", old=empty), there) == LET_IN


def test_dividing_a_queue_that_has_pods_is_a_warning():
    there = known(a_queue("a", status={"requested": {"gpu": "1"}}))
    (warning,) = queues.decide(create(a_queue("b", "a")), there).warnings
    assert "'a' has pods" in warning


def test_a_queue_that_cannot_be_read_is_refused_with_all_its_faults():
    verdict = queues.decide(create(a_queue("a", quota=-3, spec={"priority": "high"})), known())
    assert "spec.priority" in verdict.refusal


def test_labels_and_status_of_a_faulty_queue_may_change():
    old, new = a_queue("a", quota=-3), a_queue("a", quota=-3, status={"childQueues": []})
    assert queues.decide(Request("UPDATE", new, old), known()) == LET_IN


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["", *"abcd"])), max_size=12))
def test_a_tree_that_only_ever_let_in_what_was_allowed_has_no_cycle(changes):
    there = known()
    for name, parent in changes:
        old = there.queue(name)
        request = Request("UPDATE" if old else "CREATE", a_queue(name, parent), a_queue(name, "?") if old else {})
        if parent != name and queues.decide(request, there).allowed:
            there.queues.put(Queue.parse(a_queue(name, parent)))
    assert not [fault for fault in there.queues.faults.values() if "cycle" in fault.message]


# -- pods and podgroups --------------------------------------------------------------------------------


def a_pod(queue: str | None = "team", scheduler: str = "kai-scheduler") -> dict[str, Any]:
    labels = {"labels": {"kai.scheduler/queue": queue}} if queue is not None else {}
    return {"metadata": {"name": "p", **labels}, "spec": {"schedulerName": scheduler}}


CLOSED = a_queue("team", spec={"allowedNamespaces": {"matchLabels": {"team": "a"}}})


def test_a_pod_in_a_queue_that_its_namespace_may_not_use_is_refused():
    there = known(CLOSED)
    there.namespaces.put("theirs", {"team": "b"})
    there.namespaces.put("ours", {"team": "a"})
    verdict = pods.decide(create(a_pod(), "theirs"), there)
    assert verdict.code == FORBIDDEN
    assert verdict.refusal == (
        "metadata.labels[kai.scheduler/queue]: namespace 'theirs' may not use queue 'team': "
        "it takes namespaces with team=a"
    )
    assert pods.decide(create(a_pod(), "ours"), there) == LET_IN
    assert pods.decide(create(a_pod(scheduler="default-scheduler"), "theirs"), there) == LET_IN


def test_a_pod_in_a_queue_that_is_not_there_is_refused_or_warned_of():
    assert "there is no queue 'nowhere'" in pods.decide(create(a_pod("nowhere"), "ns"), known()).refusal
    verdict = pods.decide(create(a_pod("nowhere"), "ns"), known(pods="warn"))
    assert verdict.allowed
    assert len(verdict.warnings) == 1


def test_a_pod_that_names_no_queue_is_let_in():
    assert pods.decide(create(a_pod(None), "ns"), known()) == LET_IN
    assert pods.decide(create(a_pod(""), "ns"), known()) == LET_IN


def test_a_review_that_says_no_is_a_refusal_and_one_that_is_missing_is_not():
    there = known(a_queue("team"))
    there.access.review(wanted=True)
    assert pods.decide(create(a_pod(), "ns"), there) == LET_IN
    there.access.settle({("team", "ns"): False})
    assert "system:serviceaccounts:ns needs the verb 'use'" in pods.decide(create(a_pod(), "ns"), there).refusal


def a_podgroup(queue: str = "team", *, annotations: Any = None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.run.ai/v2alpha2",
        "kind": "PodGroup",
        "metadata": {"name": "g", "namespace": "ns", "annotations": annotations or {}},
        "spec": {"queue": queue, "minMember": 1, **spec},
    }


def test_a_podgroup_may_not_be_moved_into_a_closed_queue():
    there = known(CLOSED, a_queue("open"))
    move = Request("UPDATE", a_podgroup("team"), a_podgroup("open"), "ns")
    assert podgroups.decide(move, there).code == FORBIDDEN
    assert not podgroups.decide(move, there).allowed
    assert podgroups.decide(Request("UPDATE", a_podgroup("open"), a_podgroup("team"), "ns"), there) == LET_IN
    stays = Request("UPDATE", a_podgroup("team", minMember=2), a_podgroup("team"), "ns")
    assert podgroups.decide(stays, there) == LET_IN


def test_a_podgroup_that_the_scheduler_has_derived_is_let_in_with_a_warning():
    derived = a_podgroup(annotations={DERIVED_ANNOTATION: "x"})
    verdict = podgroups.decide(create(derived, "ns"), known(CLOSED))
    assert verdict.allowed
    assert len(verdict.warnings) == 1


def test_subgroups_that_are_no_tree_are_refused():
    subgroups = [{"name": "x", "parent": "y", "minMember": 1}, {"name": "y", "parent": "x"}]
    verdict = podgroups.decide(create(a_podgroup(minMember=None, subGroups=subgroups), "ns"), known(a_queue("team")))
    assert "cycle" in verdict.refusal


# -- the rest ------------------------------------------------------------------------------------------


def test_levels_that_are_named_twice_are_refused():
    levels = [{"nodeLabel": "rack"}, {"nodeLabel": "rack"}]
    manifest = {"metadata": {"name": "dc"}, "spec": {"levels": levels}}
    assert "rack is a level already" in topologies.decide(create(manifest), known()).refusal


def test_settings_are_refused_with_all_their_faults():
    bad = {"metadata": {"name": "s"}, "data": {"settings.yaml": "fairness: {kvalue: 1}\ngpuSharing: some"}}
    verdict = settings.decide(create(bad, "kai-scheduler"), known())
    assert "did you mean kValue" in verdict.refusal
    assert "gpuSharing" in verdict.refusal
    good = {"data": {"settings.yaml": "fairness: {kValue: 0.5}"}}
    assert settings.decide(create(good), known()) == LET_IN
    assert settings.decide(Request("UPDATE", bad, bad), known()) == LET_IN


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(DECIDERS), JSON, st.sampled_from(["CREATE", "UPDATE", "DELETE"]))
def test_whatever_the_spec_is_there_is_a_verdict(decide, spec, operation):
    manifest = {"metadata": {"name": "x"}, "spec": spec}
    there = known(a_queue("team"))
    verdict = decide(Request(operation, manifest if operation != "DELETE" else {}, manifest, "ns"), there)
    assert isinstance(verdict.refusal, str)


def test_no_webhook_can_block_the_cluster_and_each_asks_about_little():
    made = webhook_configuration(service_client("kai", "hooks"))
    assert {one["failurePolicy"] for one in made["webhooks"]} == {"Ignore"}
    assert all(one["timeoutSeconds"] <= 2 for one in made["webhooks"])
    (on_pods,) = [one for one in made["webhooks"] if one["name"].startswith("pods.")]
    assert on_pods["rules"][0]["operations"] == ["CREATE"]
    assert [one["name"] for one in on_pods["matchConditions"]] == ["ours", "names-a-queue"]
    assert on_pods["clientConfig"]["service"] == {"namespace": "kai", "name": "hooks", "port": 443, "path": "/pods"}
    outside = webhook_configuration({"url": "https://127.0.0.1:9443/"})
    assert outside["webhooks"][0]["clientConfig"] == {"url": "https://127.0.0.1:9443/queues"}
