"""Domains by what it would cost to make room in them: where a search for victims looks first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heapify, heappop, heappush
from math import inf
from typing import NamedTuple

import numpy as np

from kai_py.core.resources import Amounts, Shares
from kai_py.core.tables.domains import ROOT, Topology

#: Price of ``missing`` more slots in a domain; inf = they cannot be had.
Price = Callable[[int, int], float]


class Offered(NamedTuple):
    """A domain, as a part of its level, the slots that it is short of, and the price of these."""

    domain: int
    missing: int
    price: float


def by_price(free: Amounts, demand: int, price: Price | Shares, bound: Shares | None = None) -> Iterator[Offered]:
    """Domains from the cheapest to the dearest, priced only as far as somebody asks.

    A domain is priced when its bound is the least of all that are left. So the first answer costs as many
    evaluations as there are domains whose bound is at most its price: one, if bounds are good.

    Args:
        free: ``(D,)`` slots that are free now.
        demand: slots that are wanted in one domain.
        price: of so many more slots in a domain; or ``(D, K)`` prices of 0, 1, … more slots, where more cannot be had.
        bound: ``(D,)`` what each domain costs at least; None = nothing is known.

    Yields:
        Domains that can make room; equally dear ones in the order of their rows, nothing missing first.
    """
    missing = np.maximum(demand - free, 0).tolist()
    least = [0.0] * len(missing) if bound is None else bound.tolist()
    # Bounds stand before prices that are equal to them, so that rows, not luck, order the equally dear.
    heap = [(least[row] if missing[row] else 0.0, False, row) for row in range(len(missing))]
    heapify(heap)
    while heap:
        value, known, row = heappop(heap)
        if known:
            yield Offered(row, missing[row], value)
            continue
        exact = _price(price, row, missing[row])
        if exact < inf:
            heappush(heap, (exact, True, row))


def _price(price: Price | Shares, row: int, missing: int) -> float:
    if missing == 0:
        return 0.0
    if callable(price):
        return price(row, missing)
    return float(price[row, missing]) if missing < price.shape[1] else inf


def cheapest_slots(topology: Topology, level: int, offers: Shares) -> Shares:
    """Prices for :func:`by_price` when slots are sold singly: the cheapest first, wherever in the domain they are.

    Args:
        topology: levels and domains.
        level: of the domains.
        offers: ``(N, K)`` price of each further slot on a node, not decreasing along a row; inf = no more.

    Returns:
        ``(parts, M)`` price of 0, 1, … more slots. A lower bound where victims leave in gangs.
    """
    part = np.broadcast_to(topology.partition(level)[:, None], offers.shape)[np.isfinite(offers)]
    single = offers[np.isfinite(offers)]
    order = np.lexsort((single, part))
    part, single = part[order], single[order]
    count = np.bincount(part, minlength=topology.parts(level))
    prices: Shares = np.full((topology.parts(level), int(count.max(initial=0)) + 1), inf)
    prices[:, 0] = 0.0
    place = np.arange(len(part)) - np.repeat(np.cumsum(count) - count, count)
    prices[part, place + 1] = single
    # Infinity stays where nothing is offered: sums of what is offered come first in every row.
    return np.cumsum(prices, axis=1)


def real_domains(topology: Topology, level: int) -> int:
    """How many parts of a level are domains of it: those come first, nodes that stand alone behind them."""
    return 1 if level == ROOT else len(topology.paths[level])
