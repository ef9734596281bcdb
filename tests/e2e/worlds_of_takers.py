"""Random devices that take of their nodes, and pods that ask for cpu and memory beside them.

What kube-scheduler does in its own way is left out: of several kinds of devices on a node it tries the first only, it
does not charge claims that have devices already, charges for admin access, refuses whole devices that count by a
capacity, and looks a device up by pool and name alone.
"""

from __future__ import annotations

import random

from .agreement import World
from .harness import Json
from .worlds_of_devices import API

MAPPINGS = "nodeAllocatableResourceMappings"


def takers_world(rng: random.Random, name: str, pinned: int) -> World:
    """Three small nodes with a pool each, pods that run, and a pod with one or two claims."""
    world = World.empty(name, 3, pinned)
    driver = f"{name}.test"
    for number in range(3):
        amounts = {"cpu": rng.choice(["4", "8"]), "memory": rng.choice(["8Gi", "16Gi"]), "ephemeral-storage": "10Gi"}
        if rng.random() < 0.5:
            amounts["hugepages-2Mi"] = "64Mi"
        world.add_node(number, amounts=amounts)
        _pool(rng, world, driver, number)
        if rng.random() < 0.5:
            asks = {"requests": {"cpu": rng.choice(["500m", "2"]), "memory": rng.choice(["1Gi", "4Gi"])}}
            runs = world.make_pod(f"runs-{number}", nodeName=world.nodes[number], container={"resources": asks})
            world.objects.append(runs)
    selector = {"cel": {"expression": f"device.driver == '{driver}'"}}
    world.add(API, "DeviceClass", f"{name}-c", spec={"selectors": [selector]})
    claims = [_claim(rng, world, f"c{number}") for number in range(rng.choice([1, 1, 2]))]
    used = [{"name": one["metadata"]["name"], "resourceClaimName": one["metadata"]["name"]} for one in claims]
    world.pod = _pod(rng, world, used)
    return world


def _pool(rng: random.Random, world: World, driver: str, number: int) -> None:
    """Devices that are all alike: fixed amounts, or multiples of what is consumed of a capacity."""
    pool = f"{world.name}-{number}"
    device: Json = {}
    if rng.random() < 0.4:
        device = {"allowMultipleAllocations": True, "capacity": {"size": {"value": "16"}, "spare": {"value": "4"}}}
    mapping: Json = {}
    for resource in rng.sample(["cpu", "memory", "ephemeral-storage", "hugepages-2Mi"], rng.choice([0, 1, 1, 2])):
        unit = {"cpu": ["1", "2500m", "100u"], "hugepages-2Mi": ["2Mi", "32Mi"]}.get(resource, ["1Gi", "3Gi", "500M"])
        mapping[resource] = {"allocationMultiplier": rng.choice(unit)}
        if device and rng.random() < 0.7:
            mapping[resource]["capacityKey"] = rng.choice(["size", "spare"])
            if resource == "cpu" and rng.random() < 0.5:
                del mapping[resource]["allocationMultiplier"]
    if mapping:
        device[MAPPINGS] = mapping
    world.add(
        API,
        "ResourceSlice",
        f"{driver}-{pool}",
        spec={
            "driver": driver,
            "pool": {"name": pool, "generation": 1, "resourceSliceCount": 1},
            "nodeName": world.nodes[number],
            "devices": [{"name": f"d{one}", **device} for one in range(rng.choice([1, 2, 4]))],
        },
    )


def _claim(rng: random.Random, world: World, name: str) -> Json:
    requests = []
    for number in range(rng.choice([1, 1, 2])):
        exactly: Json = {"deviceClassName": f"{world.name}-c", "count": rng.choice([1, 1, 2])}
        if rng.random() < 0.2:
            exactly["capacity"] = {"requests": {"size": rng.choice("124")}}
        requests.append({"name": f"r{number}", "exactly": exactly})
    return world.add(API, "ResourceClaim", name, spec={"devices": {"requests": requests}})


def _pod(rng: random.Random, world: World, used: list[Json]) -> Json:
    pod = world.make_pod("asked", resourceClaims=used)
    (main,) = pod["spec"]["containers"]
    slot = main["resources"]["requests"]
    asks = {"cpu": rng.choice(["0", "500m", "1500m"]), "memory": rng.choice(["0", "1Gi", "4Gi"])}
    main["resources"] = {"requests": slot | asks, "limits": slot}
    names = [{"name": one["name"]} for one in used]
    main["resources"]["claims"] = names if rng.random() < 0.85 else names[1:]
    if rng.random() < 0.3:
        most = {"cpu": rng.choice(["500m", "3"]), "memory": rng.choice(["1Gi", "6Gi"])}
        init: Json = {"name": "init", "image": "example.com/x:1", "resources": {"requests": most}}
        if rng.random() < 0.3:
            init["restartPolicy"] = "Always"
        if rng.random() < 0.5:
            init["resources"]["claims"] = names
        pod["spec"]["initContainers"] = [init]
    if rng.random() < 0.3:
        whole = {"cpu": rng.choice(["2", "4", "6"]), "memory": rng.choice(["5Gi", "8Gi"])}
        pod["spec"]["resources"] = {"requests": whole if rng.random() < 0.6 else {"cpu": whole["cpu"]}}
    return pod
