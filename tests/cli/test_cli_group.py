"""``kai-py group`` and ``kai-py bench group``."""

import json
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples" / "workloads"


def test_a_workload_is_asked_about_with_the_pods_that_its_controller_would_make(kai):
    result = kai("group", "-f", EXAMPLES / "tfjob.yaml", "-o", "json")
    assert result.exit_code == 0
    pods = json.loads(result.stdout)["pods"]
    assert [answer["pod"] for answer in pods] == [
        "default/tfjob-ps-0",
        *(f"default/tfjob-worker-{n}" for n in range(3)),
    ]
    assert {answer["podGroup"]["spec"]["minMember"] for answer in pods} == {4}


def test_the_table_names_podgroup_subgroup_and_minimum(kai):
    result = kai("group", "-f", EXAMPLES / "raycluster.yaml")
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split()[:4] == ["POD", "PODGROUP", "SUBGROUP", "MINIMUM"]
    assert ("headgroup" in rows[0], "3 pods" in rows[0], len(rows)) == (True, True, 5)


def test_pods_that_are_given_are_asked_about_and_one_that_is_left_alone_says_so(kai):
    meta = {"name": "p", "namespace": "ns", "annotations": {"kai.scheduler/skip-podgrouper": "true"}}
    result = kai("group", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta}))
    assert "(left alone)" in result.stdout


def test_a_workload_that_cannot_be_understood_fails_the_command_and_hides_no_other(kai):
    odd = {"apiVersion": "kubeflow.org/v1", "kind": "TFJob", "metadata": {"name": "odd"}}
    odd["spec"] = {"tfReplicaSpecs": {"Worker": {"replicas": 1}, "PS": {"replicas": -1}}}
    good = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "good"}, "spec": {}}
    both = {"apiVersion": "v1", "kind": "List", "items": [odd, good]}
    result = kai("group", "-f", "-", stdin=json.dumps(both))
    assert result.exit_code == 2
    assert "pg-good" in result.stdout
    assert "TFJob default/odd: spec.tfReplicaSpecs.PS.replicas" in result.stderr


def test_where_an_owner_is_missing_the_way_to_it_is_told(kai):
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "1", "controller": True}
    meta = {"name": "db-0", "namespace": "ns", "ownerReferences": [owner]}
    result = kai("group", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": meta}))
    assert result.exit_code == 2
    assert "StatefulSet ns/db" in result.stderr
    assert "kai-py group --from-cluster" in result.stderr


def test_manifests_and_the_cluster_are_two_questions(kai):
    assert kai("group").exit_code == 2
    assert kai("group", "--from-cluster", "-f", EXAMPLES / "job.yaml").exit_code == 2
    assert kai("group", "-f", EXAMPLES / "job.yaml", "--context", "c").exit_code == 2


def test_the_benchmark_groups_all_pods_of_all_owners(kai):
    result = kai("bench", "group", "--pods", "60", "--owners", "10")
    document = json.loads(result.stdout)
    assert (document["kind"], document["pods"], document["podgroups"]) == ("GroupBenchmark", 60, 10)
