"""NUMA nodes in plans: cycle after cycle, as if a node's exporter told at once."""

from __future__ import annotations

import pytest

from kai_py import plan
from kai_py.errors import InputError
from tests.planning.builders import NOW, node, pod, queue


def topology(name="n1", zones=2, gpus=4, **what):
    def amount(name, value):
        return {"name": name, "capacity": value, "allocatable": value, "available": value}

    rows = [
        {"name": f"node-{n}", "type": "Node", "resources": [amount("nvidia.com/gpu", gpus), amount("cpu", 16)]}
        for n in range(zones)
    ]
    policy = [{"name": "topologyManagerPolicy", "value": "single-numa-node"}]
    body = {"apiVersion": "topology.node.k8s.io/v1alpha2", "kind": "NodeResourceTopology"}
    return body | {"metadata": {"name": name}, "attributes": policy, "zones": rows} | what


def binds(answer):
    return {one["pod"]: number for number, cycle in enumerate(answer.cycles) for one in cycle["binds"]}


def test_a_pod_that_no_zone_holds_waits_and_is_told_what_no_zone_has():
    answer = plan([node(), topology(), queue(), pod("big", 6)], now=NOW)
    (waiting,) = answer.cycles[0]["waiting"]
    assert waiting["reasons"][0]["message"] == "0/1 nodes fit: 1 has no single NUMA node with 6 GPUs free."
    assert waiting["reasons"][0]["details"]["numa"] == {"nvidia.com/gpu": 6000}


def test_a_victim_gives_its_zone_back_in_the_next_cycle():
    urgent = pod("urgent", 4, priorityClassName="high")
    urgent["spec"]["priority"] = 90
    classes = [
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
        for name, value in (("low", 10), ("high", 90))
    ]
    waiting = [pod(f"low{n}", 3, owner=f"low{n}", priorityClassName="low", priority=10) for n in range(2)]
    first = plan([node(), topology(), queue(), *classes, *waiting], cycles=2, now=NOW)
    assert binds(first) == {"default/low0": 0, "default/low1": 0}
    full = plan([node(), topology(), queue(), *classes, *waiting, urgent], cycles=4, now=NOW)
    assert binds(full)["default/urgent"] == 0
    assert sorted(binds(full)) == ["default/low0", "default/urgent"]


def test_an_object_that_cannot_be_read_is_a_fault_of_the_input():
    broken = topology()
    broken["zones"][1]["resources"][0]["available"] = "plenty"
    with pytest.raises(InputError) as caught:
        plan([node(), broken, queue(), pod("p")], now=NOW)
    (fault,) = caught.value.faults
    assert (fault.where, fault.field) == ("NodeResourceTopology n1", "zones[1].resources[0].available")
