"""Devices that several pods share: what a share is, and which pods sit on which device.

A shared device is a whole device of its node, taken out of the node's free ones when the first pod comes and given back
when the last one goes. Between the two, pods divide its memory. Amounts of device memory are millionths of a MiB, so
that any fraction of any device is an integer and sums are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kai_py.core.resources import DEVICE, Amounts

#: Amounts of device memory in one MiB; a fraction is that many millionths of a device.
MILLION = 1_000_000
#: MiB of a device that does not say how much memory it has (KAI's assumption); for fractions any number would do.
NOMINAL = 100
#: A share of memory is charged in steps of a hundredth of a device, rounded up.
_STEP = DEVICE // 100


@dataclass(frozen=True, order=True)
class Share:
    """A part of each of some devices of one node.

    Attributes:
        millionths: of a device; 0 where ``memory`` says how much.
        memory: MiB of each device; 0 where ``millionths`` says how much.
        devices: on how many different devices.
    """

    millionths: int = 0
    memory: int = 0
    devices: int = 1

    def amount(self, memory: int) -> int:
        """What it takes of a device with so many MiB; of a device whose size nobody knows (0), MiB take all."""
        if self.memory:
            return self.memory * MILLION if memory else NOMINAL * MILLION
        return self.millionths * (memory or NOMINAL)

    def portion(self, memory: int) -> int:
        """Thousandths of devices, over all its devices, that it is charged on devices with so many MiB."""
        if self.memory:
            return min(DEVICE, -(-100 * self.memory // memory) * _STEP) * self.devices if memory else 0
        return max(1, round(self.millionths * DEVICE / MILLION)) * self.devices


@dataclass(frozen=True)
class SharedDevices:
    """What a snapshot knows of devices that can be shared.

    Attributes:
        column: in R, the resource whose devices are shared.
        memory: ``(N,)`` MiB of each device of a node; 0 = the node does not say.
        groups: row of a pod that holds a share -> the names of its devices; names are unique to a node.
    """

    column: int
    memory: Amounts
    groups: Mapping[int, tuple[str, ...]]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The different sizes of devices that are known, ascending."""
        return tuple(sorted({*self.memory.tolist()} - {0}))

    def capacity(self, node: int) -> int:
        """Amount of memory of each device of a node."""
        return (self.memory.item(node) or NOMINAL) * MILLION
