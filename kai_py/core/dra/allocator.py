"""The allocator: claims of one pod and a node go in, devices or the reason why not come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from kai_py.core.dra.allocation import Allocation, ClaimAllocation, allocated, allocation_of
from kai_py.core.dra.asks import Ask, Option, bonds_of
from kai_py.core.dra.claims import ALL, MAX_CONFIGURATIONS, MAX_DEVICES, Alternative, Claim
from kai_py.core.dra.constraints import Bond
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.node_shares import NodeRoom, OfNode, of_claim
from kai_py.core.dra.preference import GROUPING, Preference
from kai_py.core.dra.reasons import explain
from kai_py.core.dra.refusal import Refusal, RefusalCode
from kai_py.core.dra.search import Found, SearchStoppedError
from kai_py.core.dra.selectors import SelectorMemo
from kai_py.core.dra.strategy import Strategy
from kai_py.core.dra.trial import Trial
from kai_py.core.dra.verdicts import Judge, Verdict, Verdicts

_FITS, _FAILED, _NO_MATCH = int(Verdict.FITS), int(Verdict.FAILED), int(Verdict.NO_MATCH)


@dataclass(frozen=True)
class AllocatorOptions:
    """Numbers that an allocator is run with.

    Attributes:
        steps: devices that may be tried for the claims of a pod on a node; more finds more solutions in odd cases, and
            takes some 20 µs each before it gives up. Ordinary claims need a step per device.
        grouping: attributes by which devices of a node belong together; a request is served from one group if it can.
    """

    steps: int = 4_000
    grouping: tuple[str, ...] = GROUPING


class Allocator:
    """Allocates devices of one inventory. Remembers what does not depend on the ledger; decides the same without.

    Args:
        inventory: the devices.
        memo: what selectors said in earlier snapshots.
        options: see there.
    """

    def __init__(
        self,
        inventory: Inventory,
        memo: SelectorMemo | None = None,
        options: AllocatorOptions = AllocatorOptions(),
    ) -> None:
        self.inventory = inventory
        self.verdicts: Final = Verdicts(inventory, memo or SelectorMemo())
        self._options = options
        self._preference = Preference(inventory, options.grouping)

    def allocate(
        self,
        claims: Sequence[Claim],
        node: int,
        ledger: DeviceLedger,
        *,
        steps: int | None = None,
        room: NodeRoom | None = None,
    ) -> Allocation | Refusal:
        """Find devices on a node for all claims together; the ledger stays as it is.

        Of several alternatives of a request the first one is taken that lets everything else find its devices, too,
        once the devices of earlier requests are settled; those move only where there is no other way.

        Args:
            claims: those of one pod that have no allocation yet, in the pod's order.
            node: row of the node.
            ledger: what is taken.
            steps: what is left of a budget for several nodes; None = as the options say.
            room: what devices may take of the node, where they take anything; None = as much as they like.
        """
        budget = self._options.steps if steps is None else min(steps, self._options.steps)
        found = self._find(claims, node, ledger, budget)
        if room is None or isinstance(found, Refusal):
            return found
        if (refusal := self._too_much(found, claims, room)) is None:
            return found
        # Others may take less of the node: the same search once more, and now it matters.
        other = self._find(claims, node, ledger, budget - found.steps, room)
        if isinstance(other, Refusal):
            return other if other.code is RefusalCode.CUT else replace(refusal, steps=other.steps)
        return other

    def _too_much(self, found: Allocation, claims: Sequence[Claim], room: NodeRoom) -> Refusal | None:
        """Why devices take too much of their node; None = they do not."""
        parts: list[OfNode] = []
        for number, (claim, given) in enumerate(zip(claims, found.claims, strict=True)):
            part = of_claim(given, self.inventory)
            if part and number in room.unused:
                return Refusal(RefusalCode.NODE_UNUSED, claim.name)
            parts.append(part)
        shortages = room.shortages(parts)
        if not shortages:
            return None
        takers = [claim.name for claim, part in zip(claims, parts, strict=True) if part]
        return Refusal(RefusalCode.NODE_ROOM, takers[0] if len(takers) == 1 else "", shortages=shortages)

    def _find(
        self,
        claims: Sequence[Claim],
        node: int,
        ledger: DeviceLedger,
        budget: int,
        room: NodeRoom | None = None,
    ) -> Allocation | Refusal:
        if room is None and (simple := self._at_once(claims, node, ledger)) is not None:
            return simple
        prepared = self._prepare(claims, node, ledger)
        if isinstance(prepared, Refusal):
            return prepared
        sight = self.inventory.at(node)
        try:
            found = self._search(prepared, sight.rows, ledger, budget, room)
        except SearchStoppedError as stopped:
            return _stopped(stopped, claims, self.inventory)
        if not found.solved:
            return explain(found, prepared, claims, sight, ledger)
        return _writable(self._result(claims, prepared, found, node), claims)

    def _search(
        self, asks: Sequence[Ask], rows: Sequence[int], ledger: DeviceLedger, budget: int, room: NodeRoom | None
    ) -> Found:
        """Search. Where a selector fails on a device, first in the order of the node, as kube-scheduler does.

        Whether that order comes to the device before it has found a solution decides whether the failure counts; if it
        does not, our own order may still find better devices.
        """
        if not any(option.failed(row) for ask in asks for option in ask.options for row in option.candidates):
            return Strategy(asks, rows, ledger, self._preference, budget, room).solve()
        place = {row: number for number, row in enumerate(rows)}
        plain = [replace(ask, options=tuple(one.sorted_by(place) for one in ask.options)) for ask in asks]
        found = Strategy(plain, rows, ledger, self._preference, budget, room).solve()
        if not found.solved:
            return found
        try:
            better = Strategy(asks, rows, ledger, self._preference, budget - found.steps, room).solve()
        except SearchStoppedError:
            return found
        return replace(better if better.solved else found, steps=found.steps + better.steps)

    def _at_once(self, claims: Sequence[Claim], node: int, ledger: DeviceLedger) -> Allocation | None:
        """The answer to a single plain request, if it is yes: what the search would find, without a search."""
        if len(claims) != 1 or len(claims[0].requests) != 1 or claims[0].constraints:
            return None
        claim, request = claims[0], claims[0].requests[0]
        alternative = request.alternatives[0]
        if len(request.alternatives) > 1 or alternative.admin or not 0 < alternative.count <= MAX_DEVICES:
            return None
        inventory, judge = self.inventory, self.verdicts.of(alternative)
        if not self._preference.is_plain(node):
            return None
        found: list[int] = []
        for row in inventory.at(node).rows:
            if ledger.busy(inventory.id_idx[row]):
                continue
            verdict = judge.verdict(row)
            if verdict == _FAILED:
                return None
            if verdict == _FITS:
                found.append(row)
                if len(found) == alternative.count:
                    devices = [allocated(inventory, row, alternative, ()) for row in found]
                    return Allocation((allocation_of(claim, (0,), devices, inventory, node),), len(found))
        return None

    def _prepare(self, claims: Sequence[Claim], node: int, ledger: DeviceLedger) -> list[Ask] | Refusal:
        """Lay out all requests for the node."""
        asks: list[Ask] = []
        for number, claim in enumerate(claims):
            bonds = bonds_of(claim, self.inventory)
            total = 0
            for request in claim.requests:
                options = []
                for alternative in request.alternatives:
                    bound = tuple(bond for bond in bonds if bond.constraint.applies(request, alternative))
                    option = self._option(claim, alternative, bound, node, ledger)
                    if isinstance(option, Refusal):
                        return option
                    options.append(option)
                asks.append(Ask(number, request, tuple(options)))
                total += min(option.needed for option in options)
            if total > MAX_DEVICES:
                return Refusal(RefusalCode.TOO_MANY_DEVICES, claim.name, needed=total)
        return asks

    def _option(
        self, claim: Claim, alternative: Alternative, bonds: tuple[Bond, ...], node: int, ledger: DeviceLedger
    ) -> Option | Refusal:
        judge, sight = self.verdicts.of(alternative), self.inventory.at(node)
        verdicts = [(row, judge.verdict(row)) for row in sight.rows]
        matched = sum(verdict != _NO_MATCH for _, verdict in verdicts)
        if alternative.count != ALL:
            candidates = [row for row, verdict in verdicts if verdict in (_FITS, _FAILED)]
            common = [bond.constraint.attribute for bond in bonds if not bond.constraint.distinct]
            ordered = self._preference.order(candidates, alternative.count, node, ledger, common)
            return Option(alternative, judge, ordered, alternative.count, bonds, matched)
        if sight.incomplete or sight.invalid:
            code = RefusalCode.POOL_INCOMPLETE if sight.incomplete else RefusalCode.POOL_INVALID
            pools = sight.incomplete or sight.invalid
            return Refusal(code, claim.name, alternative.name, matched=matched, pools=pools)
        failed = next((row for row, verdict in verdicts if verdict == _FAILED), None)
        if failed is not None:
            return _unanswered(claim, alternative, judge, failed, inventory=self.inventory)
        everything = self._everything(judge, verdicts, ledger)
        return Option(alternative, judge, everything, len(everything), bonds, matched)

    def _everything(self, judge: Judge, verdicts: list[tuple[int, int]], ledger: DeviceLedger) -> list[int]:
        """The devices that "all" means: those with too little capacity left are not meant, tainted ones are."""
        trial, meant = Trial(self.inventory, ledger, 0), (_FITS, Verdict.TAINTED)
        return [row for row, verdict in verdicts if verdict in meant and trial.roomy(row, judge.taking(row))]

    def _result(self, claims: Sequence[Claim], asks: Sequence[Ask], found: Found, node: int) -> Allocation:
        chosen: list[list[int]] = [[] for _ in claims]
        devices: list[list[tuple[int, Option]]] = [[] for _ in claims]
        for ask, placed, rows in zip(asks, found.placed, self._dealt(asks, found, node), strict=True):
            chosen[ask.claim].append(placed.alternative)
            devices[ask.claim].extend((row, ask.options[placed.alternative]) for row in rows)
        each = zip(claims, chosen, devices, strict=True)
        return Allocation(tuple(self._claim(*one, node) for one in each), found.steps)

    def _dealt(self, asks: Sequence[Ask], found: Found, node: int) -> list[list[int]]:
        """The devices of each request. Requests of a claim that ask for the same get them in the order of the node.

        Which of them has which makes no difference to anybody; that it does not depend on our preferences makes
        results easier to compare.
        """
        dealt = [list(placed.devices) for placed in found.placed]
        place = {row: number for number, row in enumerate(self.inventory.at(node).rows)}
        alike: dict[tuple[object, ...], list[int]] = {}
        for number, (ask, placed) in enumerate(zip(asks, found.placed, strict=True)):
            option = ask.options[placed.alternative]
            alternative = option.alternative
            if not any(self.inventory.devices[row].shareable for row in dealt[number]):
                key = ask.claim, option.judge.key, alternative.count, alternative.admin, option.bonds
                alike.setdefault(key, []).append(number)
        for numbers in alike.values():
            ordered = iter(sorted((row for number in numbers for row in dealt[number]), key=place.__getitem__))
            for number in numbers:
                dealt[number] = [next(ordered) for _ in dealt[number]]
        return dealt

    def _claim(
        self, claim: Claim, chosen: Sequence[int], devices: Sequence[tuple[int, Option]], node: int
    ) -> ClaimAllocation:
        found = [allocated(self.inventory, row, one.alternative, one.taking(row)) for row, one in devices]
        return allocation_of(claim, chosen, found, self.inventory, node)


def _writable(allocation: Allocation, claims: Sequence[Claim]) -> Allocation | Refusal:
    """The allocation, unless the API server would refuse to store it."""
    for claim, found in zip(claims, allocation.claims, strict=True):
        if len(found.config) > MAX_CONFIGURATIONS:
            code = RefusalCode.TOO_MANY_CONFIGURATIONS
            return Refusal(code, claim.name, needed=len(found.config), steps=allocation.steps)
    return allocation


def _stopped(stopped: SearchStoppedError, claims: Sequence[Claim], inventory: Inventory) -> Refusal:
    """A search that did not come to an end."""
    option = stopped.option
    if option is None:
        return Refusal(RefusalCode.CUT, steps=stopped.steps)
    found = _unanswered(claims[stopped.claim], option.alternative, option.judge, stopped.device, inventory=inventory)
    return replace(found, steps=stopped.steps)


def _unanswered(claim: Claim, wanted: Alternative, judge: Judge, row: int, *, inventory: Inventory) -> Refusal:
    """A selector that cannot be evaluated on a device."""
    number, message = judge.failure(row)
    of_class = len(wanted.device_class.selectors)
    if number < of_class:
        selector = f"spec.selectors[{number}] of DeviceClass {wanted.device_class.name}"
    else:
        selector = f"selectors[{number - of_class}] of request {wanted.name}"
    device = inventory.ids[inventory.id_idx[row]]
    name = f"{device.driver}/{device.pool}/{device.device}"
    code = RefusalCode.SELECTOR_FAILED
    return Refusal(code, claim.name, wanted.name, message=message, selector=selector, device=name)
