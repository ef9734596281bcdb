"""Give back: whoever moves for a podgroup that has lost its place again stays where it is, if that place is free."""

from __future__ import annotations

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.filters.resources import fits
from kai_py.core.state.transaction import Kind
from kai_py.core.tables.pods import NONE, PodState


def give_back(context: Context) -> None:
    """Take back moves that are of no use to anybody any more. Runs last."""
    ledger, transaction = context.ledger, context.transaction
    moves = {
        operation.pod: operation
        for operation in transaction.journal
        if operation.kind is Kind.EVICT and operation.preemptor != NONE and operation.node != NONE
    }
    if not moves:
        return
    placed = _placed(context)
    for pod, move in moves.items():
        moved = ledger.state.item(pod) == PodState.NOMINATED and ledger.node.item(pod) != move.node
        if not moved or move.devices or move.claims or move.preemptor in placed:
            continue
        later = ledger.free[move.node] + ledger.releasing[move.node]
        request = context.snapshot.classes.request[context.snapshot.pods.class_idx.item(pod)]
        near = context.placer.neighbourhood(pod)
        welcome = near is None or near.stays(move.node)
        seated = not move.seat or (ledger.zones is not None and ledger.zones.holds(move.node, move.seat, later=True))
        reached = ledger.volumes is None or ledger.volumes.holds(pod, move.node, later=True)
        if welcome and seated and reached and fits(request, later[None, :]).item(0):
            transaction.evict(pod, action=move.action, preemptor=move.preemptor)
            transaction.nominate(pod, move.node, action=move.action, seat=move.seat)


def _placed(context: Context) -> set[int]:
    """Podgroups that have been given places in this cycle and have them still."""
    pods, state = context.snapshot.pods, context.ledger.state
    rows = np.flatnonzero((pods.state == PodState.PENDING) & np.isin(state, (PodState.NOMINATED, PodState.ALLOCATED)))
    return set(context.snapshot.subgroups.podgroup_idx[pods.subgroup_idx[rows]].tolist())
