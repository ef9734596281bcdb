"""Volumes as the cycle changes them: who has picked which, what nodes attach, now and once leaving pods are gone."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.tables.volumes import Choice, PodVolumes, VolumeAsk, VolumeTable


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


class Volumes:
    """The volumes of a snapshot. Part of the ledger; only ``Transaction`` changes it.

    Attributes:
        table: of the snapshot.
        version: another number whenever something has changed.
        picked: pod -> the volumes that it has picked in this cycle; ``NONE`` = one is made for it.
    """

    def __init__(self, snapshot: Snapshot, table: VolumeTable) -> None:
        self.table = table
        self.version = 0
        self.picked: dict[int, tuple[int, ...]] = {}
        self._classes = snapshot.classes.classes
        self._class: Rows = snapshot.pods.class_idx
        #: Pods by the volume that they have picked.
        self._taken: Rows = np.zeros(len(table.names), dtype=np.int32)
        #: Choices of claims that several pods share: the volume, the node, and how many pods have it.
        self._settled: dict[int, tuple[int, int, int]] = {}
        nodes = len(snapshot.nodes)
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
        picks = self._choose(self._ask(pod), node)
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
            for row, read_only in used.disks:
                when.disks[change.node, row, read_only] += step
        if change.picks:
            self._pick(change, sign * change.later)
        self.version += 1

    def _pick(self, change: Change, step: int) -> None:
        """A pod gets its volumes (``step`` 1), or puts them back (-1)."""
        if step > 0:
            self.picked[change.pod] = change.picks
        else:
            del self.picked[change.pod]
        for choice, row in zip(self._ask(change.pod).picks, change.picks, strict=True):
            if row != NONE:
                self._taken[row] += step
            if self.table.choices[choice].shared:
                *what, pods = self._settled.get(choice, (row, change.node, 0))
                self._settled[choice] = (what[0], what[1], pods + step)
                if pods + step == 0:
                    del self._settled[choice]

    def _attach(self, when: _When, node: int, handles: tuple[int, ...], step: int) -> None:
        for handle in handles:
            before = when.handles[node, handle]
            when.handles[node, handle] = before + step
            when.attached[node, self.table.driver_of.item(handle)] += (before + step > 0) - (before > 0)

    # -- questions ---------------------------------------------------------------------------------

    def _ask(self, pod: int) -> VolumeAsk:
        return self._classes[self._class.item(pod)].volumes or _NOTHING

    def _choose(self, ask: VolumeAsk, node: int) -> tuple[int, ...] | None:
        """Volumes on one node for a pod that picks; None where one is missing."""
        chosen: list[int] = []
        for number in ask.picks:
            choice = self.table.choices[number]
            if (settled := self._settled.get(number)) is not None:
                if not self._reached(settled).item(node):
                    return None
                chosen.append(settled[0])
                continue
            there = self.table.reach[choice.candidates, node] & (self._taken[choice.candidates] == 0)
            row = next((row for row in choice.candidates[there].tolist() if row not in chosen), NONE)
            if row == NONE and not choice.made.item(node):
                return None
            chosen.append(row)
        return tuple(chosen)

    def _reached(self, settled: tuple[int, int, int]) -> Mask:
        """``(N,)`` from where a volume is reached that another pod has got; one that is made, from its node."""
        row, node, _ = settled
        if row != NONE:
            return np.asarray(self.table.reach[row])
        return np.asarray(np.arange(self.table.limits.shape[0]) == node)

    def found(self, ask: VolumeAsk) -> Mask:
        """``(N,)`` nodes on which every claim finds a volume, or one can be made. Claims choose one after the other."""
        ok = np.ones(self.table.limits.shape[0], dtype=np.bool_)
        chosen: list[Rows] = []
        for number in ask.picks:
            if (settled := self._settled.get(number)) is not None:
                ok &= self._reached(settled)
                continue
            choice = self.table.choices[number]
            first = self._first(choice, chosen)
            ok &= (first != NONE) | choice.made
            chosen.append(first)
        return ok

    def _first(self, choice: Choice, chosen: list[Rows]) -> Rows:
        """``(N,)`` the best volume on each node that nobody has, nor has been chosen there; ``NONE`` without any."""
        nodes = self.table.limits.shape[0]
        free = choice.candidates[self._taken[choice.candidates] == 0]
        if not free.size:
            return np.full(nodes, NONE, dtype=np.int32)
        reached = self.table.reach[free]
        for before in chosen:
            reached &= free[:, None] != before
        first = reached.argmax(axis=0)
        return np.where(reached[first, np.arange(nodes)], free[first], NONE).astype(np.int32)

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
        return attaches and alone and disks and self._choose(self._ask(pod), node) is not None

    def choices_left(self, ask: VolumeAsk) -> Amounts:
        """``(N,)`` pods of a class that find volumes on each node; those whose volumes are made are not counted."""
        count = np.full(self.table.limits.shape[0], np.iinfo(np.int64).max, dtype=np.int64)
        for row, picks in Counter(ask.picks).items():
            choice = self.table.choices[row]
            if choice.shared:
                continue
            free = choice.candidates[self._taken[choice.candidates] == 0]
            left = self.table.reach[free].sum(axis=0) // picks
            count = np.where(choice.made, count, np.minimum(count, left))
        return count

    def room(self, ask: VolumeAsk, *, later: bool) -> Amounts:
        """``(N,)`` pods of a class that each node can attach the volumes of."""
        when = self._later if later else self._now
        count = np.full(self.table.limits.shape[0], np.iinfo(np.int64).max, dtype=np.int64)
        for driver, volumes in self._attaching(ask):
            left = self.table.limits[:, driver] - when.attached[:, driver]
            have = np.zeros(len(left), dtype=np.int64)
            for (node, handle), users in when.handles.items() if ask.shared else ():
                if users > 0 and handle in ask.shared and self.table.driver_of.item(handle) == driver:
                    have[node] += 1
            new = volumes - have
            fits = np.where(new > 0, np.maximum(left, 0) // np.maximum(new, 1), count)
            count = np.minimum(count, fits)
        return count

    def _attaching(self, ask: VolumeAsk) -> list[tuple[int, int]]:
        """Volumes by driver, those that are attached somewhere already included."""
        total = Counter(dict(ask.attached))
        total.update(self.table.driver_of.item(handle) for handle in ask.shared)
        return sorted(total.items())

    def unused(self, ask: VolumeAsk, *, later: bool) -> Mask:
        """``(N,)`` where nobody uses what the class cannot share."""
        when = self._later if later else self._now
        nodes = self.table.limits.shape[0]
        if any(when.users[row] > 0 for row in ask.exclusive):
            return np.zeros(nodes, dtype=np.bool_)
        ok = np.ones(nodes, dtype=np.bool_)
        wanted = dict(ask.disks)
        for (node, row, read_only), users in when.disks.items() if wanted else ():
            if users > 0 and row in wanted and not (read_only and wanted[row]):
                ok[node] = False
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
