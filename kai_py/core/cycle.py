"""One cycle: a snapshot in, decisions and reasons out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kai_py.core.actions.allocate import allocate
from kai_py.core.actions.consolidate import consolidate
from kai_py.core.actions.context import Context
from kai_py.core.actions.give_back import give_back
from kai_py.core.actions.preempt import preempt
from kai_py.core.actions.reclaim import reclaim
from kai_py.core.actions.renew import renew
from kai_py.core.actions.stale import evict_stale_gangs
from kai_py.core.diagnosis import diagnoses
from kai_py.core.gangs.members import Members
from kai_py.core.gangs.steps import Gang
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.placement.layouts import layouts
from kai_py.core.queues.fair_share import fair_shares
from kai_py.core.queues.service import Ranker
from kai_py.core.resources import ACCOUNTED, GPU, Amounts, Rows
from kai_py.core.result import CycleResult, Evict, QueueShares, Stats
from kai_py.core.state.decisions import decisions_of
from kai_py.core.state.ledger import Ledger, charge
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.snapshot import Snapshot

ACTIONS: dict[Action, Callable[[Context], None]] = {
    Action.ALLOCATE: allocate,
    Action.CONSOLIDATE: consolidate,
    Action.RECLAIM: reclaim,
    Action.PREEMPT: preempt,
    Action.STALE_GANG_EVICTION: evict_stale_gangs,
}


def run_cycle(snapshot: Snapshot, options: Options, *, clock: Callable[[], float]) -> CycleResult:
    """Decide what to bind, nominate and evict.

    Pure: the same snapshot and options give the same decisions and diagnoses, and neither is changed.

    Args:
        snapshot: the cluster.
        options: what the operator chose.
        clock: seconds on any monotonic scale; for budgets and statistics, never for a decision's content.

    Returns:
        Decisions in the order in which they should be carried out, a diagnosis for every podgroup that waits, and
        the numbers of all queues at the start of the cycle.
    """
    ledger = Ledger(snapshot)
    total = capacity(snapshot)
    shares = queue_shares(snapshot, ledger, total, options)
    members = Members(snapshot)
    context = Context(
        snapshot=snapshot,
        options=options,
        clock=clock,
        ledger=ledger,
        transaction=Transaction(ledger),
        placer=Placer(ledger, options),
        ranker=Ranker(ledger, shares.fair_share, total.astype(np.float64)),
        members=members,
        shares=shares.fair_share,
        gangs={
            row: Gang(row, root, members, ledger)
            for row, root in members.trees.items()
            if row not in snapshot.podgroups.blocked
        },
    )
    had = ledger.allocated.copy()
    renew(context)
    seconds = {}
    for action in options.actions:
        before = clock()
        ACTIONS[action](context)
        seconds[str(action)] = clock() - before
    give_back(context)
    decisions = tuple(decisions_of(ledger, context.transaction.journal))
    placed = sum(not isinstance(decision, Evict) for decision in decisions)
    stats = Stats(considered=context.considered, placed=placed, seconds=seconds)
    keys = snapshot.podgroups.keys
    stale = tuple(str(keys[row]) for row in context.stale)
    started = _started(snapshot, had, ledger.allocated)
    begun = tuple(str(keys[row]) for row in started)
    errors = {str(keys[row]): reason for row, reason in context.failed.items()}
    searched = {(str(keys[row]), str(action)): count for (row, action), count in context.searched.items()}
    return CycleResult(
        decisions, diagnoses(context), shares, stats, stale, begun, errors, searched, layouts(ledger, started)
    )


def _started(snapshot: Snapshot, before: Rows, after: Rows) -> list[int]:
    """Rows of podgroups that had no member running and now have."""
    of, count = snapshot.subgroups.podgroup_idx, len(snapshot.podgroups)
    ran = np.bincount(of, weights=before, minlength=count)
    runs = np.bincount(of, weights=after, minlength=count)
    return [int(row) for row in np.flatnonzero((ran == 0) & (runs > 0))]


def queue_shares(snapshot: Snapshot, ledger: Ledger, total: Amounts, options: Options) -> QueueShares:
    """The numbers of all queues as the ledger has them now, and what each may claim of a ``(A,)`` total."""
    pending = snapshot.pods.state == PodState.PENDING
    requested = ledger.queue_allocated + charge(snapshot, pending)
    axis = snapshot.axis
    fair = fair_shares(snapshot.queues, requested, total, axis.quantum, k_value=options.k_value)
    return QueueShares(
        names=snapshot.queues.names,
        fair_share=fair,
        allocated=ledger.queue_allocated.copy(),
        allocated_non_preemptible=ledger.queue_non_preemptible.copy(),
        requested=requested,
        total=total,
    )


def capacity(snapshot: Snapshot) -> Amounts:
    """What all queues share: ready nodes' allocatable minus what other schedulers' pods hold on them. ``(A,)``."""
    nodes, pods = snapshot.nodes, snapshot.pods
    foreign = (pods.subgroup_idx == NONE) & (pods.node_idx != NONE) & (pods.state == PodState.BOUND)
    foreign[foreign] = nodes.ready[pods.node_idx[foreign]]
    held = snapshot.classes.request[pods.class_idx[foreign]].sum(axis=0)
    total = (nodes.allocatable[nodes.ready].sum(axis=0) - held) @ snapshot.axis.accounting
    if snapshot.devices is not None:
        shares = [snapshot.classes.classes[row].share for row in pods.class_idx[foreign].tolist()]
        total[ACCOUNTED.index(GPU)] -= sum(share.portion(0) for share in shares if share is not None)
    if snapshot.claims is not None:
        rows = [row for row in np.flatnonzero(foreign) if row in snapshot.claims.of_pod]
        classes = pods.class_idx[rows]
        plain = snapshot.classes.request[classes] @ snapshot.axis.accounting
        total -= (snapshot.classes.accounted[classes] - plain).sum(axis=0)
        for one in snapshot.claims.counted:
            total[one.column] += one.unit * one.capacity
    return np.asarray(np.maximum(total, 0), dtype=np.int64)
