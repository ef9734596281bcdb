import json
import random

import pytest

from kai_py import plan
from kai_py.errors import InputError

from .builders import NOW, node, pod, podgroup, queue, terminating

TEN_SECONDS_AGO, TEN_MINUTES_AGO = "2026-01-31T11:59:50Z", "2026-01-31T11:50:00Z"


def states(answer):
    return {name: (pod["state"], pod["node"]) for name, pod in answer["pods"].items()}


def ask(*objects, **options):
    return plan(objects, **{"now": NOW, **options}).to_dict()


def test_a_pod_that_fits_is_bound():
    answer = ask(node(), queue(), pod("a"))
    (bind,) = answer["cycles"][0]["binds"]
    assert (bind["pod"], bind["node"], bind["action"]) == ("default/a", "n1", "allocate")
    assert states(answer) == {"default/a": ("Bound", "n1")}
    assert answer["warnings"] == []


def test_all_four_lists_are_always_there():
    (cycle,) = ask()["cycles"]
    assert cycle == {"binds": [], "nominations": [], "evictions": [], "waiting": []}


def test_a_pod_that_waits_is_told_why():
    answer = ask(node(gpus=1), queue(limit=4), pod("a", gpus=2), pod("b", gpus=5))
    reasons = {entry["podGroup"]: entry["reasons"][0] for entry in answer["cycles"][0]["waiting"]}
    assert [reason["code"] for reason in reasons.values()] == ["PodSchedulingErrors", "OverLimit"]
    assert all(reason["message"] for reason in reasons.values())
    assert "team" in reasons[next(name for name in reasons if "pg-b" in name)]["message"]


def test_a_pod_in_a_queue_that_its_namespace_may_not_use_waits_and_others_get_its_place():
    closed = queue("closed")
    closed["spec"]["allowedNamespaces"] = {"matchLabels": {"team": "a"}}
    theirs, ours = {"name": "default", "labels": {"team": "b"}}, {"name": "lab", "labels": {"team": "a"}}
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": one} for one in (theirs, ours)]
    inside = pod("b", queue="closed")
    inside["metadata"]["namespace"] = "lab"
    answer = ask(node(gpus=1), closed, *namespaces, pod("a", queue="closed"), inside)
    assert states(answer) == {"default/a": ("Pending", None), "lab/b": ("Bound", "n1")}
    (waiting,) = answer["cycles"][0]["waiting"]
    assert waiting["reasons"][0]["code"] == "QueueNotAllowed"


def test_a_gang_starts_whole_or_not_at_all():
    gang = [podgroup("g", 3), *(pod(f"w{i}", group="g") for i in range(3))]
    assert set(states(ask(node(gpus=3), queue(), *gang)).values()) == {("Bound", "n1")}
    assert set(states(ask(node(gpus=2), queue(), *gang)).values()) == {("Pending", None)}


def test_a_pod_bound_in_an_earlier_cycle_runs():
    # The second pod's group is served in the same cycle; a third cycle would decide nothing, nor does the second.
    answer = ask(node(), queue(), pod("a"), cycles=5)
    assert [len(cycle["binds"]) for cycle in answer["cycles"]] == [1, 0]
    assert states(answer) == {"default/a": ("Running", "n1")}


def test_a_plan_stops_after_a_cycle_that_decides_nothing():
    assert len(ask(node(gpus=0), queue(), pod("a"), cycles=7)["cycles"]) == 1


def test_a_pod_with_a_node_and_no_phase_runs_there():
    answer = ask(node(), queue(), pod("a", on="n1"))
    assert states(answer) == {"default/a": ("Running", "n1")}
    assert answer["queues"]["team"]["allocated"]["gpu"] == 1


def test_a_gated_pod_is_gated_and_told_so():
    answer = ask(node(), queue(), pod("a", schedulingGates=[{"name": "wait"}]))
    assert states(answer) == {"default/a": ("Gated", None)}
    assert answer["cycles"][0]["waiting"][0]["reasons"][0]["code"] == "SchedulingGated"


def test_a_finished_pod_is_not_in_the_answer():
    done = pod("a", on="n1") | {"status": {"phase": "Succeeded"}}
    assert states(ask(node(), queue(), done)) == {}


def test_a_finished_pod_that_is_being_deleted_does_not_come_back():
    done = terminating(pod("a", on="n1", owner="job") | {"status": {"phase": "Succeeded"}}, TEN_SECONDS_AGO)
    answer = ask(node(), queue(), done, pod("b"), cycles=2)
    assert states(answer) == {"default/b": ("Running", "n1")}


def test_what_a_terminating_pod_holds_is_nominated_and_then_given():
    leaving = terminating(pod("old", gpus=8, on="n1"), TEN_SECONDS_AGO)
    answer = ask(node(), queue(), leaving, pod("new", gpus=8), cycles=2)
    assert [one["pod"] for one in answer["cycles"][0]["nominations"]] == ["default/new"]
    assert [one["pod"] for one in answer["cycles"][1]["binds"]] == ["default/new"]
    assert states(answer) == {"default/new": ("Bound", "n1"), "default/old": ("Evicted", None)}


def test_a_terminating_pod_with_a_controller_is_pending_again_as_old_as_it_was():
    leaving = terminating(pod("old", gpus=8, on="n1", owner="job"), TEN_SECONDS_AGO)
    cluster = [node(), queue(), leaving, pod("new", gpus=1)]
    assert states(ask(*cluster))["default/old"] == ("Evicted", "n1")
    assert states(ask(*cluster, cycles=2)) == {"default/new": ("Pending", None), "default/old": ("Bound", "n1")}


@pytest.mark.parametrize("seconds", [1, 300])
def test_a_pod_that_leaves_is_gone_by_the_second_cycle_however_far_away_that_is(seconds):
    leaving = terminating(pod("old", gpus=8, on="n1"), TEN_SECONDS_AGO)
    answer = ask(node(), queue(), leaving, pod("new", gpus=8), cycles=2, cycle_seconds=seconds)
    assert states(answer)["default/new"] == ("Bound", "n1")


def test_nothing_is_placed_on_what_a_stuck_pod_holds():
    stuck = terminating(pod("old", gpus=8, on="n1"), TEN_MINUTES_AGO)
    answer = ask(node(), node("n2"), queue(), stuck, pod("a", gpus=8), pod("b", gpus=8), cycles=3)
    assert states(answer) == {
        "default/a": ("Running", "n2"),
        "default/b": ("Pending", None),
        "default/old": ("Evicted", "n1"),
    }


def test_every_queue_has_its_numbers_parents_included():
    parent = queue("all", gpus=8)
    answer = ask(node(), parent, queue(gpus=4, parent="all"), pod("a", on="n1"), pod("b", gpus=2))
    assert answer["queues"]["team"]["requested"]["gpu"] == 3
    assert answer["queues"]["team"]["fairShare"]["gpu"] == 3
    assert answer["queues"]["all"]["allocated"]["gpu"] == 1


def test_the_settings_can_be_given_or_be_among_the_objects():
    text = "actions: {order: []}"
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kai-py-settings"},
        "data": {"settings.yaml": text},
    }
    cluster = [node(), queue(), pod("a")]
    assert states(ask(*cluster, config)) == {"default/a": ("Pending", None)}
    assert states(ask(*cluster, config, settings={})) == {"default/a": ("Bound", "n1")}


def test_another_configmap_is_none_of_our_business():
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "data": {"settings.yaml": "x: 1"}}
    assert ask(node(), queue(), pod("a"), other)["warnings"] == []


def test_unknown_kinds_are_named():
    (warning,) = ask({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "web"}})["warnings"]
    assert "Secret default/web" in warning


def test_a_pod_that_names_no_scheduler_is_pointed_out():
    (warning,) = ask(node(), queue(), pod("a", scheduler="default-scheduler"))["warnings"]
    assert "default/a" in warning
    assert "default-scheduler" in warning


def test_a_limit_below_the_quota_is_legal_with_a_warning():
    (warning,) = ask(queue(gpus=4, limit=2))["warnings"]
    assert "Queue team: spec.resources.gpu.limit" in warning


def test_pods_of_a_job_are_grouped_by_it_whatever_its_manifest_lacks():
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "train", "annotations": {"kai.scheduler/batch-min-member": "2"}},
    }
    workers = [pod(f"w{i}", owner="train") for i in range(2)]
    for worker in workers:
        del worker["metadata"]["ownerReferences"][0]["uid"]  # nobody who writes manifests knows it
    answer = ask(node(gpus=1), queue(), job, *workers)
    (waiting,) = answer["cycles"][0]["waiting"]
    assert "pg-train" in waiting["podGroup"]
    assert set(states(answer).values()) == {("Pending", None)}


def test_an_owner_of_any_kind_is_known_by_the_pods_that_it_owns():
    training = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "train", "uid": "u"}}
    training["spec"] = {"pytorchReplicaSpecs": {"Worker": {"replicas": 1}}}
    worker = pod("w", owner="train")
    worker["metadata"]["ownerReferences"][0] |= {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "uid": "u"}
    assert ask(node(), queue(), training, worker)["warnings"] == []
    (warning,) = ask(node(), queue(), training)["warnings"]
    assert "PyTorchJob" in warning


def test_the_fields_of_an_owner_decide_about_its_gang_and_without_them_its_pods_wait():
    training = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": {"name": "train", "uid": "u"}}
    training["spec"] = {"pytorchReplicaSpecs": {"Worker": {"replicas": 2}}}
    worker = pod("w", owner="train")
    worker["metadata"]["ownerReferences"][0] |= {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "uid": "u"}
    worker["metadata"].setdefault("labels", {})["training.kubeflow.org/replica-type"] = "worker"
    other = {**worker, "metadata": {**worker["metadata"], "name": "v"}}
    assert states(ask(node(), queue(), training, worker)) == {"default/w": ("Pending", None)}
    assert [node for _, node in states(ask(node(), queue(), training, worker, other)).values() if node] != []
    (waiting,) = ask(node(), queue(), worker)["cycles"][0]["waiting"]
    assert "PyTorchJob default/train" in str(waiting)


def test_a_workload_without_pods_does_nothing_and_says_so():
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "train"}}
    (warning,) = ask(job)["warnings"]
    assert "Job default/train: no pod among the objects belongs to it" in warning


def test_the_same_question_has_the_same_answer():
    cluster = [node(), queue(), *(pod(f"p{i}", gpus=1 + i % 3) for i in range(9))]
    assert json.dumps(ask(*cluster, cycles=3)) == json.dumps(ask(*cluster, cycles=3))


def test_lists_are_sorted_by_namespace_and_name():
    pods = [pod(f"p{i}") for i in range(8)]
    for one, namespace in zip(pods, "hgfedcba", strict=True):
        one["metadata"]["namespace"] = namespace
    random.Random(1).shuffle(pods)
    answer = ask(node(), queue(), *pods)
    names = [bind["pod"] for bind in answer["cycles"][0]["binds"]]
    assert names == sorted(names) == list(answer["pods"])


@pytest.mark.parametrize("now", ["yesterday", "2026-01-31T12:00:00"])
def test_a_time_that_is_none_is_refused(now):
    with pytest.raises(InputError, match=now):
        plan([], now=now)


def test_lists_are_taken_apart():
    plain = {"apiVersion": "v1", "kind": "List", "items": [node(), queue()]}
    bare = {key: value for key, value in pod("a").items() if key not in ("apiVersion", "kind")}
    typed = {"apiVersion": "v1", "kind": "PodList", "items": [bare]}
    assert states(ask(plain, typed)) == {"default/a": ("Bound", "n1")}


def test_a_victim_does_not_move_to_a_node_that_it_does_not_select():
    """The one that would have to move is made for n2 only; nobody can be moved, so the big one waits."""
    fits = {"nodeSelector": {"zone": "here"}}
    second = node("n2", gpus=4)
    second["metadata"]["labels"] = {"zone": "here"}
    moving = pod("small", 1, on="n2", owner="job", **fits)
    objects = (
        node("n1", gpus=4),
        second,
        queue(),
        moving,
        pod("big", 4, **fits),
    )
    (cycle,) = ask(*objects, settings={"actions": {"order": ["allocate", "consolidate"]}})["cycles"]
    assert (cycle["evictions"], cycle["nominations"]) == ([], [])


def test_a_node_with_a_capacity_only_has_all_of_it_to_give():
    bare = node()
    bare["status"] = {"capacity": bare["status"]["allocatable"]}
    assert plan([bare, queue(), pod("a")], now=NOW).to_dict()["pods"]["default/a"]["state"] == "Bound"


def test_a_queue_that_does_not_exist_is_named_in_the_answer():
    answer = plan([node(), pod("a", queue="nowhere")], now=NOW).to_dict()
    assert [one["queue"] for one in answer["cycles"][0]["waiting"]] == ["nowhere"]


def test_shares_of_one_device_are_bound_with_its_name_and_stay_on_it():
    def sharing(name):
        one = pod(name, gpus=0)
        one["metadata"]["annotations"]["gpu-fraction"] = "0.5"
        one["spec"]["containers"][0]["resources"] = {}
        return one

    answer = plan([node(gpus=1), queue(), sharing("a"), sharing("b")], cycles=2, now=NOW).to_dict()
    assert len({tuple(bind["gpuGroups"]) for bind in answer["cycles"][0]["binds"]}) == 1
    assert {pod["state"] for pod in answer["pods"].values()} == {"Running"}
    assert answer["cycles"][1]["binds"] == []


def test_how_near_a_gang_starts_is_part_of_the_plan():
    """Two ranks on each of two nodes in one rack: the ring leaves each node once."""
    nodes = [node(name, 2) for name in ("a", "b")]
    for one in nodes:
        one["metadata"]["labels"] = {"rack": "r"}
    topology = {
        "apiVersion": "kai.scheduler/v1alpha1",
        "kind": "Topology",
        "metadata": {"name": "floor"},
        "spec": {"levels": [{"nodeLabel": "rack"}]},
    }
    gang = podgroup("g", 4)
    gang["spec"]["topologyConstraint"] = {"topology": "floor", "requiredTopologyLevel": "rack"}
    pods = [pod(f"p{rank}", group="g") for rank in range(4)]
    for rank, one in enumerate(pods):
        one["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = str(rank)
    (layout,) = plan([*nodes, queue(), topology, gang, *pods], now=NOW).to_dict()["cycles"][0]["layouts"]
    assert layout == {
        "podGroup": "default/g",
        "topology": "floor",
        "pods": 4,
        "domains": {"rack": 1},
        "pattern": "ring",
        "hops": 2,
        "least": 2,
        "message": "4 pods in topology floor: 1 of rack. The ring of their ranks takes 2 hops; no layout has fewer.",
    }


def test_a_node_that_has_the_image_is_taken_where_settings_say_so():
    machines = [node("n1"), node("n2"), node("n3")]
    machines[1]["status"]["images"] = [{"names": ["repo/train:1"], "sizeBytes": 30 * 2**30}]
    waiting = pod("p")
    waiting["spec"]["containers"][0]["image"] = "repo/train:1"
    objects = [*machines, queue(), waiting]
    assert plan(objects, now=NOW).pods["default/p"]["node"] == "n1"
    settings = {"placement": {"weights": {"imageLocality": 1}}}
    assert plan(objects, now=NOW, settings=settings).pods["default/p"]["node"] == "n2"
