"""How a claim is used, now and later, and what that takes of devices."""

from __future__ import annotations

from typing import Final, NamedTuple

from kai_py.core.dra.ledger import DeviceLedger, Take
from kai_py.core.dra.table import Held

#: Per claim of a pod the devices that it brings; None where the claim has devices that it joins.
Grants = tuple[Held | None, ...]
NO_GRANTS: Final[Grants] = ()


class Use(NamedTuple):
    """How a claim is used.

    Attributes:
        now_users: pods that use it now, leaving ones included.
        later_users: pods that use it once leaving ones are gone and nominated ones are there.
        now: its devices now.
        later: its devices then; the very same object as ``now`` where nothing changes.
    """

    now_users: int = 0
    later_users: int = 0
    now: Held | None = None
    later: Held | None = None


class Change(NamedTuple):
    """What an operation does to one claim."""

    claim: int
    before: Use
    after: Use


NOBODY: Final = Use()


def taken_by(held: Held | None) -> tuple[Take, ...]:
    """What the devices of a claim take."""
    return () if held is None else held.takes


def either(use: Use) -> tuple[Take, ...]:
    """What is taken now or later, the same devices once."""
    if use.now is use.later:
        return taken_by(use.now)
    now = taken_by(use.now)
    return now + tuple(take for take in taken_by(use.later) if take not in now)


def swap(ledger: DeviceLedger, before: tuple[Take, ...], after: tuple[Take, ...]) -> None:
    """Bring a ledger from what a claim took to what it takes."""
    ledger.give(before)
    ledger.take(after)
