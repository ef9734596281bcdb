"""Segments of every kind whose pods know their index: which pod is in which, what is needed, and where it may be."""

from __future__ import annotations

import pytest

from kai_py.podgrouper.errors import GroupingError
from tests.podgrouper.test_kinds import group, leaves, obj, pod, spec

SIZE = "kai.scheduler/segment-size"
TOPOLOGY = "kai.scheduler/topology"
REQUIRED = "kai.scheduler/segment-topology-required-placement"
PREFERRED = "kai.scheduler/segment-topology-preferred-placement"
RACKS = {SIZE: "2", TOPOLOGY: "net", REQUIRED: "rack"}
IN_A_RACK = {"topology": "net", "requiredTopologyLevel": "rack"}
INDEX = {
    "Job": "batch.kubernetes.io/job-completion-index",
    "StatefulSet": "apps.kubernetes.io/pod-index",
    "kubeflow": "training.kubeflow.org/replica-index",
}


def constraints(answer):
    return {one["name"]: one.get("topologyConstraint") for one in spec(answer).get("subGroups", [])}


def template(annotations=None):
    return {"metadata": {"annotations": annotations or {}}}


# -- Jobs ----------------------------------------------------------------------------------------------


def a_job(pods=6, minimum="4", annotations=None, **more):
    said = {"kai.scheduler/batch-min-member": minimum, **(annotations or {})}
    fields = {"completionMode": "Indexed", "parallelism": pods, "completions": pods, **more}
    return obj("Job", "train", "batch/v1", fields, annotations=said)


def nth(owner, index, annotations=RACKS, kind="Job", **labels):
    return pod(owner, f"p{index}", labels={INDEX[kind]: str(index), **labels}, annotations=annotations)


def test_an_indexed_job_is_cut_by_completion_index():
    owner = a_job()
    answers = [group(nth(owner, index), [owner]) for index in range(6)]
    assert [answer["subGroup"] for answer in answers] == [f"segment-{n}" for n in (0, 0, 1, 1, 2, 2)]
    assert leaves(answers[0]) == {"segment-0": 2, "segment-1": 2, "segment-2": 0}
    assert constraints(answers[0]) == dict.fromkeys(leaves(answers[0]), IN_A_RACK)
    assert spec(answers[0])["minMember"] == 4
    assert all(spec(answer) == spec(answers[0]) for answer in answers)


def test_a_segment_that_begins_within_the_minimum_is_needed_as_a_whole_and_the_last_may_be_smaller():
    owner = a_job(pods=5, minimum="3")
    assert leaves(group(nth(owner, 0), [owner])) == {"segment-0": 2, "segment-1": 2, "segment-2": 0}
    owner = a_job(pods=5, minimum="5")
    assert leaves(group(nth(owner, 0), [owner])) == {"segment-0": 2, "segment-1": 2, "segment-2": 1}


def test_the_jobs_own_annotations_count_where_its_pods_say_nothing():
    owner = a_job(annotations={**RACKS, PREFERRED: "host"})
    answer = group(nth(owner, 3, annotations={}), [owner])
    assert answer["subGroup"] == "segment-1"
    assert constraints(answer)["segment-1"] == {**IN_A_RACK, "preferredTopologyLevel": "host"}


def test_segments_may_name_another_topology_than_the_job():
    owner = a_job(annotations={TOPOLOGY: "dc", "kai.scheduler/topology-required-placement": "zone"})
    answer = group(nth(owner, 0), [owner])
    assert spec(answer)["topologyConstraint"] == {"topology": "dc", "requiredTopologyLevel": "zone"}
    assert constraints(answer)["segment-0"] == IN_A_RACK


def test_a_job_whose_pods_have_no_index_cannot_be_cut():
    owner = a_job(completionMode="NonIndexed")
    with pytest.raises(GroupingError, match=r"Job team/train: spec.completionMode: should be Indexed"):
        group(nth(owner, 0), [owner])
    owner = a_job()
    with pytest.raises(GroupingError, match=r"Pod team/p: metadata.labels\[batch.kubernetes.io/job-completion-index\]"):
        group(pod(owner, annotations=RACKS), [owner])


@pytest.mark.parametrize("size", ["0", "two", "-1", "1.5"])
def test_a_size_that_is_none_is_told(size):
    owner = a_job()
    with pytest.raises(
        GroupingError, match=r"annotations\[kai.scheduler/segment-size\]: should be a whole number from 1"
    ):
        group(nth(owner, 0, annotations={**RACKS, SIZE: size}), [owner])


def test_more_segments_than_a_podgroup_may_have_are_refused():
    owner = a_job(pods=20_001, minimum="1")
    with pytest.raises(GroupingError, match="makes 20001 subgroups"):
        group(nth(owner, 0, annotations={**RACKS, SIZE: "1"}), [owner])


def test_a_job_that_is_not_cut_is_as_before():
    owner = a_job()
    answer = group(nth(owner, 0, annotations={}), [owner])
    assert (answer["subGroup"], leaves(answer)) == (None, {})


def test_each_run_of_a_cronjob_is_cut():
    cron = obj("CronJob", "nightly", "batch/v1", {})
    owner = a_job()
    owner["metadata"]["ownerReferences"] = [
        {"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "uid-nightly", "controller": True}
    ]
    assert group(nth(owner, 2), [owner, cron])["subGroup"] == "segment-1"


# -- StatefulSets --------------------------------------------------------------------------------------


def test_pods_of_a_statefulset_start_one_by_one_and_those_of_a_segment_stay_near_each_other():
    """With OrderedReady the second pod is only made when the first one runs: no segment can be a gang."""
    owner = obj("StatefulSet", "db", "apps/v1", {"replicas": 5, "ordinals": {"start": 3}})
    answers = [group(nth(owner, 3 + n, kind="StatefulSet"), [owner]) for n in range(5)]
    assert [answer["subGroup"] for answer in answers] == [f"segment-{n}" for n in (0, 0, 1, 1, 2)]
    assert leaves(answers[0]) == {"segment-0": 0, "segment-1": 0, "segment-2": 0}
    assert constraints(answers[0])["segment-2"] == IN_A_RACK


def test_where_pods_have_no_index_a_warning_says_that_nothing_is_cut():
    owner = obj("ReplicaSet", "web", "apps/v1", {"replicas": 5})
    answer = group(pod(owner, annotations=RACKS), [owner])
    assert answer["subGroup"] is None
    (warning,) = answer["warnings"]
    assert warning == (
        "ReplicaSet team/web: annotation kai.scheduler/segment-size means nothing here: no index of the pods is known"
    )


# -- JobSets -------------------------------------------------------------------------------------------


def a_jobset(where="pods", **more):
    said = {"template": template(RACKS)} if where == "pods" else {"template": template()}
    job = {"metadata": {"annotations": RACKS if where == "job" else {}}, "spec": {"parallelism": 3, **said}}
    workers = {"name": "worker", "replicas": 2, "template": job, **more}
    driver = {"name": "driver", "template": {"spec": {"parallelism": 1}}}
    return obj("JobSet", "js", "jobset.x-k8s.io/v1alpha2", {"replicatedJobs": [workers, driver]})


def replica(owner, job, number, index):
    labels = {"jobset.sigs.k8s.io/replicatedjob-name": job, "jobset.sigs.k8s.io/job-index": str(number)}
    return nth(owner, index, annotations={}, **labels)


@pytest.mark.parametrize("where", ["pods", "job"])
def test_every_replica_of_a_jobset_is_cut(where):
    owner = a_jobset(where)
    answers = [group(replica(owner, "worker", 1, index), [owner]) for index in range(3)]
    assert [answer["subGroup"] for answer in answers] == [f"worker-replica-1-{n}" for n in (0, 0, 1)]
    assert leaves(answers[0]) == {
        "worker-replica-0-0": 2,
        "worker-replica-0-1": 1,
        "worker-replica-1-0": 2,
        "worker-replica-1-1": 1,
        "driver-replica-0": 1,
    }
    above = {one["name"]: one.get("parent") for one in spec(answers[0])["subGroups"]}
    assert (above["worker-replica-1-0"], above["worker-replica-1"]) == ("worker-replica-1", "worker")
    assert constraints(answers[0])["worker-replica-1-0"] == IN_A_RACK
    assert group(replica(owner, "driver", 0, 0), [owner])["subGroup"] == "driver-replica-0"


# -- Kubeflow ------------------------------------------------------------------------------------------


def a_training_job(kind, field, roles, **more):
    specs = {
        name: {"replicas": count, "template": template(RACKS if name == "Worker" else None)}
        for name, count in roles.items()
    }
    return obj(kind, "fit", "kubeflow.org/v1", {field: specs, **more})


def of_role(owner, role, index, key="training.kubeflow.org/replica-type"):
    return nth(owner, index, annotations={}, kind="kubeflow", **{key: role})


@pytest.mark.parametrize(
    ("kind", "field", "others"),
    [
        ("TFJob", "tfReplicaSpecs", {"PS": 2, "Chief": 1}),
        ("XGBoostJob", "xgbReplicaSpecs", {"Master": 1}),
        ("JAXJob", "jaxReplicaSpecs", {}),
    ],
)
def test_the_roles_of_a_training_job_that_ask_for_it_are_cut(kind, field, others):
    owner = a_training_job(kind, field, {**others, "Worker": 5})
    answers = [group(of_role(owner, "worker", index), [owner]) for index in range(5)]
    assert [answer["subGroup"] for answer in answers] == [f"worker-{n}" for n in (0, 0, 1, 1, 2)]
    whole = {name.lower(): count for name, count in others.items()}
    assert leaves(answers[0]) == {**whole, "worker-0": 2, "worker-1": 2, "worker-2": 1}
    assert spec(answers[0])["minMember"] == 5 + sum(others.values())
    assert constraints(answers[0])["worker-1"] == IN_A_RACK
    for role in others:
        assert group(of_role(owner, role.lower(), 0), [owner])["subGroup"] == role.lower()


def test_roles_that_are_not_cut_are_needed_first():
    policy = {"schedulingPolicy": {"minAvailable": 4}}
    owner = a_training_job("TFJob", "tfReplicaSpecs", {"Worker": 6, "PS": 2}, runPolicy=policy)
    assert leaves(group(of_role(owner, "ps", 0), [owner])) == {"ps": 2, "worker-0": 2, "worker-1": 0, "worker-2": 0}


def test_a_training_job_that_is_not_cut_has_no_subgroups():
    specs = {"Worker": {"replicas": 2, "template": template()}}
    owner = obj("TFJob", "fit", "kubeflow.org/v1", {"tfReplicaSpecs": specs})
    answer = group(of_role(owner, "worker", 0), [owner])
    assert (answer["subGroup"], leaves(answer)) == (None, {})


def test_workers_are_counted_from_one_beside_a_launcher_that_works_too():
    owner = a_training_job("MPIJob", "mpiReplicaSpecs", {"Launcher": 1, "Worker": 4}, runLauncherAsWorker=True)
    role = "training.kubeflow.org/job-role"
    found = [group(of_role(owner, "worker", index, key=role), [owner])["subGroup"] for index in range(1, 5)]
    assert found == ["worker-0", "worker-0", "worker-1", "worker-1"]
    assert group(of_role(owner, "launcher", 0, key=role), [owner])["subGroup"] == "launcher"


def test_the_launcher_of_an_mpijob_is_in_no_segment_and_not_waited_for_before_it_exists():
    owner = a_training_job("MPIJob", "mpiReplicaSpecs", {"Launcher": 1, "Worker": 4})
    role = "training.kubeflow.org/job-role"
    answer = group(of_role(owner, "worker", 3, key=role), [owner])
    assert (answer["subGroup"], leaves(answer)) == ("worker-1", {"launcher": 1, "worker-0": 2, "worker-1": 2})
    assert group(of_role(owner, "launcher", 0, key=role), [owner])["subGroup"] == "launcher"
    owner["spec"]["launcherCreationPolicy"] = "WaitForWorkersReady"
    answer = group(of_role(owner, "worker", 3, key=role), [owner])
    assert (spec(answer)["minMember"], leaves(answer)["launcher"]) == (4, 0)
