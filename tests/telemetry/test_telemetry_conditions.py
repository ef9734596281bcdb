import pytest

from kai_py.api.podgroup import PodGroup
from kai_py.core.options import Action
from kai_py.core.result import Diagnosis, Evict, Reason, ReasonCode
from kai_py.telemetry.conditions import (
    MAX_MESSAGE,
    changed,
    code_of,
    condition,
    disruption_target,
    gist,
    pod_condition,
    scheduling_conditions,
    timestamp,
    with_condition,
)
from kai_py.telemetry.sentences import sentence
from tests.core.builders import AXIS

NOW = 1_700_000_000.0
THEN = "2023-11-14T22:13:20Z"


def no_room(nodes=50, full=40, short=2000, position=3):
    reason = Reason(
        ReasonCode.UNSCHEDULABLE,
        {"nodes": nodes},
        {"InsufficientResources": full, "NodeUnschedulable": nodes - full},
        {"nvidia.com/gpu": (full, short)},
    )
    return Diagnosis("team/train", "research", (reason,), ("team/train-0",), position)


def over_limit(queue="research", held=6000):
    details = {"queue": queue, "resource": "gpu", "requested": 4000, "held": held, "ceiling": 8000.0}
    return Diagnosis("team/train", "research", (Reason(ReasonCode.OVER_LIMIT, details),), ("team/train-0",), 1)


def test_a_pod_is_unschedulable_with_the_headline_and_the_code():
    assert pod_condition(no_room(), now=NOW, axis=AXIS, waiting=12, generation=4) == {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/50 nodes fit: 40 lack nvidia.com/gpu, 10 are cordoned. 2 more GPUs on one node would do. "
        "It is 3rd of 12 in queue research. [PodSchedulingErrors]",
        "lastTransitionTime": THEN,
        "observedGeneration": 4,
    }


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (ReasonCode.OVER_LIMIT, "OverLimit"),
        (ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA, "NonPreemptibleOverQuota"),
        (ReasonCode.QUEUE_FORBIDDEN, "QueueNotAllowed"),
        (ReasonCode.GANG_NOT_READY, "GangNotReady"),
        (ReasonCode.WAITING_FOR_RELEASE, "WaitingForRelease"),
        (ReasonCode.GANG_DOES_NOT_FIT, "Unschedulable"),
        (ReasonCode.OVER_FAIR_SHARE, "Unschedulable"),
        (ReasonCode.DOMAINS_TOO_SMALL, "Unschedulable"),
        (ReasonCode.DEVICES_UNAVAILABLE, "Unschedulable"),
    ],
)
def test_only_pods_that_new_nodes_could_help_say_the_word_that_autoscalers_look_for(code, reason):
    assert pod_condition(Diagnosis("a/b", "q", (Reason(code),)), now=NOW)["reason"] == reason


def test_the_condition_of_a_gated_pod_is_the_api_servers():
    assert pod_condition(Diagnosis("a/b", "q", (Reason(ReasonCode.GATED),)), now=NOW) is None


def test_a_long_message_is_clipped_and_keeps_its_code():
    reason = Reason(ReasonCode.POD_INVALID, {"message": "x" * 5000})
    message = pod_condition(Diagnosis("a/b", "q", (reason,)), now=NOW)["message"]
    assert len(message) <= MAX_MESSAGE
    assert message.endswith("… [PodInvalid]")
    assert code_of(message) == "PodInvalid"


def test_other_numbers_are_nothing_new():
    old = pod_condition(no_room(), now=NOW, waiting=12)
    new = pod_condition(no_room(nodes=51, full=1, short=1000, position=1), now=NOW + 60, waiting=1)
    assert old["message"] != new["message"]
    assert not changed(old, new)


def test_what_is_kept_of_a_pods_condition_is_enough_to_compare():
    new = pod_condition(no_room(), now=NOW, generation=4)
    kept = {key: new[key] for key in ("type", "status", "reason", "message")}
    assert not changed(kept, new)
    assert changed({**new, "observedGeneration": 3}, new)


def test_another_code_or_queue_is_new():
    old = pod_condition(over_limit(), now=NOW)
    assert changed(old, pod_condition(no_room(), now=NOW))
    assert changed(old, pod_condition(over_limit("team-2"), now=NOW))
    assert changed(pod_condition(over_limit("team-1"), now=NOW), pod_condition(over_limit("team-2"), now=NOW))
    assert changed(None, old)


def test_another_fault_of_an_object_is_new():
    one, other = (
        pod_condition(Diagnosis("a/b", "q", (Reason(ReasonCode.POD_INVALID, {"message": text}),)), now=NOW)
        for text in ("spec.a is required", "spec.b is required")
    )
    assert changed(one, other)


NUMBERS = {
    ReasonCode.GANG_NOT_READY: ("subGroup", {"minMember", "pods", "gated"}),
    ReasonCode.GATED: ("subGroup", {"minMember", "pods", "gated"}),
    ReasonCode.OVER_LIMIT: ("queue", {"requested", "held", "ceiling"}),
    ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA: ("queue", {"requested", "held", "ceiling"}),
    ReasonCode.UNSCHEDULABLE: ("", {"nodes"}),
    ReasonCode.GANG_DOES_NOT_FIT: ("", {"nodes", "placed", "pods"}),
    ReasonCode.WAITING_FOR_RELEASE: ("", {"nominated", "pods"}),
    ReasonCode.QUEUE_DEPTH: ("", {"depth", "position"}),
    ReasonCode.OUT_OF_TURN: ("", {"sorts"}),
}


@pytest.mark.parametrize("code", list(NUMBERS))
def test_the_gist_of_a_reason_does_not_depend_on_its_numbers(code):
    name, numbers = NUMBERS[code]
    names = {name: "workers-1", "resource": "memory"}
    said = [
        sentence(Reason(code, {**names, **dict.fromkeys(numbers, n)}, {"NodeNotReady": n}, {"cpu": (n, n)}))
        for n in (0, 1, 2, 11, 1000, 2**40)
    ]
    assert len({gist(message, code) for message in said}) == 1


def test_the_podgroup_gets_kais_condition_with_the_numbers_of_the_gate():
    [written] = scheduling_conditions([], over_limit(), now=NOW, axis=AXIS, waiting=1)
    said = "Queue research would exceed its GPU limit: it may hold 8 GPUs, holds 6 GPUs and is asked for 4 GPUs more."
    details = {
        "name": "research",
        "queueAllocatedResources": {"gpu": "6"},
        "queueResourceLimits": {"gpu": "8"},
        "podGroupRequestedResources": {"gpu": "4"},
    }
    assert written == {
        "type": "UnschedulableOnNodePool",
        "nodePool": "default",
        "status": "True",
        "reason": "OverLimit",
        "message": f"{said} It is 1st of 1 in queue research.",
        "reasons": [{"reason": "OverLimit", "message": said, "details": {"queueDetails": details}}],
        "lastTransitionTime": THEN,
        "transitionID": "1",
    }


def test_the_numbers_of_the_quota_gate_stand_in_kais_fields_for_it():
    reason = Reason(ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA, over_limit().reasons[0].details)
    [written] = scheduling_conditions([], Diagnosis("a/b", "research", (reason,)), now=NOW)
    assert written["reasons"][0]["details"]["queueDetails"] == {
        "name": "research",
        "queueAllocatedNonPreemptibleResources": {"gpu": "6"},
        "queueDeservedResources": {"gpu": "8"},
        "podGroupRequestedNonPreemptibleResources": {"gpu": "4"},
    }


def test_the_written_conditions_are_what_the_crd_reads():
    written = scheduling_conditions([], over_limit(), now=NOW)
    manifest = {"metadata": {"name": "train"}, "status": {"schedulingConditions": written}}
    [read] = PodGroup.parse(manifest).status.scheduling_conditions
    assert (read.reason, read.transition_id) == ("OverLimit", "1")


def test_nothing_is_written_while_only_numbers_move_unless_they_are_refreshed():
    first = scheduling_conditions([], over_limit(held=6000), now=NOW)
    later = over_limit(held=7000)
    assert scheduling_conditions(first, later, now=NOW + 9) is None
    [refreshed] = scheduling_conditions(first, later, now=NOW + 9, refresh=True)
    assert "holds 7 GPUs" in refreshed["message"]
    assert (refreshed["lastTransitionTime"], refreshed["transitionID"]) == (THEN, "2")
    assert scheduling_conditions([refreshed], later, now=NOW + 18, refresh=True) is None


def test_other_node_pools_are_kept_and_the_newest_has_the_highest_transition():
    other = {"type": "UnschedulableOnNodePool", "nodePool": "a100", "status": "True", "transitionID": "41"}
    written = scheduling_conditions([other], over_limit(), now=NOW)
    assert [(one["nodePool"], one["transitionID"]) for one in written] == [("a100", "41"), ("default", "42")]


def test_a_podgroup_that_waits_no_more_says_so_once():
    waiting = scheduling_conditions([], over_limit(), now=NOW)
    settled = scheduling_conditions(waiting, None, now=NOW + 60)
    assert [(one["status"], one["reason"], one["lastTransitionTime"]) for one in settled] == [
        ("False", "Scheduled", timestamp(NOW + 60))
    ]
    assert scheduling_conditions(settled, None, now=NOW + 90) is None
    assert scheduling_conditions([], None, now=NOW) is None


def test_a_condition_replaces_the_one_of_its_type_and_keeps_its_time_while_the_status_stays():
    def ready(status, reason, now):
        return condition("Ready", status=status, reason=reason, message="", now=now)

    other = condition("Orphan", status=False, reason="ParentExists", message="", now=NOW)
    first = with_condition([other], ready(True, "Sound", NOW))
    assert first == [other, ready(True, "Sound", NOW)]
    assert with_condition(first, ready(True, "Sound", NOW + 60)) is None
    assert with_condition(first, ready(True, "Repaired", NOW + 60))[1]["lastTransitionTime"] == THEN
    assert with_condition(first, ready(False, "Invalid", NOW + 60))[1]["lastTransitionTime"] == timestamp(NOW + 60)


def test_a_victim_is_marked_with_who_needed_its_place():
    evict = Evict("a/v", "uid", "n1", "a/victim", Action.RECLAIM, preemptor="b/train", moved=True)
    marked = disruption_target(evict, now=NOW)
    assert (marked["type"], marked["status"], marked["reason"]) == ("DisruptionTarget", "True", "PreemptionByScheduler")
    assert marked["message"] == (
        "Evicted from n1 by reclaim to make room for podgroup b/train; a place on another node is reserved for it."
    )
