"""Fair share by the letter of the rules, in exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

UNLIMITED = -1


@dataclass
class Queue:
    quota: int
    limit: int
    weight: int
    requested: Fraction
    usage: Fraction
    priority: int
    created: int
    share: Fraction = Fraction(0)
    remainder: Fraction | None = None

    def cap(self) -> Fraction:
        return self.requested if self.limit == UNLIMITED else min(Fraction(self.limit), self.requested)


def divide(total: int, queues: Sequence[Queue], k: Fraction) -> list[Fraction]:
    """What every queue gets of one resource, in whole units where the division does not come out even."""
    remaining = Fraction(total)
    for queue in queues:
        deserved = Fraction(total if queue.quota == UNLIMITED else queue.quota)
        queue.share = min(deserved, queue.cap())
        remaining -= queue.share
    priorities = sorted({queue.priority for queue in queues}, reverse=True)
    for priority in priorities:
        remaining = _rounds(remaining, [queue for queue in queues if queue.priority == priority], k)
    for priority in priorities:
        mine = [queue for queue in queues if queue.priority == priority and queue.remainder]
        for queue in sorted(mine, key=lambda queue: (-queue.remainder, queue.created)):
            extra = max(Fraction(0), min(Fraction(1), remaining))
            queue.share += extra
            remaining -= extra
    return [queue.share for queue in queues]


def _rounds(remaining: Fraction, queues: Sequence[Queue], k: Fraction) -> Fraction:
    while remaining > 0:
        unsated = [queue for queue in queues if queue.requested > queue.share and queue.cap() > queue.share]
        weights = sum(queue.weight for queue in unsated)
        if weights == 0:
            break
        pulls = {}
        for queue in unsated:
            normal = Fraction(queue.weight, weights)
            pulls[id(queue)] = max(Fraction(0), normal + k * (normal - queue.usage)) if k > 0 else normal
        if sum(pulls.values()) == 0:
            break
        pot, again = remaining, False
        for queue in unsated:
            if queue.weight == 0 or remaining == 0:
                continue
            need = queue.cap() - queue.share
            slice_ = pot * pulls[id(queue)] / sum(pulls.values())
            given = need if need <= slice_ else Fraction(floor(slice_))
            queue.remainder = None if need <= slice_ else slice_ - given
            queue.share += given
            remaining -= given
            again = again or (given > 0 and need < slice_)
        if not again:
            break
    return remaining
