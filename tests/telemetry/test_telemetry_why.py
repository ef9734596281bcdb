import json

from kai_py.core.result import Diagnosis, Reason, ReasonCode
from kai_py.telemetry.conditions import pod_condition, scheduling_conditions
from kai_py.telemetry.why import why_diagnosis, why_pod, why_podgroup
from kai_py.telemetry.why_age import ago
from kai_py.telemetry.why_queue import why_queue
from kai_py.telemetry.why_waiting import waiters
from tests.core.builders import AXIS, cluster, decide, waiting

NOW = 1_700_000_000.0
GATE = {"queue": "research", "resource": "gpu", "requested": 4000, "held": 6000, "ceiling": 8000.0}
OVER_LIMIT = Diagnosis("team/train", "research", (Reason(ReasonCode.OVER_LIMIT, GATE),), ("team/train-0",), 2)
NO_ROOM = Diagnosis(
    "team/train",
    "research",
    (
        Reason(
            ReasonCode.UNSCHEDULABLE,
            {"nodes": 50},
            {"InsufficientResources": 46, "NodeUnschedulable": 4},
            {"nvidia.com/gpu": (46, 2000)},
        ),
    ),
    ("team/train-0",),
    3,
)


def pod(condition=None, *, phase="Pending", deleted=None, labels=None, annotations=None, status=None, **spec):
    return {
        "metadata": {
            "namespace": "team",
            "name": "train-0",
            "creationTimestamp": "2023-11-14T22:00:00Z",
            "labels": labels or {},
            "annotations": annotations or {},
            **({"deletionTimestamp": deleted} if deleted else {}),
        },
        "spec": {"schedulerName": "kai-scheduler", **spec},
        "status": {"phase": phase, "conditions": [condition] if condition else [], **(status or {})},
    }


def podgroup(diagnosis=None, name="train", queue="research"):
    conditions = scheduling_conditions([], diagnosis, now=NOW, waiting=12) if diagnosis is not None else []
    metadata = {"namespace": "team", "name": name}
    return {"metadata": metadata, "spec": {"queue": queue}, "status": {"schedulingConditions": conditions}}


def queue(status=None, **resources):
    spec = {"resources": {name: {"quota": q, "limit": top} for name, (q, top) in resources.items()}}
    return {"metadata": {"name": "research"}, "spec": spec, "status": status or {}}


def test_a_diagnosis_is_taken_apart():
    found = why_diagnosis(NO_ROOM, AXIS, waiting=12)
    assert found.verdict == "0/50 nodes fit."
    assert dict(found.evidence) == {
        "nodes": "46 lack nvidia.com/gpu, 4 are cordoned",
        "nearest miss": "2 more GPUs on one node would do",
        "place in line": "It is 3rd of 12 in queue research.",
        "queue": "research",
        "waiting pods": "1",
    }
    assert found.next_step == "Ask for less per pod, wait until running pods finish, or add nodes."
    assert found.code == "PodSchedulingErrors"


def test_a_diagnosis_of_a_real_cycle_is_explained():
    found = why_diagnosis(waiting(decide(cluster(nodes={"n": 1}, gangs={"train": 2})))["train"], AXIS)
    assert found.verdict == "1 of 2 pods that must start together find a node."


def test_lines_have_the_verdict_first_and_the_next_step_last():
    lines = why_diagnosis(OVER_LIMIT, waiting=12).lines()
    assert lines[0].startswith("podgroup team/train: Queue research would exceed its GPU limit: ")
    assert lines[1] == "  place in line  It is 2nd of 12 in queue research."
    assert lines[-1].startswith("Next: Ask for at most 2 GPUs, or ")


def test_the_record_is_plain_json():
    found = why_diagnosis(OVER_LIMIT).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert list(found) == ["subject", "verdict", "code", "evidence", "nextStep"]


def test_a_waiting_pod_is_explained_by_its_condition():
    condition = pod_condition(NO_ROOM, now=NOW, axis=AXIS, waiting=12)
    found = why_pod(pod(condition, labels={"kai.scheduler/queue": "research"}))
    assert found.subject == "pod team/train-0"
    assert found.verdict == "0/50 nodes fit: 46 lack nvidia.com/gpu, 4 are cordoned."
    assert found.evidence[:3] == (
        ("nearest miss", "2 more GPUs on one node would do"),
        ("place in line", "It is 3rd of 12 in queue research"),
        ("queue", "research"),
    )
    assert found.code == "PodSchedulingErrors"
    assert found.next_step == "See what most nodes say, and the nearest miss."


def test_a_podgroup_knows_more_than_its_pod():
    found = why_pod(pod(pod_condition(NO_ROOM, now=NOW)), podgroup(OVER_LIMIT))
    assert found.code == "OverLimit"
    assert ("podgroup", "train") in found.evidence


def test_the_next_step_is_rebuilt_from_the_numbers_in_the_status():
    found = why_podgroup(podgroup(OVER_LIMIT))
    assert found.next_step == why_diagnosis(OVER_LIMIT).next_step
    assert ("since", "2023-11-14T22:13:20Z") in found.evidence


def test_the_age_of_what_is_said_is_told():
    group = podgroup(OVER_LIMIT)
    found = dict(why_podgroup(group, now=NOW + 7300).evidence)
    assert found["since"] == "2023-11-14T22:13:20Z (2 hours ago)"
    assert found["numbers"].startswith("as of when the scheduler last wrote them")
    written = {"subresource": "status", "fieldsV1": {"f:status": {"f:schedulingConditions": {}}}}
    other = {"time": "2023-11-15T00:14:00Z", "fieldsV1": {"f:spec": {}}}
    group["metadata"]["managedFields"] = [written | {"time": "2023-11-15T00:12:00Z"}, other]
    found = dict(why_podgroup(group, now=NOW + 7300).evidence)
    assert found["numbers"] == "as of 2023-11-15T00:12:00Z (3 minutes ago)"


def test_the_age_of_a_single_pods_condition_is_told():
    found = dict(why_pod(pod(pod_condition(NO_ROOM, now=NOW)), now=NOW + 1).evidence)
    assert found["since"] == "2023-11-14T22:13:20Z (1 second ago)"


def test_a_reason_without_numbers_has_none_that_age():
    missing = Diagnosis("team/train", "", (Reason(ReasonCode.QUEUE_MISSING, {"queue": "x"}),))
    assert "numbers" not in dict(why_podgroup(podgroup(missing), now=NOW).evidence)


def test_a_clock_that_is_ahead_makes_no_negative_age():
    assert (ago(-5), ago(0.5), ago(86400 * 3)) == ("just now", "just now", "3 days ago")


def test_nothing_is_said_twice():
    victims = Reason(ReasonCode.NO_VICTIMS, {"queue": "research"})
    both = Diagnosis("team/train", "research", (*NO_ROOM.reasons, victims), ("team/train-0",), 3)
    texts = [text.rstrip(".") for _, text in why_podgroup(podgroup(both)).evidence]
    assert "Nobody has to make room for what waits in queue research" in texts
    assert len(set(texts)) == len(texts)


def test_details_of_another_scheduler_leave_the_general_advice():
    group = podgroup(OVER_LIMIT)
    group["status"]["schedulingConditions"][0]["reasons"][0]["details"]["queueDetails"] = {
        "name": "research",
        "queueResourceLimits": {"gpu": "many"},
    }
    assert (
        why_podgroup(group).next_step
        == "Ask for less, wait until pods of the queue finish, or raise the queue's limit."
    )


def test_pods_that_do_not_wait_are_said_not_to():
    for said, one in {
        "It runs on node n1.": pod(phase="Running", nodeName="n1"),
        "It is bound to node n1 and starts there.": pod(nodeName="n1"),
        "It has finished (Succeeded).": pod(phase="Succeeded", nodeName="n1"),
        "It is being deleted on node n1.": pod(phase="Running", nodeName="n1", deleted="2023-11-14T22:13:20Z"),
        "It is left to another scheduler: its schedulerName is default-scheduler.": pod(schedulerName=""),
    }.items():
        found = why_pod(one)
        assert (found.verdict, found.next_step, found.code) == (said, "", "")


def test_gates_are_named():
    found = why_pod(pod(schedulingGates=[{"name": "example.com/quota"}]))
    assert (found.verdict, found.code) == ("Scheduling gates hold it back: example.com/quota.", "SchedulingGated")


def test_a_reserved_node_is_shown():
    condition = pod_condition(Diagnosis("a/b", "q", (Reason(ReasonCode.WAITING_FOR_RELEASE),)), now=NOW)
    found = why_pod(pod(condition, status={"nominatedNodeName": "n7"}))
    assert ("reserved node", "n7") in found.evidence


def test_a_pod_that_nobody_looked_at_hints_at_the_scheduler():
    found = why_pod(pod())
    assert found.verdict == "Nobody has looked at it yet."
    assert "kai_py_leader" in found.next_step


def test_objects_of_unexpected_shape_are_survived():
    assert why_pod({}).verdict.startswith("It is left to another scheduler")
    assert why_pod({"metadata": None, "spec": {"schedulerName": "kai-scheduler"}, "status": []}).subject == "pod "
    odd = {"status": {"schedulingConditions": [{"type": "UnschedulableOnNodePool", "status": "True", "reasons": "x"}]}}
    assert why_podgroup(odd).verdict.startswith("It waits with reason")


def test_the_newest_condition_of_a_podgroup_decides():
    group = podgroup(OVER_LIMIT)
    settled = {"type": "UnschedulableOnNodePool", "nodePool": "b", "status": "False", "transitionID": "10"}
    group["status"]["schedulingConditions"].append(settled)
    assert why_podgroup(group, [pod(nodeName="n1")]).verdict == "It does not wait: all its pods have a node."
    group["status"]["schedulingConditions"][0]["transitionID"] = "11"
    assert why_podgroup(group).code == "OverLimit"


def test_a_podgroup_counts_its_placed_pods():
    found = why_podgroup(podgroup(), [pod(), pod(nodeName="n1")])
    assert found.verdict == "Nobody has looked at it yet."
    assert ("pods", "1 of 2 have a node") in found.evidence


def test_a_queue_says_who_waits_and_what_it_holds():
    status = {
        "allocated": {"gpu": "6", "cpu": "1500m"},
        "requested": {"gpu": "10"},
        "fairShare": {"gpu": "7.5"},
    }
    groups = [
        podgroup(OVER_LIMIT, "a"),
        podgroup(OVER_LIMIT, "b"),
        podgroup(NO_ROOM, "c"),
        podgroup(OVER_LIMIT, "d", "x"),
    ]
    found = why_queue(queue(status, gpu=(4, 8), cpu=(-1, 2000), memory=(1000, -1)), waiters(groups))
    assert found.verdict == "3 podgroups wait in it (2 of them OverLimit)."
    assert found.evidence == (
        ("GPU", "holds 6 GPUs, quota 4 GPUs, limit 8 GPUs, fair share 7.5 GPUs, asked for 10 GPUs"),
        ("CPU", "holds 1.5 CPU, quota unlimited, limit 2 CPU"),
        ("memory", "holds 0 B, quota 953.67 MiB, limit unlimited"),
        ("waiting", "2 with OverLimit, for instance team/a"),
        ("waiting", "1 with PodSchedulingErrors, for instance team/c"),
    )
    assert found.next_step == "Ask for less, wait until pods of the queue finish, or raise the queue's limit."


def single(name, queue="research", **spec):
    one = pod(pod_condition(NO_ROOM, now=NOW), labels={"kai.scheduler/queue": queue}, **spec)
    one["metadata"] |= {"name": name, "uid": name}
    return one


def test_a_queue_counts_pods_that_have_no_podgroup():
    pods = [single("a"), single("b"), single("c", "x"), single("d", nodeName="n"), single("e", schedulerName="other")]
    found = why_queue(queue(gpu=(4, 8)), waiters([], pods))
    assert found.verdict == "2 single pods wait in it (PodSchedulingErrors)."
    assert ("waiting", "2 with PodSchedulingErrors, for instance pod team/a") in found.evidence


def test_a_pod_is_not_counted_besides_its_podgroup():
    member = single("a")
    member["metadata"]["annotations"] = {"pod-group-name": "train"}
    waiting = waiters([podgroup(OVER_LIMIT)], [member, single("b")])
    assert why_queue(queue(gpu=(4, 8)), waiting).verdict == (
        "1 podgroup and 1 single pod wait in it (1 of them OverLimit)."
    )


def test_a_malformed_pod_waits_where_its_label_says():
    broken = single("a")
    broken["spec"]["containers"] = "none"
    assert [(one.name, one.queue) for one in waiters([], [broken])] == [("team/a", "research")]


def test_a_quiet_queue_says_so():
    assert why_queue(queue(gpu=(4, 8))).verdict == "Nothing waits in it."


def test_a_queue_with_children_points_to_them():
    assert why_queue(queue({"childQueues": ["b", "a"]})).verdict == "It is divided into a, b; pods go there."


def test_an_orphan_says_what_is_missing():
    condition = {"type": "Orphan", "status": "True", "reason": "ParentMissing", "message": "there is no queue 'org'"}
    found = why_queue(queue({"conditions": [condition]}))
    assert found.verdict == "It cannot be used (Orphan): there is no queue 'org'."
    assert found.code == "QueueInvalid"


def test_a_malformed_queue_shows_its_faults():
    found = why_queue(queue(gpu=(-5, 8)))
    assert found.verdict == "It is malformed and takes no pods."
    assert found.evidence[0][0] == "spec.resources.gpu.quota"
