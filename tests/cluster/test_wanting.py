"""For which gangs nodes are asked for, and how."""

from __future__ import annotations

import pytest

from kai_py.api.meta import OwnerReference
from kai_py.cluster.provisioning import read, request, request_name, templates
from kai_py.cluster.wanting import Wanting, wanting
from kai_py.core.result import ReasonCode
from tests.core.builders import Gang, Pod, Queue, Sub, cluster, decide, running

OWNER = OwnerReference(api_version="scheduling.run.ai/v2alpha2", kind="PodGroup", name="g", uid="u")


def found(gangs, *, queues=None, nodes=None):
    snapshot = cluster(nodes=nodes or {"a": 4}, gangs=gangs, queues=queues)
    return {name: one.pods for (_, name), one in wanting(snapshot, decide(snapshot)).items()}


def test_a_gang_that_finds_no_place_could_use_nodes():
    assert found({"g": Gang(8), "small": Gang(1)}) == {"g": (("g-0", 8),)}


def test_pods_of_each_sort_are_counted_and_only_those_of_the_minimum():
    gang = Gang([Pod(8), Pod(8), Pod(1), Pod(8)], minimum=3)
    ((first, *_),) = [found({"g": gang})["g"]]
    assert first == ("g-0", 2)
    assert sum(count for _, count in found({"g": gang})["g"]) == 3
    started = Gang([running("a", 4), Pod(8), Pod(8)], minimum=2)
    assert found({"g": started}) == {"g": (("g-1", 1),)}


def test_growth_is_left_to_autoscalers_that_look_at_pods():
    assert found({"g": Gang([running("a", 4), Pod(8)], minimum=1)}) == {}


def test_what_a_queue_may_not_hold_is_never_asked_for():
    assert found({"g": Gang(8)}, queues={"q": Queue(limit=4)}) == {}
    assert found({"g": Gang(8, preemptible=False)}, queues={"q": Queue(quota=4)}) == {}
    assert found({"g": Gang(8)}, queues={"q": Queue(quota=4)}) == {"g": (("g-0", 8),)}


def test_gangs_are_counted_together_against_limits_those_first_that_are_served_first():
    gangs = {name: Gang(8, created=created) for created, name in enumerate(("a", "b", "c"))}
    assert set(found(gangs, queues={"q": Queue(limit=16)})) == {"a", "b"}
    queues = {"top": Queue(limit=8), "left": Queue(parent="top"), "right": Queue(parent="top")}
    assert len(found({"a": Gang(8, queue="left"), "b": Gang(8, queue="right")}, queues=queues)) == 1


def test_what_starts_in_the_same_cycle_counts():
    gangs = {"now": Gang(4, priority=90), "later": Gang(8, priority=50)}
    assert found(gangs, queues={"q": Queue(limit=12)}) == {"later": (("later-0", 8),)}
    assert found(gangs, queues={"q": Queue(limit=11)}) == {}


def test_who_waits_for_members_or_rights_needs_no_nodes():
    assert found({"g": Gang(2, minimum=9), "h": Gang(9, blocked=ReasonCode.QUEUE_MISSING)}) == {}


def test_a_gang_with_subgroups_asks_for_all_that_wait():
    gang = Gang(children={"x": Sub(4), "y": Sub([Pod(8)] * 2)})
    assert sorted(count for _, count in found({"g": gang})["g"]) == [2, 4]


def test_the_same_demand_has_the_same_name_and_another_one_has_not():
    one = Wanting(("ns", "g"), (("g-0", 2),))
    name = request_name(one, "c", {})
    assert name == request_name(one, "c", {})
    assert name.startswith("g-")
    others = {
        request_name(Wanting(("ns", "g"), (("g-0", 3),)), "c", {}),
        request_name(one, "d", {}),
        request_name(one, "c", {"a": "b"}),
        request_name(Wanting(("other", "g"), (("g-0", 2),)), "c", {}),
    }
    assert len(others | {name}) == 5
    assert len(request_name(Wanting(("ns", "g" * 253), (("g-0", 2),)), "c", {})) + len("-31") <= 253


def test_templates_are_the_pods_without_their_places():
    one = Wanting(("ns", "g"), (("g-0", 2),))
    spec = {"nodeName": "a", "schedulingGates": [{"name": "x"}], "containers": [{"name": "m"}], "schedulerName": "s"}
    pod = {"metadata": {"name": "g-0", "labels": {"a": "b"}}, "spec": spec}
    (made,) = templates("r", one, [pod], OWNER)
    assert made["metadata"]["name"] == "r-0"
    assert made["template"] == {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": "m"}], "schedulerName": "s"},
    }
    asked = request("r", one, "class", {"ValidUntilSeconds": "60"}, OWNER)
    assert asked["spec"] == {
        "provisioningClassName": "class",
        "podSets": [{"podTemplateRef": {"name": "r-0"}, "count": 2}],
        "parameters": {"ValidUntilSeconds": "60"},
    }
    assert asked["metadata"]["ownerReferences"][0]["uid"] == "u"


@pytest.mark.parametrize(
    ("conditions", "code", "ended"),
    [
        ([], ReasonCode.NODES_REQUESTED, False),
        (["Accepted"], ReasonCode.NODES_REQUESTED, False),
        (["Accepted", "Provisioned"], ReasonCode.NODES_PROVISIONED, False),
        (["Failed"], ReasonCode.PROVISIONING_FAILED, True),
        (["Provisioned", "BookingExpired"], ReasonCode.PROVISIONING_FAILED, True),
        (["Provisioned", "CapacityRevoked"], ReasonCode.PROVISIONING_FAILED, True),
    ],
)
def test_conditions_become_a_reason(conditions, code, ended):
    listed = [
        {"type": one, "status": "True", "message": "why", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for one in conditions
    ]
    listed.append({"type": "Failed", "status": "False"})
    body = request("r", Wanting(("ns", "g"), (("g-0", 2),)), "class", {}, OWNER) | {"status": {"conditions": listed}}
    asked = read(body)
    assert (asked.name, asked.podgroup, asked.reason.code, asked.ended > 0) == ("r", ("ns", "g"), code, ended)
