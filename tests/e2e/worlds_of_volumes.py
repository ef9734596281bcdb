"""Random volumes: bound ones with their places, those that wait for a consumer, limits of drivers, disks of old."""

from __future__ import annotations

import random
from typing import Any

from .agreement import World
from .harness import Json

ZONES = ("z1", "z2")
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
STORAGE = "storage.k8s.io/v1"
SIZES = ("1Gi", "2Gi", "4Gi")


def volumes_world(rng: random.Random, name: str, pinned: int) -> World:
    """Three nodes, two drivers, volumes, pods that use some, and a pod that wants some."""
    world = World.empty(name, 3, pinned)
    for number in range(3):
        _node(rng, world, number)
    drivers = [f"{name}-{letter}.test" for letter in "ab"]
    for driver in drivers:
        capacity = {"storageCapacity": rng.random() < 0.4}
        world.add(STORAGE, "CSIDriver", driver, spec={"attachRequired": rng.random() < 0.7, **capacity})
    for number in range(3):
        _limits(rng, world, world.nodes[number], drivers)
    classes = _classes(rng, world, drivers)
    for number in range(rng.choice([0, 2, 4])):
        _free_volume(rng, world, f"{name}-free{number}", classes, drivers)
    claims = [_claim(rng, world, f"c{number}", classes, drivers) for number in range(rng.choice([1, 2, 3]))]
    # Claims and volumes are protected by a finalizer, which nobody here removes.
    world.leaving += [one for one in claims if rng.random() < 0.06]
    kept = [one["metadata"]["name"] for one in world.objects if one["kind"] == "PersistentVolume"]
    world.leaving += [one for one in kept if rng.random() < 0.06]
    for number in range(rng.choice([0, 1, 2, 3])):
        _user(rng, world, f"u{number}", claims, drivers)
    wanted: list[Json] = [
        _of(one, rng.random() < 0.1) for one in rng.sample(claims, rng.randint(min(1, len(claims)), len(claims)))
    ]
    if rng.random() < 0.03:
        wanted.append(_of("missing"))
    if rng.random() < 0.25:
        wanted.append(_disk(rng, world))
    if rng.random() < 0.1:
        wanted.append({"csi": {"driver": rng.choice(drivers)}})
    world.pod = world.make_pod("asked", volumes=_named(wanted))
    return world


def _node(rng: random.Random, world: World, number: int) -> None:
    labels = {ZONE: rng.choice(ZONES)} if rng.random() < 0.9 else {}
    if rng.random() < 0.3:
        labels[OLD_ZONE] = labels.get(ZONE, rng.choice(ZONES))
    if rng.random() < 0.5:
        labels[REGION] = "r1"
    world.add_node(number, labels)


def _limits(rng: random.Random, world: World, node: str, drivers: list[str]) -> None:
    """What the node says about drivers; some nodes say nothing."""
    if rng.random() < 0.1:
        return
    made: list[Json] = []
    for driver in drivers:
        if rng.random() < 0.85:
            one: Json = {"name": driver, "nodeID": node, "topologyKeys": [ZONE]}
            if rng.random() < 0.7:
                one["allocatable"] = {"count": rng.choice([1, 2, 3])}
            made.append(one)
    world.add(STORAGE, "CSINode", node, spec={"drivers": made})


def _classes(rng: random.Random, world: World, drivers: list[str]) -> dict[str, str]:
    """Name of the class to its provisioner."""
    made = {}
    for number in range(3):
        name = f"{world.name}-class{number}"
        provisioner = rng.choice([*drivers, *drivers, "kubernetes.io/no-provisioner"])
        mode = rng.choice(["WaitForFirstConsumer"] * 3 + ["Immediate"])
        fields: Json = {"provisioner": provisioner, "volumeBindingMode": mode}
        if rng.random() < 0.3 and provisioner in drivers:
            values = rng.sample(ZONES, rng.choice([1, 1, 2]))
            fields["allowedTopologies"] = [{"matchLabelExpressions": [{"key": ZONE, "values": values}]}]
        world.add(STORAGE, "StorageClass", name, **fields)
        made[name] = provisioner
        for spot in range(rng.choice([0, 1, 2])):
            fields = {"storageClassName": name}
            if rng.random() < 0.9:
                where: Json = {"matchLabels": {ZONE: rng.choice(ZONES)}} if rng.random() < 0.8 else {}
                fields["nodeTopology"] = where
            fields |= {"capacity": rng.choice(SIZES)} if rng.random() < 0.9 else {}
            fields |= {"maximumVolumeSize": rng.choice(SIZES)} if rng.random() < 0.3 else {}
            world.add(STORAGE, "CSIStorageCapacity", f"room{number}-{spot}", **fields)
    return made


def _place(rng: random.Random, world: World) -> Json:
    """Labels and node affinity of a volume."""
    made: Json = {"labels": {}, "spec": {}}
    if rng.random() < 0.3:
        key = rng.choice([ZONE, ZONE, OLD_ZONE, REGION])
        made["labels"][key] = (
            rng.choice(["r1", "r2"]) if key == REGION else rng.choice([*ZONES, "z1__z2", "z2__z3", "z9"])
        )
    if rng.random() < 0.5:
        terms: list[Json] = []
        for _ in range(rng.choice([1, 1, 2])):
            if rng.random() < 0.6:
                operator = rng.choice(["In", "NotIn", "Exists"])
                values = {} if operator == "Exists" else {"values": [rng.choice(ZONES)]}
                terms.append({"matchExpressions": [{"key": ZONE, "operator": operator, **values}]})
            else:
                host = {"key": "kubernetes.io/hostname", "operator": "In", "values": [rng.choice(world.nodes)]}
                terms.append({"matchExpressions": [host]})
        made["spec"] = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}
    return made


def _source(rng: random.Random, name: str, drivers: list[str]) -> Json:
    if rng.random() < 0.8:
        return {"csi": {"driver": rng.choice(drivers), "volumeHandle": name if rng.random() < 0.9 else "same"}}
    return {"hostPath": {"path": "/data"}}


def _modes(rng: random.Random) -> list[str]:
    return rng.choice([["ReadWriteOnce"]] * 3 + [["ReadWriteOncePod"], ["ReadWriteMany"], ["ReadOnlyMany"]])


def _free_volume(rng: random.Random, world: World, name: str, classes: dict[str, str], drivers: list[str]) -> None:
    place = _place(rng, world)
    spec: Json = {
        "capacity": {"storage": rng.choice(SIZES)},
        "accessModes": rng.choice([["ReadWriteOnce"], ["ReadWriteOnce", "ReadWriteMany"], ["ReadWriteOncePod"]]),
        "storageClassName": rng.choice(sorted(classes)),
        "persistentVolumeReclaimPolicy": "Retain",
        **_source(rng, name, drivers),
        **place["spec"],
    }
    if rng.random() < 0.1:
        spec["volumeMode"] = "Block"
    if rng.random() < 0.1:
        spec["claimRef"] = {"namespace": world.name, "name": rng.choice(["c0", "c1", "nobody"])}
    labels = {"kind": rng.choice("ab"), **place["labels"]}
    phase = rng.choice(["Available"] * 6 + ["Released", "Pending"])
    world.add("v1", "PersistentVolume", name, labels, spec=spec, status={"phase": phase})


def _claim(rng: random.Random, world: World, name: str, classes: dict[str, str], drivers: list[str]) -> str:
    """A claim: bound, lost, or loose."""
    cls, modes = rng.choice(sorted(classes)), _modes(rng)
    spec: Json = {
        "accessModes": modes,
        "resources": {"requests": {"storage": rng.choice(SIZES)}},
        "storageClassName": cls,
    }
    kind = rng.random()
    if kind < 0.5:
        _bound(rng, world, name, spec, drivers, lost=kind < 0.04, gone=0.04 < kind < 0.07)
        return name
    metadata: Json = {}
    if kind > 0.9:
        metadata["annotations"] = {"volume.kubernetes.io/selected-node": rng.choice(world.nodes)}
    if rng.random() < 0.2:
        spec["selector"] = {"matchLabels": {"kind": rng.choice("ab")}}
    if rng.random() < 0.08:
        spec["volumeMode"] = "Block"
    if rng.random() < 0.05:
        spec["volumeName"] = f"{world.name}-free0"
    if rng.random() < 0.05:
        spec["storageClassName"] = rng.choice(["", f"{world.name}-unknown"])
    world.add("v1", "PersistentVolumeClaim", name, metadata=metadata, spec=spec, status={"phase": "Pending"})
    return name


def _bound(
    rng: random.Random, world: World, name: str, spec: Json, drivers: list[str], *, lost: bool, gone: bool
) -> None:
    volume, place = f"{world.name}-{name}", _place(rng, world)
    if not gone:
        world.add(
            "v1",
            "PersistentVolume",
            volume,
            place["labels"],
            spec={
                "capacity": {"storage": "4Gi"},
                "accessModes": spec["accessModes"],
                "storageClassName": spec["storageClassName"],
                "claimRef": {"namespace": world.name, "name": name},
                **_source(rng, volume, drivers),
                **place["spec"],
            },
            status={"phase": "Bound"},
        )
    annotations = {"pv.kubernetes.io/bind-completed": "yes"}
    complete = rng.random() < 0.95
    metadata = {"annotations": annotations} if complete else {}
    world.add(
        "v1",
        "PersistentVolumeClaim",
        name,
        metadata=metadata,
        spec={**spec, "volumeName": volume},
        status={"phase": "Lost" if lost else "Bound" if complete else "Pending"},
    )


def _user(rng: random.Random, world: World, name: str, claims: list[str], drivers: list[str]) -> None:
    """A pod that runs."""
    node, volumes = rng.choice(world.nodes), []
    if rng.random() < 0.4:
        volumes.append(_of(rng.choice(claims)))
    if rng.random() < 0.5:
        own = f"{name}-own"
        spec: Json = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": f"{world.name}-class0",
        }
        _bound(rng, world, own, spec, drivers, lost=False, gone=False)
        volumes.append(_of(own))
        if rng.random() < 0.3:
            source = {"persistentVolumeName": f"{world.name}-{own}"}
            fields: Any = {"attacher": rng.choice(drivers), "nodeName": node, "source": source}
            world.add(STORAGE, "VolumeAttachment", f"{world.name}-{own}", spec=fields)
    if rng.random() < 0.4:
        volumes.append(_disk(rng, world))
    if rng.random() < 0.1:
        volumes.append({"csi": {"driver": rng.choice(drivers)}})
    world.objects.append(
        world.make_pod(name, nodeName=node, schedulerName=rng.choice(["other", "kai"]), volumes=_named(volumes))
    )
    if rng.random() < 0.15:
        world.leaving.append(name)


def _of(claim: str, read_only: bool = False) -> Json:
    return {"persistentVolumeClaim": {"claimName": claim, **({"readOnly": True} if read_only else {})}}


def _disk(rng: random.Random, world: World) -> Json:
    """A volume that only one pod on a node may write."""
    name, read_only = f"{world.name}-{rng.choice('xy')}", rng.random() < 0.4
    return rng.choice(
        [
            {"gcePersistentDisk": {"pdName": name, "readOnly": read_only}},
            {"awsElasticBlockStore": {"volumeID": name, "readOnly": read_only}},
            {
                "iscsi": {
                    "targetPortal": "1.2.3.4",
                    "iqn": f"iqn.2020-01.test:{name}",
                    "lun": rng.choice([0, 1]),
                    "readOnly": read_only,
                }
            },
            {
                "rbd": {
                    "monitors": rng.choice([["a", "b"], ["b"], ["c"]]),
                    "image": name,
                    "pool": rng.choice(["p", "q"]),
                    "readOnly": read_only,
                }
            },
        ]
    )


def _named(volumes: list[Json]) -> list[Json]:
    return [{"name": f"v{number}", **one} for number, one in enumerate(volumes)]
