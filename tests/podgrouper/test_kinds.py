"""Rules of kinds beyond what the shared cases ask: where we are stricter, kinder or more exact than KAI."""

from __future__ import annotations

import json

import pytest

from kai_py import group
from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.errors import SettingsError
from kai_py.podgrouper.errors import GroupingError, GroupingPending
from kai_py.podgrouper.grouping import Grouper

NS = "team"


def obj(kind, name, api_version, spec=None, *, owner=None, status=None, **meta):
    metadata = {"name": name, "namespace": NS, "uid": f"uid-{name}", **meta}
    if owner is not None:
        metadata["ownerReferences"] = [reference(owner)]
    fields = {"spec": spec} if spec is not None else {}
    return {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": metadata,
        **fields,
        **({"status": status} if status else {}),
    }


def reference(owner):
    identity = {"name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **identity}


def pod(owner=None, name="p", **meta):
    return obj("Pod", name, "v1", {"schedulerName": "kai-scheduler"}, owner=owner, **meta)


def spec(answer):
    return answer["podGroup"]["spec"]


def leaves(answer):
    subgroups = spec(answer).get("subGroups", [])
    parents = {one.get("parent") for one in subgroups}
    return {one["name"]: one["minMember"] for one in subgroups if one["name"] not in parents}


def lws(size, **more):
    return obj(
        "LeaderWorkerSet", "llm", "leaderworkerset.x-k8s.io/v1", {"leaderWorkerTemplate": {"size": size, **more}}
    )


def worker(owner, index, **meta):
    return pod(owner, labels={"leaderworkerset.sigs.k8s.io/worker-index": str(index)}, **meta)


@pytest.mark.parametrize(
    ("size", "segment", "expected"),
    [
        (3, 2, {"leader": 1, "workers": 2}),
        (4, 2, {"leader": 1, "workers": 1, "segment-1": 2}),
        (5, 2, {"leader": 1, "workers": 2, "segment-1": 2}),
        (6, 4, {"leader": 1, "workers": 3, "segment-1": 2}),
        (8, 3, {"leader": 1, "workers": 2, "segment-1": 3, "segment-2": 2}),
    ],
)
def test_segments_of_a_replica_hold_all_of_its_pods_once(size, segment, expected):
    owner = lws(size, workerTemplate={}, subGroupPolicy={"subGroupSize": segment})
    answers = [group(worker(owner, index), [owner]) for index in range(size)]
    assert leaves(answers[0]) == expected
    assert sum(expected.values()) == size
    counted = [answer["subGroup"] for answer in answers]
    assert {name: counted.count(name) for name in expected} == expected


def test_a_leader_that_goes_first_is_a_gang_of_one_even_with_segments():
    owner = lws(5, subGroupPolicy={"subGroupSize": 2}, workerTemplate={})
    owner["spec"]["startupPolicy"] = "LeaderReady"
    first = group(worker(owner, 0), [owner])
    assert (spec(first)["minMember"], leaves(first), first["subGroup"]) == (1, {"leader": 1}, "leader")
    assert spec(group(worker(owner, 1), [owner]))["minMember"] == 5


def test_a_replicated_job_without_replicas_is_not_waited_for():
    jobs = [{"name": "a", "replicas": 0}, {"name": "b", "template": {"spec": {"parallelism": 4, "completions": 2}}}]
    owner = obj("JobSet", "js", "jobset.x-k8s.io/v1alpha2", {"replicatedJobs": jobs})
    labels = {"jobset.sigs.k8s.io/replicatedjob-name": "b", "jobset.sigs.k8s.io/job-index": "0"}
    answer = group(pod(owner, labels=labels), [owner])
    assert (spec(answer)["minSubGroup"], leaves(answer)) == (1, {"b-replica-0": 2})


@pytest.mark.parametrize(
    ("until", "together"),
    [
        pytest.param({}, 3, id="none waits for another"),
        pytest.param({"node": ("data", "Ready")}, 2, id="one waits until another is ready"),
        pytest.param({"node": ("data", "Ready"), "model": ("node", "Ready")}, 1, id="a chain"),
        pytest.param({"node": ("data", "Complete")}, 1, id="one may be all that is left"),
    ],
)
def test_a_replicated_job_that_is_made_after_another_is_not_waited_for_at_the_start(until, together):
    jobs = [
        {
            "name": name,
            "template": {"spec": {"parallelism": 2}},
            **({"dependsOn": [{"name": until[name][0], "status": until[name][1]}]} if name in until else {}),
        }
        for name in ("data", "model", "node")
    ]
    owner = obj("JobSet", "js", "jobset.x-k8s.io/v1alpha2", {"replicatedJobs": jobs})
    labels = {"jobset.sigs.k8s.io/replicatedjob-name": "data", "jobset.sigs.k8s.io/job-index": "0"}
    answer = group(pod(owner, labels=labels), [owner])
    assert spec(answer)["minSubGroup"] == together
    assert leaves(answer) == {"data-replica-0": 2, "model-replica-0": 2, "node-replica-0": 2}


def test_the_podgroup_of_a_job_is_not_taken_for_that_of_a_pod_of_the_same_name():
    owner = obj("Job", "same", "batch/v1", {}, annotations={"kai.scheduler/batch-min-member": "3"})
    one = pod(owner)
    one["metadata"]["name"] = "same"
    there = group(one, [owner])["podGroup"]
    assert spec(group(one, [owner], objects=[there]))["minMember"] == 3


def test_a_launcher_is_one_where_the_mpijob_does_not_say_how_many():
    specs = {"Launcher": {}, "Worker": {"replicas": 4}}
    owner = obj("MPIJob", "m", "kubeflow.org/v2beta1", {"mpiReplicaSpecs": specs})
    assert spec(group(pod(owner), [owner]))["minMember"] == 5
    specs["Launcher"]["replicas"] = 0
    with pytest.raises(GroupingError, match=r"mpiReplicaSpecs\.Launcher\.replicas"):
        group(pod(owner), [owner])


def test_the_pod_that_submits_the_work_of_a_rayjob_is_on_its_own():
    top = obj("RayJob", "tune", "ray.io/v1", {}, labels={"kai.scheduler/queue": "research"})
    job = obj("Job", "tune-submit", "batch/v1", {}, owner=top)
    answer = group(pod(job), [job, top])
    assert (answer["written"], spec(answer)["minMember"], spec(answer)["queue"]) == (False, 1, "research")


def test_a_rayjob_without_a_cluster_is_waited_for_and_then_read_by_name():
    top = obj("RayJob", "tune", "ray.io/v1", {})
    with pytest.raises(GroupingPending, match=r"RayJob team/tune.*no RayCluster"):
        group(pod(top), [top])
    top = obj("RayJob", "tune", "ray.io/v1", {}, status={"rayClusterName": "c"})
    with pytest.raises(GroupingPending, match="'c' is not known"):
        group(pod(top), [top])
    cluster = obj("RayCluster", "c", "ray.io/v1", {"headGroupSpec": {}, "workerGroupSpecs": [{"replicas": 3}]})
    assert spec(group(pod(top), [top], objects=[cluster]))["minMember"] == 4


def test_a_server_in_a_deployment_of_kserve_is_on_its_own_and_inherits_from_the_service():
    top = obj("InferenceService", "c", "serving.kserve.io/v1beta1", {}, labels={"kai.scheduler/queue": "serving"})
    deployment = obj("Deployment", "c", "apps/v1", {}, owner=top)
    replicas = obj("ReplicaSet", "c-1", "apps/v1", {}, owner=deployment)
    answer = group(pod(replicas), [replicas, deployment, top])
    assert (answer["written"], spec(answer)["priorityClassName"], spec(answer)["queue"]) == (
        False,
        "inference",
        "serving",
    )


def test_an_owner_that_is_not_given_is_pending():
    owner = obj("Job", "train", "batch/v1", {})
    with pytest.raises(GroupingPending, match="Job team/train"):
        group(pod(owner), [])


DECLARED = {
    "podGroups": {
        "kinds": [
            {"group": "example.com", "kind": "Run", "minMemberPaths": ["spec.least", "spec.parts[1].count"]},
            {"group": "example.com", "kind": "Each", "granularity": "pod", "priorityClass": "inference"},
            {"group": "example.com", "kind": "Wrap", "envelope": True},
            {
                "group": "example.com",
                "kind": "Roles",
                "roles": [
                    {"name": "head", "labels": {"role": "head"}, "minMember": 1},
                    {"name": "worker", "labels": {"role": "worker"}, "minMemberPaths": ["spec.workers"]},
                ],
            },
        ]
    }
}


def declared(kind, fields=None, **meta):
    owner = obj(kind, "x", "example.com/v7", fields or {})
    return group(pod(owner, **meta), [owner], settings=DECLARED)


def test_a_declared_kind_has_the_minimum_at_the_first_path_that_exists():
    assert spec(declared("Run", {"least": 3}))["minMember"] == 3
    assert spec(declared("Run", {"parts": [{"count": 9}, {"count": 4}]}))["minMember"] == 4
    assert spec(declared("Run", {"parts": [{}]}))["minMember"] == 1
    with pytest.raises(GroupingError, match=r"Run team/x: spec.least: should be a whole number from 0 on, not 'many'"):
        declared("Run", {"least": "many"})


def test_a_declared_kind_may_have_roles_single_pods_or_be_looked_through():
    answer = declared("Roles", {"workers": 2}, labels={"role": "worker"})
    assert (leaves(answer), answer["subGroup"], spec(answer)["minMember"]) == ({"head": 1, "worker": 2}, "worker", 3)
    with pytest.raises(GroupingError, match=r"Roles team/x: spec.workers: is required"):
        declared("Roles")
    assert (declared("Each")["written"], spec(declared("Each"))["priorityClassName"]) == (False, "inference")
    wrap = obj("Wrap", "w", "example.com/v1")
    job = obj("Job", "j", "batch/v1", {}, owner=wrap)
    assert (
        group(pod(job), [job, wrap], settings=DECLARED)["podGroup"]["metadata"]["ownerReferences"][0]["kind"] == "Job"
    )


def test_settings_of_kinds_are_checked():
    kind = {"kind": "Run", "minMemberPaths": ["metadata.name"]}
    with pytest.raises(SettingsError, match=r"podGroups.kinds\[0\].minMemberPaths"):
        group(pod(), settings={"podGroups": {"kinds": [kind]}})
    with pytest.raises(SettingsError, match="listed twice"):
        group(pod(), settings={"podGroups": {"kinds": [{"kind": "Run"}, {"kind": "Run"}]}})


def test_default_priorities_that_cannot_be_read_are_told_and_passed_over():
    settings = {"podGroups": {"defaultPrioritiesConfigMap": {"namespace": NS, "name": "defaults"}}}
    types = [
        {"typeName": "Pod", "priorityName": "high"},
        {"typeName": ""},
        {"typeName": "Job", "preemptibility": "odd"},
    ]
    config = {**obj("ConfigMap", "defaults", "v1"), "data": {"types": json.dumps(types)}}
    high = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}}
    answer = group(pod(), objects=[config, high], settings=settings)
    assert spec(answer)["priorityClassName"] == "high"
    assert [text for text in answer["warnings"] if "types][1]" in text or "'odd'" in text] == answer["warnings"]
    (warning,) = group(pod(), settings=settings)["warnings"]
    assert "does not exist" in warning


# -- other APIs ----------------------------------------------------------------------------------------


def coscheduling(minimum=4, **meta):
    return obj("PodGroup", "gang", "scheduling.x-k8s.io/v1alpha1", {"minMember": minimum}, **meta)


@pytest.mark.parametrize("label", ["scheduling.x-k8s.io/pod-group", "pod-group.scheduling.sigs.k8s.io"])
def test_a_podgroup_of_coscheduling_is_a_gang(label):
    gang = coscheduling(labels={"kai.scheduler/queue": "research"})
    answer = group(pod(labels={label: "gang"}), objects=[gang])
    assert (spec(answer)["minMember"], spec(answer)["queue"], answer["written"]) == (4, "research", True)
    assert answer["podGroup"]["metadata"]["ownerReferences"][0]["apiVersion"] == "scheduling.x-k8s.io/v1alpha1"


def test_a_label_means_nothing_where_the_api_is_not_served_and_is_waited_for_where_it_is():
    named = pod(labels={"scheduling.x-k8s.io/pod-group": "gang"})
    assert group(named)["written"] is False
    other = {**coscheduling(), "metadata": {**coscheduling()["metadata"], "name": "other"}}
    with pytest.raises(GroupingPending, match="PodGroup team/gang"):
        group(named, objects=[other])


def test_min_resources_of_coscheduling_are_kept_as_they_were_sent():
    gang = obj("PodGroup", "gang", "scheduling.x-k8s.io/v1alpha1", {"minMember": 2, "minResources": {"cpu": "1500m"}})
    named = pod(labels={"scheduling.x-k8s.io/pod-group": "gang"})
    assert spec(group(named, objects=[gang]))["minResources"] == {"cpu": "1500m"}
    for wrong in ({"cpu": "much"}, {"cpu": "-1"}, ["cpu"]):
        gang["spec"]["minResources"] = wrong
        with pytest.raises(GroupingError, match="minResources"):
            group(named, objects=[gang])


@pytest.mark.parametrize(("said", "kept"), [("PodGroup", "PodGroup"), ("Pod", None), (None, None)])
def test_the_disruption_mode_of_kubernetes_podgroup_is_kept(said, kept):
    policy = {"schedulingPolicy": {"gang": {"minCount": 2}}, **({"disruptionMode": said} if said else {})}
    gang = obj("PodGroup", "gang", "scheduling.k8s.io/v1alpha2", policy)
    named = pod()
    named["spec"]["schedulingGroup"] = {"podGroupName": "gang"}
    assert spec(group(named, objects=[gang])).get("disruptionMode") == kept
    gang["spec"]["disruptionMode"] = "Half"
    with pytest.raises(GroupingError, match="should be Pod or PodGroup"):
        group(named, objects=[gang])


@pytest.mark.parametrize("version", ["v1alpha2", "v1beta1"])
def test_a_podgroup_of_kubernetes_is_a_gang(version):
    said = {
        "schedulingPolicy": {"gang": {"minCount": 3}},
        "priorityClassName": "high",
        "schedulingConstraints": {"topology": [{"key": "example.com/rack"}]},
    }
    gang = obj("PodGroup", "gang", f"scheduling.k8s.io/{version}", said)
    named = pod()
    named["spec"]["schedulingGroup"] = {"podGroupName": "gang"}
    answer = group(named, objects=[gang])
    assert (spec(answer)["minMember"], spec(answer)["priorityClassName"]) == (3, "high")
    assert spec(answer)["topologyConstraint"] == {"requiredTopologyLevel": "example.com/rack"}
    levels = [{"nodeLabel": "example.com/block"}, {"nodeLabel": "example.com/rack"}]
    racks = {"apiVersion": "kai.scheduler/v1alpha1", "kind": "Topology", "metadata": {"name": "dc"}}
    racks["spec"] = {"levels": levels}
    constraint = spec(group(named, objects=[gang, racks]))["topologyConstraint"]
    assert constraint == {"topology": "dc", "requiredTopologyLevel": "example.com/rack"}
    gang["spec"] = {"schedulingPolicy": {"basic": {}}}
    assert spec(group(named, objects=[gang]))["minMember"] == 1


def test_a_workload_of_kubernetes_has_gangs_by_name_and_replica():
    groups = [{"name": "prefill", "policy": {"gang": {"minCount": 2}}}]
    workload = obj("Workload", "w", "scheduling.k8s.io/v1alpha1", {"podGroups": groups})
    named = pod()
    named["spec"]["workloadRef"] = {"name": "w", "podGroup": "prefill", "podGroupReplicaKey": "1"}
    answer = group(named, objects=[workload])
    assert (answer["podGroup"]["metadata"]["name"], spec(answer)["minMember"]) == ("pg-w-uid-w-prefill-1", 2)
    named["spec"]["workloadRef"]["podGroup"] = "decode"
    with pytest.raises(GroupingError, match=r"Workload team/w: spec.podGroups: has no entry 'decode'"):
        group(named, objects=[workload])


def test_two_descriptions_that_disagree_are_told():
    job = obj("Job", "train", "batch/v1", {}, annotations={"kai.scheduler/batch-min-member": "8"})
    named = pod(job, labels={"scheduling.x-k8s.io/pod-group": "gang"})
    answer = group(named, [job], objects=[coscheduling()])
    assert spec(answer)["minMember"] == 4
    (warning,) = answer["warnings"]
    assert "gang of 8 pods" in warning
    assert "'gang'" in warning
    assert group(named, [job], objects=[coscheduling(8)])["warnings"] == []
    named["spec"]["schedulingGroup"] = {"podGroupName": "other"}
    native = obj("PodGroup", "other", "scheduling.k8s.io/v1alpha2", {"schedulingPolicy": {"gang": {"minCount": 8}}})
    (warning,) = group(named, [job], objects=[native, coscheduling()])["warnings"]
    assert "belongs to several gangs" in warning
    assert "'other' of scheduling.k8s.io (for 8 pods)" in warning
    assert "'gang' of scheduling.x-k8s.io (for 4 pods)" in warning


def test_a_podgroup_in_the_annotation_and_another_api_are_told():
    named = pod(labels={"scheduling.x-k8s.io/pod-group": "gang"}, annotations={"pod-group-name": "mine"})
    membership = Grouper()(convert(Pod, named), {})
    assert membership is not None
    assert membership.key[1] == "mine"
    (warning,) = membership.warnings
    assert "its annotation pod-group-name counts, not PodGroup 'gang' of scheduling.x-k8s.io" in warning


def test_whatever_is_answered_is_a_sound_podgroup():
    owner = lws(7, workerTemplate={}, subGroupPolicy={"subGroupSize": 3})
    answer = group(worker(owner, 6), [owner])
    assert PodGroup.parse(answer["podGroup"]).name.startswith("pg-llm")


# -- Knative: as an earlier KAI grouped revisions --------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "shared", "alone"),
    [
        (["Pod"], False, True),
        (["Revision"], False, False),
        (["Pod", "Pod"], False, True),
        (["Revision", "Pod"], True, False),
    ],
)
def test_a_revision_whose_pods_have_podgroups_of_their_own_stays_so(kinds, shared, alone):
    service = obj("Service", "s", "serving.knative.dev/v1", {})
    revision = obj("Revision", "r", "serving.knative.dev/v1", owner=service)
    label = {"serving.knative.dev/revision": "r"}
    others = []
    for number, kind in enumerate(kinds):
        name = "pg-0" if shared else f"pg-{number}"
        others.append(pod(revision, f"old-{number}", labels=label, annotations={"pod-group-name": name}))
        group_owner = {"apiVersion": "v1", "kind": kind, "name": "x", "uid": "x"}
        others.append(obj("PodGroup", f"pg-{number}", "scheduling.run.ai/v2alpha2", {}, ownerReferences=[group_owner]))
    answer = group(pod(revision, labels=label), [revision, service], objects=others)
    assert answer["written"] is not alone


def test_a_podgroup_of_a_revision_that_belongs_to_something_else_is_an_error():
    service = obj("Service", "s", "serving.knative.dev/v1", {})
    revision = obj("Revision", "r", "serving.knative.dev/v1", owner=service)
    label = {"serving.knative.dev/revision": "r"}
    old = pod(revision, "old", labels=label, annotations={"pod-group-name": "pg"})
    other = obj("PodGroup", "pg", "scheduling.run.ai/v2alpha2", {})
    with pytest.raises(GroupingError, match=r"PodGroup team/pg: metadata.ownerReferences"):
        group(pod(revision, labels=label), [revision, service], objects=[old, other])


def test_a_pod_of_a_revision_that_names_none_is_an_error():
    service = obj("Service", "s", "serving.knative.dev/v1", {})
    with pytest.raises(GroupingError, match=r"serving.knative.dev/revision"):
        group(pod(service), [service])
