"""What a node offers by dynamic resource allocation: labels that the drivers read, as DaemonSets of real ones do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from kai_py.api.keys import NVIDIA_GPU

Object = dict[str, Any]

GPUS_LABEL: Final = "minicluster.kai-py/gpus"
NICS_LABEL: Final = "minicluster.kai-py/nics"
FABRIC_LABEL: Final = "minicluster.kai-py/fabric"
#: Where Kata Containers are installed, as their installer labels it.
KATA_LABEL: Final = "katacontainers.io/kata-runtime"

#: The one fabric of the generated nodes.
_FABRIC: Final = "main"
_PRESENT: Final = "true"


class Gpus(StrEnum):
    """How the GPUs of a node are offered."""

    PLUGIN = "plugin"
    """As the extended resource ``nvidia.com/gpu``: a device plugin, and no claims."""
    WHOLE = "whole"
    """One device each."""
    MIG = "mig"
    """Whole, or in parts that exclude each other by shared counters."""
    SHARED = "shared"
    """To several claims at once, by cores and memory."""
    VFIO = "vfio"
    """Passed through to virtual machines."""


_OTHERS: Final = ("nics", "fabric")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a node offers.

    Attributes:
        gpus: how its GPUs are offered.
        nics: whether its RDMA NICs are devices.
        fabric: whether it reaches the network-attached devices.
    """

    gpus: Gpus = Gpus.PLUGIN
    nics: bool = False
    fabric: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``mig+nics``: at most one way to offer GPUs, and any of ``nics`` and ``fabric``.

        Raises:
            ValueError: a word is unknown, or two say how GPUs are offered.
        """
        words = text.split("+")
        known = [*Gpus, *_OTHERS]
        for word in words:
            if word not in known:
                raise ValueError(f"{word!r} should be one of {', '.join(known)}")
        gpus = [Gpus(word) for word in words if word not in _OTHERS]
        if len(gpus) > 1:
            raise ValueError(f"{text!r} says twice how GPUs are offered: {' and '.join(gpus)}")
        return cls(gpus=gpus[0] if gpus else Gpus.PLUGIN, nics="nics" in words, fabric="fabric" in words)

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Self:
        """What a node with these labels offers; a label with a value that means nothing offers nothing."""
        found = labels.get(GPUS_LABEL, "")
        return cls(
            gpus=Gpus(found) if found in list(Gpus) else Gpus.PLUGIN,
            nics=labels.get(NICS_LABEL) == _PRESENT,
            fabric=bool(labels.get(FABRIC_LABEL)),
        )

    def labels(self) -> dict[str, str]:
        """The labels that say so."""
        said = {} if self.gpus is Gpus.PLUGIN else {GPUS_LABEL: self.gpus.value}
        if self.gpus is Gpus.VFIO:
            said[KATA_LABEL] = _PRESENT
        if self.nics:
            said[NICS_LABEL] = _PRESENT
        if self.fabric:
            said[FABRIC_LABEL] = _FABRIC
        return said


def parse_offers(texts: Iterable[str], servers: Iterable[str]) -> dict[str, Offer]:
    """Server → what its nodes offer, from ``mig+nics`` (all servers) or ``h100=mig+nics``; later texts win.

    Raises:
        ValueError: there is no such server, or see :meth:`Offer.parse`.
    """
    known, offers = list(servers), dict[str, Offer]()
    for text in texts:
        server, named, words = text.rpartition("=")
        if named and server not in known:
            raise ValueError(f"{server!r} should be one of {', '.join(known)}")
        offers |= dict.fromkeys([server] if named else known, Offer.parse(words))
    return offers


def equip_pool(nodes: Iterable[Object], offers: Mapping[str, Offer]) -> list[Object]:
    """Nodes that offer what their servers do; names of nodes begin with the server's."""
    return [equip(node, offers.get(node["metadata"]["name"].partition("-")[0], Offer())) for node in nodes]


def equip(node: Object, offer: Offer) -> Object:
    """A node that offers its devices like this, and what is offered to claims not a second time by a device plugin."""
    metadata = node["metadata"]
    equipped = node | {"metadata": metadata | {"labels": (metadata.get("labels") or {}) | offer.labels()}}
    if offer.gpus is not Gpus.PLUGIN:
        status = node["status"]
        equipped["status"] = status | {
            key: {name: amount for name, amount in status[key].items() if name != NVIDIA_GPU}
            for key in ("capacity", "allocatable")
        }
    return equipped
