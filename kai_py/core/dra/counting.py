"""Proofs by sums: partitions and parts of devices that cannot be cut from what is left of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kai_py.core.dra.asks import Ask
from kai_py.core.dra.blocks import Charges
from kai_py.core.dra.bounds import Need, most_of
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.trial import Trial


class CounterProof:
    """What the counters of a node allow at most.

    Args:
        groups: devices that are tied through counters, as (bit, what it takes); all other devices take nothing.
        ledger: what is taken.
    """

    def __init__(self, groups: Sequence[Sequence[tuple[int, Charges]]], ledger: DeviceLedger) -> None:
        counters = ledger.inventory.counters
        self._groups = [dict(members) for members in groups]
        self._masks = [sum(members) for members in self._groups]
        self._all = sum(self._masks)
        self._counters = [sorted({k for charges in one.values() for k, _ in charges}) for one in self._groups]
        self._free = {k: counters.totals[k] - ledger.used[k] for found in self._counters for k in found}
        self._name = {k: counters.names[k][2] for k in self._free}
        self._least: dict[int, Mapping[str, int]] = {}
        self._most: dict[tuple[int, int, tuple[int, ...]], int] = {}

    def allows(self, needs: Sequence[tuple[int, Need]], charged: Mapping[int, int]) -> bool:
        """Whether counters may allow all needs together; False is a proof that they do not.

        Args:
            needs: (candidates before the search took any, what is needed now).
            charged: counter -> what the search has taken.
        """
        if not self._groups:
            return True
        left = [tuple(self._free[k] - charged.get(k, 0) for k in counters) for counters in self._counters]
        union, devices = 0, 0
        for _, need in needs:
            union |= need.candidates
            devices += need.devices
            if self._at_most(need.candidates, left) < need.devices:
                return False
        if len(needs) > 1 and self._at_most(union, left) < devices:
            return False
        return self._adds_up(needs, left)

    def _at_most(self, candidates: int, left: Sequence[tuple[int, ...]]) -> int:
        """So many of the candidates can be taken together at most: group by group, as if each counter were alone."""
        total = (candidates & ~self._all).bit_count()
        for number, mask in enumerate(self._masks):
            mine = candidates & mask
            if not mine:
                continue
            key = number, mine, left[number]
            found = self._most.get(key)
            if found is None:
                found = self._most[key] = self._in_group(number, mine, left[number])
            total += found
        return total

    def _in_group(self, number: int, candidates: int, left: tuple[int, ...]) -> int:
        room = dict(zip(self._counters[number], left, strict=True))
        able = [
            charges
            for bit, charges in self._groups[number].items()
            if bit & candidates and all(room[k] >= amount for k, amount in charges)
        ]
        return most_of(able, room)

    def _adds_up(self, needs: Sequence[tuple[int, Need]], left: Sequence[tuple[int, ...]]) -> bool:
        """Whether the sums of all counters of one name suffice for the least that each need takes of them."""
        wanted: dict[str, int] = {}
        for candidates, need in needs:
            for name, amount in self._least_of(candidates).items():
                wanted[name] = wanted.get(name, 0) + need.devices * amount
        if not wanted:
            return True
        room = dict.fromkeys(wanted, 0)
        for counters, amounts in zip(self._counters, left, strict=True):
            for k, amount in zip(counters, amounts, strict=True):
                if self._name[k] in room:
                    room[self._name[k]] += max(0, amount)
        return all(room[name] >= amount for name, amount in wanted.items())

    def _least_of(self, candidates: int) -> Mapping[str, int]:
        """Counter name -> the least that any candidate takes of such counters."""
        found = self._least.get(candidates)
        if found is None:
            found = self._least[candidates] = {} if candidates & ~self._all else self._find_least(candidates)
        return found

    def _find_least(self, candidates: int) -> dict[str, int]:
        least: dict[str, int] | None = None
        for group in self._groups:
            for bit, charges in group.items():
                if bit & candidates:
                    own: dict[str, int] = {}
                    for k, amount in charges:
                        own[self._name[k]] = own.get(self._name[k], 0) + amount
                    least = own if least is None else {n: min(a, own[n]) for n, a in least.items() if n in own}
        return {name: amount for name, amount in (least or {}).items() if amount > 0}


class CapacityProof:
    """What the capacities of shared devices allow at most.

    Args:
        asks: all requests, in the order in which they are served.
        trial: what the search has taken.
        ledger: what others have taken.
    """

    def __init__(self, asks: Sequence[Ask], trial: Trial, ledger: DeviceLedger) -> None:
        self._trial = trial
        self._ledger = ledger
        self._demands = [_least_of_parts(ask) for ask in asks]
        self._rows = [{row for option in ask.options for row in option.candidates} for ask in asks]

    def allows(self, number: int, *, at_all: bool = False) -> bool:
        """Whether capacities may suffice for all requests from one on; False is a proof that they do not.

        Args:
            number: of the first request that is not served yet.
            at_all: as if the search had taken nothing.
        """
        wanted: dict[str, int] = {}
        rows: set[int] = set()
        for demand, candidates in zip(self._demands[number:], self._rows[number:], strict=True):
            if demand:
                rows |= candidates
            for name, amount in demand.items():
                wanted[name] = wanted.get(name, 0) + amount
        return all(amount <= sum(self._left(row, name, at_all) for row in rows) for name, amount in wanted.items())

    def _left(self, row: int, name: str, at_all: bool) -> int:
        inventory = self._ledger.inventory
        capacity = inventory.devices[row].capacities.get(name)
        if capacity is None:
            return 0
        identity = inventory.id_idx[row]
        left = capacity.value - self._ledger.consumed.get(identity, {}).get(name, 0)
        return max(0, left if at_all else left - self._trial.consumed.get((identity, name), 0))


def _least_of_parts(ask: Ask) -> dict[str, int]:
    """Capacity -> the least that a request takes of it, however it is served; nothing if it can do without parts."""
    least: dict[str, int] | None = None
    for option in ask.options:
        for row in option.candidates:
            own = {name: amount * option.needed for name, amount in option.taking(row)}
            least = own if least is None else {n: min(a, own[n]) for n, a in least.items() if n in own}
            if not least:
                return {}
    return least or {}
