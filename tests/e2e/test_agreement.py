"""Random pods and nodes: a real kube-scheduler and we agree, node by node, on who may go where.

For what nodes have and say of themselves, each pod is pinned to one node after the other by a field selector, and
deleted again: kube-scheduler binds it, or says that it cannot. Ours is asked with the very objects that the API server
has made of them. Devices, neighbours and volumes are asked about in worlds of their own, many at once. For a long run
of those, name seeds in the environment: ``AGREEMENT_SEEDS=1000:1200``.
"""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kai_py.api.decode import convert
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.cluster.scope import Scope
from kai_py.cluster.store import Store
from kai_py.core.options import Options
from kai_py.core.placement.gang import Placer
from kai_py.core.state.ledger import Ledger
from kai_py.errors import InvalidError
from kai_py.kube.listing import list_all
from kai_py.operators.kinds import NODES, PODS, RUNTIMES
from kai_py.podgrouper.grouping import group_of
from tests.reference.devices import problems

from .agreement import Answer, Maker, compare
from .harness import Cluster, Json
from .kube_scheduler import kube_scheduler
from .worlds_of_devices import devices_world
from .worlds_of_neighbours import neighbours_world
from .worlds_of_volumes import volumes_world

#: So many pods, each on every node.
PODS_TRIED = 24
KEYS, VALUES = ("rack", "gen"), ("1", "2", "x")
NOW = 1_800_000_000.0
COSTLY: Json = {
    "apiVersion": "node.k8s.io/v1",
    "kind": "RuntimeClass",
    "metadata": {"name": "costly"},
    "handler": "costly",
    "overhead": {"podFixed": {"cpu": "700m"}},
    "scheduling": {"tolerations": [{"key": "k", "operator": "Exists"}]},
}


def random_node(rng: random.Random) -> Json:
    """Labels, taints and the rest of a node, as patches."""
    taints = {(rng.choice("kl"), rng.choice(["NoSchedule", "PreferNoSchedule", "NoExecute"])) for _ in range(2)}
    allocatable = {
        "cpu": rng.choice(["1500m", "2", "4"]),
        "memory": rng.choice(["1Gi", "4Gi"]),
        "pods": rng.choice(["2", "110", "110"]),
        "example.com/nic": rng.choice(["0", "2"]),
    }
    features = [[], ["RestartAllContainersOnContainerExits", "UserNamespacesHostNetworkSupport"]]
    return {
        "labels": {key: rng.choice(VALUES) for key in KEYS if rng.random() < 0.7},
        "spec": {
            "taints": [{"key": key, "effect": effect} for key, effect in sorted(taints) if rng.random() < 0.25],
            "unschedulable": rng.random() < 0.1,
        },
        "status": {
            "allocatable": allocatable,
            "capacity": allocatable,
            "conditions": [{"type": "Ready", "status": "True"}],
            "declaredFeatures": rng.choice(features),
        },
    }


def random_pod(rng: random.Random) -> Json:
    """A pod's spec; the API server may refuse it."""
    inits = [_container(rng, f"i{n}", init=True) for n in range(rng.choice([0, 0, 1, 2]))]
    spec: Json = {
        "containers": [_container(rng, f"c{n}") for n in range(rng.choice([1, 2]))],
        "initContainers": inits,
        "tolerations": [_toleration(rng) for _ in range(rng.choice([0, 1, 2]))],
        "nodeSelector": {rng.choice(KEYS): rng.choice(VALUES)} if rng.random() < 0.2 else {},
    }
    if rng.random() < 0.3:
        spec["affinity"] = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [_term(rng) for _ in range(2)]}}}
    if rng.random() < 0.2:
        spec["runtimeClassName"] = "costly"
    if rng.random() < 0.2:
        spec["resources"] = {"requests": {"cpu": "3", "memory": "3Gi"}}
    if rng.random() < 0.15:
        spec |= {"hostNetwork": True, "hostUsers": False}
    return spec


REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _container(rng: random.Random, name: str, *, init: bool = False) -> Json:
    requests: Json = {"cpu": rng.choice(["100m", "500m", "1"]), "memory": rng.choice(["64Mi", "512Mi"])}
    if rng.random() < 0.3:
        requests["example.com/nic"] = "1"
    limits = {name: amount for name, amount in requests.items() if name == "example.com/nic"}
    made: Json = {"name": name, "image": "example.com/x:1", "resources": {"requests": requests, "limits": limits}}
    if init and rng.random() < 0.6:
        made["restartPolicy"] = "Always"
    return made


def _toleration(rng: random.Random) -> Json:
    effect = rng.choice([{}, {"effect": "NoSchedule"}, {"effect": "NoExecute"}])
    key = rng.choice(["k", "l", "node.kubernetes.io/unschedulable"])
    return rng.choice([{"operator": "Exists"}, {"key": key, "operator": "Exists"}, {"key": key}]) | effect


def _term(rng: random.Random) -> Json:
    operator = rng.choice(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"])
    values = {"In": rng.sample(VALUES, 2), "NotIn": [rng.choice(VALUES)], "Gt": ["1"], "Lt": ["2"]}.get(operator, [])
    return {"matchExpressions": [{"key": rng.choice(KEYS), "operator": operator, "values": values}]}


def pinned(spec: Json, node: str) -> Json:
    """The spec with a demand for one node in every alternative."""
    only = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get(REQUIRED, {}).get("nodeSelectorTerms") or [{}]
    required = {"nodeSelectorTerms": [{**term, "matchFields": [only]} for term in terms]}
    return {**spec, "affinity": {"nodeAffinity": {**affinity, REQUIRED: required}}}


@pytest.fixture
async def with_scheduler(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A real control plane with a kube-scheduler."""
    async with kube_scheduler(cluster, tmp_path):
        yield cluster


async def _install(cluster: Cluster, name: str, what: Json) -> None:
    metadata = {"name": name, "labels": what["labels"]}
    await cluster.create(NODES.path(), {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
    await cluster.client.patch(NODES.path("", name, "status"), {"status": what["status"]})
    # Admission taints a new node; what is written here replaces that.
    await cluster.client.patch(NODES.path("", name), {"spec": what["spec"]})


async def _verdict(cluster: Cluster, name: str) -> bool:
    """Whether kube-scheduler binds a pod; it does, or says that it cannot."""

    async def said() -> list[bool]:
        pod = (await cluster.pods())[name]
        if pod["spec"].get("nodeName"):
            return [True]
        conditions = pod.get("status", {}).get("conditions", [])
        return [False] if any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions) else []

    found: list[bool] = await cluster.until(said)
    return found[0]


def _ours(nodes: list[Json], running: list[Json], waiting: Json) -> set[str]:
    """Where we would let a pod go."""
    store = Store(group_of, Scope(frozenset({"default-scheduler"})))
    for body in nodes:
        store.put_node(convert(Node, body))
    for body in (*running, waiting):
        store.put_pod(convert(Pod, body), NOW)
    snapshot = store.take(NOW)
    row = [key.name for key in snapshot.pods.keys].index(waiting["metadata"]["name"])
    view = Placer(Ledger(snapshot), Options()).view(snapshot.pods.class_idx.item(row))
    return {name for number, name in enumerate(snapshot.nodes.names) if view.at(number) is not None}


@pytest.mark.parametrize("seed", [15])
async def test_kube_scheduler_agrees_node_by_node(with_scheduler: Cluster, seed: int) -> None:
    cluster, rng = with_scheduler, random.Random(seed)
    await cluster.create(RUNTIMES.path(), COSTLY)
    names = [f"m{number}" for number in range(4)]
    for name in names:
        await _install(cluster, name, random_node(rng))
    for number in range(4):
        await _make(cluster, f"r{number}", random_pod(rng) | {"nodeName": rng.choice(names)})
    nodes, running = await list_all(cluster.client, NODES), list((await cluster.pods()).values())
    answers = []
    for number in range(PODS_TRIED):
        spec = random_pod(rng)
        for node in names:
            name = f"p{number}-{node}"
            made = await _make(cluster, name, pinned(spec, node))
            if made is None:
                break
            binds = await _verdict(cluster, name)
            await cluster.delete_pod(name)
            assert (node in _ours(nodes, running, made)) == binds, f"{name}: {made['spec']}"
            assert _ours(nodes, running, made) <= {node}
            answers.append(binds)
    assert sum(answers) >= PODS_TRIED // 4
    assert answers.count(False) >= PODS_TRIED // 4


async def _make(cluster: Cluster, name: str, spec: Json) -> Json | None:
    """A pod as the API server has made it; None if it refuses."""
    labels: dict[str, Any] = {"kai.scheduler/queue": "team"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}
    try:
        return await cluster.create(PODS.path(cluster.namespace), pod)
    except InvalidError:
        return None


#: Seeds of the worlds of one test, and of how many worlds kube-scheduler is asked at once.
SEEDS, AT_ONCE = range(8), 20


@pytest.mark.parametrize("maker", [devices_world, neighbours_world, volumes_world])
async def test_kube_scheduler_agrees_about_worlds(with_scheduler: Cluster, maker: Maker) -> None:
    first, _, last = os.environ.get("AGREEMENT_SEEDS", "").partition(":")
    seeds = range(int(first), int(last)) if last else SEEDS
    answers: list[Answer] = []
    for start in range(0, len(seeds), AT_ONCE):
        answers += await compare(with_scheduler.client, maker, maker.__name__[0], seeds[start : start + AT_ONCE])
    wrong = [one for one in answers if one.faults or (one.ours != one.theirs and not _known(one))]
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(one.ours for one in answers) >= len(seeds) // 2
    assert sum(not one.ours for one in answers) >= len(seeds) // 2


def _known(answer: Answer) -> bool:
    """A mistake of kube-scheduler's that is known, and not made by us; our solutions are checked here once more.

    It does not find some because counters stay charged after devices were refused, because an administrator's request
    marks its device as taken, or because all devices against a constraint end the search; it does not finish some where
    a node has an extended resource by itself. It takes three devices of which two are alike, and counts counters of
    pools that two drivers call by one name as those of one pool.
    """
    objects = answer.world.objects
    (node,) = (one for one in objects if one["kind"] == "Node" and one["metadata"]["name"] == answer.world.node)
    wrong = list(problems(objects, node, answer.granted))
    if answer.theirs:
        counters = [one for one in wrong if one.startswith("counter ") and one.endswith("is used up")]
        distinct = [one for one in wrong if one.endswith("is not distinct")]
        return bool(wrong) and len(wrong) == len(distinct) + (len(counters) if _namesakes(objects) else 0)
    said = ("because a claim constraint would not be satisfied", "nil or empty request mappings")
    text = str([one["spec"] for one in objects if one["kind"] in ("ResourceSlice", "ResourceClaim")])
    concerned = "cannot allocate all claims" in answer.said and ("consumesCounters" in text or "adminAccess" in text)
    return not wrong and (concerned or any(one in answer.said for one in said))


def _namesakes(objects: list[Json]) -> bool:
    """Whether pools of two drivers have one name."""
    pools = {(one["spec"]["driver"], one["spec"]["pool"]["name"]) for one in objects if one["kind"] == "ResourceSlice"}
    return len({name for _, name in pools}) < len(pools)
