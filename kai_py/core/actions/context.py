"""What the actions of one cycle share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan
from operator import attrgetter
from types import TracebackType
from typing import NamedTuple, TypeVarTuple

import numpy as np

from kai_py.core.gangs.members import Members
from kai_py.core.gangs.order import Order, PodGroupRank, growth_stage
from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.gangs.turns import out_of_turn
from kai_py.core.options import Action, Options
from kai_py.core.placement.gang import Placer
from kai_py.core.queues.min_runtime import preempt_min_runtime, reclaim_min_runtime
from kai_py.core.queues.service import Ranker
from kai_py.core.resources import Cost, Shares
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.snapshot import Snapshot
from kai_py.core.victims.candidates import Pool
from kai_py.core.victims.chunks import Running
from kai_py.core.victims.costs import Costs
from kai_py.core.victims.rules import Owed

Args = TypeVarTuple("Args")


class Waiting(NamedTuple):
    """A podgroup in line: its queue, its rank there, what it would cost next, itself, and what it asks for next."""

    queue: int
    rank: PodGroupRank
    cost: Cost
    gang: Gang
    step: Step


@dataclass
class Context:
    """One cycle's working state; made by ``run_cycle``, used by the actions one after the other.

    Attributes:
        gangs: the podgroups that have pods waiting and are not blocked, by row.
        refusals: why a podgroup's minimum was refused, by row; its latest refusal.
        growth_refusals: the same for the growth of a podgroup that has its minimum.
        position: place in line within its queue, by row, from 1.
        considered: podgroups that were looked at, counted each time.
        helpless: why nobody has to make room for a podgroup, by row; the latest such reason.
        stale: podgroups that run with less than their minimum.
        settled: podgroups for which others were ended in this cycle, by row.
        made_way: podgroups for which others had to go in this cycle, by row, moved ones included.
        searched: choices of victims that a search tried before its budget ended it, by row and action.
        failed: podgroups over which we stumbled, and how; they are left alone for the rest of the cycle.
        out_of_turn: podgroups of namespaces with too many sorts of them, which this cycle does not look at; None before
            anybody has stood in line.
    """

    snapshot: Snapshot
    options: Options
    clock: Callable[[], float]
    ledger: Ledger
    transaction: Transaction
    placer: Placer
    ranker: Ranker
    members: Members
    shares: Shares
    gangs: dict[int, Gang] = field(default_factory=dict)
    refusals: dict[int, Reason] = field(default_factory=dict)
    growth_refusals: dict[int, Reason] = field(default_factory=dict)
    position: dict[int, int] = field(default_factory=dict)
    considered: int = 0
    helpless: dict[int, Reason] = field(default_factory=dict)
    stale: list[int] = field(default_factory=list)
    settled: set[int] = field(default_factory=set)
    made_way: set[int] = field(default_factory=set)
    searched: dict[tuple[int, Action], int] = field(default_factory=dict)
    failed: dict[int, Reason] = field(default_factory=dict)
    out_of_turn: set[int] | None = None

    def isolated(self, podgroup: int, serve: Callable[[*Args], Reason | None], *args: *Args) -> Reason | None:
        """Serve a podgroup; an error of ours meanwhile ends neither the action nor the cycle.

        After an error, what was done for the podgroup is taken back, and it is left alone for the rest of the cycle.

        Args:
            podgroup: its row.
            serve: the work; returns why it was refused, or None.
            args: what it is called with.

        Returns:
            What ``serve`` returned, or a reason ``InternalError`` that says what happened and where.
        """
        reason = self.attempt(serve, *args)
        if reason is not None and reason.code is ReasonCode.INTERNAL_ERROR:
            self.failed[podgroup] = reason
        return reason

    def attempt(self, serve: Callable[[*Args], Reason | None], *args: *Args) -> Reason | None:
        """The same for work that is not about one podgroup: after an error nobody is left alone for it."""
        before = self.transaction.checkpoint()
        try:
            return serve(*args)
        except Exception as error:  # the edge of what is done for a podgroup; the result carries it to the log
            self.transaction.rollback(before)
            details = {"error": f"{type(error).__name__}: {error}", "where": _where(error.__traceback__)}
            return Reason(ReasonCode.INTERNAL_ERROR, details)

    @property
    def running(self) -> Running:
        """Pods with places by podgroup, as of now."""
        return Running(self.ledger, self.members)

    def gang(self, podgroup: int) -> Gang:
        """The requirement of any podgroup."""
        found = self.gangs.get(podgroup)
        return found or Gang(podgroup, self.members.tree(podgroup), self.members, self.ledger)

    def pool(self) -> Pool:
        """Possible victims; made anew for every action, because the one before has changed who has places."""
        return Pool(self.ledger, self.running, self.costs, self.settled)

    @cached_property
    def order(self) -> Order:
        """The order of podgroups within a queue."""
        return Order(self.snapshot.podgroups)

    @cached_property
    def owed(self) -> Owed:
        """What queues are owed."""
        return Owed.of(self.snapshot.queues, self.shares)

    @cached_property
    def costs(self) -> Costs:
        """What victims cost."""
        return Costs(self.snapshot, self.options)

    def patience(self, gang: Gang) -> Reason | None:
        """What keeps a podgroup from having others evicted for it."""
        history = self.snapshot.podgroups.history
        if history is None:
            return None
        if history.never_preempts.item(gang.podgroup):
            return Reason(ReasonCode.NEVER_PREEMPTS, {})
        left = (
            self.snapshot.podgroups.created.item(gang.podgroup) + history.delay.item(gang.podgroup) - self.snapshot.now
        )
        return Reason(ReasonCode.PREEMPTION_DELAY, {"seconds": round(left, 1)}) if left > 0 else None

    def preemptible_now(self, podgroup: int) -> bool:
        """Whether a podgroup has had its minimum run time for preemption."""
        if (history := self.snapshot.podgroups.history) is None:
            return True
        queue = self.snapshot.podgroups.queue_idx.item(podgroup)
        safe = preempt_min_runtime(self.snapshot.queues, queue, self.options)
        return self.snapshot.now >= history.started.item(podgroup) + safe

    def reclaimable_now(self, podgroup: int, reclaimer: int) -> bool:
        """Whether a podgroup has had its minimum run time for reclaim by a queue."""
        if (history := self.snapshot.podgroups.history) is None:
            return True
        queue = self.snapshot.podgroups.queue_idx.item(podgroup)
        safe = reclaim_min_runtime(self.snapshot.queues, queue, reclaimer, self.options)
        return self.snapshot.now >= history.started.item(podgroup) + safe

    def grace_over(self, podgroup: int) -> bool:
        """Whether a stale podgroup has been so for longer than its grace period."""
        history, now = self.snapshot.podgroups.history, self.snapshot.now
        own = history.grace.item(podgroup) if history is not None else nan
        grace = self.options.staleness_grace if isnan(own) else own
        since = min(history.stale_since.item(podgroup), now) if history is not None else now
        return grace >= 0 and now - since >= grace

    def queue_of(self, gang: Gang) -> int:
        """Row of the podgroup's leaf queue."""
        return self.snapshot.podgroups.queue_idx.item(gang.podgroup)

    def preemptible(self, gang: Gang) -> bool:
        """Whether the podgroup is preemptible."""
        return self.snapshot.podgroups.preemptible.item(gang.podgroup)

    def waiting(self, gang: Gang, step: Step) -> Waiting:
        """A podgroup in line for a step."""
        stage = growth_stage(gang)
        return Waiting(self.queue_of(gang), self.order.rank(gang.podgroup, stage), step.cost, gang, step)

    def refuse(self, step: Step, reason: Reason) -> None:
        """Remember why a podgroup was refused its minimum, or its growth."""
        (self.refusals if step.growth is None else self.growth_refusals)[step.podgroup] = reason

    def grant(self, step: Step) -> None:
        """A podgroup got what it asked for: that an earlier action refused it its minimum no longer matters."""
        if step.growth is None:
            self.refusals.pop(step.podgroup, None)

    def _stand(self, gangs: Iterable[Gang], by_queue: dict[int, list[Waiting]]) -> None:
        """Put podgroups that ask for something in their queues' lines."""
        for gang in gangs:
            if (step := gang.next_step()) is not None:
                waiting = self.waiting(gang, step)
                by_queue.setdefault(waiting.queue, []).append(waiting)

    def line_up(self, action: Action) -> dict[int, list[Waiting]]:
        """Podgroups that ask an action for something, at most the queue depth per leaf queue, first in order first.

        Those that cannot be formed do not stand in line. Those beyond the depth are refused with a reason that says so.
        """
        by_queue: dict[int, list[Waiting]] = {}
        pending = np.unique(self.snapshot.subgroups.podgroup_idx[self.ledger.pending > 0]).tolist()
        asking = [self.gangs[row] for row in pending if row in self.gangs and row not in self.failed]
        if self.attempt(self._stand, asking, by_queue) is not None:
            by_queue.clear()
            for gang in asking:  # who of them it was that we stumbled over
                self.isolated(gang.podgroup, self._stand, (gang,), by_queue)
        for queue in by_queue.values():
            queue.sort(key=attrgetter("rank"))
            for place, waiting in enumerate(queue, start=1):
                self.position.setdefault(waiting.gang.podgroup, place)
        self._take_turns(by_queue)
        if (depth := self.options.queue_depth.get(action)) is not None:
            for queue in by_queue.values():
                self._send_away(queue, depth)
        return by_queue

    def _take_turns(self, by_queue: dict[int, list[Waiting]]) -> None:
        """Leave those alone whose turn it is not: the same ones in all actions, or some would evict without need."""
        if self.out_of_turn is None:
            self.out_of_turn, most = set(), self.options.sorts_per_namespace
            keys, now = self.snapshot.podgroups.keys, self.snapshot.now
            for queue in by_queue.values() if most else ():
                if len({one.step.classes for one in queue}) <= most:  # and no namespace has more than all
                    continue
                line = [(one.gang.podgroup, keys[one.gang.podgroup].namespace, one.step.classes) for one in queue]
                self.out_of_turn |= out_of_turn(line, most, now)
            for waiting in (one for queue in by_queue.values() for one in queue):
                if waiting.gang.podgroup in self.out_of_turn:
                    self.refuse(waiting.step, Reason(ReasonCode.OUT_OF_TURN, {"sorts": most}))
        if self.out_of_turn:
            for queue in by_queue.values():
                queue[:] = [one for one in queue if one.gang.podgroup not in self.out_of_turn]

    def _send_away(self, queue: list[Waiting], depth: int) -> None:
        """Refuse those beyond the depth of a queue."""
        for position, waiting in enumerate(queue[depth:], start=depth + 1):
            self.refuse(waiting.step, Reason(ReasonCode.QUEUE_DEPTH, {"depth": depth, "position": position}))
        del queue[depth:]


def _where(trace: TracebackType | None) -> str:
    """The innermost place of an error, as ``module:line``."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals['__name__']}:{trace.tb_lineno}" if trace is not None else ""
