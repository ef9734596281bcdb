"""Which zones a kubelet chooses, written down slowly: one node, one need, one set of zones after the other."""

from __future__ import annotations

from itertools import combinations

from kai_py.core.tables.zones import Policy


def fewest(sizes, need):
    """As few zones as an empty node needs for one resource; None if all are not enough."""
    for count in range(1, len(sizes) + 1):
        if any(sum(some) >= need for some in combinations(sizes, count)):
            return count
    return None


def choose(policy, sizes, free, reported, need):
    """Numbers of the zones for a need; () where nothing is aligned, None where the kubelet has no good answer."""
    asked = [k for k, units in enumerate(need) if units > 0 and reported[k]]
    if not asked or policy == Policy.NONE:
        return ()
    zones = range(len(sizes))
    counts = list(range(1, len(sizes) + 1))
    if policy == Policy.SINGLE:
        counts = [1]
    if policy == Policy.RESTRICTED:
        widths = {fewest([size[k] for size in sizes], need[k]) for k in asked}
        counts = [*widths] if len(widths) == 1 and None not in widths else []
    for count in counts:
        sets = sorted(combinations(zones, count), key=lambda some: sum(1 << zone for zone in some))
        for some in sets:
            if all(sum(max(0, free[zone][k]) for zone in some) >= need[k] for k in asked):
                return some
    return None


def admit(policy, sizes, free, reported, together, apart):
    """Whether a pod is admitted, and what it takes of each zone and resource; zeros where that is not known."""
    left = [[max(0, units) for units in zone] for zone in free]
    taken = [[0] * len(reported) for _ in free]
    nothing = [[0] * len(reported) for _ in free]
    admitted = all(choose(policy, sizes, left, reported, need) is not None for need in apart)
    known = True
    for need in together:
        some = choose(policy, sizes, left, reported, need)
        known &= some is not None
        for k in range(len(need)):
            missing = need[k]
            for zone in some or ():
                if reported[k]:
                    take = min(left[zone][k], missing)
                    left[zone][k] -= take
                    taken[zone][k] += take
                    missing -= take
    admitted &= known
    return admitted or policy < Policy.RESTRICTED, taken if known else nothing
