"""Shared devices as the cycle changes them: who takes how much of which, now and once leaving pods are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kai_py.core.resources import DEVICE, Amounts, Mask, Rows
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.devices import MILLION, NOMINAL, Share, SharedDevices
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.snapshot import Snapshot


class Taken(NamedTuple):
    """Amounts of one device's memory that pods take.

    Attributes:
        now: by pods that hold it, leaving ones included.
        later: once leaving pods are gone and nominated ones are there.
    """

    now: int = 0
    later: int = 0


class Devices:
    """The shared devices of all nodes. Part of the ledger; only ``Transaction`` changes it.

    A device exists here as long as anybody takes a part of it, now or later. It is one whole device of its node as long
    as that: the sums of the ledger follow from ``now`` and ``later`` alone, so that every change has an exact inverse.

    Attributes:
        table: of the snapshot.
        taken: node row -> name of the device -> what is taken of it.
        of_pod: pod row -> the devices that it is, or was last, on.
    """

    def __init__(self, snapshot: Snapshot, table: SharedDevices, free: Amounts, releasing: Amounts) -> None:
        self.table = table
        self._free = free
        self._releasing = releasing
        self._classes = snapshot.classes.classes
        self._class_idx = snapshot.pods.class_idx
        self._memory: list[int] = table.memory.tolist()
        self.taken: dict[int, dict[str, Taken]] = {}
        self.rooms = Rooms(self)
        self.of_pod: dict[int, tuple[str, ...]] = dict(table.groups)
        states, nodes = snapshot.pods.state, snapshot.pods.node_idx
        for pod, names in table.groups.items():
            state, node = states.item(pod), nodes.item(pod)
            if node != NONE and state in USING:
                self.shift(pod, node, names, 1, now=True, later=state != PodState.RELEASING)

    def shift(self, pod: int, node: int, names: Sequence[str], sign: int, *, now: bool, later: bool = True) -> None:
        """Let a pod take its share of some devices of a node (``sign`` 1), or give it back (-1), now and later."""
        amount = sign * self.amount(self._classes[self._class_idx.item(pod)], node)
        devices = self.taken.setdefault(node, {})
        opened, needed = 0, 0
        for name in names:
            before = devices.get(name, _NOTHING)
            after = Taken(before.now + amount * now, before.later + amount * later)
            opened += (after.now > 0) - (before.now > 0)
            needed += (after.later > 0) - (before.later > 0)
            devices[name] = after
            if after == _NOTHING:
                del devices[name]
        if not devices:
            del self.taken[node]
        self.rooms.forget(node)
        if opened or needed:
            self._free[node, self.table.column] -= DEVICE * opened
            self._releasing[node, self.table.column] += DEVICE * (opened - needed)

    def amount(self, pod: PodClass, node: int) -> int:
        """What a pod that shares takes of each of its devices on a node."""
        assert pod.share is not None
        return pod.share.amount(self._memory[node])

    def capacity(self, node: int) -> int:
        """Amount of memory of each device of a node."""
        return self.table.capacity(node)

    def on(self, node: int) -> dict[str, Taken]:
        """The shared devices of a node."""
        return self.taken.get(node, _NONE_SHARED)

    def holds(self, pod: int, node: int, names: Sequence[str]) -> tuple[bool, bool]:
        """Whether a pod finds room on just these devices: now, and later; not counting room for anything but GPUs."""
        amount, most = self.amount(self._classes[self._class_idx.item(pod)], node), self.capacity(node)
        devices = [self.on(node).get(name, _NOTHING) for name in names]
        free = self._free.item(node, self.table.column)
        later = free + self._releasing.item(node, self.table.column)
        return (
            all(one.now + amount <= most for one in devices) and DEVICE * sum(not one.now for one in devices) <= free,
            all(one.later + amount <= most for one in devices)
            and DEVICE * sum(not one.later for one in devices) <= later,
        )

    def unused(self) -> Iterator[tuple[int, int]]:
        """(node, thousandths of a device that nobody takes later) per device that is shared later, rounded up."""
        for node, devices in self.taken.items():
            most = self.capacity(node)
            for one in devices.values():
                if one.later:
                    yield node, max(0, -(-100 * (most - one.later) // most)) * (DEVICE // 100)


class Rooms:
    """What is left of the devices in use, as arrays: for who looks at many nodes at once.

    Args:
        devices: whose changes are followed.
    """

    def __init__(self, devices: Devices) -> None:
        self._devices = devices
        self._left: Amounts = np.zeros((len(devices.table.memory), 0), dtype=np.int64)
        self._steady: Mask = np.ones(len(devices.table.memory), dtype=np.bool_)
        self._changed: set[int] = set()
        #: ``(N,)`` amount of memory of each device of a node.
        self.capacities: Amounts = np.where(devices.table.memory > 0, devices.table.memory, NOMINAL) * MILLION

    def forget(self, node: int) -> None:
        """Something has changed on a node."""
        self._changed.add(node)

    @property
    def left(self) -> Amounts:
        """``(N, X)`` amounts that will be left of each device that is in use later, largest first; 0 = no device."""
        self._catch_up()
        return self._left

    @property
    def steady(self) -> Mask:
        """``(N,)`` where everything that is taken now is taken later, and nothing else."""
        self._catch_up()
        return self._steady

    def pieces(self, rows: Rows) -> Amounts:
        """``(K, X)`` the same in thousandths of a device, rounded down."""
        return self.left[rows] * DEVICE // self.capacities[rows, None]

    def amounts(self, share: Share) -> Amounts:
        """``(N,)`` what a share takes of each of its devices; more than there is where nobody knows what they have."""
        memory = self._devices.table.memory
        if share.memory:
            return np.where(memory > 0, share.memory * MILLION, 2 * self.capacities)
        return share.millionths * np.where(memory > 0, memory, NOMINAL)

    def portions(self, share: Share) -> Amounts:
        """``(N,)`` the same in thousandths of a device, rounded up."""
        return -(-self.amounts(share) * DEVICE // self.capacities)

    def _catch_up(self) -> None:
        for node in self._changed:
            devices, most = self._devices.on(node).values(), self._devices.capacity(node)
            left = sorted([max(0, most - one.later) for one in devices if one.later], reverse=True)
            if (more := len(left) - self._left.shape[1]) > 0:
                self._left = np.pad(self._left, ((0, 0), (0, more)))
            self._left[node] = 0
            self._left[node, : len(left)] = left
            self._steady[node] = all(one.now == one.later for one in devices)
        self._changed.clear()


_NOTHING = Taken()
_NONE_SHARED: dict[str, Taken] = {}
