"""What the nodes look like to one pod class, kept up to date as the ledger changes."""

from __future__ import annotations

from functools import cached_property
from math import inf
from typing import NamedTuple, Protocol

import numpy as np

from kai_py.core.filters import FILTERS
from kai_py.core.filters.resources import fits, shortages
from kai_py.core.options import Action, Options, Strategy
from kai_py.core.placement.ahead import places_ahead
from kai_py.core.placement.fragments import Fragments, Sparing
from kai_py.core.placement.suitability import PASSED, Suitability
from kai_py.core.placement.zones import Seats, ZoneEye
from kai_py.core.resources import GPU, Amounts, Mask, Rows, Shares
from kai_py.core.result import FilterReason, Reason
from kai_py.core.scores.allocation import Allocation
from kai_py.core.scores.packing import Packing
from kai_py.core.scores.resource_type import resource_type
from kai_py.core.state.claim_uses import NO_GRANTS, Grants
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import NONE
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.tables.zones import NO_SEAT, Seat

NOWHERE = -inf

#: Up to so many nodes are evaluated one by one; beyond, the cost of a numpy call is made up for (about 25 us).
_FEW = 8


class Place(NamedTuple):
    """A node for a pod, and the devices there of which it gets a share, if it asks for one, or that its claims get.

    ``seat`` is what it takes of NUMA nodes.

    ``now`` tells whether it can start at once, or must wait for pods that are leaving.
    """

    node: int
    now: bool
    devices: tuple[str, ...] = ()
    grants: Grants = NO_GRANTS
    seat: Seat = NO_SEAT

    def give(
        self, transaction: Transaction, pod: int, *, action: Action, start: bool = True, spared_for: int = NONE
    ) -> None:
        """Place a pod here, or nominate it where it has to wait, or may not ``start``; see ``Transaction.place``."""
        settle = transaction.place if self.now and start else transaction.nominate
        settle(
            pod,
            self.node,
            action=action,
            devices=self.devices,
            grants=self.grants,
            seat=self.seat,
            spared_for=spared_for,
        )


class View(Protocol):
    """All nodes through the eyes of one pod class; :class:`ClassView` says what these mean."""

    request: Amounts
    allowed: Mask

    def best(self, within: Mask | None = None) -> Place | None:
        """The best node."""

    def ahead(self, limit: int) -> list[int]:
        """Where the next pods of the class would go."""

    def at(self, node: int) -> Place | None:
        """One node."""

    def fitting(self) -> Mask:
        """Nodes that have room for it."""

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """How many pods each node takes."""

    def refusal(self) -> Reason | None:
        """Why no node takes the class, where more can be told than numbers of nodes."""

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class."""

    def details(self) -> dict[str, object]:
        """What of the class' demands a reader has to know beside :meth:`explain`."""

    @property
    def may_misalign(self) -> bool:
        """Whether some node may refuse the class over NUMA nodes, which sums over nodes do not show."""

    @property
    def liking(self) -> Shares | None:
        """How much the class likes nodes, whatever is free there."""


class ClassView:
    """All nodes through the eyes of one pod class: who may take it, and how good that would be.

    Suitability is computed once. Room and packing follow the ledger: only nodes that it has touched since the last
    look are computed again, so placing a pod costs the same on 50 nodes as on 5,000.

    Attributes:
        request: ``(R,)`` of one pod.
        allowed: ``(N,)`` nodes that all filters let it on, room apart.
    """

    def __init__(
        self, class_idx: int, suitability: Suitability, ledger: Ledger, options: Options, fragments: Fragments
    ) -> None:
        snapshot = ledger.snapshot
        self._ledger = ledger
        self.request: Amounts = snapshot.classes.request[class_idx]
        self._asked = np.flatnonzero(self.request)
        self._needs = [(r, self.request.item(r)) for r in self._asked.tolist()]
        alignment = snapshot.classes.classes[class_idx].alignment
        zones = ledger.zones
        self._zones = ZoneEye(alignment, zones) if alignment is not None and zones is not None else None
        self._aligned = options.weights.get("numa", 0.0)
        #: What a pod would take of zones, of nodes that somebody has asked about since they changed last.
        self._seats: dict[int, Seats] = {}
        self._suitability = suitability
        self.allowed: Mask = suitability.first_failure == PASSED
        packed_by = self._packed_by(ledger, class_idx)
        self._packing = Packing.of(packed_by, snapshot.nodes, snapshot.axis, options)
        self._allocation = Allocation.of(self.request, snapshot.nodes, snapshot.axis, options)
        self._sparing = None
        if self._packing.strategy is Strategy.LEAST_FRAGMENTATION and fragments.typical is not None:
            self._sparing = Sparing(fragments, snapshot.classes.classes[class_idx])
        self._available = options.weights.get("availability", 0.0)
        self._packed = options.weights.get("packing", 0.0)
        self._base: Shares = suitability.score + options.weights.get("resourceType", 0.0) * resource_type(
            packed_by, snapshot.nodes, snapshot.axis, _with_devices(snapshot)
        )
        self._read = len(ledger.touched)
        #: How far the ledger was read when nobody could be placed ahead.
        self._sought = NONE
        self._value: Shares = np.empty(len(snapshot.nodes))
        self._scratch: Shares = np.empty(len(snapshot.nodes))
        self._now: Mask = np.empty(len(snapshot.nodes), dtype=np.bool_)
        self._evaluate(slice(None))

    def _packed_by(self, ledger: Ledger, class_idx: int) -> Amounts:
        """``(R,)`` what decides by which resource the class is packed."""
        return np.asarray(ledger.snapshot.classes.request[class_idx])

    def _evaluate(self, rows: Rows | slice) -> None:
        """Value some nodes anew: ``NOWHERE`` where the pod may not go or has no room."""
        free = self._ledger.free[rows]
        self._value[rows], self._now[rows] = self._judge(rows, free, free + self._ledger.releasing[rows])
        if self._zones is not None:
            self._value_zones(self._zones, np.arange(len(self._value), dtype=np.int32)[rows])

    def _judge(self, rows: Rows | slice, free: Amounts, later: Amounts) -> tuple[Shares, Mask]:
        """What nodes would be worth with some amounts free now and later, and whether there would be room now."""
        # Where a nomination stands on idle capacity, `free` alone would promise the same place twice.
        possible = self.allowed[rows] & fits(self.request, later)
        packing = self._packing.score(rows, later)
        if self._sparing is not None:  # it looks at what the ledger says is free
            places = np.arange(len(self._value), dtype=np.int32)[rows][possible]
            packing[possible] = self._sparing.score(places, packing[possible])
        value = self._base[rows] + self._packed * packing
        if self._allocation is not None:
            value += self._allocation.score(rows, later)
        now = fits(self.request, free)
        value += self._available * now
        value[~possible] = NOWHERE
        return value, now

    def _evaluate_one(self, node: int) -> None:
        """The same for one node, to the bit: plain numbers are six times as fast as arrays of length one."""
        free, soon = self._ledger.free[node].tolist(), self._ledger.releasing[node].tolist()
        # Mostly nobody is leaving, and what is free now is what is free later.
        later = [here + leaves for here, leaves in zip(free, soon, strict=True)] if any(soon) else free
        now = self._now[node] = self._has_room(free)
        if not self.allowed.item(node) or not (now if later is free else self._has_room(later)):
            self._value[node] = NOWHERE
            return
        value = self._base.item(node) + self._packed * self._packing.score_one(node, later)
        if self._allocation is not None:
            value += self._allocation.score(slice(node, node + 1), np.array([later])).item(0)
        self._value[node] = value + self._available if now else value
        if self._zones is not None:
            self._value_zones_of(self._zones, node)

    def _value_zones(self, zones: ZoneEye, nodes: Rows) -> None:
        """Put right what was valued without regard to NUMA nodes."""
        nodes = nodes[self._value[nodes] != NOWHERE]
        seen = zones.judge(nodes)
        value = self._value[nodes] + self._aligned * seen.near
        value -= self._available * (self._now[nodes] & ~seen.now)
        value[~seen.later] = NOWHERE
        self._value[nodes] = value
        self._now[nodes] &= seen.now
        self._seats.clear()

    def _value_zones_of(self, zones: ZoneEye, node: int) -> None:
        """The same for one node, to the bit."""
        seats = self._seats[node] = zones.judge_one(node)
        if seats.later is None:
            self._value[node], self._now[node] = NOWHERE, False
            return
        value = self._value.item(node) + self._aligned * seats.near
        if seats.now is None and self._now.item(node):
            value -= self._available
            self._now[node] = False
        self._value[node] = value

    def _has_room(self, amounts: list[int]) -> bool:
        for r, need in self._needs:  # noqa: SIM110  # a generator costs as much as the loop, and this is the hot path
            if amounts[r] < need:
                return False
        return True

    def refresh(self) -> None:
        """Catch up with the ledger."""
        touched = self._ledger.touched
        news = len(touched) - self._read
        if news == 0:
            return
        if news <= _FEW and self._sparing is None:
            for node in touched[self._read :]:
                self._evaluate_one(node)
        else:
            rows = np.unique(np.array(touched[self._read :], dtype=np.int32))
            self._evaluate(rows)
        self._read = len(touched)

    def best(self, within: Mask | None = None, bonus: Shares | None = None) -> Place | None:
        """The best node, the first by name among equals; None when there is none.

        Args:
            within: ``(N,)`` nodes to choose from; None = all.
            bonus: ``(N,)`` what is added to their values; None = nothing.
        """
        self.refresh()
        value = self._value
        if within is not None or bonus is not None:
            value = self._scratch  # memory that is taken and given back for every pod costs more than the sums
            if bonus is None:
                np.copyto(value, self._value)
            else:
                np.add(self._value, bonus, out=value)
            if within is not None:
                np.copyto(value, NOWHERE, where=~within)
        if value.size == 0:
            return None
        node = int(value.argmax())
        if value.item(node) == NOWHERE:
            return None
        return self._at(node)

    def ahead(self, limit: int) -> list[int]:
        """Where the next pods of the class would go, one after the other, if nobody else came or went.

        Only as far as that can be told at once, and for pods that can start there now: those before a doubt. To a class
        that asks for more than amounts, every pod is one of its own.
        """
        if type(self) is not ClassView or self._zones is not None or self._sparing is not None:
            return []
        self.refresh()
        if self._sought == self._read:  # nobody has come or gone since there was no place
            return []
        free = self._ledger.free
        later = free + self._ledger.releasing
        places = places_ahead(self._judge, self._value, self._now, free, later, self.request, limit)
        if not places:
            self._sought = self._read
        return places

    def at(self, node: int) -> Place | None:
        """One node; None when it does not take the pod."""
        self.refresh()
        return None if self._value.item(node) == NOWHERE else self._at(node)

    def _at(self, node: int) -> Place:
        now = self._now.item(node)
        if self._zones is None:
            return Place(node, now)
        seats = self._seats.get(node)
        if seats is None:
            seats = self._seats[node] = self._zones.judge_one(node)
        return Place(node, now, seat=(seats.now if now else seats.later) or NO_SEAT)

    def fitting(self) -> Mask:
        """``(N,)`` nodes that have room for it, now or later."""
        self.refresh()
        return np.asarray(self._value != NOWHERE)

    @cached_property
    def liking(self) -> Shares | None:
        """``(N,)`` what labels and taints speak for a node, whatever is on it; None where they make no difference."""
        score = self._suitability.score
        return score if score.size and score.min() < score.max() else None

    @property
    def may_misalign(self) -> bool:
        """Whether some node may refuse the class over NUMA nodes, which sums over nodes do not show."""
        return self._zones is not None and bool((self._zones.refusing & self.allowed).any())

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """How many pods of the class each node takes, as far as more than amounts decides.

        Args:
            by_amounts: ``(N,)`` what filters and amounts leave.
            later: once leaving pods are gone.
        """
        return by_amounts if self._zones is None else self._zones.slots(by_amounts, later=later)

    def refusal(self) -> Reason | None:
        """Why no node takes the class, where more can be told than numbers of nodes."""
        return None

    def details(self) -> dict[str, object]:
        """What of the class' demands a reader has to know beside :meth:`explain`."""
        if self._zones is None:
            return {}
        later = self._ledger.free + self._ledger.releasing
        return self._zones.refusals(self.allowed & fits(self.request, later))[1]

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class: nodes by first reason, and what is missing where only room is missing."""
        free = self._ledger.free + self._ledger.releasing
        counts = np.bincount(self._suitability.first_failure, minlength=len(FILTERS) + 1).tolist()
        reasons = {str(reason): counts[number] for number, (reason, _) in enumerate(FILTERS, start=1)}
        full = self.allowed & ~fits(self.request, free)
        reasons[str(FilterReason.RESOURCES)] = int(full.sum())
        missing = shortages(self.request, free, full, self._ledger.snapshot.axis)
        if self._zones is not None:
            reasons |= self._zones.refusals(self.allowed & ~full)[0]
        return {reason: count for reason, count in reasons.items() if count}, missing


def _with_devices(snapshot: Snapshot) -> Rows:
    """Rows of nodes whose GPUs are devices that pods claim."""
    counted = () if snapshot.claims is None else snapshot.claims.counted
    homes = {node for one in counted if snapshot.axis.accounted[one.column] == GPU for node in one.homes}
    return np.array(sorted(homes), dtype=np.int32)
