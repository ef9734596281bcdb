"""The transaction: the only way to change the ledger, and the only way back."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, NewType

import numpy as np

from kai_py.core.dra.ledger import Take
from kai_py.core.options import Action
from kai_py.core.result import Bind, Decision, Evict, Granted, Nominate
from kai_py.core.state.claims import NO_GRANTS, Change, Grants
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.queues import ROOT

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
    what becomes of them.
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


# A class' members are looked up slowly; these are read for every pod that is placed.
_PLACE, _NOMINATE, _EVICT, _WITHDRAW = Kind
_PENDING = int(PodState.PENDING)
_NO_DEVICES: tuple[str, ...] = ()
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
        self._class = snapshot.pods.class_idx
        self._subgroup = snapshot.pods.subgroup_idx
        self._group = snapshot.subgroups.podgroup_idx
        self._queue = snapshot.podgroups.queue_idx
        self._preemptible = snapshot.podgroups.preemptible
        self._requests = list(snapshot.classes.request)
        self._costs = list(snapshot.classes.accounted)
        self._paths = snapshot.queues.paths
        self._devices = ledger.devices
        self._claims = ledger.claims
        self._neighbours = ledger.neighbours

    def place(
        self,
        pod: int,
        node: int,
        *,
        action: Action,
        devices: tuple[str, ...] = (),
        grants: Grants = NO_GRANTS,
        spared_for: int = NONE,
    ) -> None:
        """Give a pending pod a node on which it can start now, and a share of some of its devices if it asks for one.

        Who comes first to a device opens it: it takes the whole device out of what the node has free. Whoever was
        considered as a victim says for whom (``spared_for``, a podgroup's row): what it had before still counts.
        """
        self._do(_PLACE, pod, node, action, spared_for, devices, grants)

    def nominate(
        self,
        pod: int,
        node: int,
        *,
        action: Action,
        devices: tuple[str, ...] = (),
        grants: Grants = NO_GRANTS,
        spared_for: int = NONE,
    ) -> None:
        """Give a pending or evicted pod a node on which it can start once leaving pods are gone (KAI: *pipeline*)."""
        self._do(_NOMINATE, pod, node, action, spared_for, devices, grants)

    def evict(self, pod: int, *, action: Action, preemptor: int) -> None:
        """End a bound pod for a podgroup (``preemptor``, a row; -1 = for nobody): its place becomes releasing.

        A pod that was given its place in this very cycle has not started: the place is withdrawn, and nobody is ended.
        """
        kind = _EVICT if self.ledger.state.item(pod) == _BOUND else _WITHDRAW
        devices = () if self._devices is None else self._devices.of_pod.get(pod, ())
        self._do(kind, pod, self.ledger.node.item(pod), action, preemptor, devices)
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
            self.ledger.state[operation.pod] = operation.before_state
            self.ledger.node[operation.pod] = operation.before_node
            if operation.devices:
                self._sit(operation.pod, operation.before_devices)
            if operation.claims and self._claims is not None:
                self._claims.undo(operation.claims)

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
            )

    def podgroup_of(self, pod: int) -> int:
        """Row of the podgroup of a pod that is ours to schedule."""
        return self._group.item(self._subgroup.item(pod))

    def _do(
        self,
        kind: Kind,
        pod: int,
        node: int,
        action: Action,
        preemptor: int,
        devices: tuple[str, ...] = (),
        grants: Grants = NO_GRANTS,
    ) -> None:
        ledger, before = self.ledger, _NO_DEVICES
        if devices and self._devices is not None:
            before = self._devices.of_pod.get(pod, ())
            self._sit(pod, devices)
        state, was_on = ledger.state.item(pod), ledger.node.item(pod)
        changes = () if self._claims is None else self._use(kind, pod, state, grants)
        operation = Operation(kind, pod, node, state, was_on, action, preemptor, devices, before, grants, changes)
        self.journal.append(operation)
        self._apply(operation, 1)
        ledger.state[pod] = _AFTER[kind] if kind is not _WITHDRAW else self._without_place(pod)
        ledger.node[pod] = node

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

    def _without_place(self, pod: int) -> PodState:
        """What a pod is when a place given in this cycle is withdrawn: pending again, or leaving as before."""
        return PodState.PENDING if self._initially.item(pod) == _PENDING else PodState.RELEASING

    def _apply(self, operation: Operation, sign: int) -> None:
        """Add an operation's effect on the sums (``sign`` 1), or take it away (-1)."""
        ledger, kind, node = self.ledger, operation.kind, operation.node
        class_idx, subgroup = self._class.item(operation.pod), self._subgroup.item(operation.pod)
        gained = sign if kind is _PLACE or kind is _NOMINATE else -sign
        now = kind is _PLACE or (kind is _WITHDRAW and operation.before_state == _ALLOCATED)
        # A bound pod whose node is gone holds nothing on any node, but its queue is still charged.
        if node != NONE:
            room = (ledger.free if now else ledger.releasing)[node]
            _add(room, self._requests[class_idx], -gained)
            ledger.touched.append(node)
            if operation.devices and self._devices is not None:
                self._devices.shift(operation.pod, node, operation.devices, gained, now=now)
            if self._neighbours is not None:
                self._neighbours.shift(operation.pod, node, gained, now=now, evicts=kind is _EVICT)
        ledger.active[subgroup] += gained
        if now or kind is _EVICT:
            ledger.allocated[subgroup] += gained
        if operation.before_state == _PENDING or (
            kind is _WITHDRAW and self._initially.item(operation.pod) == _PENDING
        ):
            ledger.pending[subgroup] -= gained
        group = self._group.item(subgroup)
        if (queue := self._queue.item(group)) == ROOT:
            return
        cost, preemptible = self._costs[class_idx], self._preemptible.item(group)
        for row in self._paths[queue]:
            _add(ledger.queue_allocated[row], cost, gained)
            if not preemptible:
                _add(ledger.queue_non_preemptible[row], cost, gained)

    def decisions(self) -> Iterator[Decision]:
        """What the journal amounts to, pod by pod in the order of their last operation.

        A pod that was evicted and nominated back to its own node and devices simply stays. Whoever takes the new place
        of a pod that moves evicts it; and who takes a place over that others have moved for is whom they move for.
        """
        last: dict[int, Operation] = {}
        evicted: dict[int, Operation] = {}
        ousted: dict[int, Operation] = {}
        withdrawn: dict[int, Operation] = {}
        for operation in self.journal:
            pod, kind = operation.pod, operation.kind
            if kind is _WITHDRAW:
                withdrawn[pod], last[pod] = last[pod], operation
            elif operation.preemptor != NONE and pod in withdrawn and _given(withdrawn[pod]) == _given(operation):
                last[pod] = withdrawn.pop(pod)  # spared: as if nobody had asked
            else:
                last.pop(pod, None)
                last[pod] = operation
            if kind is _EVICT:
                evicted[pod] = operation
            elif kind is _WITHDRAW and pod in evicted:
                evicted[pod] = evicted[pod]._replace(action=operation.action, preemptor=operation.preemptor)
            elif kind is _WITHDRAW:
                ousted[self.podgroup_of(pod)] = operation
            else:
                ousted.pop(self.podgroup_of(pod), None)
        written: set[int] = set()
        for pod, operation in last.items():
            eviction = evicted.get(pod)
            if eviction is not None and (by := ousted.get(eviction.preemptor)) is not None:
                eviction = eviction._replace(action=by.action, preemptor=by.preemptor)
            yield from self._decisions_of(pod, operation, eviction, written)

    def _decisions_of(
        self, pod: int, last: Operation, evicted: Operation | None, written: set[int]
    ) -> Iterator[Decision]:
        snapshot = self.ledger.snapshot
        key, names = snapshot.pods.keys[pod], snapshot.nodes.names
        groups = snapshot.podgroups.keys
        podgroup = str(groups[self.podgroup_of(pod)])
        stays = last.kind is _NOMINATE and evicted is not None and _where(last) == _where(evicted)
        if evicted is not None and not stays:
            preemptor = None if evicted.preemptor == NONE else str(groups[evicted.preemptor])
            moved = last.kind is _NOMINATE
            node = names[evicted.node] if evicted.node != NONE else ""
            yield Evict(str(key), key.uid, node, podgroup, evicted.action, preemptor, moved)
        elif evicted is not None or last.kind is _WITHDRAW:
            return
        if last.kind is _PLACE:
            granted = self._granted(pod, written, now=True)
            yield Bind(str(key), key.uid, names[last.node], podgroup, last.action, last.devices, granted)
        elif last.kind is _NOMINATE:
            granted = self._granted(pod, written, now=False)
            yield Nominate(str(key), key.uid, names[last.node], podgroup, last.action, last.devices, granted)

    def _granted(self, pod: int, written: set[int], *, now: bool) -> tuple[Granted, ...]:
        """The claims of a pod that get devices in this cycle and that no pod before it has named."""
        claims, found = self._claims, []
        if claims is None:
            return ()
        for row in claims.table.of_pod.get(pod, ()):
            use = claims.uses[row]
            # What somebody starts with now is written by whoever starts.
            held = use.now if now else use.later if use.later is not use.now else None
            if held is not None and held.allocation is not None and row not in written:
                written.add(row)
                claim = claims.table.claims[row]
                found.append(Granted(claim.key, claim.uid, held.allocation))
        return tuple(found)


def _where(operation: Operation) -> tuple[int, tuple[str, ...], tuple[tuple[Take, ...], ...]]:
    """A pod that comes back to its node and its devices has not moved."""
    uses = [change.before if operation.kind is _EVICT else change.after for change in operation.claims]
    return operation.node, operation.devices, tuple(() if use.later is None else use.later.takes for use in uses)


def _given(operation: Operation) -> tuple[Kind, int, tuple[str, ...], Grants]:
    """What a pod was given."""
    return operation.kind, operation.node, operation.devices, operation.grants


def _add(row: np.ndarray, amounts: np.ndarray, sign: int) -> None:
    """Add to one row of a table in place; without the product that ``sign * amounts`` would make."""
    if sign > 0:
        row += amounts
    else:
        row -= amounts
