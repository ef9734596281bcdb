"""The one question about a gang: which domains, which nodes, or why none."""

from __future__ import annotations

from typing import Final

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.alike import choose_alike
from kai_py.core.topology.choice import Choice, Constraint, Offer, Pinned, Shortfall
from kai_py.core.topology.mixed import choose_mixed
from kai_py.core.topology.program import Budget

NOBODY: Final[Rows] = np.zeros(0, dtype=np.int32)


def choose(
    topology: Topology,
    constraint: Constraint,
    offer: Offer,
    demand: Amounts,
    *,
    pinned: Rows = NOBODY,
    budget: Budget | None = None,
) -> Choice | Shortfall:
    """Choose domains for the pods of a gang, all of them or none.

    The required level comes first, then the narrowest level from the preferred upward, then few domains, then a tight
    fit; :func:`kai_py.core.topology.alike.choose_alike` has the whole order. Nothing is changed.

    Args:
        topology: levels and domains of the ``N`` nodes.
        constraint: levels.
        offer: what the nodes offer to the ``C`` classes.
        demand: ``(C,)`` pods.
        pinned: rows of nodes where members run that stay: growth and replacements join them. Their use is not offered.
        budget: for pods that differ, how much may be searched.

    Returns:
        A choice, or how much is missing where. Equal pods are answered exactly and in microseconds.
    """
    asked = np.flatnonzero(demand)
    stay = Pinned(np.unique(pinned).astype(np.int32))
    if len(asked) > 1:
        return choose_mixed(topology, constraint, offer, demand, stay, budget or Budget())
    row = asked.item(0) if asked.size else 0
    found = choose_alike(topology, constraint, offer.slots[row], int(demand.sum()), stay)
    if isinstance(found, Shortfall) or len(demand) == 1:
        return found
    counts = np.zeros_like(offer.slots)
    counts[row] = found.counts[0]
    return Choice(
        found.level, found.domain, found.cover_level, found.cover, found.mask, counts, found.leftover, found.exact
    )
