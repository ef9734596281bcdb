"""What each model of GPU is: numbers of its data sheet, and how a server is wired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kai_py.minicluster.quantities import canonical


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A way to cut out a part of a GPU (MIG), as ``nvidia-smi mig -lgip`` and ``-lgipp`` tell it.

    Attributes:
        name: for instance ``1g.10gb``.
        number: of the profile.
        memory: in MiB.
        multiprocessors: and the other engines, how many of them a part has.
        starts: slices of memory at which a part may begin.
        size: slices of memory that it takes.
    """

    name: str
    number: int
    memory: int
    multiprocessors: int
    copy_engines: int
    decoders: int
    jpeg_engines: int
    ofa_engines: int
    starts: tuple[int, ...]
    size: int

    def engines(self) -> dict[str, str]:
        """What a part has: quantities, under the driver's names of capacities."""
        return {
            "multiprocessors": str(self.multiprocessors),
            "copyEngines": str(self.copy_engines),
            "decoders": str(self.decoders),
            "encoders": "0",
            "jpegEngines": str(self.jpeg_engines),
            "ofaEngines": str(self.ofa_engines),
            "memory": mebibytes(self.memory),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model of GPU and its server.

    Attributes:
        capability: CUDA compute capability.
        device_id: of the PCI device.
        gpus_per_root: how many are below one PCIe root.
        nics_per_root: how many RDMA NICs are there with them.
        profiles: how it can be cut; the last one is all of it. Empty: not at all.
    """

    capability: str = "8.0.0"
    device_id: str = "0x0000"
    gpus_per_root: int = 2
    nics_per_root: int = 1
    profiles: tuple[Profile, ...] = ()


def mebibytes(number: int) -> str:
    """So many MiB, spelled as the server stores it."""
    return canonical(f"{number}Mi")


def _profile(
    name: str, number: int, memory: int, engines: tuple[int, ...], starts: tuple[int, ...], size: int
) -> Profile:
    multiprocessors, copy_engines, decoders, jpeg_engines, ofa_engines = engines
    return Profile(
        name=name,
        number=number,
        memory=memory,
        multiprocessors=multiprocessors,
        copy_engines=copy_engines,
        decoders=decoders,
        jpeg_engines=jpeg_engines,
        ofa_engines=ofa_engines,
        starts=starts,
        size=size,
    )


#: Multiprocessors, copy engines, decoders, JPEG engines, optical flow accelerators; NVIDIA's MIG user guide.
_H100: Final = (
    _profile("1g.10gb", 19, 9984, (16, 1, 1, 1, 0), (0, 1, 2, 3, 4, 5, 6), 1),
    _profile("1g.10gb+me", 20, 9984, (16, 1, 1, 1, 1), (0, 1, 2, 3, 4, 5, 6), 1),
    _profile("1g.20gb", 15, 20096, (26, 1, 1, 1, 0), (0, 2, 4, 6), 2),
    _profile("2g.20gb", 14, 20096, (32, 2, 2, 2, 0), (0, 2, 4), 2),
    _profile("3g.40gb", 9, 40448, (60, 3, 3, 3, 0), (0, 4), 4),
    _profile("4g.40gb", 5, 40448, (64, 4, 4, 4, 0), (0,), 4),
    _profile("7g.80gb", 0, 81152, (132, 8, 7, 7, 1), (0,), 8),
)
_A100: Final = (
    _profile("1g.10gb", 19, 9728, (14, 1, 0, 0, 0), (0, 1, 2, 3, 4, 5, 6), 1),
    _profile("1g.10gb+me", 20, 9728, (14, 1, 1, 1, 1), (0, 1, 2, 3, 4, 5, 6), 1),
    _profile("1g.20gb", 15, 19968, (14, 1, 1, 0, 0), (0, 2, 4, 6), 2),
    _profile("2g.20gb", 14, 19968, (28, 2, 1, 0, 0), (0, 2, 4), 2),
    _profile("3g.40gb", 9, 40192, (42, 3, 2, 0, 0), (0, 4), 4),
    _profile("4g.40gb", 5, 40192, (56, 4, 2, 0, 0), (0,), 4),
    _profile("7g.80gb", 0, 80640, (98, 7, 5, 1, 1), (0,), 8),
)

_UNKNOWN: Final = Model()

_MODELS: Final[dict[str, Model]] = {
    "NVIDIA-H100-80GB-HBM3": Model(capability="9.0.0", device_id="0x2330", gpus_per_root=1, profiles=_H100),
    "NVIDIA-A100-SXM4-80GB": Model(
        capability="8.0.0", device_id="0x20b2", gpus_per_root=2, nics_per_root=2, profiles=_A100
    ),
    "NVIDIA-L40S": Model(capability="8.9.0", device_id="0x26b9", gpus_per_root=2),
    "NVIDIA-GB200": Model(capability="10.0.0", device_id="0x2941", gpus_per_root=1),
}


def model_of(product: str) -> Model:
    """The model by its product name, as in the label ``nvidia.com/gpu.product``; an unknown one cannot be cut."""
    return _MODELS.get(product, _UNKNOWN)
