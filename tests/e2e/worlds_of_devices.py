"""Random devices and claims on them: everything that Kubernetes 1.36 allocates by default."""

from __future__ import annotations

import random
import uuid
from typing import Any

from .agreement import World
from .harness import Json

ZONES = ("x", "y")
ADMIN = "resource.kubernetes.io/admin-access"
FINALIZER = "resource.kubernetes.io/delete-protection"
NOW = "2026-01-01T00:00:00Z"
API = "resource.k8s.io/v1"


def devices_world(rng: random.Random, name: str, pinned: int) -> World:
    """Two drivers, three nodes, some devices taken, and a pod with one or two claims."""
    world = World.empty(name, 3, pinned)
    world.objects[0]["metadata"]["labels"][ADMIN] = "true"
    for number in range(3):
        world.add_node(number, {"zone": rng.choice(ZONES)})
    drivers = [f"{name}-{letter}.test" for letter in "ab"]
    pools: list[tuple[str, Json]] = []
    for driver in drivers:
        for number in range(rng.choice([1, 2, 3])):
            pools += [(driver, device) for device in _pool(rng, world, driver, f"p{number}")]
    _classes(rng, world, drivers)
    _taken(rng, world, pools)
    claims = [_claim(rng, world, f"c{number}", drivers) for number in range(rng.choice([1, 1, 2]))]
    if rng.random() < 0.15:
        _share(rng, world, claims[0], pools)
    used = [{"name": one["metadata"]["name"], "resourceClaimName": one["metadata"]["name"]} for one in claims]
    world.pod = world.make_pod("asked", resourceClaims=used)
    if rng.random() < 0.2:
        _ask_for_extended(rng, world)
    return world


# -- what drivers publish --------------------------------------------------------------------------


def _pool(rng: random.Random, world: World, driver: str, name: str) -> list[Json]:
    """Slices of one pool; gives its devices, each with the pool's name beside."""
    mode = rng.choice(["node", "node", "node", "selector", "all", "device"])
    sets = _counter_sets(rng) if rng.random() < 0.35 else []
    multiple = rng.random() < 0.3
    count = rng.choice([1, 2, 3, 4, 6])
    conditional = rng.random() < 0.15
    devices = [_device(rng, f"d{number}", driver, sets, multiple=multiple) for number in range(count)]
    for one in devices if conditional else ():
        one |= {"bindingConditions": ["ready"], "bindingFailureConditions": ["bad"], "bindsToNode": rng.random() < 0.5}
    node = rng.choice(world.nodes)
    place: Json = {
        "node": {"nodeName": node},
        "selector": {"nodeSelector": _selector(rng, world)},
        "all": {"allNodes": True},
        "device": {"perDeviceNodeSelection": True},
    }[mode]
    if mode == "device":
        reaches: list[Json] = [{"nodeName": one} for one in world.nodes]
        reaches += [{"nodeSelector": _selector(rng, world)}, {"allNodes": True}]
        devices = [one | rng.choice(reaches) for one in devices]
    slices: list[Json] = [{"devices": devices}]
    if len(devices) > 2 and rng.random() < 0.3:
        slices = [{"devices": devices[:2]}, {"devices": devices[2:]}]
    if sets:
        slices.append({"sharedCounters": sets})
    # What is wrong with pools that all nodes see, and counters they all do, would be seen by other worlds.
    odd = rng.random() if mode == "node" and not sets else 1.0
    published = len(slices) + (1 if odd < 0.05 else 0)
    if 0.05 < odd < 0.1 and len(slices) > 1 and "devices" in slices[1]:
        slices[1]["devices"][0]["name"] = "d0"
    generation = 2 if odd > 0.5 else 1
    if odd > 0.9 and mode == "node":
        old = [_device(rng, f"o{number}", driver, [], multiple=False) for number in range(2)]
        _slice(world, driver, name, 1, 1, "old", {**place, "devices": old})
    for number, one in enumerate(slices):
        _slice(world, driver, name, generation, published, str(number), {**place, **one})
    return [{"pool": name, "reached": place, **one} for one in devices]


def _slice(world: World, driver: str, pool: str, generation: int, count: int, suffix: str, spec: Json) -> None:
    name = f"{driver}-{pool}-{suffix}"
    where = {"name": pool, "generation": generation, "resourceSliceCount": count}
    world.add(API, "ResourceSlice", name, spec={"driver": driver, "pool": where, **spec})


def _selector(rng: random.Random, world: World) -> Json:
    expressions = [{"key": "world", "operator": "In", "values": [world.name]}]
    if rng.random() < 0.7:
        operator = rng.choice(["In", "NotIn"])
        expressions.append({"key": "zone", "operator": operator, "values": [rng.choice(ZONES)]})
    return {"nodeSelectorTerms": [{"matchExpressions": expressions}]}


def _counter_sets(rng: random.Random) -> list[Json]:
    return [
        {"name": name, "counters": {"mem": {"value": f"{rng.randint(4, 10)}Gi"}, "cores": {"value": rng.choice("246")}}}
        for name in ("s0", "s1")
    ]


def _device(rng: random.Random, name: str, driver: str, sets: list[Json], *, multiple: bool) -> Json:
    made: Json = {"name": name, "attributes": {}, "capacity": {}}
    values: list[tuple[str, Json]] = [
        ("model", {"string": rng.choice(["h", "a"])}),
        ("numa", {"int": rng.choice([0, 1])}),
        ("fast", {"bool": rng.random() < 0.5}),
        ("version", {"version": rng.choice(["1.2.0", "1.10.0", "2.0.0-rc.1"])}),
        ("common.test/root", {"string": rng.choice(["r0", "r1"])}),
        ("common.test/mixed", rng.choice([{"string": "1"}, {"int": 1}, {"int": 2}])),
        (f"{driver}/full", {"int": rng.choice([0, 1])}),
    ]
    made["attributes"] = {key: value for key, value in values if rng.random() < 0.85}
    for key in ("mem", "slots"):
        if rng.random() < 0.85:
            made["capacity"][key] = {"value": f"{rng.choice([4, 8, 16])}Gi" if key == "mem" else rng.choice("48")}
    if multiple and rng.random() < 0.8:
        made["allowMultipleAllocations"] = True
        if "mem" in made["capacity"] and rng.random() < 0.7:
            made["capacity"]["mem"]["requestPolicy"] = _policy(rng)
    if rng.random() < 0.2:
        made["taints"] = [{"key": rng.choice("tu"), "value": "1", "effect": rng.choice(EFFECTS), "timeAdded": NOW}]
    if sets and rng.random() < 0.8:
        chosen = rng.sample([one["name"] for one in sets], rng.choice([1, 1, 2]))
        made["consumesCounters"] = [{"counterSet": one, "counters": _consumed(rng)} for one in chosen]
    return made


EFFECTS = ("NoSchedule", "NoExecute", "None")


def _consumed(rng: random.Random) -> Json:
    counters = {"mem": {"value": f"{rng.randint(1, 6)}Gi"}, "cores": {"value": rng.choice("123")}}
    return counters if rng.random() < 0.7 else {"mem": counters["mem"]}


def _policy(rng: random.Random) -> Json:
    return rng.choice(
        [
            {"default": "1Gi", "validRange": {"min": "1Gi"}},
            {"default": "2Gi", "validRange": {"min": "2Gi", "max": "4Gi", "step": "1Gi"}},
            {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1536Mi"}},
            {"default": "2Gi", "validValues": ["1Gi", "2Gi", "4Gi"]},
            {"default": "1Gi"},
            {"default": "3Gi", "validValues": ["512Mi", "3Gi"]},
            {"default": "0", "validRange": {"min": "0", "max": "4Gi"}},
        ]
    )


def _classes(rng: random.Random, world: World, drivers: list[str]) -> None:
    for letter, driver in zip("ab", drivers, strict=True):
        selectors = [f"device.driver == '{driver}'"]
        if rng.random() < 0.2:
            selectors.append(_expression(rng, drivers, driver))
        config = [_opaque(rng, drivers)] if rng.random() < 0.3 else []
        world.add(API, "DeviceClass", f"{world.name}-{letter}", spec={"selectors": _cel(selectors), "config": config})
    both = [f"device.driver in ['{drivers[0]}', '{drivers[1]}']"]
    world.add(API, "DeviceClass", f"{world.name}-both", spec={"selectors": _cel(both)})


def _ask_for_extended(rng: random.Random, world: World) -> None:
    """A class serves an extended resource that the pod asks for; some nodes have that resource by themselves."""
    resource, letter = f"example.com/{world.name}", rng.choice("ab")
    for one in world.objects:
        if one["metadata"]["name"] == f"{world.name}-{letter}":
            one["spec"]["extendedResourceName"] = resource
        elif one["kind"] == "Node" and rng.random() < 0.2:
            amounts = {**one["status"]["allocatable"], resource: rng.choice("0123")}
            one["status"] |= {"capacity": amounts, "allocatable": amounts}
    asked = {**world.pod["spec"]["containers"][0]["resources"]["requests"], resource: rng.choice("112")}
    world.pod["spec"]["containers"][0]["resources"] = {"requests": asked, "limits": asked}
    if rng.random() < 0.5:
        del world.pod["spec"]["resourceClaims"]


def _opaque(rng: random.Random, drivers: list[str]) -> Json:
    return {"opaque": {"driver": rng.choice(drivers), "parameters": {"mode": rng.choice("xy")}}}


def _cel(expressions: list[str]) -> list[Json]:
    return [{"cel": {"expression": one}} for one in expressions]


def _expression(rng: random.Random, drivers: list[str], driver: str = "") -> str:
    domain = driver or rng.choice(drivers)
    own, common = f"device.attributes['{domain}']", "device.attributes['common.test']"
    room = f"device.capacity['{domain}']"
    if rng.random() < 0.1:
        return rng.choice(_odd(own, common, room))
    return rng.choice(
        [
            f"{own}[?'model'].orValue('none') == 'h'",
            f"'numa' in {own} && {own}.numa == {rng.choice([0, 1])}",
            f"{own}[?'fast'].orValue(false)",
            f"'version' in {own} && {own}.version.isGreaterThan(semver('1.3.0'))",
            f"{common}[?'root'].orValue('') == 'r{rng.choice([0, 1])}'",
            f"'mem' in {room} && {room}.mem.compareTo(quantity('8Gi')) >= 0",
            f"{room}[?'mem'].orValue(quantity('0')).isLessThan(quantity('16Gi'))",
            f"{own}[?'full'].orValue(0) < 1",
            *([f"{own}.model == 'h'"] if rng.random() < 0.5 else []),
            "device.allowMultipleAllocations",
            "!device.allowMultipleAllocations",
            f"!has({own}.model) || {own}.model.startsWith('a')",
        ]
    )


def _odd(own: str, common: str, room: str) -> list[str]:
    """Expressions that fail on some devices, or are true in odd ways; each is asked about its driver's devices only."""
    return [
        f"{own}.fast",
        f"{own}.numa + 9223372036854775807 > 0",
        f"1 / {own}.numa > 0",
        f"{common}.mixed == 1",
        f"{common}.mixed < 2",
        f"{common}.mixed",
        f"{own}.model == 'h' || true",
        f"{own}.nothing == 1 && false || {own}.numa == 0",
        f"{room}.mem.asInteger() >= 8589934592",
        f"{room}.mem.add(quantity('1Gi')).isGreaterThan(quantity('9Gi')) && {room}.slots.sub(4).asInteger() >= 0",
        f"{room}.exists(name, {room}[name].compareTo(quantity('8')) == 0)",
        f"{own}.version.major() == 1 && {own}.version.compareTo(semver('1.2.0')) > 0",
        f"{own}.model in ['h', 'a'] && {own}.model.matches('^[a-h]$')",
        "device.attributes['not.there'].model == 'h'",
        "device.attributes.exists(domain, 'root' in device.attributes[domain])",
        f"{own}.?numa.optMap(n, n < 1).orValue(true)",
        f"cel.bind(n, {own}.numa, n * n == n)",
    ]


# -- what is asked for -----------------------------------------------------------------------------


def _claim(rng: random.Random, world: World, name: str, drivers: list[str]) -> Json:
    requests = [_request(rng, world, f"r{number}", drivers) for number in range(rng.choice([1, 1, 2, 3]))]
    devices: Json = {"requests": requests}
    if rng.random() < 0.3:
        names = [one["name"] for one in requests]
        devices["config"] = [_opaque(rng, drivers) | {"requests": rng.sample(names, rng.randint(0, len(names)))}]
    if rng.random() < 0.4:
        devices["constraints"] = [_constraint(rng, requests, drivers) for _ in range(rng.choice([1, 1, 2]))]
    return world.add(API, "ResourceClaim", name, spec={"devices": devices})


def _request(rng: random.Random, world: World, name: str, drivers: list[str]) -> Json:
    if rng.random() < 0.2:
        parts = [_exactly(rng, world, drivers) | {"name": f"s{number}"} for number in range(rng.choice([1, 2, 3]))]
        return {"name": name, "firstAvailable": parts}
    exactly = _exactly(rng, world, drivers)
    if rng.random() < 0.08:
        exactly["adminAccess"] = True
    return {"name": name, "exactly": exactly}


def _exactly(rng: random.Random, world: World, drivers: list[str]) -> Json:
    known = rng.random() < 0.99
    made: Json = {"deviceClassName": f"{world.name}-{rng.choice(['a', 'b', 'both']) if known else 'unknown'}"}
    if rng.random() < 0.15:
        made["allocationMode"] = "All"
    else:
        made["count"] = rng.choice([1, 1, 1, 2, 3])
    if rng.random() < 0.4:
        made["selectors"] = _cel([_expression(rng, drivers) for _ in range(rng.choice([1, 1, 2]))])
    if rng.random() < 0.3:
        made["tolerations"] = [
            rng.choice(
                [
                    {"operator": "Exists"},
                    {"key": "t", "operator": "Exists", "effect": "NoSchedule"},
                    {"key": "u", "operator": "Equal", "value": rng.choice("12")},
                ]
            )
        ]
    if rng.random() < 0.3:
        amounts = {"mem": rng.choice(["512Mi", "2Gi", "3Gi", "5Gi", "8Gi"])}
        made["capacity"] = {"requests": amounts if rng.random() < 0.8 else {"slots": rng.choice("24")}}
    return made


def _constraint(rng: random.Random, requests: list[Json], drivers: list[str]) -> Json:
    attribute = rng.choice(
        ["common.test/root", "common.test/root", "common.test/mixed", f"{drivers[0]}/numa", f"{drivers[0]}/full"]
    )
    kind = rng.choice(["matchAttribute", "matchAttribute", "distinctAttribute"])
    names = [one["name"] for one in requests]
    names += [f"{one['name']}/{part['name']}" for one in requests for part in one.get("firstAvailable", ())]
    about = rng.sample(names, rng.randint(1, len(names))) if rng.random() < 0.5 else []
    return {kind: attribute} | ({"requests": about} if about else {})


# -- what is taken ---------------------------------------------------------------------------------


def _taken(rng: random.Random, world: World, pools: list[tuple[str, Json]]) -> None:
    for number, (driver, device) in enumerate(pools):
        if rng.random() < 0.25:
            for share in range(rng.choice([1, 2]) if device.get("allowMultipleAllocations") else 1):
                _allocated(rng, world, f"t{number}-{share}", driver, device)


def _allocated(rng: random.Random, world: World, name: str, driver: str, device: Json) -> Json:
    result: Json = {"request": "r", "driver": driver, "pool": device["pool"], "device": device["name"]}
    if device.get("allowMultipleAllocations"):
        result["shareID"] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        policies = {key: one.get("requestPolicy") for key, one in device["capacity"].items()}
        result["consumedCapacity"] = {
            key: policy["default"] if policy else "1" for key, policy in policies.items() if rng.random() < 0.9
        }
        if rng.random() < 0.1:
            del result["consumedCapacity"]
    elif rng.random() < 0.1:
        result["adminAccess"] = True
    exactly = {"deviceClassName": f"{world.name}-both"} | ({"adminAccess": True} if "adminAccess" in result else {})
    request = {"name": "r", "exactly": exactly}
    allocation: Json = {"devices": {"results": [result]}, "allocationTimestamp": NOW}
    return world.add(
        API,
        "ResourceClaim",
        name,
        metadata={"finalizers": [FINALIZER]},
        spec={"devices": {"requests": [request]}},
        status={"allocation": allocation},
    )


def _share(rng: random.Random, world: World, claim: Json, pools: list[tuple[str, Json]]) -> None:
    """Somebody uses the claim already: it has a device, and is somewhere."""
    driver, device = rng.choice(pools)
    other: Any = _allocated(rng, world, "other", driver, device)
    world.objects.remove(other)
    allocation = other["status"]["allocation"]
    if "nodeName" in device["reached"]:
        field = {"key": "metadata.name", "operator": "In", "values": [device["reached"]["nodeName"]]}
        allocation["nodeSelector"] = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    elif "nodeSelector" in device["reached"]:
        allocation["nodeSelector"] = device["reached"]["nodeSelector"]
    user = {"resource": "pods", "name": "user", "uid": "11111111-1111-1111-1111-111111111111"}
    claim["spec"], claim["metadata"]["finalizers"] = other["spec"], [FINALIZER]
    claim["status"] = {"allocation": allocation, "reservedFor": [user]}
