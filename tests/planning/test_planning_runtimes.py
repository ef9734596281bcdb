"""RuntimeClasses in plans: pods are planned as admission would have let them in."""

from __future__ import annotations

import pytest

from kai_py import plan
from kai_py.errors import InputError
from kai_py.planning.manifests import Sourced
from tests.planning.builders import NOW, node, pod, queue


def runtime(name="kata", **what):
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": name}
    return body | what


def asking(**spec):
    made = pod("p", runtimeClassName="kata", **spec)
    made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "40"}}
    return made


def labelled(name, **labels):
    made = node(name)
    made["metadata"]["labels"] = labels
    return made


def test_overhead_selector_and_tolerations_of_the_class_count():
    tainted = labelled("n2", vm="yes")
    tainted["spec"] = {"taints": [{"key": "vm", "effect": "NoSchedule"}]}
    scheduling = {"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}
    objects = [node(), tainted, queue(), asking()]
    found = plan([*objects, runtime(scheduling=scheduling)], now=NOW)
    assert found.pods["default/p"] == {"node": "n2", "state": "Bound"}
    heavy = runtime(scheduling=scheduling, overhead={"podFixed": {"cpu": "30"}})
    assert plan([*objects, heavy], now=NOW).pods["default/p"]["state"] == "Pending"


def test_what_the_pod_has_already_is_not_counted_twice():
    costs = runtime(overhead={"podFixed": {"cpu": "20"}})
    assert plan([node(), queue(), asking(overhead={"cpu": "20"}), costs], now=NOW).pods["default/p"]["state"] == "Bound"


def test_a_class_that_does_not_exist_is_the_reason_why_its_pod_waits():
    (waiting,) = plan([node(), queue(), asking(), pod("q")], now=NOW).cycles[0]["waiting"]
    assert waiting["podGroup"].startswith("default/pg-p-")
    assert waiting["reasons"][0]["code"] == "RuntimeClassDoesNotExist"
    assert waiting["reasons"][0]["message"] == "RuntimeClass kata does not exist: spec.runtimeClassName; pod default/p."


def test_classes_of_a_live_cluster_that_could_not_be_read_hold_up_nobody():
    live = [Sourced(one, "live", live=True) for one in (node(), queue(), asking())]
    assert plan(live, now=NOW).pods["default/p"]["state"] == "Bound"


def test_a_pod_that_contradicts_its_class_is_a_fault_of_the_input():
    strict = runtime(scheduling={"nodeSelector": {"vm": "yes"}}, overhead={"podFixed": {"cpu": "1"}})
    with pytest.raises(InputError) as caught:
        plan([node(), queue(), asking(nodeSelector={"vm": "no"}, overhead={"cpu": "2"}), strict], now=NOW)
    assert [fault.field for fault in caught.value.faults] == ["spec.overhead", "spec.nodeSelector[vm]"]
