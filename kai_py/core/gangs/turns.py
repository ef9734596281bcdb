"""Who is looked at in a cycle, when somebody has more sorts of podgroups in line than a cycle can look at.

Podgroups that are alike cost little: what failed for one fails for all. What costs is each other sort, and anybody who
may create pods can make them all differ. So each namespace has so many sorts per cycle and queue. The first half of
them is the first in order; the rest takes turns, so that nobody waits for ever behind what cannot start.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final

#: Seconds after which others have their turn: the period of cycles when nothing happens.
TURN: Final = 10.0


def out_of_turn(line: Iterable[tuple[int, str, Hashable]], most: int, now: float) -> set[int]:
    """Podgroups that are not looked at.

    Args:
        line: podgroup, namespace and sort, in order of service.
        most: sorts of each namespace that are looked at, at least 1.
        now: seconds since the epoch; says whose turn it is.
    """
    namespaces: dict[str, dict[Hashable, list[int]]] = {}
    for podgroup, namespace, sort in line:
        namespaces.setdefault(namespace, {}).setdefault(sort, []).append(podgroup)
    out: set[int] = set()
    for sorts in namespaces.values():
        if len(sorts) <= most:
            continue
        others = list(sorts.values())[most // 2 :]
        places = most - most // 2
        begin = int(now // TURN) * places % len(others)
        for position, podgroups in enumerate(others):
            if (position - begin) % len(others) >= places:
                out.update(podgroups)
    return out
