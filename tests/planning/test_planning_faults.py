import io

import pytest

from kai_py import plan
from kai_py.errors import InputError
from kai_py.planning.documents import read_documents
from kai_py.planning.manifests import Sourced

from .builders import NOW, node, pod, podgroup, queue


def faults(*objects, **options):
    with pytest.raises(InputError) as caught:
        plan(objects, now=NOW, **options)
    return [(fault.where, fault.field) for fault in caught.value.faults]


def test_all_faults_are_reported_together_with_object_and_field():
    negative = queue("bad", gpus=-2)
    unreadable = pod("a")
    unreadable["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "lots"
    orphan = podgroup("g", 1) | {"spec": {"subGroups": [{"name": "x", "parent": "y", "minMember": 1}]}}
    found = faults(negative, unreadable, orphan, settings={"kValue": 1})
    assert found == [
        ("settings", "kValue"),
        ("Queue bad", "spec.resources.gpu.quota"),
        ("PodGroup default/g", "spec.subGroups[0].parent"),
        ("Pod default/a", "spec.containers[0].resources.limits.cpu"),
    ]


@pytest.mark.parametrize(
    ("wrong", "where", "field"),
    [
        ("text", "", ""),
        ({"kind": "Pod", "metadata": {"name": "a"}}, "object a", "apiVersion"),
        ({"apiVersion": "v1", "metadata": {"name": "a"}}, "object a", "kind"),
        ({"apiVersion": "v1", "kind": "Pod"}, "Pod", "metadata.name"),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": 1}}, "Pod 1", "metadata.name"),
        (
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": [1]}},
            "Pod [1]/a",
            "metadata.namespace",
        ),
        ({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": 1}, "Pod default/a", "spec"),
        ({"apiVersion": "v1", "kind": "List", "items": "many"}, "", ""),
        ({"apiVersion": "v1", "kind": "List", "items": [1]}, "item 1", ""),
    ],
)
def test_what_is_no_object_is_a_fault(wrong, where, field):
    assert faults(wrong) == [(where, field)]


@pytest.mark.parametrize("cycles", [0, -1, "2", 1.5, True, None])
def test_cycles_is_a_number_from_1_on(cycles):
    assert faults(cycles=cycles) == [("cycles", "")]


@pytest.mark.parametrize("seconds", [-1, "1", float("nan"), float("inf"), None])
def test_the_time_between_cycles_is_a_number_of_seconds(seconds):
    assert faults(cycle_seconds=seconds) == [("cycle_seconds", "")]


def test_the_moment_is_text():
    with pytest.raises(InputError, match="RFC 3339"):
        plan([], now=5)


@pytest.mark.parametrize("when", ["yesterday", 5, "2026-01-31", "2026-01-31T12:00:00"])
def test_an_object_is_created_at_a_time(when):
    early = pod("a")
    early["metadata"]["creationTimestamp"] = when
    assert faults(early) == [("Pod default/a", "metadata.creationTimestamp")]


def test_a_mistake_in_a_json_file_is_told_as_one_of_json(tmp_path):
    file = tmp_path / "cluster.json"
    file.write_text('{"kind": "Pod",\n "metadata": }')
    with pytest.raises(InputError, match=r"cluster\.json: line 2: is not JSON: "):
        plan(read_documents([str(file)], io.StringIO()), now=NOW)


def test_a_name_can_be_given_once():
    assert faults(node(), node()) == [("Node n1", "metadata.name")]


def test_the_same_name_in_another_namespace_or_kind_is_another_object():
    elsewhere = pod("n1")
    elsewhere["metadata"]["namespace"] = "other"
    assert sorted(plan([node(), pod("n1"), elsewhere, queue()], now=NOW).pods) == ["default/n1", "other/n1"]


@pytest.mark.parametrize("parents", [{"a": "b", "b": "a"}, {"a": "missing"}])
def test_a_broken_tree_of_queues_is_a_fault_of_each_queue_in_it(parents):
    found = faults(*(queue(name, parent=parent) for name, parent in parents.items()))
    assert found == [(f"Queue {name}", "spec.parentQueue") for name in parents]


def test_a_parent_that_cannot_be_read_is_not_reported_as_missing():
    assert faults(queue("all", gpus=-2), queue(parent="all")) == [("Queue all", "spec.resources.gpu.quota")]


def test_a_malformed_pod_of_another_scheduler_is_malformed_too():
    other = pod("a", gpus="two", scheduler="default-scheduler")
    assert faults(other) == [("Pod default/a", "spec.containers[0].resources.limits.nvidia.com/gpu")]


def test_a_malformed_settings_configmap_is_named():
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kai-py-settings", "namespace": "kai"},
        "data": {"settings.yaml": "actions: {order: [dance]}"},
    }
    ((where, field),) = faults(config)
    assert where == "ConfigMap kai/kai-py-settings"
    assert field.startswith("actions.order")


def test_an_owner_that_cannot_be_understood_is_a_fault():
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "train", "uid": "uid-train", "annotations": {"kai.scheduler/batch-min-member": "many"}},
    }
    ((where, field),) = faults(job, queue(), pod("w", owner="train"))
    assert where == "Job default/train"
    assert "batch-min-member" in field


def test_faults_of_a_live_cluster_are_warnings_and_the_rest_goes_on():
    cluster = [node(), queue(), queue("lost", parent="nowhere"), pod("a"), podgroup("g", -1)]
    answer = plan([Sourced(one, "live", live=True) for one in cluster], now=NOW).to_dict()
    assert answer["pods"]["default/a"]["state"] == "Bound"
    assert answer["queues"]["lost"]["fault"]
    assert any("Queue lost" in warning for warning in answer["warnings"])
    assert any("PodGroup default/g" in warning for warning in answer["warnings"])


def test_faults_name_file_and_document(tmp_path):
    file = tmp_path / "cluster.yaml"
    file.write_text("apiVersion: v1\nkind: Node\nmetadata: {name: n}\n---\nkind: Pod\n---\na: [\n---\n# nothing\n")
    found = faults(*read_documents([str(file), "-"], io.StringIO("{")))
    assert [where for where, _ in found] == [
        f"{file} document 2: object",
        f"{file} document 3",
        "standard input",
    ]
