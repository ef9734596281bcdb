import re

import pytest

from kai_py.api import keys
from kai_py.api.decode import convert
from kai_py.api.duration import Duration
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.workload import Workload
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.grouping import group_of
from kai_py.podgrouper.lineage import trace
from kai_py.podgrouper.manifest import manifest_of


def reference(kind, name, api_version="example.com/v1", *, controller=True):
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": controller}


def pod(owner=None, *, labels=None, annotations=None, **spec):
    meta = {"name": "p", "namespace": "ns", "uid": "uid-p", "labels": labels or {}, "annotations": annotations or {}}
    if owner:
        meta["ownerReferences"] = [owner]
    return convert(Pod, {"metadata": meta, "spec": spec})


def known(*objects):
    """Objects by uid: ``(name, labels, annotations, owner)``."""
    table = {}
    for name, labels, annotations, owner in objects:
        meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": labels, "annotations": annotations}
        table[f"uid-{name}"] = convert(Workload, {"metadata": {**meta, "ownerReferences": [owner] if owner else []}})
    return table


JOB = reference("Job", "train", "batch/v1")
CUSTOM = reference("TrainingRun", "run")


def test_the_annotation_of_the_pod_wins():
    found = group_of(pod(JOB, annotations={"pod-group-name": "mine"}, labels={keys.SUBGROUP_LABEL: "workers"}), known())
    assert (found.key, found.subgroup, found.group, found.written) == (("ns", "mine"), "workers", None, False)


def test_a_bare_pod_is_its_own_group_in_memory():
    found = group_of(pod())
    assert (found.key, found.written) == (("ns", "pg-p-uid-p"), False)
    assert (found.group.min_member, found.group.owner.kind, found.group.queue) == (1, "Pod", "default-queue")


def test_pods_of_a_job_share_one_group_that_is_written():
    found = group_of(pod(JOB))
    assert (found.key, found.written, found.group.min_member) == (("ns", "pg-train-uid-train"), True, 1)


def test_a_job_may_ask_for_a_gang_itself_or_through_its_pods():
    ask = {keys.BATCH_MIN_MEMBER_ANNOTATION: "8"}
    assert group_of(pod(JOB), known(("train", {}, ask, None))).group.min_member == 8
    assert group_of(pod(JOB, annotations=ask)).group.min_member == 8
    assert group_of(pod(JOB, annotations={keys.BATCH_MIN_MEMBER_ANNOTATION: "0"})).group.min_member == 0


@pytest.mark.parametrize("text", ["many", "-1", "1.5", " 2", "٣", "99999999999", "9" * 5000])
def test_a_minimum_that_is_no_number_is_an_error_with_object_and_field(text):
    with pytest.raises(GroupingError) as caught:
        group_of(pod(JOB), known(("train", {}, {keys.BATCH_MIN_MEMBER_ANNOTATION: text}, None)))
    (fault,) = caught.value.faults
    assert fault.where == "Job ns/train"
    assert keys.BATCH_MIN_MEMBER_ANNOTATION in fault.field


def test_a_topology_is_taken_from_annotations_and_a_level_without_one_is_passed_on():
    near = {keys.TOPOLOGY_ANNOTATION: "dc", keys.PREFERRED_LEVEL_ANNOTATION: "rack"}
    topology = group_of(pod(JOB), known(("train", {}, near, None))).group.topology
    assert (topology.topology, topology.required_topology_level, topology.preferred_topology_level) == (
        "dc",
        "",
        "rack",
    )
    lonely = group_of(pod(annotations={keys.REQUIRED_LEVEL_ANNOTATION: "rack"})).group.topology
    assert (lonely.topology, lonely.required_topology_level) == ("", "rack")
    assert group_of(pod()).group.topology is None


@pytest.mark.parametrize("key", [keys.TOPOLOGY_ANNOTATION, keys.REQUIRED_LEVEL_ANNOTATION])
def test_an_annotation_that_is_too_long_is_an_error_with_object_and_field(key):
    with pytest.raises(GroupingError) as caught:
        group_of(pod(annotations={key: "x" * 400}))
    (fault,) = caught.value.faults
    assert (fault.where, fault.field) == ("Pod ns/p", f"metadata.annotations[{key}]")


def test_each_run_of_a_cron_job_is_a_group():
    cron = reference("CronJob", "nightly", "batch/v1")
    assert group_of(pod(JOB), known(("train", {}, {}, cron))).key == ("ns", "pg-train-uid-train")


def test_a_cron_job_without_a_job_cannot_be_grouped():
    with pytest.raises(GroupingError, match="CronJob ns/nightly"):
        group_of(pod(reference("CronJob", "nightly", "batch/v1")))


@pytest.mark.parametrize(
    "owners", [known(), known(("web", {}, {}, reference("Deployment", "shop", "apps/v1")))], ids=["unknown", "known"]
)
def test_pods_of_a_deployment_do_not_wait_for_each_other(owners):
    found = group_of(pod(reference("ReplicaSet", "web", "apps/v1"), labels={"pod-template-hash": "abc"}), owners)
    assert (found.key, found.written, found.group.priority_class) == (("ns", "pg-p-uid-p"), False, "inference")


def test_pods_of_a_replica_set_of_its_own_share_a_group():
    found = group_of(pod(reference("ReplicaSet", "web", "apps/v1")), known(("web", {}, {}, None)))
    assert (found.key, found.written) == (("ns", "pg-web-uid-web"), True)


def test_any_other_owner_has_one_group_with_a_minimum_of_one():
    found = group_of(pod(CUSTOM))
    assert (found.key, found.written, found.group.min_member) == (("ns", "pg-run-uid-run"), True, 1)


def test_the_top_owner_names_the_group():
    owners = known(("inner", {}, {}, CUSTOM), ("run", {}, {}, None))
    assert group_of(pod(reference("Inner", "inner")), owners).key == ("ns", "pg-run-uid-run")


def test_an_owner_that_is_not_known_yet_is_named_so_that_the_caller_may_wait():
    lineage = trace(pod(reference("Inner", "inner")), known(("inner", {}, {}, CUSTOM)))
    assert lineage.missing.name == "run"
    assert trace(pod(), {}).missing is None


def test_owners_that_own_each_other_do_not_hang():
    owners = known(("a", {}, {}, reference("B", "b")), ("b", {}, {}, reference("A", "a")))
    assert group_of(pod(reference("A", "a")), owners).key == ("ns", "pg-b-uid-b")


def test_an_owner_that_forgot_to_say_controller_still_owns():
    assert group_of(pod(reference("TrainingRun", "run", controller=False))).key == ("ns", "pg-run-uid-run")


def test_whoever_asks_to_be_left_alone_is():
    ask = {keys.SKIP_PODGROUPER: "true"}
    assert group_of(pod(annotations=ask)) is None
    assert group_of(pod(CUSTOM, annotations=ask)) is None
    assert group_of(pod(CUSTOM), known(("run", {}, ask, None))) is None
    assert group_of(pod(CUSTOM, annotations={keys.SKIP_PODGROUPER: "false"})) is not None


def test_a_pod_that_is_left_alone_still_belongs_where_it_says():
    both = {keys.SKIP_PODGROUPER: "true", keys.PODGROUP_ANNOTATION: "mine"}
    assert group_of(pod(CUSTOM, annotations=both)).key == ("ns", "mine")


@pytest.mark.parametrize(
    ("owner", "own", "queue"),
    [
        ({keys.QUEUE_LABEL: "of-owner"}, {keys.QUEUE_LABEL: "of-pod"}, "of-owner"),
        ({}, {keys.QUEUE_LABEL: "of-pod"}, "of-pod"),
        ({"project": "lab"}, {keys.QUEUE_LABEL: "of-pod"}, "of-pod"),
        ({"project": "lab"}, {}, "lab"),
        ({"project": "lab"}, {keys.NODE_POOL_LABEL: "a100"}, "lab-a100"),
        ({}, {}, "default-queue"),
    ],
)
def test_the_queue_is_the_owners_then_the_pods_then_the_projects(owner, own, queue):
    assert group_of(pod(CUSTOM, labels=own), known(("run", owner, {}, None))).group.queue == queue


def test_the_nearest_owner_is_heard_first_and_the_pod_before_those_further_up():
    top = ("run", {keys.QUEUE_LABEL: "top", keys.PRIORITY_CLASS_LABEL: "top"}, {}, None)
    owners = known(("inner", {keys.QUEUE_LABEL: "near"}, {}, CUSTOM), top)
    group = group_of(pod(reference("Inner", "inner"), labels={keys.PRIORITY_CLASS_LABEL: "pod"}), owners).group
    assert (group.queue, group.priority_class) == ("near", "pod")


def test_a_priority_class_that_does_not_exist_is_passed_over_with_a_warning():
    asking = pod(CUSTOM, labels={keys.PRIORITY_CLASS_LABEL: "ghost"}, priorityClassName="build")
    found = group_of(asking, priority_classes={"build"})
    assert found.group.priority_class == "build"
    assert found.warnings == ("Pod ns/p: there is no PriorityClass 'ghost'",)
    assert group_of(asking).group.priority_class == "ghost"


def test_what_cannot_be_read_is_passed_over_with_a_warning():
    owners = known(("run", {keys.PREEMPTIBILITY_LABEL: "maybe"}, {keys.PREEMPTION_DELAY_ANNOTATION: "soon"}, None))
    own = {keys.PREEMPTION_DELAY_ANNOTATION: "90s", keys.STALENESS_GRACE_ANNOTATION: "-1s"}
    found = group_of(pod(CUSTOM, labels={keys.PREEMPTIBILITY_LABEL: "preemptible"}, annotations=own), owners)
    assert found.group.preemptibility == "preemptible"
    assert found.group.preemption_delay == Duration.of_seconds(90)
    assert found.group.staleness_grace_period == Duration.of_seconds(-1)
    assert len(found.warnings) == 2


def test_a_negative_delay_means_nothing():
    found = group_of(pod(annotations={keys.PREEMPTION_DELAY_ANNOTATION: "-1s"}))
    assert found.group.preemption_delay is None
    assert "negative" in found.warnings[0]


def test_the_manifest_is_a_podgroup_that_ends_with_its_owner():
    annotations = {keys.LAST_APPLIED_ANNOTATION: "{}", "note": "x", keys.TOPOLOGY_ANNOTATION: "racks"}
    owners = known(("train", {"team": "a", keys.QUEUE_LABEL: "research"}, annotations, None))
    manifest = manifest_of(group_of(pod(JOB), owners).group)
    assert manifest["metadata"] == {
        "name": "pg-train-uid-train",
        "namespace": "ns",
        "labels": {"team": "a", keys.QUEUE_LABEL: "research"},
        "annotations": {
            "note": "x",
            keys.TOPOLOGY_ANNOTATION: "racks",
            keys.TOP_OWNER_ANNOTATION: "name: train\nuid: uid-train\ngroup: batch\nversion: v1\nkind: Job\n",
        },
        "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "train", "uid": "uid-train"}],
    }
    assert manifest["spec"] == {
        "minMember": 1,
        "queue": "research",
        "priorityClassName": "train",
        "topologyConstraint": {"topology": "racks"},
    }
    assert PodGroup.parse(manifest).to_manifest() == manifest


def test_the_core_group_is_quoted_as_kai_quotes_it():
    text = manifest_of(group_of(pod()).group)["metadata"]["annotations"][keys.TOP_OWNER_ANNOTATION]
    assert text == 'name: p\nuid: uid-p\ngroup: ""\nversion: v1\nkind: Pod\n'


def name_of(owner_name):
    return group_of(pod(reference("TrainingRun", owner_name))).key[1]


@pytest.mark.parametrize("owner_name", ["r" * 253, "r" * 235 + "." + "r" * 17, "r" * 123])
def test_a_name_that_is_too_long_is_shortened_the_same_way_each_time(owner_name):
    name = name_of(owner_name)
    assert len(name) <= 253
    assert name == name_of(owner_name)
    assert name != name_of(owner_name[:-1] + "x")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", name)


def test_a_name_that_is_just_short_enough_stays():
    longest = "r" * 122  # twice, with its uid, and 8 characters around them
    assert name_of(longest) == f"pg-{longest}-uid-{longest}"
    assert len(name_of(longest + "r")) == 253
