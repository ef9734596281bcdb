"""Which pod gets which of the places that were chosen for all: by rank along the topology, or in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.domains import Topology
from kai_py.core.tables.patterns import Pattern
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.ranks import place_ranks


def deal(
    ledger: Ledger,
    topology: Topology,
    pattern: Pattern,
    pods: Sequence[int],
    columns: Sequence[int],
    nodes: Rows,
    counts: Amounts,
    staying: Sequence[int],
) -> dict[int, int]:
    """Give every pod a node.

    Pods that all know their index are laid out so that those that talk are near each other, and near those that run
    already; leaves follow one another in the order of the table. Others take places in the order of ``nodes``.

    Args:
        ledger: what pods are, and where members are.
        topology: levels and domains.
        pattern: who of them talks to whom.
        pods: rows, in the order in which they are placed.
        columns: rows of the pod classes, as ``counts`` has them.
        nodes: ``(K,)`` rows of nodes, all different.
        counts: ``(C, K)`` places.
        staying: rows of members that keep their nodes.

    Returns:
        Pod -> node.
    """
    table = ledger.snapshot.pods
    classes: list[int] = table.class_idx[list(pods)].tolist()
    if table.rank is not None and len(pods) + len(staying) > 1 and (table.rank[list(pods)] != NONE).all():
        kinds = [columns.index(row) for row in classes]
        return _by_rank(ledger, topology, pattern, pods, kinds, nodes, counts, staying)
    places = {row: np.repeat(nodes, counts[column]).tolist() for column, row in enumerate(columns)}
    dealt: Counter[int] = Counter()
    found = {}
    for pod, row in zip(pods, classes, strict=True):
        found[pod] = places[row][dealt[row]]
        dealt[row] += 1
    return found


def _by_rank(
    ledger: Ledger,
    topology: Topology,
    pattern: Pattern,
    pods: Sequence[int],
    kinds: Sequence[int],
    nodes: Rows,
    counts: Amounts,
    staying: Sequence[int],
) -> dict[int, int]:
    table = ledger.snapshot.pods
    assert table.rank is not None
    ranked = [pod for pod in staying if table.rank.item(pod) != NONE and ledger.node.item(pod) != NONE]
    rows = np.array([*pods, *ranked], dtype=np.int32)
    kind = np.array([*kinds, *[0] * len(ranked)], dtype=np.int32)
    fixed = np.array([*[NONE] * len(pods), *ledger.node[ranked].tolist()], dtype=np.int32)
    order = np.lexsort((rows, table.rank[rows], table.subgroup_idx[rows]))
    everywhere = np.zeros((len(counts), len(topology.nodes)), dtype=np.int64)
    everywhere[:, nodes] = counts
    placed = place_ranks(topology, everywhere, pattern, classes=kind[order], fixed=fixed[order]).nodes
    mine = fixed[order] == NONE
    return dict(zip(rows[order][mine].tolist(), placed[mine].tolist(), strict=True))
