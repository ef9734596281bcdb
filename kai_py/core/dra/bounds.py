"""Proofs that a search need not begin: too few devices for all that remains to be placed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from kai_py.core.dra.blocks import Charges

#: Beyond so many devices the proof would cost more than the search that it saves.
_MOST_DEVICES: Final = 256


class Need(NamedTuple):
    """So many of the devices whose bits are set."""

    devices: int
    candidates: int


def most_of(devices: Sequence[Charges], left: Mapping[int, int]) -> int:
    """At most so many of some devices can be taken together: as often as the least that all take of a counter is left.

    Exact if they all take the same.
    """
    if not devices:
        return 0
    least = dict(devices[0])
    for charges in devices[1:]:
        own = dict(charges)
        least = {counter: min(amount, own[counter]) for counter, amount in least.items() if counter in own}
    return min([len(devices), *(left[counter] // amount for counter, amount in least.items() if amount > 0)])


def enough(needs: Sequence[Need]) -> bool:
    """Whether devices can be assigned so that every need gets its own: a bipartite matching by augmenting paths.

    Exact for exclusive devices without constraints and counters; with those, False still proves that there is no way.
    """
    if any(need.candidates.bit_count() < need.devices for need in needs):
        return False
    if sum(need.devices for need in needs) > _MOST_DEVICES:
        return True
    owner: dict[int, int] = {}
    matched = 0
    # Scarce ones first: fewer paths have to be augmented.
    for row in sorted(range(len(needs)), key=lambda row: needs[row].candidates.bit_count()):
        for _ in range(needs[row].devices):
            found = _augment(row, needs, owner, matched)
            if not found:
                return False
            matched |= found
    return True


def _augment(row: int, needs: Sequence[Need], owner: dict[int, int], matched: int) -> int:
    """Give a need one device more, letting others move on; the bit that is matched now, 0 if there is no way."""
    # Breadth first over needs: (need, device that it would give up, entry that asks for it).
    queue: list[tuple[int, int, int]] = [(row, 0, -1)]
    visited = 0
    for place, (need, _, _) in enumerate(queue):
        candidates = needs[need].candidates & ~visited
        free = candidates & ~matched
        if free:
            bit = free & -free
            _shift(place, bit, queue, owner)
            return bit
        visited |= candidates
        while candidates:
            bit = candidates & -candidates
            candidates ^= bit
            queue.append((owner[bit], bit, place))
    return 0


def _shift(place: int, bit: int, queue: Sequence[tuple[int, int, int]], owner: dict[int, int]) -> None:
    """Hand a free device to the need at the end of a path, what that gives up to the one before it, and so on."""
    while place >= 0:
        need, given_up, before = queue[place]
        owner[bit] = need
        bit, place = given_up, before
