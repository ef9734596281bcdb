"""Why the rest waits: one diagnosis for every podgroup that has pods without a place."""

from __future__ import annotations

import numpy as np

from kai_py.core.actions.context import Context
from kai_py.core.gangs.members import Subgroup, leaves
from kai_py.core.gangs.steps import Gang
from kai_py.core.result import ROOM, Diagnosis, Reason, ReasonCode
from kai_py.core.tables.pods import NONE, PodState

_PENDING, _ALLOCATED, _NOMINATED = map(int, (PodState.PENDING, PodState.ALLOCATED, PodState.NOMINATED))


def diagnoses(context: Context) -> tuple[Diagnosis, ...]:
    """Diagnose every podgroup that waits at the end of a cycle, in the order of the table."""
    trees, pods = context.members.trees, context.snapshot.pods
    without = (pods.state == PodState.PENDING) | (pods.state == PodState.GATED)
    leaves_of = pods.subgroup_idx[without & (context.ledger.state != PodState.ALLOCATED) & (pods.subgroup_idx != NONE)]
    rows = np.unique(context.snapshot.subgroups.podgroup_idx[leaves_of]).tolist()
    waiting = {row: _waiting_pods(context, trees[row]) for row in rows if row in trees}
    return tuple(_diagnose(context, row, trees[row], found) for row, found in waiting.items() if found)


def _waiting_pods(context: Context, root: Subgroup) -> list[int]:
    """Pods that wait for us, pending or nominated; only if there are none, those that scheduling gates hold back."""
    state, members = context.ledger.state, context.members
    rows = [leaf.row for leaf in leaves(root)]
    waiting = [pod for row in rows for pod in members.pending.get(row, ()) if state.item(pod) != _ALLOCATED]
    return waiting or [pod for row in rows for pod in members.gated.get(row, ())]


def _diagnose(context: Context, row: int, root: Subgroup, waiting: list[int]) -> Diagnosis:
    snapshot = context.snapshot
    podgroups = snapshot.podgroups
    queue = podgroups.queue_idx.item(row)
    gang = context.gangs.get(row)
    return Diagnosis(
        podgroup=str(podgroups.keys[row]),
        queue=snapshot.queues.names[queue] if queue >= 0 else "",
        reasons=_blocked(context, row) if gang is None else _reasons(context, gang, waiting),
        pods=tuple([str(snapshot.pods.keys[pod]) for pod in waiting]),
        position=context.position.get(row, 0),
        has_minimum=gang is not None and gang.satisfied(root, counting_nominated=False),
    )


def _blocked(context: Context, row: int) -> tuple[Reason, ...]:
    code, details = context.snapshot.podgroups.blocked[row]
    return (Reason(code, details),)


def _reasons(context: Context, gang: Gang, waiting: list[int]) -> tuple[Reason, ...]:
    """What the minimum lacks says more than what is nominated, and that more than what growth lacks."""
    row, state = gang.podgroup, context.ledger.state
    if (failure := context.failed.get(row)) is not None:
        return (failure,)
    reasons = []
    if (refusal := context.refusals.get(row)) is not None:
        reasons.append(refusal)
    if nominated := sum([state.item(pod) == _NOMINATED for pod in waiting]):
        reasons.append(Reason(ReasonCode.WAITING_FOR_RELEASE, {"nominated": nominated, "pods": len(waiting)}))
    if (refusal := context.growth_refusals.get(row)) is not None:
        reasons.append(refusal)
    if (helpless := context.helpless.get(row)) is not None and _room_would_help(context, row):
        reasons.append(helpless)
    if reasons:
        return tuple(reasons)
    if gang.formable(gang.root) and any(context.ledger.state.item(pod) == _PENDING for pod in waiting):
        return (Reason(ReasonCode.OUTRANKED, {"pods": len(waiting)}),)
    return (_not_ready(context, gang, gang.root),)


def _room_would_help(context: Context, row: int) -> bool:
    """Whether a podgroup waits for room or for its queue: where every node refuses it anyway, victims are no topic."""
    refusal = context.refusals.get(row) or context.growth_refusals.get(row)
    if refusal is None:
        return False
    return not refusal.nodes or not ROOM.isdisjoint(refusal.nodes)


def _not_ready(context: Context, gang: Gang, subgroup: Subgroup) -> Reason:
    """Pods are missing, or held back by scheduling gates: the first subgroup that cannot be formed says which."""
    unformable = [child for child in subgroup.children if not gang.formable(child)]
    if unformable:
        return _not_ready(context, gang, unformable[0])
    below = leaves(subgroup)
    gated = sum(len(context.members.gated.get(leaf.row, ())) for leaf in below)
    if gang.formable(subgroup):
        return Reason(ReasonCode.GATED, {"gated": gated})
    if not subgroup.leaf:
        details = {
            "subGroup": subgroup.name,
            "minSubGroup": subgroup.minimum,
            "subGroups": len(subgroup.children),
        }
        return Reason(ReasonCode.GANG_NOT_READY, details)
    ledger = context.ledger
    details = {
        "subGroup": subgroup.name,
        "minMember": subgroup.minimum,
        "pods": ledger.active.item(subgroup.row) + ledger.pending.item(subgroup.row),
        "gated": gated,
    }
    return Reason(ReasonCode.GATED if gated else ReasonCode.GANG_NOT_READY, details)
