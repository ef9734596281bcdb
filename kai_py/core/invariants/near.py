"""Checkers of topologies: whoever gets a place is as near to the others as it has to be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kai_py.core.invariants.outcome import Outcome, Violation, joined
from kai_py.core.resources import Rows
from kai_py.core.tables.domains import ROOT
from kai_py.core.tables.pods import NONE


def nearness(outcome: Outcome) -> Iterator[Violation]:
    """All pods of a subgroup that requires a level are in one domain of it, wherever one of them got a place."""
    snapshot = outcome.snapshot
    if (table := snapshot.topologies) is None:
        return
    node = snapshot.pods.node_idx.copy()
    node[outcome.bound], node[outcome.nominated] = outcome.bound_to, outcome.nominated_to
    pods = joined(outcome.stays, outcome.placed)
    leaves, new = snapshot.pods.subgroup_idx[pods], np.isin(pods, outcome.placed)
    for row in np.flatnonzero((table.topology_idx != NONE) & (table.required != ROOT)).tolist():
        inside = np.isin(leaves, _below(snapshot.subgroups.parent, row))
        if not (inside & new).any():
            continue
        topology, level = table.topologies[table.topology_idx.item(row)], table.required.item(row)
        nodes = node[pods[inside]]
        domains = np.unique(topology.domain_idx[level, nodes[nodes != NONE]])
        if len(domains) > 1 or (domains == NONE).any():
            podgroup = snapshot.podgroups.keys[snapshot.subgroups.podgroup_idx.item(row)]
            part = snapshot.subgroups.names[row]
            what = f"is in {len(domains)} domains of {topology.levels[level]}, or in none"
            yield Violation(f"{podgroup} {part}".strip(), what)


def _below(parent: Rows, row: int) -> list[int]:
    """A subgroup and all below it; parents come before their children, or after."""
    found = [row]
    for one in found:
        found += np.flatnonzero(parent == one).tolist()
    return found


NEAR = (nearness,)
