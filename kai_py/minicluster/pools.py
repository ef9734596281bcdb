"""Node pools: GPU servers that look like those in a data centre, with the labels that real ones carry.

What a server is and how many stand in a rack is a table (:data:`SERVERS`, :data:`PROFILES`); the rest of the module
only counts. The same profile and count give the same nodes, byte for byte, and sorting them by name sorts them by rack.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from kai_py.api.keys import HOSTNAME_LABEL, NVIDIA_GPU, TOPOLOGY_API_VERSION

from .kinds import NODES
from .storage import Storage

Object = dict[str, Any]

ZONE_LABEL: Final = "topology.kubernetes.io/zone"
REGION_LABEL: Final = "topology.kubernetes.io/region"
BLOCK_LABEL: Final = "cloud.provider.com/topology-block"
RACK_LABEL: Final = "cloud.provider.com/topology-rack"
#: NVLink domain and partition, as NVIDIA's GPU feature discovery writes it: ``<domain uuid>.<clique number>``.
NVLINK_LABEL: Final = "nvidia.com/gpu.clique"

#: The levels of the generated topology from the widest to the narrowest: node label and alias.
LEVELS: Final = ((ZONE_LABEL, "zone"), (BLOCK_LABEL, "block"), (RACK_LABEL, "rack"), (HOSTNAME_LABEL, "host"))

_REGION: Final = "mini-1"
_EPOCH: Final = "2026-01-01T00:00:00Z"
_DOMAINS: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "nvlink.minicluster.kai-py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A model of GPU.

    Attributes:
        product: as in the label ``nvidia.com/gpu.product``.
        family: architecture.
        memory: in MiB.
    """

    product: str
    family: str
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A model of server, and how it is racked.

    Attributes:
        instance_type: the value of ``node.kubernetes.io/instance-type``.
        cpu: cores.
        memory: a quantity.
        disk: ephemeral storage, a quantity.
        gpu: model of its GPUs.
        gpus: how many of them.
        nvlink_nodes: servers that share one NVLink domain; 0 = GPUs are not linked at all.
        nodes_per_rack: servers in a rack.
        racks_per_block: racks in a block.
        blocks_per_zone: blocks in a zone.
        pods: the most pods it takes.
        arch: architecture of its CPUs.
    """

    instance_type: str
    cpu: int
    memory: str
    disk: str
    gpu: Gpu | None = None
    gpus: int = 0
    nvlink_nodes: int = 0
    nodes_per_rack: int
    racks_per_block: int
    blocks_per_zone: int
    pods: int = 110
    arch: str = "amd64"


H100: Final = Gpu(product="NVIDIA-H100-80GB-HBM3", family="hopper", memory=81559)
A100: Final = Gpu(product="NVIDIA-A100-SXM4-80GB", family="ampere", memory=81920)
L40S: Final = Gpu(product="NVIDIA-L40S", family="ada-lovelace", memory=46068)
GB200: Final = Gpu(product="NVIDIA-GB200", family="blackwell", memory=189471)

#: Servers by the name that their nodes begin with.
SERVERS: Final[dict[str, Server]] = {
    "h100": Server(
        instance_type="p5.48xlarge",
        cpu=192,
        memory="2Ti",
        disk="28Ti",
        gpu=H100,
        gpus=8,
        nvlink_nodes=1,
        nodes_per_rack=8,
        racks_per_block=4,
        blocks_per_zone=4,
    ),
    "a100": Server(
        instance_type="p4de.24xlarge",
        cpu=96,
        memory="1152Gi",
        disk="7Ti",
        gpu=A100,
        gpus=8,
        nvlink_nodes=1,
        nodes_per_rack=8,
        racks_per_block=4,
        blocks_per_zone=4,
    ),
    "gb200": Server(
        instance_type="p6e-gb200.36xlarge",
        cpu=144,
        memory="960Gi",
        disk="22Ti",
        gpu=GB200,
        gpus=4,
        nvlink_nodes=18,
        nodes_per_rack=18,
        racks_per_block=8,
        blocks_per_zone=2,
        arch="arm64",
    ),
    "l40s": Server(
        instance_type="g6e.48xlarge",
        cpu=192,
        memory="1536Gi",
        disk="7Ti",
        gpu=L40S,
        gpus=8,
        nodes_per_rack=10,
        racks_per_block=8,
        blocks_per_zone=4,
    ),
    "cpu": Server(
        instance_type="m7i.24xlarge",
        cpu=96,
        memory="384Gi",
        disk="1Ti",
        nodes_per_rack=20,
        racks_per_block=8,
        blocks_per_zone=4,
    ),
    # The fake node of KAI's published scale test; 4 zones × 8 blocks × 8 racks × 2 nodes hold 512 of them.
    "bench": Server(
        instance_type="kwok",
        cpu=32,
        memory="256Gi",
        disk="1Ti",
        gpu=A100,
        gpus=8,
        nvlink_nodes=1,
        nodes_per_rack=2,
        racks_per_block=8,
        blocks_per_zone=8,
    ),
}

#: Profile → servers with their parts of the count.
PROFILES: Final[dict[str, tuple[tuple[str, int], ...]]] = {
    "h100": (("h100", 1),),
    "a100": (("a100", 1),),
    "gb200": (("gb200", 1),),
    "l40s-inference": (("l40s", 1),),
    "cpu": (("cpu", 1),),
    "mixed": (("h100", 6), ("a100", 3), ("cpu", 1)),
    "bench": (("bench", 1),),
    "devices": (("h100", 5), ("a100", 1), ("l40s", 1), ("gb200", 1)),
}


def nodes(profile: str, count: int) -> list[Object]:
    """The nodes of a pool, with status, sorted by name; a device plugin offers their GPUs.

    Args:
        profile: one of :data:`PROFILES`.
        count: how many nodes.

    Raises:
        ValueError: there is no such profile, or the count is negative.
    """
    if profile not in PROFILES:
        raise ValueError(f"no node profile {profile!r}: there are {', '.join(PROFILES)}")
    if count < 0:
        raise ValueError(f"a pool cannot have {count} nodes")
    made: list[Object] = []
    for part, (name, number) in enumerate(_divided(PROFILES[profile], count)):
        made += (_node(place, SERVERS[name], part) for place in _places(name, number))
    return sorted(made, key=lambda node: str(node["metadata"]["name"]))


def topology(name: str = "default") -> Object:
    """The Topology (``kai.scheduler/v1alpha1``) of all generated nodes: zone, block, rack, host."""
    levels = [{"nodeLabel": label, "alias": alias} for label, alias in LEVELS]
    return {
        "apiVersion": TOPOLOGY_API_VERSION,
        "kind": "Topology",
        "metadata": {"name": name},
        "spec": {"levels": levels},
    }


def register(storage: Storage, pool: Iterable[Object]) -> None:
    """Add nodes to a cluster, ready to take pods.

    The server taints every new node as not ready. Its kubelet has said that it is, so the taint is taken off at once
    and not only where the node controller runs.

    Raises:
        RefusedError: the cluster refuses one; those before it stay.
    """
    for node in pool:
        created = storage.create(NODES.key, node)
        if taints := node["spec"].get("taints"):
            created["spec"]["taints"] = taints
        else:
            created["spec"].pop("taints", None)
        storage.update(NODES.key, created)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a server stands. Numbers count within their server model, from 0."""

    server: str
    index: int
    zone: int
    block: str
    rack: str
    name: str


def _divided(parts: tuple[tuple[str, int], ...], count: int) -> Iterator[tuple[str, int]]:
    """Divide a count in proportion: cumulative and rounded down, so that it adds up. The first part gets the rest."""
    total = sum(weight for _, weight in parts)
    later = [count * weight // total for _, weight in parts[1:]]
    yield parts[0][0], count - sum(later)
    yield from ((name, number) for (name, _), number in zip(parts[1:], later, strict=True))


def _places(name: str, count: int) -> Iterator[_Place]:
    server = SERVERS[name]
    # At least two digits, and as many as the last rack needs, so that names sort in the order of racks.
    digits = max(2, len(str(-(-count // server.nodes_per_rack))))
    for index in range(count):
        rack, slot = divmod(index, server.nodes_per_rack)
        block = rack // server.racks_per_block
        rack_name = f"{name}-r{rack + 1:0{digits}}"
        yield _Place(
            server=name,
            index=index,
            zone=block // server.blocks_per_zone,
            block=f"{name}-b{block + 1:02}",
            rack=rack_name,
            name=f"{rack_name}-n{slot + 1:02}",
        )


def _node(place: _Place, server: Server, part: int) -> Object:
    offered = {"cpu": str(server.cpu), "memory": server.memory, "ephemeral-storage": server.disk}
    offered["pods"] = str(server.pods)
    if server.gpus:
        offered[NVIDIA_GPU] = str(server.gpus)
    number = place.index + 1
    address = f"10.{part}.{number >> 8}.{number & 255}"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": place.name, "labels": _labels(place, server)},
        "spec": {},
        "status": {
            "capacity": dict(offered),
            "allocatable": dict(offered),
            "conditions": list(_conditions()),
            "addresses": [
                {"type": "InternalIP", "address": address},
                {"type": "Hostname", "address": place.name},
            ],
            "nodeInfo": _node_info(place, server),
        },
    }


def _labels(place: _Place, server: Server) -> dict[str, str]:
    role = "gpu-worker" if server.gpus else "cpu-worker"
    labels = {
        "kubernetes.io/arch": server.arch,
        "kubernetes.io/os": "linux",
        HOSTNAME_LABEL: place.name,
        f"node-role.kubernetes.io/{role}": "",
        "node.kubernetes.io/instance-type": server.instance_type,
        REGION_LABEL: _REGION,
        ZONE_LABEL: f"{_REGION}{_letter(place.zone)}",
        BLOCK_LABEL: place.block,
        RACK_LABEL: place.rack,
    }
    if server.gpu is not None:
        labels |= {
            "nvidia.com/gpu.present": "true",
            "nvidia.com/gpu.product": server.gpu.product,
            "nvidia.com/gpu.family": server.gpu.family,
            "nvidia.com/gpu.memory": str(server.gpu.memory),
            "nvidia.com/gpu.count": str(server.gpus),
        }
    if server.nvlink_nodes:
        domain = f"{place.server}-{place.index // server.nvlink_nodes}"
        labels[NVLINK_LABEL] = f"{uuid.uuid5(_DOMAINS, domain)}.0"
    return labels


def _letter(number: int) -> str:
    """a, b, …, z, and from there on z26, z27, …: a zone's suffix."""
    return chr(ord("a") + number) if number < 26 else f"z{number}"


def _conditions() -> Iterator[Object]:
    yield _condition("Ready", "True", "KubeletReady", "kubelet is posting ready status")
    yield _condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available")
    yield _condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure")
    yield _condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available")


def _condition(kind: str, status: str, reason: str, message: str) -> Object:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": _EPOCH,
        "lastTransitionTime": _EPOCH,
    }


def _node_info(place: _Place, server: Server) -> Object:
    machine = uuid.uuid5(_DOMAINS, place.name)
    return {
        "architecture": server.arch,
        "operatingSystem": "linux",
        "osImage": "none",
        "kernelVersion": "none",
        "containerRuntimeVersion": "fake://1",
        "kubeletVersion": "v1.36.0-fake",
        "kubeProxyVersion": "v1.36.0-fake",
        "machineID": machine.hex,
        "systemUUID": str(machine),
        "bootID": str(machine),
    }
