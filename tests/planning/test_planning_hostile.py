"""What one user can cost all others is bounded, by counted work."""

from __future__ import annotations

import pytest

from kai_py.api.decode import convert
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.queue import Queue
from kai_py.cli.bench import manifests
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import Bind, ReasonCode
from kai_py.podgrouper.grouping import Grouper

NOW = 1_800_000_000.0
HOSTILE, SORTS = 240, 40


def by_selector(pod, number):
    pod["spec"]["nodeSelector"]["nowhere"] = f"n{number}"


def by_request(pod, number):
    amounts = pod["spec"]["containers"][0]["resources"]
    amounts["requests"]["cpu"] = amounts["limits"]["cpu"] = f"{97_000 + number}m"


def by_labels_and_anti_affinity(pod, number):
    pod["metadata"]["labels"] |= {f"label-{number}-{each}": "x" for each in range(20)} | {"app": f"a{number}"}
    pod["spec"]["nodeSelector"]["nowhere"] = "x"
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": f"a{number}"}}}
    pod["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _cycle(make_different, *, now=NOW, sorts=SORTS):
    store = Store(Grouper())
    for number in range(4):
        store.put_node(convert(Node, manifests.node(f"node-{number}", "run")))
    for name in ("good", "bad"):
        store.put_queue(Queue.parse(manifests.queue(name)))
    for namespace, count in (("bad", HOSTILE), ("good", 10)):
        for number in range(count):
            pod = manifests.pod(f"{namespace}-{number}", namespace, namespace, "run", gpus=1)
            pod["metadata"] |= {"uid": f"{namespace}-{number}", "creationTimestamp": "2026-01-01T00:00:00Z"}
            if namespace == "bad":
                make_different(pod, number)
            store.put_pod(convert(Pod, pod), NOW)
    return run_cycle(store.take(now), Options(sorts_per_namespace=sorts), clock=lambda: 0.0)


@pytest.mark.parametrize("make_different", [by_selector, by_request, by_labels_and_anti_affinity])
def test_pods_that_all_differ_cost_no_more_than_a_few_of_them(make_different):
    result = _cycle(make_different)
    assert sum(isinstance(decision, Bind) for decision in result.decisions) == 10
    # Allocate, consolidate, reclaim and preempt look at each of these sorts once; allocate at our ten as well.
    assert result.stats.considered <= 4 * SORTS + 10
    assert _cycle(make_different, sorts=0).stats.considered > HOSTILE


def test_whose_turn_it_is_not_is_told_so_and_its_turn_comes():
    waited = set()
    for turn in range(2 * HOSTILE // SORTS):
        result = _cycle(by_selector, now=NOW + 10.0 * turn)
        codes = {one.podgroup: one.reasons[0].code for one in result.diagnoses}
        assert set(codes.values()) >= {ReasonCode.OUT_OF_TURN}
        waited |= {podgroup for podgroup, code in codes.items() if code is not ReasonCode.OUT_OF_TURN}
    assert len(waited) == HOSTILE
