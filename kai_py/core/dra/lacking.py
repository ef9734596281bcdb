"""What one node lacks for claims, told without a search: cheap enough to be asked of hundreds of nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.claims import ALL, Alternative, Claim
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.refusal import RefusalCode
from kai_py.core.dra.trial import Trial
from kai_py.core.dra.verdicts import Verdict

#: What takes devices away, in the order in which they are looked at. The first that leaves too few is the reason.
_ORDER = (
    RefusalCode.SELECTOR_FAILED,
    RefusalCode.TOO_SMALL,
    RefusalCode.TAINTED,
    RefusalCode.IN_USE,
    RefusalCode.COUNTERS_USED_UP,
    RefusalCode.CAPACITY_USED_UP,
)
_VERDICTS = {
    int(Verdict.FAILED): RefusalCode.SELECTOR_FAILED,
    int(Verdict.TAINTED): RefusalCode.TAINTED,
    int(Verdict.TOO_SMALL): RefusalCode.TOO_SMALL,
}


def lack_of(allocator: Allocator, claims: Sequence[Claim], node: int, ledger: DeviceLedger) -> RefusalCode:
    """What the first request lacks that finds too few devices, whatever the others take.

    ``TOGETHER`` if there is none: each finds enough alone.
    """
    sight = allocator.inventory.at(node)
    for claim in claims:
        for request in claim.requests:
            codes = [_lack(allocator, one, node, ledger) for one in request.alternatives]
            if codes and (code := codes[-1]) is not None and all(codes):
                if code is RefusalCode.NO_MATCH:
                    judges = [allocator.verdicts.of(one) for one in request.alternatives]
                    if any(judge.among(sight.invalid) for judge in judges):
                        return RefusalCode.POOL_INVALID
                    if any(judge.among(sight.incomplete) for judge in judges):
                        return RefusalCode.POOL_INCOMPLETE
                return code
    return RefusalCode.TOGETHER


def _lack(allocator: Allocator, alternative: Alternative, node: int, ledger: DeviceLedger) -> RefusalCode | None:
    inventory, judge = allocator.inventory, allocator.verdicts.of(alternative)
    trial = Trial(inventory, ledger, 1)
    good, why = 0, Counter[RefusalCode]()
    for row in inventory.at(node).rows:
        verdict = judge.verdict(row)
        if verdict == Verdict.NO_MATCH:
            continue
        if alternative.count == ALL and verdict == Verdict.TAINTED and not trial.roomy(row, judge.taking(row)):
            why[RefusalCode.CAPACITY_USED_UP] += 1
            continue
        if (code := _VERDICTS.get(verdict)) is None:
            if not trial.free(row, 0, admin=alternative.admin):
                code = RefusalCode.IN_USE
            elif not ledger.shares[inventory.id_idx[row]] and trial.short_of(row):
                code = RefusalCode.COUNTERS_USED_UP
            elif not trial.roomy(row, judge.taking(row)):
                code = RefusalCode.CAPACITY_USED_UP
        if code is None:
            good += 1
        else:
            why[code] += 1
    if alternative.count == ALL:
        return _lack_of_all(good, why)
    left, needed = good + why.total(), max(1, alternative.count)
    if good >= needed:
        return None
    if left < needed:
        return RefusalCode.NO_MATCH
    for code in _ORDER:
        left -= why[code]
        if left < needed:
            return code
    return None


def _lack_of_all(good: int, why: Counter[RefusalCode]) -> RefusalCode | None:
    """The same where all devices are wanted, which means those that can give so much, if there are any."""
    meant = [code for code in _ORDER if why[code] and code not in _NOT_MEANT]
    if meant or good:
        return meant[0] if meant else None
    return next((code for code in _NOT_MEANT if why[code]), RefusalCode.NO_MATCH)


_NOT_MEANT = (RefusalCode.TOO_SMALL, RefusalCode.CAPACITY_USED_UP)
