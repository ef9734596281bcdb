"""Allocate: start what fits, queue by queue in the order of fairness, every gang whole or not at all."""

from __future__ import annotations

from collections import Counter

from kai_py.core.actions.context import Context, Waiting
from kai_py.core.gangs.floor import below_floor
from kai_py.core.gangs.steps import Growth
from kai_py.core.options import Action
from kai_py.core.queues.gates import capacity_gate
from kai_py.core.queues.line import Line
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.tables.pods import NONE

ACTION = Action.ALLOCATE

#: A refused step of growth may leave room for another one; a refused queue does not.
_ABOUT_PLACES = (
    ReasonCode.UNSCHEDULABLE,
    ReasonCode.GANG_DOES_NOT_FIT,
    ReasonCode.DOMAINS_TOO_SMALL,
    ReasonCode.SUBGROUP_TOO_LARGE,
    ReasonCode.SUBGROUPS_COLLIDE,
    ReasonCode.MEMBERS_APART,
    ReasonCode.DEVICES_UNAVAILABLE,
    ReasonCode.CLAIM_IN_FULL_USE,
)


#: So many podgroups are served at once to begin with, and at most; in between four times as many as followed before.
_FEW, _MANY = 64, 512
#: To look ahead pays for so many that follow each other. After a shorter run, so many are served one by one.
_WORTHWHILE, _PAUSE = 6, 32


def allocate(context: Context) -> None:
    """Serve podgroups until none is left that fits. Changes the context's transaction and refusals."""
    exhausted: dict[int, set[Growth]] = {}
    in_line = context.line_up(ACTION)
    line = Line(context.snapshot.queues, context.ranker, in_line)
    runs = _Runs(context, line, Counter(one.step.classes for waiting in in_line.values() for one in waiting))
    while (waiting := line.pop()) is not None:
        gang, step = waiting.gang, waiting.step
        podgroup = gang.podgroup
        if runs.serve(waiting):
            continue
        context.considered += 1
        if (reason := context.isolated(podgroup, _serve, context, waiting)) is None:
            context.grant(step)
        else:
            context.refuse(step, reason)
            if step.growth is None or reason.code not in _ABOUT_PLACES:
                continue
            exhausted.setdefault(podgroup, set()).add(step.growth)
        if (following := gang.next_step(exhausted.get(podgroup, ()))) is not None:
            line.push(context.waiting(gang, following))


def _serve(context: Context, waiting: Waiting) -> Reason | None:
    gang, step = waiting.gang, waiting.step
    refusal = capacity_gate(context.ledger, waiting.queue, step.cost, preemptible=context.preemptible(gang))
    if refusal is None and step.growth is None:
        refusal = below_floor(context.ledger, gang.podgroup)
    return refusal or context.placer.place(gang, step, context.transaction, action=ACTION)


class _Runs:
    """Podgroups of one pod that follow each other in line and are alike: placed together, as if one by one.

    Where the next pods of a class go is known before any of them is placed. So it is known as well that each of them
    will be, and the line goes on as if it had been.
    """

    def __init__(self, context: Context, line: Line[Waiting], counts: Counter[tuple[int, ...]]) -> None:
        self._context = context
        self._line = line
        self._queues = context.snapshot.queues
        self._pending = context.ledger.cells.pending
        #: How many podgroups there may be of each class that has enough of them.
        self._left = {row[0]: count for row, count in counts.items() if len(row) == 1 and count >= _WORTHWHILE}
        self._limits: dict[int, int] = {}
        self._pauses: dict[int, int] = {}
        self._run: list[Waiting] = []

    def serve(self, first: Waiting) -> bool:
        """Serve who was popped last, and who follows and is like it; False if it has to be served by itself."""
        self._run = []
        mistake = self._context.attempt(self._at_once, first)
        if mistake is not None:
            self._left.clear()
            self._context.ranker.charged()
            self._one_by_one()  # for whom of them it was will be found out
        return bool(self._run)

    def _at_once(self, first: Waiting) -> None:
        class_idx = self._class(first)
        if class_idx == NONE or (left := self._left.get(class_idx, 0)) < _WORTHWHILE:
            return
        if pause := self._pauses.get(class_idx):
            self._pauses[class_idx] = pause - 1
            return
        places = self._context.placer.view(class_idx).ahead(min(left, self._limits.get(class_idx, _FEW)))
        if not places:
            return
        self._follow(first, class_idx, len(places))
        pods = [one.step.pods[0] for one in self._run]
        self._context.transaction.place_alike(pods, places[: len(pods)], action=ACTION)
        self._context.ranker.charged()
        self._context.considered += len(pods)
        for one in self._run:
            self._context.grant(one.step)
        self._left[class_idx] = left - len(pods)
        self._limits[class_idx] = min(max(4 * len(pods), _FEW), _MANY)
        if len(pods) < _WORTHWHILE:
            self._pauses[class_idx] = _PAUSE

    def _follow(self, first: Waiting, class_idx: int, most: int) -> None:
        """Take those out of the line who come next and are alike, if each gets its place."""
        one, suppose = first, self._context.ranker.suppose
        while True:
            self._run.append(one)
            suppose(self._queues.paths[one.queue], one.cost)
            if len(self._run) == most or (following := self._line.peek()) is None:
                return
            if self._class(following) != class_idx:
                return
            self._line.pop()
            one = following

    def _one_by_one(self) -> None:
        for one in self._run:
            self._context.considered += 1
            if (reason := self._context.isolated(one.gang.podgroup, _serve, self._context, one)) is not None:
                self._context.refuse(one.step, reason)
        self._line.rank_anew()

    def _class(self, waiting: Waiting) -> int:
        """The class of the only pod of a podgroup that nothing but places keeps from starting; ``NONE`` for others."""
        step, root = waiting.step, waiting.gang.root
        if len(step.pods) != 1 or step.growth is not None or not root.leaf or root.minimum != 1:
            return NONE
        if self._pending[root.row] != 1 or self._queues.limited[waiting.queue]:
            return NONE
        if waiting.gang.podgroup in self._context.snapshot.podgroups.floors:
            return NONE
        if self._queues.with_quota[waiting.queue] and not self._context.preemptible(waiting.gang):
            return NONE
        return step.classes[0] if self._context.placer.wish(step) is None else NONE
