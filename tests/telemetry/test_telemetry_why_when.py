"""By when something that waits may start."""

import pytest

from kai_py.core.result import Diagnosis, Reason, ReasonCode
from kai_py.telemetry.conditions import scheduling_conditions
from kai_py.telemetry.why import over_limit
from kai_py.telemetry.why_when import reserved_nodes, when_given_back, when_left

NOON, HOUR = "2027-01-15T12:00:00Z", 3600


def pod(gpus=1, *, node="n1", leaves="", started="", deadline=None, phase="Running", reserved=""):
    resources = {"limits": {"nvidia.com/gpu": str(gpus), "cpu": "4"}}
    return {
        "metadata": {"name": "p", **({"deletionTimestamp": leaves} if leaves else {})},
        "spec": {
            "containers": [{"resources": resources}],
            **({"nodeName": node} if node else {}),
            **({"activeDeadlineSeconds": deadline} if deadline else {}),
        },
        "status": {"phase": phase, "nominatedNodeName": reserved, **({"startTime": started} if started else {})},
    }


def limit(*, held=6, requested=4, ceiling=8):
    numbers = {"requested": requested * 1000, "held": held * 1000, "ceiling": ceiling * 1000.0}
    return Reason(ReasonCode.OVER_LIMIT, {"queue": "research", "resource": "gpu", **numbers})


def test_a_reserved_node_is_free_when_the_last_one_has_left():
    waits = [pod(node="", reserved="n1"), pod(node="", reserved="n1"), pod(node="", reserved="")]
    assert reserved_nodes([*waits, pod(node="n9", reserved="n9")]) == ["n1"]
    there = [pod(leaves=NOON), pod(leaves="2027-01-15T12:00:30Z"), pod(), pod(leaves=NOON, phase="Failed")]
    said = "when 2 pods have left n1: by 2027-01-15T12:00:30Z, if they keep to their grace periods"
    assert when_left(["n1"], there) == said


def test_a_reserved_node_that_nobody_leaves_is_no_promise():
    assert when_left(["n1", "n2"], [pod()]) == "not known: nobody is leaving n1, n2 at the moment"


def test_a_queue_at_its_limit_has_room_when_enough_of_its_pods_have_reached_their_deadline():
    soon, later = pod(started=NOON, deadline=HOUR), pod(started=NOON, deadline=2 * HOUR)
    said = when_given_back(limit(), [later, pod(4), soon])
    assert said.startswith("when queue research has given back 2 GPUs: by 2027-01-15T14:00:00Z, ")
    assert "T13:00:00Z" in when_given_back(limit(held=5), [later, soon])
    assert "T12:00:00Z" in when_given_back(limit(), [pod(2, leaves=NOON), later])


@pytest.mark.parametrize(
    "pods",
    [
        [],
        [pod(8)],
        [pod(1, started=NOON, deadline=HOUR), pod(8)],
        [pod(8, deadline=HOUR)],
        [pod(8, node="", started=NOON, deadline=HOUR)],
        [pod(8, started=NOON, deadline=HOUR, phase="Succeeded")],
    ],
)
def test_nothing_is_guessed(pods):
    said = when_given_back(limit(), pods)
    assert said == "when queue research has given back 2 GPUs: not known when, too few of its pods have a time limit"


def test_what_asks_for_more_than_the_limit_never_runs():
    assert when_given_back(limit(requested=9), []) == "never, unless it asks for less or is allowed more"
    assert when_given_back(limit(held=1), []) == ""


def test_the_numbers_are_those_of_the_podgroups_status():
    waits = Diagnosis("team/train", "research", (limit(),), ("team/train-0",), 2)
    group = {"metadata": {}, "status": {"schedulingConditions": scheduling_conditions([], waits, now=0.0, waiting=3)}}
    found = over_limit(group)
    assert found is not None
    assert "given back 2 GPUs" in when_given_back(found, [])
    assert over_limit({"metadata": {}}) is None
