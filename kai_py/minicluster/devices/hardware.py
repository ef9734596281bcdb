"""The GPUs and NICs that a node has, by its labels: where each sits on the PCIe bus, and who is linked with whom."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from kai_py.minicluster.pools import NVLINK_LABEL

from .models import Model, model_of

Object = dict[str, Any]

PCIE_ROOT: Final = "resource.kubernetes.io/pcieRoot"
PCI_BUS_ID: Final = "resource.kubernetes.io/pciBusID"

_UUIDS: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "gpu.minicluster.kai-py")
_SOCKETS: Final = 2
#: Below a root, GPUs have the first bus numbers, NICs those from here on.
_FIRST_NIC: Final = 8


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on the PCIe bus.

    Attributes:
        root: the PCIe root, as in ``resource.kubernetes.io/pcieRoot``.
        address: domain, bus, device and function.
        numa: the NUMA node of the root.
    """

    root: str
    address: str
    numa: int

    def attributes(self) -> Object:
        """What every PCI device says of its place, under Kubernetes' own names."""
        return {PCIE_ROOT: {"string": self.root}, PCI_BUS_ID: {"string": self.address}}


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU of a node.

    Attributes:
        memory: in MiB.
        nvlink: its NVLink domain and clique; empty if it is not linked.
    """

    index: int
    uuid: str
    product: str
    architecture: str
    memory: int
    nvlink: str
    slot: Slot
    model: Model


@dataclass(frozen=True, slots=True)
class Nic:
    """One RDMA NIC of a node."""

    index: int
    mac: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a node has."""

    gpus: tuple[Gpu, ...]
    nics: tuple[Nic, ...]

    @classmethod
    def of(cls, name: str, labels: Mapping[str, str]) -> Self:
        """What a node with this name and these labels has: the same whenever it is asked.

        A label that should be a number and is not counts as zero: anybody may write it.
        """
        count = _number(labels.get("nvidia.com/gpu.count", ""))
        product = labels.get("nvidia.com/gpu.product", "unknown")
        model = model_of(product)
        roots = -(-count // model.gpus_per_root)
        gpus = tuple(
            Gpu(
                index=index,
                uuid=f"GPU-{uuid.uuid5(_UUIDS, f'{name}/{index}')}",
                product=product.replace("-", " "),
                architecture=labels.get("nvidia.com/gpu.family", "unknown").replace("-", " ").title(),
                memory=_number(labels.get("nvidia.com/gpu.memory", "")),
                nvlink=labels.get(NVLINK_LABEL, ""),
                slot=_slot(index // model.gpus_per_root, roots, index % model.gpus_per_root),
                model=model,
            )
            for index in range(count)
        )
        nics = tuple(
            Nic(
                index=index,
                mac=_mac(name, index),
                slot=_slot(index // model.nics_per_root, roots, _FIRST_NIC + index % model.nics_per_root),
            )
            for index in range(roots * model.nics_per_root)
        )
        return cls(gpus, nics)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


def _slot(root: int, roots: int, below: int) -> Slot:
    base = 0x10 * (root + 1)
    return Slot(root=f"pci0000:{base:02x}", address=f"0000:{base + 1 + below:02x}:00.0", numa=_SOCKETS * root // roots)


def _mac(node: str, index: int) -> str:
    """A locally administered address."""
    digest = uuid.uuid5(_UUIDS, f"{node}/nic/{index}").bytes
    return ":".join(f"{byte:02x}" for byte in (0x02, *digest[:5]))
