"""Volumes as the cycle changes them: who has picked which, what nodes attach, now and once leaving pods are gone."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.state.shelves import Shelves
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.tables.volumes import PodVolumes, VolumeAsk, VolumeTable


class Change(NamedTuple):
    """What a pod that comes or goes does to the volumes; applied with the opposite sign it is undone.

    Attributes:
        now, later: 1 = it comes, -1 = it goes, 0 = no change, now and once leaving pods are gone.
        picks: volumes, rows, that it picks or puts back; ``NONE`` = one is made for it.
    """

    pod: int
    node: int
    now: int
    later: int
    picks: tuple[int, ...] = ()


class _Counts(NamedTuple):
    """What a class asks of volumes, counted.

    Attributes:
        picks: (choice, how many of its volumes).
        drivers: (column of the driver, volumes of it), those that are attached somewhere already included.
    """

    picks: tuple[tuple[int, int], ...]
    drivers: tuple[tuple[int, int], ...]


class _When:
    """What is in use at one time.

    Attributes:
        handles: (node, handle) -> how many pods use it there.
        attached: ``(N, D)`` volumes that are attached, each once a node.
        users: claim that one pod alone may use -> pods that do.
        disks: (node, disk, whether it is only read) -> how many pods use it so.
    """

    def __init__(self, nodes: int, drivers: int) -> None:
        self.handles: Counter[tuple[int, int]] = Counter()
        self.attached: Amounts = np.zeros((nodes, drivers), dtype=np.int64)
        self.users: Counter[int] = Counter()
        self.disks: Counter[tuple[int, int, bool]] = Counter()

    def users_of(self, handle: int, nodes: Rows) -> Amounts:
        """Which of some nodes have a volume attached: 1, else 0."""
        there = [node for (node, one), users in self.handles.items() if one == handle and users > 0]
        return np.isin(nodes, there).astype(np.int64)

    def nodes_of(self, disk: int, *, writing: bool) -> list[int]:
        """Nodes on which somebody uses a disk; with ``writing`` only those who write."""
        return [
            node
            for (node, one, read_only), users in self.disks.items()
            if one == disk and users > 0 and not (writing and read_only)
        ]


class Volumes:
    """The volumes of a snapshot. Part of the ledger; only ``Transaction`` changes it.

    Attributes:
        table: of the snapshot.
        changed: rows of nodes that look different, in order, with repetitions; whoever looks remembers how far.
        upheavals: how often something has changed that is not about single nodes.
        picked: pod -> the volumes that it has picked in this cycle; ``NONE`` = one is made for it.
    """

    def __init__(self, snapshot: Snapshot, table: VolumeTable) -> None:
        self.table = table
        self.changed: list[int] = []
        self.upheavals = 0
        self.picked: dict[int, tuple[int, ...]] = {}
        self._classes = snapshot.classes.classes
        self._class: Rows = snapshot.pods.class_idx
        #: Pods by the volume that they have picked.
        self._taken: Rows = np.zeros(len(table.names), dtype=np.int32)
        #: Choices of claims that several pods share: the volume, the node, and how many pods have it.
        self._settled: dict[int, tuple[int, int, int]] = {}
        #: By choice: what is left of it, by node.
        self._free: dict[int, Amounts] = {}
        self._shelves = Shelves(table, len(snapshot.nodes))
        self._counted: dict[VolumeAsk, _Counts] = {}
        #: What was chosen last, and when: whoever is given a node has just been told that it has volumes there.
        self._chosen: tuple[VolumeAsk, tuple[int, int, int], tuple[int, ...] | None] | None = None
        nodes = self._nodes = len(snapshot.nodes)
        self._all: Rows = np.arange(nodes, dtype=np.int32)
        self._now, self._later = _When(nodes, len(table.drivers)), _When(nodes, len(table.drivers))
        for node, handle in table.attached:
            for when in (self._now, self._later):
                self._attach(when, node, (handle,), 1)
        states, where = snapshot.pods.state, snapshot.pods.node_idx
        for pod in table.of_pod:
            if where.item(pod) != NONE and states.item(pod) in USING:
                self._shift(Change(pod, where.item(pod), 1, int(states.item(pod) != PodState.RELEASING)), 1)

    # -- changes -----------------------------------------------------------------------------------

    def join(self, pod: int, node: int, *, now: bool) -> Change | None:
        """A pod gets a node: it picks its volumes there.

        Returns:
            What to hand to :meth:`undo`; None for pods without volumes.
        """
        if pod not in self.table.of_pod:
            return None
        picks = self.choose(self._ask(pod), node)
        assert picks is not None, "a node was chosen on which there is no volume"
        return self._apply(Change(pod, node, int(now), 1, picks))

    def leave(self, pod: int, node: int, *, now: bool) -> Change | None:
        """A pod is told to go, or its place is taken back, ``now`` if it held that; as :meth:`join`."""
        if pod not in self.table.of_pod or node == NONE:
            return None
        return self._apply(Change(pod, node, -int(now), -1, self.picked.get(pod, ())))

    def undo(self, change: Change) -> None:
        """Take a change back."""
        self._shift(change, -1)

    def _apply(self, change: Change) -> Change:
        self._shift(change, 1)
        return change

    def _shift(self, change: Change, sign: int) -> None:
        used = self.table.of_pod[change.pod]
        for when, step in ((self._now, sign * change.now), (self._later, sign * change.later)):
            if not step:
                continue
            self._attach(when, change.node, used.handles, step)
            for row in used.exclusive:
                when.users[row] += step
                self.upheavals += 1
            for row, read_only in used.disks:
                when.disks[change.node, row, read_only] += step
        if change.picks:
            self._pick(change, sign * change.later)
        self.changed.append(change.node)

    def _pick(self, change: Change, step: int) -> None:
        """A pod gets its volumes (``step`` 1), or puts them back (-1)."""
        if step > 0:
            self.picked[change.pod] = change.picks
        else:
            del self.picked[change.pod]
        for choice, row in zip(self._ask(change.pod).picks, change.picks, strict=True):
            if row != NONE:
                self._take(row, step)
            if self.table.choices[choice].shared:
                *what, pods = self._settled.get(choice, (row, change.node, 0))
                self._settled[choice] = (what[0], what[1], pods + step)
                if pods + step == 0:
                    del self._settled[choice]
                self.upheavals += 1

    def _take(self, row: int, step: int) -> None:
        """One pod more, or less, has picked a volume."""
        before = self._taken.item(row)
        self._taken[row] = before + step
        if (before > 0) == (before + step > 0):
            return
        nodes = self.table.reach[self.table.place.item(row)]
        if len(nodes) > _FEW:
            self.upheavals += 1
        else:
            self.changed += nodes.tolist()
        for number, free in self._free.items():
            if row in self._shelves.rows_of(number):
                free[nodes] -= step

    def _attach(self, when: _When, node: int, handles: tuple[int, ...], step: int) -> None:
        for handle in handles:
            before = when.handles[node, handle]
            when.handles[node, handle] = before + step
            when.attached[node, self.table.driver_of.item(handle)] += (before + step > 0) - (before > 0)

    # -- questions ---------------------------------------------------------------------------------

    def _ask(self, pod: int) -> VolumeAsk:
        return self._classes[self._class.item(pod)].volumes or _NOTHING

    def choose(self, ask: VolumeAsk, node: int) -> tuple[int, ...] | None:
        """Volumes on one node for a pod that picks, claim by claim; None where one is missing."""
        moment = node, len(self.changed), self.upheavals
        if self._chosen is None or self._chosen[0] is not ask or self._chosen[1] != moment:
            self._chosen = ask, moment, self._choose(ask, node)
        return self._chosen[2]

    def _choose(self, ask: VolumeAsk, node: int) -> tuple[int, ...] | None:
        chosen: list[int] = []
        for number in ask.picks:
            choice = self.table.choices[number]
            if (settled := self._settled.get(number)) is not None:
                if not self._reached(settled).item(node):
                    return None
                chosen.append(settled[0])
                continue
            row = self._shelves.best(number, node, self._taken, chosen)
            if row == NONE and not choice.made.item(node):
                return None
            chosen.append(row)
        return tuple(chosen)

    def _reached(self, settled: tuple[int, int, int]) -> Mask:
        """``(N,)`` from where a volume is reached that another pod has got; one that is made, from its node."""
        row, node, _ = settled
        mask = np.zeros(self._nodes, dtype=np.bool_)
        mask[self.table.reach[self.table.place.item(row)] if row != NONE else node] = True
        return mask

    def found(self, ask: VolumeAsk, rows: Rows | slice) -> Mask:
        """Which of some nodes have a volume for every claim alone, or can make one; ``choose`` knows for sure."""
        ok = self.left(ask, rows) > 0
        for number in ask.picks:
            if (settled := self._settled.get(number)) is not None:
                ok &= self._reached(settled)[rows]
        return ok

    def left(self, ask: VolumeAsk, rows: Rows | slice) -> Amounts:
        """Pods of a class that find volumes on each of some nodes, at most; not bounded where they are made."""
        count = np.full(len(self._all[rows]), _ANY, dtype=np.int64)
        for number, picks in self._counts(ask).picks:
            if number not in self._settled:
                free = np.minimum(count, self._free_of(number)[rows] // picks)
                count = np.where(self.table.choices[number].made[rows], count, free)
        return count

    def _free_of(self, number: int) -> Amounts:
        """``(N,)`` volumes of a choice that nobody has, by node."""
        free = self._free.get(number)
        if free is None:
            candidates = self.table.choices[number].candidates
            free = self._free[number] = self._shelves.count(candidates[self._taken[candidates] == 0])
        return free

    def holds(self, pod: int, node: int, *, later: bool) -> bool:
        """Whether a pod that was told to go finds its volumes on its own node, as if it came anew."""
        used = self.table.of_pod.get(pod)
        if used is None:
            return True
        when = self._later if later else self._now
        new = Counter(self.table.driver_of.item(one) for one in used.handles if when.handles[node, one] <= 0)
        attaches = all(
            when.attached.item(node, driver) + count <= self.table.limits.item(node, driver)
            for driver, count in new.items()
        )
        alone = all(when.users[row] <= 0 for row in used.exclusive)
        disks = all(
            when.disks[node, row, False] <= 0 and (read_only or when.disks[node, row, True] <= 0)
            for row, read_only in used.disks
        )
        return attaches and alone and disks and self.choose(self._ask(pod), node) is not None

    def room(self, ask: VolumeAsk, rows: Rows | slice, *, later: bool) -> Amounts:
        """Pods of a class that each of some nodes can attach the volumes of."""
        when = self._later if later else self._now
        nodes = self._all[rows]
        count = np.full(len(nodes), _ANY, dtype=np.int64)
        for driver, volumes in self._counts(ask).drivers:
            left = self.table.limits[rows, driver] - when.attached[rows, driver]
            new = np.full(len(nodes), volumes, dtype=np.int64)
            for handle in ask.shared:
                if self.table.driver_of.item(handle) == driver:
                    new -= when.users_of(handle, nodes)
            fits = np.where(new > 0, np.maximum(left, 0) // np.maximum(new, 1), count)
            count = np.minimum(count, fits)
        return count

    def _counts(self, ask: VolumeAsk) -> _Counts:
        found = self._counted.get(ask)
        if found is None:
            drivers = Counter(dict(ask.attached))
            drivers.update(self.table.driver_of.item(handle) for handle in ask.shared)
            found = self._counted[ask] = _Counts(tuple(Counter(ask.picks).items()), tuple(sorted(drivers.items())))
        return found

    def unused(self, ask: VolumeAsk, rows: Rows | slice, *, later: bool) -> Mask:
        """On which of some nodes nobody uses what the class cannot share."""
        when = self._later if later else self._now
        nodes = self._all[rows]
        ok = np.full(len(nodes), all(when.users[row] <= 0 for row in ask.exclusive), dtype=np.bool_)
        for row, read_only in ask.disks:
            ok &= ~np.isin(nodes, when.nodes_of(row, writing=read_only))
        return ok

    def decided(self, pod: int) -> tuple[tuple[str, str], ...]:
        """Claims that get volumes, and which; an empty name where one is made."""
        names = self.table.names
        claims = self.table.of_pod.get(pod, PodVolumes()).claims
        return tuple(
            (claim, names[row] if row != NONE else "")
            for claim, row in zip(claims, self.picked.get(pod, ()), strict=False)
        )


_NOTHING = VolumeAsk()
#: More than any node takes.
_ANY: Final = np.iinfo(np.int64).max
#: A volume that more nodes reach than these is not about single nodes.
_FEW: Final = 8
