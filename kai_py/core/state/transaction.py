"""The transaction: the only way to change the ledger, and the only way back."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple, NewType

from kai_py.core.options import Action
from kai_py.core.result import Bind, Decision, Evict, Nominate
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import NONE, PodState

Checkpoint = NewType("Checkpoint", int)


class Kind(IntEnum):
    """What an operation does to a pod."""

    PLACE = 0
    NOMINATE = 1
    EVICT = 2


class Operation(NamedTuple):
    """One journal entry; knows all that its inverse needs."""

    kind: Kind
    pod: int
    node: int
    before_state: int
    before_node: int
    action: Action
    preemptor: int


class Transaction:
    """A journal of tentative operations over a ledger.

    Each operation is applied at once; :meth:`rollback` applies the inverses in reverse order, after which every byte
    of the ledger is as it was at the checkpoint (``touched`` only grows: it is a log, not state).
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.journal: list[Operation] = []
        snapshot = ledger.snapshot
        # Plain lists: the hot loop reads single rows, which costs a list a tenth of what it costs an array.
        self._class = snapshot.pods.class_idx.tolist()
        self._subgroup = snapshot.pods.subgroup_idx.tolist()
        self._group = snapshot.subgroups.podgroup_idx.tolist()
        self._queue = snapshot.podgroups.queue_idx.tolist()
        self._preemptible = snapshot.podgroups.preemptible.tolist()
        self._request = list(snapshot.classes.request)
        self._cost = list(snapshot.classes.accounted)
        self._paths = snapshot.queues.paths

    def place(self, pod: int, node: int, *, action: Action) -> None:
        """Give a pending pod a node on which it can start now."""
        self._do(Kind.PLACE, pod, node, action, NONE)

    def nominate(self, pod: int, node: int, *, action: Action) -> None:
        """Give a pending or evicted pod a node on which it can start once leaving pods are gone (KAI: *pipeline*)."""
        self._do(Kind.NOMINATE, pod, node, action, NONE)

    def evict(self, pod: int, *, action: Action, preemptor: int) -> None:
        """End a bound pod for a podgroup (``preemptor``, a row; -1 = for nobody): its place becomes releasing."""
        self._do(Kind.EVICT, pod, int(self.ledger.node[pod]), action, preemptor)

    def checkpoint(self) -> Checkpoint:
        """A point to return to."""
        return Checkpoint(len(self.journal))

    def rollback(self, to: Checkpoint) -> None:
        """Undo everything since a checkpoint."""
        while len(self.journal) > to:
            operation = self.journal.pop()
            self._apply(operation, -1)
            self.ledger.state[operation.pod] = operation.before_state
            self.ledger.node[operation.pod] = operation.before_node

    def _do(self, kind: Kind, pod: int, node: int, action: Action, preemptor: int) -> None:
        ledger = self.ledger
        operation = Operation(kind, pod, node, int(ledger.state[pod]), int(ledger.node[pod]), action, preemptor)
        self.journal.append(operation)
        self._apply(operation, 1)
        ledger.state[pod] = _AFTER[kind]
        ledger.node[pod] = node

    def _apply(self, operation: Operation, sign: int) -> None:
        """Add an operation's effect on the sums (``sign`` 1), or take it away (-1)."""
        ledger, kind, pod, node = self.ledger, operation.kind, operation.pod, operation.node
        class_idx, subgroup = self._class[pod], self._subgroup[pod]
        request, cost = self._request[class_idx], self._cost[class_idx]
        gained = -sign if kind is Kind.EVICT else sign
        if kind is Kind.PLACE:
            ledger.free[node] -= sign * request
        else:
            ledger.releasing[node] -= gained * request
        ledger.active[subgroup] += gained
        if kind is not Kind.NOMINATE:
            ledger.allocated[subgroup] += gained
        group = self._group[subgroup]
        path = self._paths[self._queue[group]]
        ledger.queue_allocated[path] += gained * cost
        if not self._preemptible[group]:
            ledger.queue_non_preemptible[path] += gained * cost
        ledger.touched.append(node)

    def decisions(self) -> Iterator[Decision]:
        """What the journal amounts to, pod by pod in the order of their last operation.

        A pod that was evicted and nominated back to its own node simply stays.
        """
        last: dict[int, Operation] = {}
        evicted: dict[int, Operation] = {}
        for operation in self.journal:
            last.pop(operation.pod, None)
            last[operation.pod] = operation
            if operation.kind is Kind.EVICT:
                evicted[operation.pod] = operation
        for pod, operation in last.items():
            yield from self._decisions_of(pod, operation, evicted.get(pod))

    def _decisions_of(self, pod: int, last: Operation, evicted: Operation | None) -> Iterator[Decision]:
        snapshot = self.ledger.snapshot
        key, names = snapshot.pods.keys[pod], snapshot.nodes.names
        groups = snapshot.podgroups.keys
        podgroup = str(groups[self._group[self._subgroup[pod]]])
        if evicted is not None and not (last.kind is Kind.NOMINATE and last.node == evicted.node):
            preemptor = None if evicted.preemptor == NONE else str(groups[evicted.preemptor])
            moved = last.kind is Kind.NOMINATE
            yield Evict(str(key), key.uid, names[evicted.node], podgroup, evicted.action, preemptor, moved)
        elif evicted is not None:
            return
        if last.kind is Kind.PLACE:
            yield Bind(str(key), key.uid, names[last.node], podgroup, last.action)
        elif last.kind is Kind.NOMINATE:
            yield Nominate(str(key), key.uid, names[last.node], podgroup, last.action)


_AFTER = {Kind.PLACE: PodState.ALLOCATED, Kind.NOMINATE: PodState.NOMINATED, Kind.EVICT: PodState.RELEASING}
