"""Why the rest waits: one diagnosis for every podgroup that has pods without a place."""

from __future__ import annotations

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.gangs.steps import Gang
from kai_py.core.result import Diagnosis, Reason, ReasonCode
from kai_py.core.tables.pods import PodState


def diagnoses(context: Context) -> tuple[Diagnosis, ...]:
    """Diagnose every podgroup that waits at the end of a cycle, in the order of the table."""
    found = []
    for row in context.members.podgroups:
        waiting = _waiting_pods(context, row)
        if waiting:
            found.append(_diagnose(context, row, waiting))
    return tuple(found)


def _waiting_pods(context: Context, row: int) -> list[int]:
    """Pods that are neither bound nor about to be: pending, gated or nominated."""
    state = context.ledger.state
    still = (PodState.PENDING, PodState.GATED, PodState.NOMINATED)
    members = context.members
    waiting = [pod for leaf in members.rows(row) for pod in members.pending.get(leaf, ()) if state[pod] in still]
    gated = any(members.gated.get(leaf) for leaf in members.rows(row))
    return waiting if waiting or not gated else _gated_pods(context, row)


def _gated_pods(context: Context, row: int) -> list[int]:
    pods = context.snapshot.pods
    leaves = list(context.members.rows(row))
    return np.flatnonzero(np.isin(pods.subgroup_idx, leaves) & (pods.state == PodState.GATED)).tolist()


def _diagnose(context: Context, row: int, waiting: list[int]) -> Diagnosis:
    snapshot = context.snapshot
    podgroups = snapshot.podgroups
    queue = int(podgroups.queue_idx[row])
    return Diagnosis(
        podgroup=str(podgroups.keys[row]),
        queue=snapshot.queues.names[queue] if queue >= 0 else "",
        reasons=(_reason(context, row, waiting),),
        pods=tuple(str(snapshot.pods.keys[pod]) for pod in waiting),
        position=context.position.get(row, 0),
    )


def _reason(context: Context, row: int, waiting: list[int]) -> Reason:
    if (blocked := context.snapshot.podgroups.blocked.get(row)) is not None:
        code, details = blocked
        return Reason(code, details)
    state = context.ledger.state
    if (refusal := context.refusals.get(row)) is not None:
        return refusal
    nominated = sum(state[pod] == PodState.NOMINATED for pod in waiting)
    if nominated:
        return Reason(ReasonCode.WAITING_FOR_RELEASE, {"nominated": nominated, "pods": len(waiting)})
    return _not_ready(context, context.gangs[row])


def _not_ready(context: Context, gang: Gang) -> Reason:
    """The gang cannot be formed: pods are missing, or held back by scheduling gates."""
    subgroups, members = context.snapshot.subgroups, context.members
    for leaf in members.rows(gang.podgroup):
        if subgroups.leaf[leaf] and not gang.formable(leaf):
            gated = members.gated.get(leaf, 0)
            details = {
                "subGroup": subgroups.names[leaf],
                "minMember": int(subgroups.min_member[leaf]),
                "pods": int(context.ledger.active[leaf]) + len(gang.pending(leaf)),
                "gated": gated,
            }
            return Reason(ReasonCode.GATED if gated else ReasonCode.GANG_NOT_READY, details)
    return Reason(ReasonCode.GATED, {"gated": sum(members.gated.get(leaf, 0) for leaf in members.rows(gang.podgroup))})
