"""Nodes through the eyes of pods with claims on devices: where they find devices, and which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Final

import numpy as np

from kai_py.core.dra.claims import ALL, Claim
from kai_py.core.dra.devices import UNIT
from kai_py.core.dra.refusal import Refusal, RefusalCode
from kai_py.core.dra.table import Ask, Extended
from kai_py.core.options import Options, Strategy
from kai_py.core.placement.fragments import Fragments
from kai_py.core.placement.suitability import Suitability
from kai_py.core.placement.views import NOWHERE, ClassView, Place
from kai_py.core.resources import Amounts, Mask, Shares
from kai_py.core.result import FilterReason, Reason, ReasonCode
from kai_py.core.state.claims import Claims
from kai_py.core.state.ledger import Ledger

#: So many nodes that looked promising are asked for devices in vain, for each length of the lists of alternatives,
#: before the pod is given up for this time, once the cycle has searched in vain for long enough.
_ATTEMPTS: Final = 32
#: So many nodes are looked at to count what they lack; it takes some 10 us each.
_LOOKED_AT: Final = 512
_OTHER: Final = FilterReason.DEVICES
_REASONS: Final = {
    RefusalCode.NO_MATCH: FilterReason.NO_DEVICE,
    RefusalCode.TOO_SMALL: FilterReason.DEVICES_TOO_SMALL,
    RefusalCode.TAINTED: FilterReason.DEVICES_TAINTED,
    RefusalCode.IN_USE: FilterReason.DEVICES_IN_USE,
    RefusalCode.COUNTERS_USED_UP: FilterReason.COUNTERS_USED_UP,
    RefusalCode.CAPACITY_USED_UP: FilterReason.CAPACITY_USED_UP,
    RefusalCode.NODE_ROOM: FilterReason.DEVICES_TAKE_NODE,
    RefusalCode.POOL_INCOMPLETE: FilterReason.POOLS_UNSETTLED,
    RefusalCode.POOL_INVALID: FilterReason.POOLS_UNSETTLED,
    RefusalCode.CONSTRAINT: FilterReason.DEVICES_AGAINST_CONSTRAINT,
    RefusalCode.ALL_AGAINST_CONSTRAINT: FilterReason.DEVICES_AGAINST_CONSTRAINT,
    RefusalCode.SELECTOR_FAILED: FilterReason.SELECTOR_FAILED,
}
#: What nodes lack that come not even near.
_FAR: Final = frozenset({RefusalCode.NO_MATCH, RefusalCode.ELSEWHERE})
#: What nodes lack that have devices for each request alone.
_CLOSE: Final = frozenset(
    {
        RefusalCode.CONSTRAINT,
        RefusalCode.ALL_AGAINST_CONSTRAINT,
        RefusalCode.TOGETHER,
        RefusalCode.NODE_ROOM,
        RefusalCode.CUT,
    }
)
#: So many nodes are asked why they refuse, to report the one that comes nearest.
_EXPLAINED: Final = 8


class ClaimView(ClassView):
    """All nodes through the eyes of one pod class with claims.

    Room for everything else, filters and scores are those of any class. Where devices may be found is told by the
    device index for all nodes at once, and decided by the allocator on the best of them; nodes where the pod can start
    now come before those where it has to wait, and among them those come first that can give what is first in a list of
    alternatives. Nodes are packed by the devices that they have left for the class,
    unless it asks for GPUs beside them, or joins claims that have their devices.
    """

    def __init__(
        self, class_idx: int, suitability: Suitability, ledger: Ledger, options: Options, fragments: Fragments
    ) -> None:
        assert ledger.claims is not None
        self._claims: Claims = ledger.claims
        self._class_idx = class_idx
        self._asks = ledger.claims.table.of_class[class_idx]
        self._wishes = _wishes(self._asks)
        self._least: Amounts | None = None
        super().__init__(class_idx, suitability, ledger, options, fragments)
        self._least = self._claims.least(self._asks, class_idx)
        self._binpack = options.gpu is Strategy.BINPACK
        self._by_devices = 0.0
        self._scale: Shares = np.ones(0)
        if self._packing.by_gpus or any(isinstance(ask, int) for ask in self._asks):
            return
        self._by_devices, self._packed = self._packed, 0.0
        self._evaluate(slice(None))
        sizes = self._claims.sizes(self._asks).astype(np.float64)
        self._scale = np.maximum(sizes.max(initial=1.0) if self._binpack else sizes, 1.0)

    def _packed_value(self) -> Shares:
        """``(N,)`` the value of nodes, packed by devices."""
        room = self._claims.slots(self._asks, later=True) if self._by_devices else None
        if room is None:
            return self._value
        level = np.minimum(room / self._scale, 1.0)
        packed: Shares = self._value + self._by_devices * (1.0 - level if self._binpack else level)
        return packed

    def best(self, within: Mask | None = None, bonus: Shares | None = None) -> Place | None:
        """The best node that has devices, and which; see :meth:`ClassView.best`."""
        self.refresh()
        allowed = self._value != NOWHERE
        if within is not None:
            allowed &= within
        left, value = [_ATTEMPTS] * len(self._wishes), self._packed_value()
        for later, (wish, asks) in product((False, True), enumerate(self._wishes)):
            mask = allowed & self._claims.possible(asks, later=later) & self._roomy(later=later)
            if not later:
                mask &= self._now
            values = np.where(mask, value if bonus is None else value + bonus, NOWHERE)
            while (left[wish] > 0 or not self._claims.weary) and values.size:
                node = int(values.argmax())
                if values.item(node) == NOWHERE:
                    break
                if (found := self._on(node, asks, later=later)) is not None and self._prepared(node, asks, later):
                    return found
                values[node] = NOWHERE
                left[wish] -= 1
        return None

    def _roomy(self, *, later: bool) -> Mask | bool:
        """``(N,)`` nodes that may have room for what devices take of them; False is certain, True is not."""
        if self._least is None:
            return True
        free = self._ledger.free
        soon = free + self._ledger.releasing
        left = soon if later else np.minimum(free, soon)
        return np.asarray(((self._least <= 0) | (self.request + self._least <= left)).all(axis=1))

    def _prepared(self, node: int, asks: Sequence[Ask], later: bool) -> bool:
        """Whether alternatives that were left out let the claims be: of all devices each pool has to be known."""
        if asks is self._asks or not any(map(_has_all, self._asks)):
            return True
        return self._on(node, self._asks, later=later) is not None

    def at(self, node: int) -> Place | None:
        """The devices on one node; see :meth:`ClassView.at`."""
        place = super().at(node)
        if place is None:
            return None
        found = self._on(node, self._asks, later=False) if place.now else None
        return found or self._on(node, self._asks, later=True)

    def _on(self, node: int, asks: Sequence[Ask], *, later: bool) -> Place | None:
        grants = self._claims.find(asks, node, later=later, class_idx=self._class_idx)
        if grants is None or isinstance(grants, Refusal):
            return None
        return Place(node, not later, (), grants, self._at(node).seat)

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """How many pods each node takes, by its devices too; an upper bound. See :meth:`ClassView.slots`."""
        by_amounts = super().slots(by_amounts, later=later)
        if self._least is not None:
            by_amounts = np.minimum(by_amounts, self._slots_beside(self._least, later=later))
        count = self._claims.slots(self._asks, later=later)
        if count is not None:
            return np.minimum(by_amounts, count)
        return np.where(self._claims.possible(self._asks, later=later), by_amounts, 0)

    def _slots_beside(self, least: Amounts, *, later: bool) -> Amounts:
        """``(N,)`` at most so many pods find room with what their devices take of the node."""
        free = self._ledger.free + self._ledger.releasing if later else self._ledger.free
        slots: Amounts = np.full(len(free), np.iinfo(np.int64).max, dtype=np.int64)
        for column in np.flatnonzero((least > 0).any(axis=0)):
            each = self.request[column] + np.maximum(least[:, column], 0)
            np.minimum(slots, np.maximum(free[:, column], 0) // np.maximum(each, 1), out=slots)
        return slots

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class; of nodes that have room for everything but devices, what devices they lack."""
        reasons, missing = super().explain()
        self.refresh()
        nodes = np.flatnonzero(self._value != NOWHERE).tolist()
        lacking = Counter(_REASONS.get(self._lack(node), _OTHER) for node in nodes[:_LOOKED_AT])
        lacking[_OTHER] += len(nodes[_LOOKED_AT:])
        reasons.update({str(reason): count for reason, count in lacking.items() if count})
        return reasons, missing

    def refusal(self) -> Reason | None:
        """What the devices of the most promising node lack, if some node has room for everything else."""
        self.refresh()
        nodes = np.flatnonzero(self._value != NOWHERE).tolist()
        if not nodes:
            return None
        if (row := self._claims.full(self._asks)) is not None:
            return Reason(ReasonCode.CLAIM_IN_FULL_USE, {"claim": self._claims.table.claims[row].key})
        nearest: tuple[tuple[bool, bool, int, int, int], Refusal, int] | None = None
        for node in sorted(nodes[:_LOOKED_AT], key=self._distance)[:_EXPLAINED]:
            found = self._claims.find(self._asks, node, later=True, class_idx=self._class_idx)
            if isinstance(found, Refusal):
                failed, close = found.code is RefusalCode.SELECTOR_FAILED, found.code in _CLOSE
                key = failed, close, found.available, found.matched, -node
                if nearest is None or key > nearest[0]:
                    nearest = key, found, node
        if nearest is None:
            return None
        _, found, node = nearest
        details: dict[str, object] = {
            "why": str(found.code),
            "claim": "" if self._is_anybodys(found.claim) else found.claim,
            "request": found.request,
            "node": self._claims.table.inventory.nodes.names[node],
            "needed": found.needed,
            "matched": found.matched,
            "available": found.available,
            "pools": ", ".join(found.pools),
            "counters": ", ".join("/".join(one) for one in found.counters),
            "message": f"{found.selector} on device {found.device}: {found.message}" if found.selector else "",
            **{f"node {short.resource}": short.asked for short in found.shortages},
            **self._wanted(found),
        }
        numbers = ("needed", "matched", "available") if found.needed else ()
        return Reason(
            ReasonCode.DEVICES_UNAVAILABLE,
            {key: value for key, value in details.items() if value or key in numbers}
            | {f"left {short.resource}": short.left for short in found.shortages},
        )

    def _distance(self, node: int) -> tuple[bool, bool, bool]:
        """How far a node is from having the devices: those without any of the kind, or any at all, say nothing.

        A selector that fails is told first: whoever has written it has to know.
        """
        lack = self._lack(node)
        return lack is not RefusalCode.SELECTOR_FAILED, lack in _FAR, not self._claims.table.inventory.at(node).rows

    def _lack(self, node: int) -> RefusalCode:
        return self._claims.lack(self._asks, node, self._class_idx)

    def _is_anybodys(self, claim: str) -> bool:
        """Whether a claim is one pod's own, and stands here for those of all pods of the class."""
        own = any(isinstance(ask, Claim) and ask.name == claim for ask in self._asks)
        return own and int((self._ledger.snapshot.pods.class_idx == self._class_idx).sum()) > 1

    def _wanted(self, found: Refusal) -> dict[str, object]:
        """What a request asks of each device, as far as that is why there are none: selectors and capacities."""
        if found.code not in (RefusalCode.NO_MATCH, RefusalCode.TOO_SMALL, RefusalCode.CAPACITY_USED_UP):
            return {}
        rows = self._claims.table.claims
        claims: list[Claim] = []
        for ask in self._asks:
            if isinstance(ask, Extended):
                claims += [claim for _, claim in ask.variants]
            else:
                claims.append(rows[ask].asked if isinstance(ask, int) else ask)
        for claim in claims:
            for request in claim.requests:
                for way in request.alternatives:
                    if (claim.name, way.name) == (found.claim, found.request):
                        texts = [text for one in way.selectors if (text := getattr(one, "text", ""))]
                        return {
                            "class": way.device_class.name,
                            "selector": " && ".join(texts) if found.code is RefusalCode.NO_MATCH else "",
                            **{f"capacity {name}": units / UNIT for name, units in way.capacity.items()},
                        }
        return {}


def _wishes(asks: Sequence[Ask]) -> list[Sequence[Ask]]:
    """The claims with the first of their alternatives only, with the first two, and so on to all of them.

    A claim that pods share is as it is: whoever comes first decides for all.
    """
    claims = [ask for ask in asks if isinstance(ask, Claim)]
    longest = max((len(one.alternatives) for claim in claims for one in claim.requests), default=1)
    return [[_first(ask, number) for ask in asks] for number in range(1, longest)] + [asks]


def _has_all(ask: Ask) -> bool:
    return isinstance(ask, Claim) and any(way.count == ALL for one in ask.requests for way in one.alternatives)


def _first(ask: Ask, number: int) -> Ask:
    if not isinstance(ask, Claim):
        return ask
    requests = tuple(replace(one, alternatives=one.alternatives[:number]) for one in ask.requests)
    return replace(ask, requests=requests)
