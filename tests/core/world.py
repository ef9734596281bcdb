"""What a cluster makes of decisions: the snapshot of the next cycle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kai_py.core.result import Bind, CycleResult, Evict, Nominate
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.snapshot import Snapshot


def after(snapshot: Snapshot, result: CycleResult, *, seconds: float = 1.0) -> Snapshot:
    """The cluster a moment later: bound pods run, leaving pods are gone, evicted ones wait again as if recreated.

    Places that were nominated are held for their pods, as the shell does it.
    """
    pods = snapshot.pods
    node, state = pods.node_idx.copy(), pods.state.copy()
    held = np.full(len(pods), NONE, dtype=np.int32)
    rows = {str(key): row for row, key in enumerate(pods.keys)}
    nodes = {name: row for row, name in enumerate(snapshot.nodes.names)}
    leaving = state == PodState.RELEASING
    node[leaving], state[leaving] = NONE, PodState.GATED  # gone: in nobody's way, and never to be placed
    for decision in result.decisions:
        row = rows[decision.pod]
        if isinstance(decision, Bind):
            node[row], state[row] = nodes[decision.node], PodState.BOUND
        elif isinstance(decision, Evict):
            node[row], state[row] = NONE, PodState.PENDING
    for decision in result.decisions:
        if isinstance(decision, Nominate):
            held[rows[decision.pod]] = nodes[decision.node]
    return replace(snapshot, now=snapshot.now + seconds, pods=replace(pods, node_idx=node, state=state, held_idx=held))
