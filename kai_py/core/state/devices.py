"""Shared devices as the cycle changes them: who takes how much of which, now and once leaving pods are gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kai_py.core.resources import DEVICE, Amounts
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.devices import SharedDevices
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


_NOTHING = Taken()
_NONE_SHARED: dict[str, Taken] = {}
