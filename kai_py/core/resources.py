"""Resource axes and the array types of the core.

Two axes, fixed for the life of a snapshot:

* ``R``: resources as nodes offer and pods request them (``cpu``, ``memory``, ``pods``, ``nvidia.com/gpu``, …).
* ``A``: resources as queues are charged for them (``cpu``, ``memory``, ``gpu``, …); ``accounting`` translates.

Ledgers are int64 in base units: millicores, bytes, and thousandths of a device for whole GPUs, so that shared
devices stay integers; every other resource counts its own units. Shares are float64 in the same base units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

Amounts = NDArray[np.int64]
Shares = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int32]
#: ``(A,)`` base units that one podgroup or pod costs its queue. A tuple, because it is read number by number.
Cost = tuple[int, ...]

CPU: Final = "cpu"
MEMORY: Final = "memory"
PODS: Final = "pods"
GPU: Final = "gpu"

#: Base units of one device on a resource that counts as GPU.
DEVICE: Final = 1000
#: Every R axis begins with these, every A axis with ``ACCOUNTED``.
COMMON: Final = (CPU, MEMORY, PODS)
ACCOUNTED: Final = (CPU, MEMORY, GPU)


@dataclass(frozen=True)
class ResourceAxis:
    """The R and the A axis of a snapshot.

    Attributes:
        names: names of R; ``cpu``, ``memory``, ``pods`` first.
        accounted: names of A; ``cpu``, ``memory``, ``gpu`` first.
        accounting: ``(R, A)`` base units charged to a queue per base unit of the resource.
        quantum: ``(A,)`` the unit in which fair shares are rounded: one millicore, one byte, one device.
        gpus: names in R whose base unit is a thousandth of a device.
    """

    names: tuple[str, ...]
    accounted: tuple[str, ...]
    accounting: Amounts = field(compare=False)
    quantum: Shares = field(compare=False)
    gpus: frozenset[str] = frozenset()
    index: Mapping[str, int] = field(init=False, repr=False, compare=False)
    _bytes: tuple[bytes, bytes] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.names[:3] != COMMON or self.accounted[:3] != ACCOUNTED:
            raise ValueError(f"axes begin with {COMMON} and {ACCOUNTED}, not {self.names[:3]} and {self.accounted[:3]}")
        if self.accounting.shape != (len(self.names), len(self.accounted)):
            raise ValueError(
                f"accounting is {self.accounting.shape}, the axes are {len(self.names)} x {len(self.accounted)}"
            )
        # Arrays do not compare to a truth value; their bytes do.
        object.__setattr__(self, "_bytes", (self.accounting.tobytes(), self.quantum.tobytes()))
        object.__setattr__(self, "index", {name: row for row, name in enumerate(self.names)})

    def __len__(self) -> int:
        return len(self.names)

    def per_unit(self, name: str) -> int:
        """Base units in one unit of a resource as a manifest writes it: 1000 for cpu and whole GPUs, else 1."""
        return DEVICE if name in self.gpus or name == CPU else 1

    def accounted_per_unit(self, name: str) -> int:
        """Base units in one unit of an accounted resource as a Queue's status writes it."""
        return DEVICE if name == GPU else 1
