"""What a journal amounts to: who gets a place, who goes, and on whose account."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from kai_py.core.dra.ledger import Take
from kai_py.core.dra.node_shares import OfNode
from kai_py.core.result import Bind, Decision, Evict, Granted, Nominate
from kai_py.core.state.claim_uses import Grants
from kai_py.core.state.claims import Claims
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Kind, Operation
from kai_py.core.tables.pods import NONE
from kai_py.core.tables.zones import Seat

Given = TypeVar("Given", Bind, Nominate)


@dataclass(frozen=True)
class Account:
    """The journal, pod by pod.

    Attributes:
        last: the last operation of each pod, in the order of these. Pods that stay where they were are left out.
        evictions: of pods that had to go. Action and preemptor are those on whose account it is by now.
    """

    last: dict[int, Operation]
    evictions: dict[int, Operation]

    def moved_for(self, podgroup: int) -> list[int]:
        """Rows of pods that go elsewhere on a podgroup's account."""
        gone = [pod for pod, eviction in self.evictions.items() if eviction.preemptor == podgroup]
        return [pod for pod in gone if self.last[pod].kind is Kind.NOMINATE]


def account(ledger: Ledger, journal: Iterable[Operation]) -> Account:
    """Sum a journal up.

    A pod that was evicted and nominated back to its own node and devices simply stays. Whoever takes the new place
    of a pod that moves evicts it; and who takes a place over that others have moved for is whom they move for.
    """
    group, subgroup = ledger.snapshot.subgroups.podgroup_idx, ledger.snapshot.pods.subgroup_idx
    last: dict[int, Operation] = {}
    evicted: dict[int, Operation] = {}
    ousted: dict[int, Operation] = {}
    withdrawn: dict[int, tuple[Operation, Operation | None]] = {}
    for operation in journal:
        pod, kind = operation.pod, operation.kind
        if kind is Kind.WITHDRAW:
            withdrawn[pod], last[pod] = (last[pod], evicted.get(pod)), operation
        elif operation.preemptor != NONE and pod in withdrawn:
            first, before = withdrawn.pop(pod)
            if _given(first) == _given(operation):
                last[pod] = first  # spared: as if nobody had asked
                if before is not None:
                    evicted[pod] = before
            else:
                last[pod] = operation._replace(action=first.action)  # what it got before is elsewhere now
        else:
            last.pop(pod, None)
            last[pod] = operation
        if kind is Kind.EVICT:
            evicted[pod] = operation
        elif kind is Kind.WITHDRAW and pod in evicted:
            evicted[pod] = evicted[pod]._replace(action=operation.action, preemptor=operation.preemptor)
        elif kind is Kind.WITHDRAW:
            ousted[group.item(subgroup.item(pod))] = operation
        elif ousted and pod not in evicted:  # who only moves has gained nothing
            ousted.pop(group.item(subgroup.item(pod)), None)
    for pod, eviction in evicted.items():
        if last[pod].kind is Kind.NOMINATE and place_of(last[pod]) == place_of(eviction):
            del last[pod]
    return Account(last, {pod: _charged(evicted[pod], ousted) for pod in evicted if pod in last})


def _charged(eviction: Operation, ousted: dict[int, Operation]) -> Operation:
    """An eviction with the action and the podgroup on whose account it is: who took over may have been ousted, too."""
    by = eviction
    while by.preemptor in ousted:  # ends: everybody in it was ousted later than the one before
        by = ousted[by.preemptor]
    return eviction._replace(action=by.action, preemptor=by.preemptor)


def decisions_of(ledger: Ledger, journal: Iterable[Operation]) -> list[Decision]:
    """What is to be done, pod by pod in the order of their last operation."""
    summed = account(ledger, journal)
    if not summed.last:
        return []
    writer = _Writer(ledger)
    found: list[Decision] = []
    for pod, operation in summed.last.items():
        if (eviction := summed.evictions.get(pod)) is not None:
            found.append(writer.eviction(eviction, moved=operation.kind is Kind.NOMINATE))
        if operation.kind is Kind.PLACE:
            found.append(writer.place(Bind, operation))
        elif operation.kind is Kind.NOMINATE:
            found.append(writer.place(Nominate, operation))
    return found


class _Writer:
    """Writes decisions: rows become names, and a claim that several pods have is named once."""

    def __init__(self, ledger: Ledger) -> None:
        snapshot = ledger.snapshot
        self._ledger = ledger
        self._pods, self._nodes, self._groups = snapshot.pods.keys, snapshot.nodes.names, snapshot.podgroups.keys
        self._of = snapshot.subgroups.podgroup_idx[snapshot.pods.subgroup_idx].data
        self._written: set[int] = set()

    def eviction(self, eviction: Operation, *, moved: bool) -> Evict:
        """Who is ended, where, and for whom."""
        key, podgroup = self._pods[eviction.pod], str(self._groups[self._of[eviction.pod]])
        preemptor = None if eviction.preemptor == NONE else str(self._groups[eviction.preemptor])
        name = self._nodes[eviction.node] if eviction.node != NONE else ""
        return Evict(str(key), key.uid, name, podgroup, eviction.action, preemptor, moved)

    def place(self, kind: type[Given], last: Operation) -> Given:
        """Who gets which place, with all that it takes there."""
        ledger, pod = self._ledger, last.pod
        key, podgroup = self._pods[pod], str(self._groups[self._of[pod]])
        granted = () if ledger.claims is None else self._granted(ledger.claims, pod, now=last.kind is Kind.PLACE)
        zones = () if ledger.snapshot.zones is None else ledger.snapshot.zones.named(last.node, last.seat)
        picked = () if ledger.volumes is None else ledger.volumes.decided(pod)
        of_node = () if ledger.node_shares is None else _of_node(ledger.claims, pod, now=last.kind is Kind.PLACE)
        node = self._nodes[last.node]
        return kind(str(key), key.uid, node, podgroup, last.action, last.devices, granted, zones, picked, of_node)

    def _granted(self, claims: Claims, pod: int, *, now: bool) -> tuple[Granted, ...]:
        """The claims of a pod that get devices in this cycle and that no pod before it has named."""
        found = []
        for row in claims.table.of_pod.get(pod, ()):
            use = claims.uses[row]
            # What somebody starts with now is written by whoever starts.
            held = use.now if now else use.later if use.later is not use.now else None
            if held is not None and held.allocation is not None and row not in self._written:
                self._written.add(row)
                claim = claims.table.claims[row]
                found.append(Granted(claim.key, claim.uid, held.allocation, claim.extended is not None))
        return tuple(found)


def _of_node(claims: Claims | None, pod: int, *, now: bool) -> tuple[tuple[str, OfNode], ...]:
    """What the devices of a pod take of its node, claim by claim."""
    found = []
    for row in () if claims is None else claims.table.of_pod.get(pod, ()):
        assert claims is not None
        use = claims.uses[row]
        held = use.now if now else use.later
        if held is not None and held.of_node:
            found.append((claims.table.claims[row].key, held.of_node))
    return tuple(found)


def place_of(operation: Operation) -> tuple[int, tuple[str, ...], tuple[tuple[Take, ...], ...], Seat]:
    """Where a pod is put, or is taken from: who comes back to its node, its devices and its zones has not moved."""
    uses = [change.before if operation.kind is Kind.EVICT else change.after for change in operation.claims]
    takes = tuple(() if use.later is None else use.later.takes for use in uses)
    return operation.node, operation.devices, takes, operation.seat


def _given(operation: Operation) -> tuple[Kind, int, tuple[str, ...], Grants, Seat]:
    """What a pod was given."""
    return operation.kind, operation.node, operation.devices, operation.grants, operation.seat
