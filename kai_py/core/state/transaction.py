"""The transaction: the only way to change the ledger, and the only way back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple, NewType

import numpy as np

from kai_py.core.options import Action
from kai_py.core.resources import Amounts
from kai_py.core.state import volumes
from kai_py.core.state.claim_uses import NO_GRANTS, Change, Grants
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.node_shares import NO_TAKES, Takes
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.queues import ROOT
from kai_py.core.tables.zones import NO_SEAT, Seat

Checkpoint = NewType("Checkpoint", int)


class Kind(IntEnum):
    """What an operation does to a pod."""

    PLACE = 0
    NOMINATE = 1
    EVICT = 2
    WITHDRAW = 3


class Operation(NamedTuple):
    """One journal entry; knows all that its inverse needs.

    ``devices`` are those of which a pod takes a share; ``grants`` are what it brings to its claims, and ``claims`` is
    what becomes of them; ``takes`` is what they take of the node beside its request; ``seat`` is what it takes of NUMA
    nodes; ``volumes`` is what becomes of volumes.
    """

    kind: Kind
    pod: int
    node: int
    before_state: int
    before_node: int
    action: Action
    preemptor: int
    devices: tuple[str, ...] = ()
    before_devices: tuple[str, ...] = ()
    grants: Grants = NO_GRANTS
    claims: tuple[Change, ...] = ()
    seat: Seat = NO_SEAT
    before_seat: Seat = NO_SEAT
    volumes: volumes.Change | None = None
    takes: Takes = NO_TAKES
    before_takes: Takes = NO_TAKES


# A class' members are looked up slowly; these are read for every pod that is placed.
_PLACE, _NOMINATE, _EVICT, _WITHDRAW = Kind
_PENDING = int(PodState.PENDING)
_NO_DEVICES: tuple[str, ...] = ()
_NO_CHANGES: tuple[Change, ...] = ()
_BOUND = int(PodState.BOUND)
_ALLOCATED = int(PodState.ALLOCATED)
_AFTER = {_PLACE: int(PodState.ALLOCATED), _NOMINATE: int(PodState.NOMINATED), _EVICT: int(PodState.RELEASING)}


class Transaction:
    """A journal of tentative operations over a ledger.

    Each operation is applied at once; :meth:`rollback` applies the inverses in reverse order, after which every byte
    of the ledger is as it was at the checkpoint (``touched`` and ``freed`` only grow: they are a log, not state).
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.journal: list[Operation] = []
        snapshot = ledger.snapshot
        self._initially = snapshot.pods.state
        # The same memory as the columns, see ``Cells``.
        self._class = snapshot.pods.class_idx.data
        self._subgroup = snapshot.pods.subgroup_idx.data
        self._group = snapshot.subgroups.podgroup_idx.data
        self._queue = snapshot.podgroups.queue_idx.data
        self._preemptible = snapshot.podgroups.preemptible.data
        self._state, self._node, self._active, self._allocated, self._pending = ledger.cells
        self._requests = list(snapshot.classes.request)
        self._costs = list(snapshot.classes.accounted)
        self._charged = list(ledger.queue_allocated)
        self._charged_non_preemptible = list(ledger.queue_non_preemptible)
        self._paths = snapshot.queues.paths
        self._devices = ledger.devices
        self._claims = ledger.claims
        self._neighbours = ledger.neighbours
        self._zones = ledger.zones
        self._volumes = ledger.volumes
        self._shares = ledger.node_shares

    def place(
        self,
        pod: int,
        node: int,
        *,
        action: Action,
        devices: tuple[str, ...] = (),
        grants: Grants = NO_GRANTS,
        seat: Seat = NO_SEAT,
        spared_for: int = NONE,
    ) -> None:
        """Give a pending pod a node on which it can start now, and a share of some of its devices if it asks for one.

        Who comes first to a device opens it: it takes the whole device out of what the node has free. Whoever was
        considered as a victim says for whom (``spared_for``, a podgroup's row): what it had before still counts.
        """
        self._do(_PLACE, pod, node, action, spared_for, devices, grants, seat)

    def nominate(
        self,
        pod: int,
        node: int,
        *,
        action: Action,
        devices: tuple[str, ...] = (),
        grants: Grants = NO_GRANTS,
        seat: Seat = NO_SEAT,
        spared_for: int = NONE,
    ) -> None:
        """Give a pending or evicted pod a node on which it can start once leaving pods are gone (KAI: *pipeline*)."""
        self._do(_NOMINATE, pod, node, action, spared_for, devices, grants, seat)

    def place_alike(self, pods: Sequence[int], nodes: Sequence[int], *, action: Action) -> None:
        """Place pods of one class that asks for nothing but amounts: as if one after the other, in a few additions.

        Args:
            pods: rows; one or more, all pending.
            nodes: a row for each.
            action: for whose decisions.
        """
        ledger, table, state, was_on = self.ledger, self.ledger.snapshot, self._state, self._node
        operations = [
            Operation(_PLACE, pod, node, state[pod], was_on[pod], action, NONE)
            for pod, node in zip(pods, nodes, strict=True)
        ]
        self.journal += operations
        rows, places = np.array(pods), np.array(nodes)
        class_idx = self._class[pods[0]]
        used, times = np.unique(places, return_counts=True)
        ledger.free[used] -= times[:, None] * self._requests[class_idx]
        ledger.touched += nodes
        if self._devices is not None or self._zones is not None or self._neighbours is not None:
            for operation in operations:
                self._shift(operation, 1, now=True)
        leaves, counts = np.unique(table.pods.subgroup_idx[rows], return_counts=True)
        counts = counts.astype(np.int32)
        ledger.active[leaves] += counts
        ledger.allocated[leaves] += counts
        ledger.pending[leaves] -= counts
        payers = Counter[tuple[int, bool]]()
        for group, count in zip(table.subgroups.podgroup_idx[leaves].tolist(), counts.tolist(), strict=True):
            payers[self._queue[group], bool(self._preemptible[group])] += count
        for (queue, preemptible), count in payers.items():
            self._charge(queue, count * self._costs[class_idx], 1, preemptible=preemptible)
        ledger.state[rows], ledger.node[rows] = _ALLOCATED, places

    def evict(self, pod: int, *, action: Action, preemptor: int) -> None:
        """End a bound pod for a podgroup (``preemptor``, a row; -1 = for nobody): its place becomes releasing.

        A pod that was given its place in this very cycle has not started: the place is withdrawn, and nobody is ended.
        """
        kind = _EVICT if self._state[pod] == _BOUND else _WITHDRAW
        devices = () if self._devices is None else self._devices.of_pod.get(pod, ())
        seat = NO_SEAT if self._zones is None else self._zones.seat(pod)
        self._do(kind, pod, self._node[pod], action, preemptor, devices, seat=seat)
        self.ledger.freed += 1

    def checkpoint(self) -> Checkpoint:
        """A point to return to."""
        return Checkpoint(len(self.journal))

    def rollback(self, to: Checkpoint) -> None:
        """Undo everything since a checkpoint."""
        if len(self.journal) > to:
            self.ledger.freed += 1
        while len(self.journal) > to:
            operation = self.journal.pop()
            self._apply(operation, -1)
            self._state[operation.pod] = operation.before_state
            self._node[operation.pod] = operation.before_node
            if operation.devices:
                self._sit(operation.pod, operation.before_devices)
            if operation.claims and self._claims is not None:
                self._claims.undo(operation.claims)
            if self._shares is not None:
                self._shares.sit(operation.pod, operation.before_takes)
            if self._zones is not None:
                self._zones.sit(operation.pod, operation.before_seat)
            if operation.volumes is not None and self._volumes is not None:
                self._volumes.undo(operation.volumes)

    def nominate_instead(self, to: Checkpoint, *, podgroup: int) -> None:
        """Turn every start of a podgroup's pods since a checkpoint into a nomination; all else happens again."""
        operations = self.journal[to:]
        if all(operation.kind is not _PLACE for operation in operations):
            return
        self.rollback(to)
        for operation in operations:
            mine = operation.kind is _PLACE and self.podgroup_of(operation.pod) == podgroup
            kind = _NOMINATE if mine else operation.kind
            self._do(
                kind,
                operation.pod,
                operation.node,
                operation.action,
                operation.preemptor,
                operation.devices,
                operation.grants,
                operation.seat,
            )

    def podgroup_of(self, pod: int) -> int:
        """Row of the podgroup of a pod that is ours to schedule."""
        return self._group[self._subgroup[pod]]

    def _do(
        self,
        kind: Kind,
        pod: int,
        node: int,
        action: Action,
        preemptor: int,
        devices: tuple[str, ...] = (),
        grants: Grants = NO_GRANTS,
        seat: Seat = NO_SEAT,
    ) -> None:
        before, changes = _NO_DEVICES, _NO_CHANGES
        if devices and self._devices is not None:
            before = self._devices.of_pod.get(pod, ())
            self._sit(pod, devices)
        state, was_on = self._state[pod], self._node[pod]
        if self._claims is not None:
            changes = self._use(kind, pod, state, grants)
        sat = NO_SEAT
        if self._zones is not None:
            sat = self._zones.seat(pod)
            self._zones.sit(pod, seat)
        moved = None if self._volumes is None else self._reach(kind, pod, node, state)
        takes = had = NO_TAKES
        if self._shares is not None:
            had = self._shares.of_pod.get(pod, NO_TAKES)
            takes = self._taken(kind, pod, changes)
            self._shares.sit(pod, takes)
        operation = Operation(
            kind,
            pod,
            node,
            state,
            was_on,
            action,
            preemptor,
            devices,
            before,
            grants,
            changes,
            seat,
            sat,
            moved,
            takes,
            had,
        )
        self.journal.append(operation)
        self._apply(operation, 1)
        self._state[pod] = _AFTER[kind] if kind is not _WITHDRAW else self._without_place(pod)
        self._node[pod] = node

    def _sit(self, pod: int, devices: tuple[str, ...]) -> None:
        """Note the devices that a pod has a share of."""
        assert self._devices is not None
        if devices:
            self._devices.of_pod[pod] = devices
        else:
            self._devices.of_pod.pop(pod, None)

    def _use(self, kind: Kind, pod: int, state: int, grants: Grants) -> tuple[Change, ...]:
        """Let a pod use its claims, or no longer."""
        claims = self._claims
        if claims is None or not claims.uses_any(pod):
            return ()
        if kind is _PLACE or kind is _NOMINATE:
            return claims.join(pod, grants, now=kind is _PLACE)
        if kind is _EVICT and self.ledger.node.item(pod) == NONE:
            return ()  # its node is gone, and with it whatever it had there
        return claims.leave(pod, now=kind is _WITHDRAW and state == _ALLOCATED)

    def _taken(self, kind: Kind, pod: int, changes: Sequence[Change]) -> Takes:
        """What a pod's claims take of its node, or give back."""
        assert self._shares is not None
        if kind is _PLACE or kind is _NOMINATE:
            now = kind is _PLACE
            return self._shares.takes(pod, [(one.claim, one.after.now if now else one.after.later) for one in changes])
        return self._shares.of_pod.get(pod, NO_TAKES)

    def _reach(self, kind: Kind, pod: int, node: int, state: int) -> volumes.Change | None:
        """Let a pod use its volumes, or no longer."""
        assert self._volumes is not None
        if kind is _PLACE or kind is _NOMINATE:
            return self._volumes.join(pod, node, now=kind is _PLACE)
        return self._volumes.leave(pod, node, now=kind is _WITHDRAW and state == _ALLOCATED)

    def _without_place(self, pod: int) -> PodState:
        """What a pod is when a place given in this cycle is withdrawn: pending again, or leaving as before."""
        return PodState.PENDING if self._initially.item(pod) == _PENDING else PodState.RELEASING

    def _apply(self, operation: Operation, sign: int) -> None:
        """Add an operation's effect on the sums (``sign`` 1), or take it away (-1)."""
        ledger, kind, node, pod = self.ledger, operation.kind, operation.node, operation.pod
        class_idx, subgroup = self._class[pod], self._subgroup[pod]
        gained = sign if kind is _PLACE or kind is _NOMINATE else -sign
        now = kind is _PLACE or (kind is _WITHDRAW and operation.before_state == _ALLOCATED)
        # A bound pod whose node is gone holds nothing on any node, but its queue is still charged.
        if node != NONE:
            room = (ledger.free if now else ledger.releasing)[node]
            _add(room, self._requests[class_idx], -gained)
            ledger.touched.append(node)
            self._shift(operation, gained, now=now)
        self._active[subgroup] += gained
        if now or kind is _EVICT:
            self._allocated[subgroup] += gained
        if operation.before_state == _PENDING or (kind is _WITHDRAW and self._initially.item(pod) == _PENDING):
            self._pending[subgroup] -= gained
        group = self._group[subgroup]
        self._charge(self._queue[group], self._costs[class_idx], gained, preemptible=bool(self._preemptible[group]))

    def _shift(self, operation: Operation, gained: int, *, now: bool) -> None:
        """What changes on a node beside amounts."""
        if operation.devices and self._devices is not None:
            self._devices.shift(operation.pod, operation.node, operation.devices, gained, now=now)
        if self._shares is not None:
            self._shares.shift(operation.pod, operation.node, operation.takes, gained, now=now)
        if self._neighbours is not None:
            evicts = operation.kind is _EVICT
            self._neighbours.shift(operation.pod, operation.node, gained, now=now, evicts=evicts)
        if operation.seat and self._zones is not None:
            self._zones.shift(operation.node, operation.seat, gained, now=now)

    def _charge(self, queue: int, cost: Amounts, gained: int, *, preemptible: bool) -> None:
        """Let a queue and all above it pay."""
        if queue == ROOT:
            return
        for row in self._paths[queue]:
            _add(self._charged[row], cost, gained)
            if not preemptible:
                _add(self._charged_non_preemptible[row], cost, gained)


def _add(row: np.ndarray, amounts: np.ndarray, sign: int) -> None:
    """Add to one row of a table in place; without the product that ``sign * amounts`` would make."""
    if sign > 0:
        row += amounts
    else:
        row -= amounts
