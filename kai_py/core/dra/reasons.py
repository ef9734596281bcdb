"""Why a search found nothing: the first request that fails even alone, or what keeps them from succeeding together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from kai_py.core.dra.asks import Ask, Option
from kai_py.core.dra.claims import Claim
from kai_py.core.dra.inventory import Sight
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.refusal import Refusal, RefusalCode
from kai_py.core.dra.search import Found
from kai_py.core.dra.trial import Trial
from kai_py.core.dra.verdicts import Verdict


def explain(found: Found, asks: Sequence[Ask], claims: Sequence[Claim], sight: Sight, ledger: DeviceLedger) -> Refusal:
    """Say why there is no solution; pools that devices could be of come first: mending them may be all it takes."""
    asks = [ask for ask in asks if found.claim in (-1, ask.claim)]
    reason = _alone(asks, claims, sight, ledger) or _together(found, asks, claims)
    invalid, incomplete = (_concerned(asks, pools) for pools in (sight.invalid, sight.incomplete))
    code = RefusalCode.POOL_INVALID if invalid else reason.code
    if incomplete and code is RefusalCode.NO_MATCH:
        code = RefusalCode.POOL_INCOMPLETE
    return Refusal(
        code=code,
        claim=reason.claim,
        request=reason.request,
        needed=reason.needed,
        matched=reason.matched,
        available=reason.available,
        pools=invalid or incomplete,
        counters=reason.counters,
        steps=found.steps,
    )


def _concerned(asks: Sequence[Ask], pools: Sequence[str]) -> tuple[str, ...]:
    """Those of some pools that have devices that are asked for."""
    wanted = {pool for ask in asks for option in ask.options for pool in option.judge.among(pools)}
    return tuple(pool for pool in pools if pool in wanted)


def _alone(asks: Sequence[Ask], claims: Sequence[Claim], sight: Sight, ledger: DeviceLedger) -> Refusal | None:
    """The first request none of whose alternatives has enough devices, whatever the others take; the last one of it."""
    for ask in asks:
        refusals = [_lacking(option, claims[ask.claim].name, ask.claim, sight, ledger) for option in ask.options]
        if all(refusal is not None for refusal in refusals):
            return refusals[-1]
    return None


def _lacking(option: Option, claim: str, number: int, sight: Sight, ledger: DeviceLedger) -> Refusal | None:
    inventory, alternative = ledger.inventory, option.alternative
    needed = option.needed
    trial = Trial(inventory, ledger, number + 1)
    free = [row for row in option.candidates if trial.free(row, number, admin=alternative.admin)]
    short = {row: trial.short_of(row) for row in free if not ledger.shares[inventory.id_idx[row]]}
    counted = [row for row in free if not short.get(row)]
    roomy = [row for row in counted if trial.roomy(row, option.taking(row))]
    if needed and len(roomy) >= needed and not option.tainted:
        return None
    code = _code(option, needed, free, counted, sight)
    counters: tuple[tuple[str, str, str], ...] = ()
    if code is RefusalCode.COUNTERS_USED_UP:
        worst = Counter(counter for found in short.values() for counter in found)
        counters = tuple(inventory.counters.names[counter] for counter, _ in worst.most_common(3))
    return Refusal(code, claim, alternative.name, needed, option.matched, len(roomy), counters=counters)


def _code(option: Option, needed: int, free: Sequence[int], counted: Sequence[int], sight: Sight) -> RefusalCode:
    """What takes away so many devices that too few remain."""
    if option.matched < max(1, needed):
        return RefusalCode.NO_MATCH
    if len(option.candidates) < max(1, needed):
        large = option.matched - sum(option.judge.verdict(row) == Verdict.TOO_SMALL for row in sight.rows)
        return RefusalCode.TAINTED if large >= max(1, needed) else RefusalCode.TOO_SMALL
    if option.tainted:
        return RefusalCode.TAINTED
    if len(free) < needed:
        return RefusalCode.IN_USE
    return RefusalCode.COUNTERS_USED_UP if len(counted) < needed else RefusalCode.CAPACITY_USED_UP


def _together(found: Found, asks: Sequence[Ask], claims: Sequence[Claim]) -> Refusal:
    if found.against_constraint is not None:
        number, option = found.against_constraint
        name = option.alternative.name
        return Refusal(RefusalCode.ALL_AGAINST_CONSTRAINT, claims[number].name, name, option.needed, option.matched)
    for ask in asks:
        if any(option.bonds for option in ask.options):
            return Refusal(RefusalCode.CONSTRAINT, claims[ask.claim].name, ask.request.name, ask.options[0].needed)
    return Refusal(RefusalCode.TOGETHER, claims[asks[0].claim].name if len({ask.claim for ask in asks}) == 1 else "")
