"""How near each other the pods of a podgroup are, in numbers: domains that it is in, hops between its ranks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kai_py.core.resources import Rows
from kai_py.core.result import Layout
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.domains import Topology
from kai_py.core.tables.patterns import Pattern
from kai_py.core.tables.pods import IS_ACTIVE, NONE
from kai_py.core.topology.hops import Hops
from kai_py.core.topology.patterns import bound, pairs_of
from kai_py.core.topology.ranks import cost_of


def layouts(ledger: Ledger, podgroups: Iterable[int]) -> tuple[Layout, ...]:
    """The layouts of those of some podgroups that ask something of a topology.

    Args:
        ledger: where pods are.
        podgroups: rows.
    """
    table = ledger.snapshot.topologies
    if table is None:
        return ()
    offset, of = ledger.snapshot.podgroups.offset, ledger.snapshot.pods.subgroup_idx
    order = np.argsort(of, kind="stable").astype(np.int32)
    of, found = of[order], []
    for podgroup in podgroups:
        first, last = offset.item(podgroup), offset.item(podgroup + 1)
        if (topology := table.topology_of(first, last)) is not None:
            # Subgroups with constraints of their own are laid out one by one.
            apart = table.asks_inside(first, last)
            begin, end = np.searchsorted(of, [first, last]).tolist()
            pods = _with_places(ledger, order[begin:end])
            name = str(ledger.snapshot.podgroups.keys[podgroup])
            found.append(_layout(name, ledger, topology, table.pattern_of(podgroup), pods, apart=apart))
    return tuple(found)


def _with_places(ledger: Ledger, rows: Rows) -> Rows:
    """Those of some pods that have places: by subgroup, index and row."""
    pods = ledger.snapshot.pods
    of = pods.subgroup_idx
    rows = rows[IS_ACTIVE[ledger.state[rows]] & (ledger.node[rows] != NONE)]
    if pods.rank is not None:
        rows = rows[np.lexsort((rows, pods.rank[rows], of[rows]))]
    return rows


def _layout(name: str, ledger: Ledger, topology: Topology, pattern: Pattern, pods: Rows, *, apart: bool) -> Layout:
    nodes = ledger.node[pods]
    domains = {}
    for number, level in enumerate(topology.levels):
        domains[str(level)] = len(np.unique(topology.partition(number)[nodes]))
    ranks = ledger.snapshot.pods.rank
    if ranks is None or not len(pods) or (ranks[pods] == NONE).any():
        return Layout(name, topology.name, len(pods), domains)
    of = ledger.snapshot.pods.subgroup_idx[pods]
    lines = np.split(nodes, np.flatnonzero(np.diff(of)) + 1) if apart else [nodes]
    hops, cost, least = Hops.of(topology), 0, 0
    for line in lines:
        cost += cost_of(hops, *pairs_of(pattern, len(line)), line)
        least += bound(pattern, hops, line)
    return Layout(name, topology.name, len(pods), domains, str(pattern), cost, least)
