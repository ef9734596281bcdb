"""Checkers of evictions: what each one is good for, and whether the rules of its action allow it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from kai_py.core.invariants.outcome import Outcome, Violation, joined, rows_where
from kai_py.core.options import Action
from kai_py.core.queues.min_runtime import preempt_min_runtime, reclaim_min_runtime
from kai_py.core.resources import ACCOUNTED, GPU, Amounts
from kai_py.core.result import Decision, Evict, Nominate, ReasonCode
from kai_py.core.tables.pods import NONE, PodState

_GPU = ACCOUNTED.index(GPU)


@dataclass
class Search:
    """What one podgroup gained by an action, and whom that cost their places.

    Attributes:
        action: which.
        preemptor: row of the podgroup that gained.
        held: ``(Q, A)`` what queues held before.
        lost: rows of pods that are ended without another place.
        moved: rows of pods that got another place.
        gained: rows of the preemptor's pods that got a place.
    """

    action: Action
    preemptor: int
    held: Amounts
    lost: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    gained: list[int] = field(default_factory=list)


def searches(outcome: Outcome) -> list[Search]:
    """Evictions by preemptor and action, with what queues held when the first of them was decided."""
    held = outcome.costs(rows_where(outcome.ours & (outcome.snapshot.pods.state == PodState.BOUND)))
    evictions = [decision for decision in outcome.result.decisions if isinstance(decision, Evict)]
    moved = {evict.pod for evict in evictions if evict.moved}
    wanted = {_search_of(outcome, evict) for evict in evictions}
    found: dict[tuple[Action, int], Search] = {}
    for decision in outcome.result.decisions:
        if _was_there(outcome, decision, wanted) and decision.pod not in moved:
            held += outcome.costs(_one(outcome.row_of_pod[decision.pod]))
    for decision in outcome.result.decisions:
        pod, key = outcome.row_of_pod[decision.pod], _search_of(outcome, decision)
        if _was_there(outcome, decision, wanted):
            continue
        if key in wanted:
            search = found.setdefault(key, Search(*key, held.copy()))
            if isinstance(decision, Evict):
                (search.moved if decision.moved else search.lost).append(pod)
            elif isinstance(decision, Nominate) and decision.pod not in moved:
                search.gained.append(pod)
        if decision.pod not in moved:
            cost = outcome.costs(_one(pod))
            held += -cost if isinstance(decision, Evict) else cost
    return list(found.values())


def _was_there(outcome: Outcome, decision: Decision, wanted: set[tuple[Action, int]]) -> bool:
    """Whether an evicting action has only given another place to somebody who had one before, in the same cycle.

    An action that has nobody evicted may as well have found a first place for somebody.
    """
    if isinstance(decision, Evict) or decision.action not in {action for action, _ in wanted}:
        return False
    return outcome.row_of_podgroup[decision.podgroup] not in {preemptor for _, preemptor in wanted}


def _search_of(outcome: Outcome, decision: Decision) -> tuple[Action, int]:
    """The action and the podgroup that a decision is good for."""
    whose = decision.preemptor if isinstance(decision, Evict) else decision.podgroup
    return decision.action, NONE if whose is None else outcome.row_of_podgroup.get(whose, NONE)


def _one(*pods: int) -> np.ndarray:
    return np.array(pods, dtype=np.int32)


def wholeness(outcome: Outcome) -> Iterator[Violation]:
    """A podgroup that had its minimum keeps it, or loses every pod."""
    snapshot = outcome.snapshot
    before = rows_where(outcome.ours & (snapshot.pods.state == PodState.BOUND))
    after = joined(outcome.stays, outcome.placed)
    had, has = outcome.satisfied(before), outcome.satisfied(after)
    left = np.bincount(outcome.podgroups(after), minlength=len(snapshot.podgroups))
    for podgroup in np.unique(outcome.podgroups(outcome.evicted)).tolist():
        root = snapshot.podgroups.offset[podgroup]
        if had[root] and not has[root] and left[podgroup]:
            yield Violation(str(snapshot.podgroups.keys[podgroup]), "is left with less than its minimum")


def unity(outcome: Outcome) -> Iterator[Violation]:
    """A podgroup that is one victim loses all of its places to others or none; what is stale ends by its parts."""
    snapshot, placed = outcome.snapshot, set(outcome.placed.tolist())
    ended = [
        one
        for one in outcome.result.decisions
        if isinstance(one, Evict) and one.action is not Action.STALE_GANG_EVICTION
    ]
    lost = np.array([row for one in ended if (row := outcome.row_of_pod[one.pod]) not in placed], dtype=np.int32)
    left = set(outcome.podgroups(joined(outcome.stays, outcome.placed)).tolist())
    for podgroup in np.unique(outcome.podgroups(lost)).tolist():
        if podgroup in snapshot.podgroups.whole and podgroup in left:
            yield Violation(str(snapshot.podgroups.keys[podgroup]), "is one victim, and keeps a part of its places")


def words(outcome: Outcome) -> Iterator[Violation]:
    """Only stale gangs are evicted for nobody; whoever goes for somebody is preemptible; who moves says so."""
    preemptible = outcome.snapshot.podgroups.preemptible
    nominated = {decision.pod for decision in outcome.result.decisions if isinstance(decision, Nominate)}
    for evict in outcome.result.decisions:
        if not isinstance(evict, Evict):
            continue
        if (evict.preemptor is None) != (evict.action is Action.STALE_GANG_EVICTION):
            yield Violation(evict.pod, f"is evicted by {evict.action} for {evict.preemptor}")
        if evict.preemptor is not None and not preemptible[outcome.row_of_podgroup[evict.podgroup]]:
            yield Violation(evict.pod, "is evicted though it is not preemptible")
        if evict.moved != (evict.pod in nominated):
            yield Violation(evict.pod, "is said to move, and does not, or the other way round")


def gains(outcome: Outcome) -> Iterator[Violation]:
    """Whoever has others evicted gains a place by it, at the expense of others, and is allowed to."""
    snapshot, history = outcome.snapshot, outcome.snapshot.podgroups.history
    for search in searches(outcome):
        if search.action is Action.STALE_GANG_EVICTION or search.preemptor == NONE:
            continue
        name = str(snapshot.podgroups.keys[search.preemptor])
        if not search.gained:
            yield Violation(name, f"has others evicted by {search.action} and gains no place")
        if search.preemptor in outcome.podgroups(_one(*search.lost, *search.moved)):
            yield Violation(name, "has its own pods evicted")
        if search.action is Action.CONSOLIDATE:
            if search.lost:
                yield Violation(name, f"is consolidated for, and {len(search.lost)} pods lose their places")
        elif history is not None:
            if history.never_preempts[search.preemptor]:
                yield Violation(name, "has others evicted though it never preempts")
            created = snapshot.podgroups.created[search.preemptor]
            if snapshot.now < created + history.delay[search.preemptor]:
                yield Violation(name, "has others evicted before its preemption delay is over")


def preemptions(outcome: Outcome) -> Iterator[Violation]:
    """Preemption takes from the own queue, and from strictly lower priority."""
    podgroups = outcome.snapshot.podgroups
    for search in searches(outcome):
        if search.action is not Action.PREEMPT or search.preemptor == NONE:
            continue
        for victim in np.unique(outcome.podgroups(_one(*search.lost, *search.moved))).tolist():
            if podgroups.queue_idx[victim] != podgroups.queue_idx[search.preemptor]:
                yield Violation(str(podgroups.keys[victim]), "is preempted from another queue")
            if podgroups.priority[victim] >= podgroups.priority[search.preemptor]:
                yield Violation(str(podgroups.keys[victim]), "is preempted by one that is not more important")


def reclaims(outcome: Outcome) -> Iterator[Violation]:
    """Reclaim gives a queue no more than its fair share, and takes nothing that another one is entitled to."""
    fair = outcome.result.shares.fair_share
    queues, names = outcome.snapshot.podgroups.queue_idx, outcome.snapshot.queues.names
    for search in searches(outcome):
        if search.action is not Action.RECLAIM or search.preemptor == NONE:
            continue
        mine = queues.item(search.preemptor)
        cost = outcome.costs(_one(*search.gained))[mine]
        if ((cost > 0) & (search.held[mine] + cost > fair[mine])).any():
            yield Violation(names[mine], "reclaims more than its fair share")
        yield from _within_share(outcome, search, mine, cost)
        yield from _saturation(outcome, search, mine, cost)
        yield from _moves(outcome, search, cost)


def _within_share(outcome: Outcome, search: Search, mine: int, cost: Amounts) -> Iterator[Violation]:
    """Before it loses the last podgroup's pods, a queue is above what it is entitled to, or above quota for a quota.

    With those pods the podgroup may have held others, that were given places in this cycle and went together with them;
    and the last one may be a podgroup that was given all of its places in this cycle.
    """
    table, fair = outcome.snapshot.queues, outcome.result.shares.fair_share
    entitled = np.where(np.isinf(table.quota), table.limit, np.minimum(table.limit, np.maximum(table.quota, fair)))
    lost = _one(*search.lost)
    after = search.held - outcome.costs(lost)
    groups = outcome.podgroups(lost)
    waiting = rows_where(outcome.ours & (outcome.snapshot.pods.state == PodState.PENDING))
    waiting = waiting[~np.isin(waiting, outcome.placed)]
    groups_waiting = outcome.podgroups(waiting)
    by_queue: dict[tuple[int, int], list[Amounts]] = {}
    losers = np.unique(groups).tolist()
    for podgroup in (*losers, *_outranked(outcome)):
        pieces = outcome.costs(joined(lost[groups == podgroup], waiting[groups_waiting == podgroup]))
        ours, theirs = _leveled(table.paths[mine], table.paths[outcome.snapshot.podgroups.queue_idx[podgroup]])
        if podgroup in losers or (ours, theirs) in by_queue:
            by_queue.setdefault((ours, theirs), []).append(pieces[theirs])
    for (ours, theirs), pieces_lost in by_queue.items():
        within_quota = (search.held[ours] + cost <= table.quota[ours]).all()
        last = [after[theirs] + piece for piece in pieces_lost]
        above_share = any((held > entitled[theirs]).any() for held in last)
        above_quota = any((held > table.quota[theirs]).any() for held in last)
        if not (above_share or (within_quota and above_quota)):
            yield Violation(table.names[theirs], "loses to reclaim what it is entitled to")


def _outranked(outcome: Outcome) -> Iterator[int]:
    """Podgroups that were given places in this cycle and lost them to others."""
    for one in outcome.result.diagnoses:
        if any(reason.code is ReasonCode.OUTRANKED for reason in one.reasons):
            yield outcome.row_of_podgroup[one.podgroup]


def _moves(outcome: Outcome, search: Search, cost: Amounts) -> Iterator[Violation]:
    """Reclaim moves no more than it asks for: GPUs, or, where it asks for none, everything else."""
    snapshot = outcome.snapshot
    moved = snapshot.classes.accounted[snapshot.pods.class_idx[_one(*search.moved)]].sum(axis=0)
    asked = [_GPU] if cost[_GPU] else range(len(cost))
    if any(moved[a] > cost[a] for a in asked):
        yield Violation(str(snapshot.podgroups.keys[search.preemptor]), "has more moved than it asks for")


def _leveled(mine: tuple[int, ...], theirs: tuple[int, ...]) -> tuple[int, int]:
    pairs = zip(reversed(mine), reversed(theirs), strict=False)
    return next(((a, b) for a, b in pairs if a != b), (mine[0], theirs[0]))


def _saturation(outcome: Outcome, search: Search, mine: int, cost: Amounts) -> Iterator[Violation]:
    """At no level does a reclaimer beyond its share end up fuller than a sibling that lost something."""
    table, fair = outcome.snapshot.queues, outcome.result.shares.fair_share
    taken = outcome.costs(_one(*search.lost))
    after = search.held - taken
    for queue in table.paths[mine]:
        for sibling in table.children[table.parent.item(queue)]:
            if sibling == queue or not taken[sibling].any():
                continue
            for a in np.flatnonzero((cost > 0) | (taken[sibling] > 0)).tolist():
                ours = _fullness(after[queue, a] + cost[a], fair[queue, a])
                theirs = _fullness(after[sibling, a], fair[sibling, a])
                unfair = ours * outcome.options.reclaim_saturation >= theirs
                if ours > 1 and fair[sibling, a] > 0 and unfair:
                    yield Violation(table.names[queue], f"reclaims from {table.names[sibling]}, which is less full")


def _fullness(held: float, fair: float) -> float:
    if held <= 0 or np.isinf(fair):
        return 0.0
    return held / fair if fair else np.inf


def protections(outcome: Outcome) -> Iterator[Violation]:
    """Within its minimum run time a podgroup keeps its minimum if it has it, whoever asks."""
    snapshot, history = outcome.snapshot, outcome.snapshot.podgroups.history
    if history is None:
        return
    had = outcome.satisfied(rows_where(outcome.ours & (snapshot.pods.state == PodState.BOUND)))
    has = outcome.satisfied(joined(outcome.stays, outcome.placed))
    queues, of = snapshot.queues, snapshot.podgroups.queue_idx
    for search in searches(outcome):
        for victim in np.unique(outcome.podgroups(_one(*search.lost))).tolist():
            if search.action is Action.PREEMPT:
                minimum = preempt_min_runtime(queues, of.item(victim), outcome.options)
            elif search.action is Action.RECLAIM:
                minimum = reclaim_min_runtime(queues, of.item(victim), of.item(search.preemptor), outcome.options)
            else:
                continue
            safe = snapshot.now < history.started[victim] + minimum
            root = snapshot.podgroups.offset[victim]
            if safe and had[root] and not has[root]:
                yield Violation(str(snapshot.podgroups.keys[victim]), "loses its minimum within its minimum run time")


def staleness(outcome: Outcome) -> Iterator[Violation]:
    """Only what lacks its minimum is stale, and never while the podgroup finishes."""
    snapshot, table = outcome.snapshot, outcome.snapshot.subgroups
    stale = [one for one in outcome.result.decisions if isinstance(one, Evict) and one.preemptor is None]
    if not stale:
        return
    rows = _one(*(outcome.row_of_pod[evict.pod] for evict in stale))
    satisfied = outcome.satisfied(joined(outcome.stays, outcome.placed, rows))
    for evict, pod in zip(stale, rows.tolist(), strict=True):
        if snapshot.podgroups.finishing(outcome.row_of_podgroup[evict.podgroup]):
            yield Violation(evict.pod, "is evicted as stale though its podgroup finishes")
        row = snapshot.pods.subgroup_idx.item(pod)
        while row != NONE and satisfied[row]:
            row = table.parent.item(row)
        if row == NONE:
            yield Violation(evict.pod, "is evicted as stale though nothing lacks its minimum")


EVICTING = (wholeness, unity, words, gains, preemptions, reclaims, protections, staleness)
