"""The fewest parts that hold a number of pods, with the least left over.

Fewest is a sort. Least left over is a subset sum of small integers with a fixed number of terms; sums that can be
reached are bits of one big integer, so that adding a part is one shift and one "or" for all sums at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

#: Bits of all layers together, 8 MB: some ten milliseconds. Only thousands of parts, most of them used, need more.
_BITS = 1 << 26


@dataclass(frozen=True)
class Cover:
    """A cover as sizes: which of several parts of one size is for the caller to choose.

    Attributes:
        sizes: how many parts of which capacity.
        leftover: what they hold beyond the demand.
        exact: False = fewest, but perhaps not the least left over.
    """

    sizes: Counter[int]
    leftover: int
    exact: bool


def fewest(capacities: Sequence[int], demand: int) -> int | None:
    """How many parts it takes at least; None when all together are too small.

    Args:
        capacities: descending.
        demand: pods.
    """
    if demand <= 0:
        return 0
    return next((n for n, held in enumerate(accumulate(capacities), start=1) if held >= demand), None)


def smallest_cover(capacities: Sequence[int], demand: int, *, bits: int = _BITS) -> Cover | None:
    """The fewest parts; then the least left over; then those whose largest are smallest, so that large ones stay whole.

    Args:
        capacities: pods that each part takes, at least 0, in any order.
        demand: pods.
        bits: budget of the exact search; beyond, all but one part are the largest and the last is the tightest.

    Returns:
        None when all parts together are too small.
    """
    sizes = sorted((size for size in capacities if size > 0), reverse=True)
    count = fewest(sizes, demand)
    if count is None:
        return None
    if count == 0:
        return Cover(Counter(), -demand if demand < 0 else 0, exact=True)
    without_one, with_one = sum(sizes[: count - 1]), sum(sizes[: count + 1])
    # Together with the largest others: smaller than `low` cannot reach the demand, larger than `high` cannot be spared.
    low, high = demand - without_one, with_one - demand
    fixed = [size for size in sizes[:count] if size > high] if len(sizes) > count else sizes[:count]
    free = [size for size in sizes[len(fixed) :] if size >= low]
    wanted, missing = count - len(fixed), demand - sum(fixed)
    if wanted == 0:
        return Cover(Counter(fixed), -missing, exact=True)
    chosen = _exact(free, wanted, missing, bits)
    exact = chosen is not None
    if chosen is None:
        chosen = free[: wanted - 1]
        chosen.append(min(size for size in free[wanted - 1 :] if size >= missing - sum(chosen)))
    return Cover(Counter(fixed) + Counter(chosen), sum(chosen) - missing, exact)


def _exact(sizes: Sequence[int], wanted: int, missing: int, bits: int) -> list[int] | None:
    """The best ``wanted`` of the sizes (descending, enough of them) with a sum of at least ``missing``.

    Sizes are counted from the smallest up, which keeps the sums short.
    """
    if wanted == 1:
        return [min(size for size in sizes if size >= missing)]
    base = sizes[-1]
    width = sum(sizes[:wanted]) - wanted * base + 1
    groups = sorted(Counter(sizes).items())
    if len(groups) * (wanted + 1) * width > bits:
        return None
    keep = (1 << (wanted + 1) * width) - 1
    # Bit `terms * width + sum` of layer i: that many parts of the i smallest sizes have that sum.
    layers = [1]
    for size, available in groups:
        reached, step = layers[-1], width + size - base
        rest, chunk = min(available, wanted), 1
        while rest:
            taken = min(chunk, rest)
            reached |= (reached << taken * step) & keep
            rest, chunk = rest - taken, 2 * chunk
        layers.append(reached)
    least = max(missing - wanted * base, 0)
    sums = layers[-1] >> (wanted * width + least)
    total = least + (sums & -sums).bit_length() - 1
    chosen: list[int] = []
    for (size, _), layer in zip(reversed(groups), reversed(layers[:-1]), strict=True):
        # As few of the large as possible: the smaller ones make up the rest.
        while not layer >> (wanted * width + total) & 1:
            chosen.append(size)
            wanted, total = wanted - 1, total - (size - base)
    return chosen
