"""Random pods that care about each other: affinity both ways, topology spread, host ports."""

from __future__ import annotations

import random
from typing import Any

from .agreement import World
from .harness import Json

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
APPS, TIERS, HASHES = ("a", "b"), ("x", "y"), ("1", "2")
HOST = "kubernetes.io/hostname"
SCHEDULERS = ("default-scheduler", "kai-scheduler", "other")


def neighbours_world(rng: random.Random, name: str, pinned: int) -> World:
    """Five nodes, two namespaces, pods on nodes, and one that waits; the first three nodes are asked about."""
    world = World.empty(name, 5, pinned)
    world.objects[0]["metadata"]["labels"]["team"] = rng.choice(APPS)
    second = f"{name}-second"
    world.add("v1", "Namespace", second, labels={"world": name, "team": rng.choice(APPS)})
    for number in range(5):
        _node(rng, world, number)
    for number in range(rng.choice([0, 1, 2, 4, 6])):
        _running(rng, world, f"r{number}", second)
    spec: Json = {"affinity": _affinity(rng, world, second)}
    if rng.random() < 0.5:
        spec["topologySpreadConstraints"] = _spread(rng, world)
    if rng.random() < 0.3:
        spec["nodeSelector"] = {_key(world, "zone"): rng.choice("123")}
    if rng.random() < 0.2:
        spec["tolerations"] = [{"key": "k", "operator": "Exists"}]
    if rng.random() < 0.4:
        spec["container"] = {"ports": _ports(rng)}
    if rng.random() < 0.15:
        spec["initContainers"] = [_init(rng)]
    world.pod = world.make_pod("asked", _labels(rng), **spec)
    return world


def _key(world: World, name: str) -> str:
    """A node label that no other world has."""
    return f"{world.name}.test/{name}"


def _node(rng: random.Random, world: World, number: int) -> None:
    labels = {_key(world, "host"): str(number)} if rng.random() < 0.95 else {}
    if rng.random() < 0.9:
        labels[_key(world, "zone")] = rng.choice("123")
    if rng.random() < 0.8:
        labels[_key(world, "rack")] = rng.choice("12")
    taints = [{"key": "k", "effect": rng.choice(["NoSchedule", "NoExecute", "PreferNoSchedule"])}]
    spec: Json = {"taints": taints} if rng.random() < 0.15 else {}
    if rng.random() < 0.05:
        spec["unschedulable"] = True
        spec["taints"] = [
            *spec.get("taints", []),
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        ]
    world.add_node(number, labels, spec=spec)


def _labels(rng: random.Random) -> Json:
    labels = {"app": rng.choice(APPS)} if rng.random() < 0.9 else {}
    if rng.random() < 0.6:
        labels["tier"] = rng.choice(TIERS)
    if rng.random() < 0.7:
        labels["hash"] = rng.choice(HASHES)
    return labels


def _running(rng: random.Random, world: World, name: str, second: str) -> None:
    namespace = second if rng.random() < 0.25 else ""
    spec: Json = {"schedulerName": rng.choice(SCHEDULERS), "nodeName": rng.choice(world.nodes)}
    if rng.random() < 0.4:
        spec["affinity"] = _affinity(rng, world, second, more=0.3)
    if rng.random() < 0.4:
        spec["container"] = {"ports": _ports(rng)}
    if rng.random() < 0.1:
        spec["initContainers"] = [_init(rng)]
    world.objects.append(world.make_pod(name, _labels(rng), namespace=namespace, **spec))
    if rng.random() < 0.15:
        world.leaving.append(name)


# -- affinity --------------------------------------------------------------------------------------


def _affinity(rng: random.Random, world: World, second: str, more: float = 0.0) -> Json:
    affinity: Json = {}
    if rng.random() < 0.45:
        affinity["podAffinity"] = {REQUIRED: [_term(rng, world, second) for _ in range(rng.choice([1, 1, 1, 2]))]}
    if rng.random() < 0.35 + more:
        affinity["podAntiAffinity"] = {REQUIRED: [_term(rng, world, second) for _ in range(rng.choice([1, 1, 2]))]}
    return affinity


def _term(rng: random.Random, world: World, second: str) -> Json:
    term: Json = {"topologyKey": _key(world, rng.choice(["host", "zone", "zone", "rack"]))}
    if rng.random() < 0.95:
        term["labelSelector"] = _selector(rng)
    where = rng.random()
    if where < 0.15:
        term["namespaces"] = rng.choice([[second], [world.name, second], [world.name]])
    if 0.1 < where < 0.35:
        expressions = [{"key": "world", "operator": "In", "values": [world.name]}]
        if rng.random() < 0.7:
            expressions.append({"key": "team", "operator": rng.choice(["In", "NotIn"]), "values": [rng.choice(APPS)]})
        term["namespaceSelector"] = {"matchExpressions": expressions}
    if 0.35 < where < 0.38:
        term["namespaceSelector"] = {}
    if "labelSelector" in term and rng.random() < 0.15:
        term[rng.choice(["matchLabelKeys", "mismatchLabelKeys"])] = [rng.choice(["hash", "absent"])]
    return term


def _selector(rng: random.Random) -> Json:
    def expression() -> Json:
        operator = rng.choice(["In", "In", "NotIn", "Exists", "DoesNotExist"])
        key = rng.choice(["app", "tier"])
        values = rng.sample(APPS if key == "app" else TIERS, rng.choice([1, 1, 2]))
        return {"key": key, "operator": operator} | ({"values": values} if "In" in operator else {})

    kind = rng.random()
    if kind < 0.08:
        return {}
    if kind < 0.6:
        return {"matchLabels": {"app": rng.choice(APPS)}}
    return {"matchExpressions": [expression() for _ in range(rng.choice([1, 1, 2]))]}


# -- spread ----------------------------------------------------------------------------------------


def _spread(rng: random.Random, world: World) -> list[Json]:
    made = []
    for key in rng.sample(["host", "zone", "rack"], rng.choice([1, 1, 2])):
        one: Json = {
            "topologyKey": _key(world, key),
            "maxSkew": rng.choice([1, 1, 2]),
            "whenUnsatisfiable": rng.choice(["DoNotSchedule"] * 4 + ["ScheduleAnyway"]),
        }
        if rng.random() < 0.92:
            one["labelSelector"] = _selector(rng)
            if rng.random() < 0.2:
                one["matchLabelKeys"] = [rng.choice(["hash", "absent"])]
        if one["whenUnsatisfiable"] == "DoNotSchedule" and rng.random() < 0.3:
            one["minDomains"] = rng.choice([1, 2, 3, 4])
        for policy in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            if rng.random() < 0.4:
                one[policy] = rng.choice(["Honor", "Ignore"])
        made.append(one)
    return made


# -- host ports ------------------------------------------------------------------------------------


def _ports(rng: random.Random) -> list[Json]:
    found: dict[tuple[Any, ...], Json] = {}
    for _ in range(rng.choice([1, 1, 2])):
        port: Json = {"containerPort": 80, "hostPort": rng.choice([8000, 8001])}
        if rng.random() < 0.4:
            port["protocol"] = rng.choice(["TCP", "UDP", "SCTP"])
        if rng.random() < 0.5:
            port["hostIP"] = rng.choice(["10.0.0.1", "10.0.0.2", "0.0.0.0", "127.0.0.1", "::"])
        found[port["hostPort"], port.get("protocol", "TCP"), port.get("hostIP", "")] = port
    return list(found.values())


def _init(rng: random.Random) -> Json:
    made: Json = {"name": "init", "image": "example.com/x:1", "ports": _ports(rng)}
    return made | ({"restartPolicy": "Always"} if rng.random() < 0.6 else {})
