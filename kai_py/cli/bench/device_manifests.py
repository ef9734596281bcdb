"""The objects of a benchmark about devices, as an API server has them: classes, slices of a node, claims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kai_py.api.keys import NVIDIA_DEVICES, QUEUE_LABEL
from kai_py.cli.bench.manifests import GPUS_PER_NODE

Json = dict[str, Any]

API_VERSION: Final = "resource.k8s.io/v1"
NICS: Final = "nic.example.com"
#: GPUs, and NICs, on each PCIe root of a node.
_ON_A_ROOT: Final = 2
_ROOT: Final = "resource.kubernetes.io/pcieRoot"
_ALLOCATED: Final = "2027-01-15T07:00:00Z"
#: Profiles of an 80 GB GPU with seven compute and eight memory slices: (name, compute, memory, first memory slices).
_PROFILES: Final = (
    ("1g.10gb", 1, 1, (0, 1, 2, 3, 4, 5, 6)),
    ("1g.20gb", 1, 2, (0, 2, 4, 6)),
    ("2g.20gb", 2, 2, (0, 2, 4)),
    ("3g.40gb", 3, 4, (0, 4)),
    ("4g.40gb", 4, 4, (0,)),
    ("7g.80gb", 7, 8, (0,)),
)
#: Selects whole GPUs of a node that has them.
WHOLE: Final = f'device.attributes["{NVIDIA_DEVICES}"].productName == "H100"'
#: Selects the smallest partitions.
SMALLEST: Final = f'device.attributes["{NVIDIA_DEVICES}"].profile == "1g.10gb"'


def device_class(driver: str, name: str = "") -> Json:
    """All devices of a driver."""
    selectors = [{"cel": {"expression": f'device.driver == "{driver}"'}}]
    return {
        "apiVersion": API_VERSION,
        "kind": "DeviceClass",
        "metadata": {"name": name or driver},
        "spec": {"selectors": selectors},
    }


def whole_gpus(node: str, count: int = GPUS_PER_NODE, driver: str = NVIDIA_DEVICES) -> list[Json]:
    """GPUs in one slice."""
    return [_slice(driver, node, devices=[_gpu(node, number) for number in range(count)])]


def gpus_and_nics(node: str) -> list[Json]:
    """GPUs of one driver and NICs of another one, in pairs on PCIe roots."""
    gpus = [_on_root(_gpu(node, number), number) for number in range(GPUS_PER_NODE)]
    nics = [_on_root({"name": f"nic-{number}"}, number) for number in range(GPUS_PER_NODE)]
    return [_slice(NVIDIA_DEVICES, node, devices=gpus), _slice(NICS, node, devices=nics)]


def partitions(node: str) -> list[Json]:
    """One GPU as drivers publish it: all placements of all profiles are devices, counters say which exclude others."""
    whole = {f"memory-slice-{place}": {"value": "1"} for place in range(8)}
    whole |= {"compute": {"value": "7"}, "memory": {"value": "80Gi"}}
    devices = []
    for profile, compute, memory, places in _PROFILES:
        for place in places:
            consumed = {f"memory-slice-{taken}": {"value": "1"} for taken in range(place, place + memory)}
            consumed |= {"compute": {"value": str(compute)}, "memory": {"value": f"{10 * memory}Gi"}}
            devices.append(
                {
                    "name": f"gpu-0-{profile.replace('.', '-')}-{place}",
                    "attributes": {"profile": {"string": profile}},
                    "capacity": {"memory": {"value": f"{10 * memory}Gi"}},
                    "consumesCounters": [{"counterSet": "gpu-0", "counters": consumed}],
                }
            )
    counters = [{"name": "gpu-0", "counters": whole}]
    return [
        _slice(NVIDIA_DEVICES, node, parts=2, devices=devices),
        _slice(NVIDIA_DEVICES, node, parts=2, part=1, sharedCounters=counters),
    ]


def exactly(expression: str = "", *, name: str = "gpu", count: int = 1, of: str = NVIDIA_DEVICES) -> Json:
    """A request for so many devices of a class."""
    return {"name": name, "exactly": _asked(expression, count, of)}


def first_of(name: str, counts: Sequence[int]) -> Json:
    """A request for the first of several numbers of GPUs that can be had."""
    ways = [{"name": f"way-{place}", **_asked("", count, NVIDIA_DEVICES)} for place, count in enumerate(counts)]
    return {"name": name, "firstAvailable": ways}


def on_one_root(*requests: Json) -> Json:
    """A claim whose devices are all on one PCIe root."""
    return {"devices": {"requests": list(requests), "constraints": [{"matchAttribute": _ROOT}]}}


def claim(name: str, namespace: str, queue: str, spec: Json) -> Json:
    """A claim that has no devices yet."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": namespace, "labels": {QUEUE_LABEL: queue}},
        "spec": spec,
    }


def allocated(node: str, device: str, pod: str, uid: str) -> Json:
    """The status of a claim that has a GPU, for a pod."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {
        "allocation": {
            "devices": {"results": [{"request": "gpu", "driver": NVIDIA_DEVICES, "pool": node, "device": device}]},
            "nodeSelector": {"nodeSelectorTerms": [{"matchFields": [field]}]},
            "allocationTimestamp": _ALLOCATED,
        },
        "reservedFor": [{"resource": "pods", "name": pod, "uid": uid}],
    }


def using(pod: Json, claims: Sequence[str]) -> Json:
    """The manifest of a pod that uses claims, all in its only container."""
    pod["spec"]["resourceClaims"] = [
        {"name": f"claim-{place}", "resourceClaimName": name} for place, name in enumerate(claims)
    ]
    (container,) = pod["spec"]["containers"]
    container["resources"]["claims"] = [{"name": f"claim-{place}"} for place in range(len(claims))]
    return pod


def _asked(expression: str, count: int, of: str) -> Json:
    selectors = [{"cel": {"expression": expression}}] if expression else []
    return {"deviceClassName": of, "allocationMode": "ExactCount", "count": count, "selectors": selectors}


def _slice(driver: str, node: str, *, parts: int = 1, part: int = 0, **content: Any) -> Json:
    pool = {"name": node, "generation": 1, "resourceSliceCount": parts}
    return {
        "apiVersion": API_VERSION,
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{driver}-{part}"},
        "spec": {"driver": driver, "pool": pool, "nodeName": node, **content},
    }


def _gpu(node: str, number: int) -> Json:
    return {
        "name": f"gpu-{number}",
        "attributes": {
            "productName": {"string": "H100"},
            "index": {"int": number},
            "uuid": {"string": f"gpu-{node}-{number}"},
        },
        "capacity": {"memory": {"value": "80Gi"}},
    }


def _on_root(device: Json, number: int) -> Json:
    root = {_ROOT: {"string": f"pci0000:{number // _ON_A_ROOT:02x}"}}
    return device | {"attributes": device.get("attributes", {}) | root}
