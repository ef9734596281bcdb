"""Places for all pods of a step, or for none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action, Options
from kai_py.core.placement.by_class import Views
from kai_py.core.placement.nearness import Nearness, Seats, Wish
from kai_py.core.placement.together import Company, Together
from kai_py.core.placement.views import Place, View
from kai_py.core.resources import Mask
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.domains import ROOT
from kai_py.core.topology.choice import Shortfall, ShortfallCode


@dataclass(frozen=True, slots=True)
class Failure:
    """Why some pods found no places.

    Attributes:
        placed: how many found one before the first that did not.
        nodes: what the nodes said to that one, see :class:`kai_py.core.result.Reason`.
        shortages: the same.
        refusal: what more can be told about that one.
        details: what a reader has to know of its demands.
    """

    placed: int
    nodes: dict[str, int]
    shortages: dict[str, tuple[int, int]]
    refusal: Reason | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, placed: int, view: View) -> Failure:
        """The failure of a pod of some class."""
        return cls(placed, *view.explain(), view.refusal(), view.details())


class Placer:
    """Places steps onto nodes through a transaction.

    Remembers what did not fit for as long as nothing is given back:

    * ``room``: of one class, alone in its step, no more than ``placed`` found places. Since equal pods are placed
      wherever there is room, no order of placing them does better, and no step with more of them can succeed.
    * ``failed``: steps of several classes, by the classes of their pods in order, which is all that placement knows.
    * ``unmet``: wishes to be near each other that could not be met; they say nothing about anybody without one.

    Whom others can help by coming is remembered no longer than until somebody who matters has got a place.
    """

    def __init__(self, ledger: Ledger, options: Options) -> None:
        self.ledger = ledger
        self._views = Views(ledger, options)
        self.view, self.neighbourhood = self._views.of, self._views.neighbourhood
        self._class = ledger.snapshot.pods.class_idx
        self._together = Together(ledger, self.view)
        self._arrivals = 0
        self._room: dict[int, Failure] = {}
        self._failed: dict[tuple[int, ...], Failure] = {}
        self._unmet: dict[Wish, Reason] = {}
        table = ledger.snapshot.topologies
        self._nearness = None if table is None else Nearness(ledger, table, self.view)
        self._freed = ledger.freed

    def place(self, gang: Gang, step: Step, transaction: Transaction, *, action: Action) -> Reason | None:
        """Place all pods of a podgroup's step; on failure the transaction is as before.

        Pods are placed one after the other, each on its best node; a pod that fits only where others are leaving is
        nominated there. If that leaves the podgroup, or the subgroup that the step is about, with less than its
        minimum to start with, then the whole step is nominated: it would otherwise start in parts. Nominations keep
        the places until the capacity is released; what earlier steps of the podgroup were given is left alone.

        Where the podgroup, or a subgroup of it, asks to be in few domains of a topology, nodes are chosen for all pods
        together: first with what is free now, then with what leaving pods will give back.

        Returns:
            None on success, else why not.
        """
        start = transaction.checkpoint()
        grows_what_runs = gang.has_started(step)
        wish = self.wish(step)
        refusal = (
            self._anywhere(step, transaction, action) if wish is None else self._near(wish, step, transaction, action)
        )
        if refusal is not None:
            return refusal
        if not (grows_what_runs and gang.running(step.path)):
            transaction.nominate_instead(start, podgroup=gang.podgroup)
        return None

    def wish(self, step: Step) -> Wish | None:
        """What a step asks of a topology; None if nothing."""
        return None if self._nearness is None else self._nearness.wish(step)

    def nominate(self, step: Step, transaction: Transaction, *, action: Action, within: Mask | None) -> bool:
        """Nominate all pods of a step; tells whether all found places. On failure some are nominated.

        Args:
            step: the pods.
            transaction: what it is done in.
            action: for whose decisions.
            within: ``(N,)`` where they may go; None = anywhere.
        """
        wish, seats = self.wish(step), None
        if wish is not None and self._nearness is not None:
            found = self._nearness.seats(wish, step, later=True, within=within)
            if isinstance(found, Seats):
                seats = found
            elif wish.required:
                return False
        if seats is not None:
            return self._seat(seats, step, transaction, action, start=False)
        before = transaction.checkpoint()
        if self._in_turn(step.pods, step.classes, transaction, action, start=False, within=within) is None:
            return True
        if not self._together.needed(step.pods):
            return False
        transaction.rollback(before)
        return self._in_company(step.pods, transaction, action, start=False, within=within)

    def keeps_together(self, step: Step, nodes: Sequence[int]) -> bool:
        """Whether required levels of topologies hold with the pods of a step on some nodes, one for each."""
        wish = self.wish(step)
        return wish is None or self._nearness is None or self._nearness.together(wish, step, nodes)

    def _near(self, wish: Wish, step: Step, transaction: Transaction, action: Action) -> Reason | None:
        """Place a step of a podgroup with constraints; what is only preferred does not keep it from being placed."""
        assert self._nearness is not None
        self._forget()
        if (known := self._unmet.get(wish)) is not None:
            return known
        start = transaction.checkpoint()
        for later in (False, True) if self.ledger.releasing.any() else (False,):
            seats = self._nearness.seats(wish, step, later=later)
            if isinstance(seats, Seats) and self._seat(seats, step, transaction, action):
                return None
            transaction.rollback(start)
        if self._one_by_one(wish, step, transaction, action):
            return None
        if not wish.required:
            return self._anywhere(step, transaction, action)
        if isinstance(seats, Shortfall) and (seats.level != ROOT or seats.code is not ShortfallCode.TOO_SMALL):
            refusal = self._nearness.reason(wish, seats)
        else:  # it is not domains that are too small, but the cluster, or devices are too much in pieces
            found = seats.fits if isinstance(seats, Shortfall) else 0
            refusal = self._reason(Failure.of(found, self.view(wish.classes[0])), len(step.pods))
        self._freed = self.ledger.freed
        self._unmet[wish] = refusal
        return refusal

    def _one_by_one(self, wish: Wish, step: Step, transaction: Transaction, action: Action) -> bool:
        """Where nodes were chosen for all together without a look at neighbours: each level's domains in turn."""
        assert self._nearness is not None
        if wish.inside or self._views.near.keys().isdisjoint(wish.classes):
            return False
        start = transaction.checkpoint()
        for within in self._nearness.domains(wish):
            placed = self._in_turn(step.pods, step.classes, transaction, action, within=within) is None
            if not placed and self._together.needed(step.pods):
                transaction.rollback(start)
                placed = self._in_company(step.pods, transaction, action, within=within)
            if placed:
                return True
            transaction.rollback(start)
        return False

    def _seat(self, seats: Seats, step: Step, transaction: Transaction, action: Action, *, start: bool = True) -> bool:
        for number, (pod, class_idx) in enumerate(zip(step.pods, step.classes, strict=True)):
            place = _place_of(self.view(class_idx), seats, number)
            if place is None:
                return False
            place.give(transaction, pod, action=action, start=start)
        return True

    def _anywhere(self, step: Step, transaction: Transaction, action: Action) -> Reason | None:
        failure = self._known(step.classes) or self._place(step, transaction, action)
        return None if failure is None else self._reason(failure, len(step.pods))

    def _forget(self) -> None:
        """What did not fit may fit when something was given back, or when somebody has come who is needed."""
        near = self.ledger.neighbours
        if near is not None and self._arrivals != near.version:
            self._arrivals = near.version
            self._failed = {key: one for key, one in self._failed.items() if not any(map(self._helped, key))}
            self._unmet = {wish: one for wish, one in self._unmet.items() if not any(map(self._helped, wish.classes))}
        if self._freed != self.ledger.freed:
            self._freed = self.ledger.freed
            self._room.clear()
            self._failed.clear()
            self._unmet.clear()

    def _helped(self, class_idx: int) -> bool:
        """Whether others can help a class by coming."""
        near = self._views.near.get(class_idx)
        return near is not None and near.helped

    def _known(self, classes: tuple[int, ...]) -> Failure | None:
        """The failure that makes it pointless to try."""
        self._forget()
        if not self._room and not self._failed:
            return None
        for class_idx, count in Counter(classes).items():
            if (full := self._room.get(class_idx)) is not None and count > full.placed:
                return full
        return self._failed.get(classes)

    def _place(self, step: Step, transaction: Transaction, action: Action) -> Failure | None:
        start = transaction.checkpoint()
        missing = self._in_turn(step.pods, step.classes, transaction, action)
        if missing is None:
            return None
        failure = Failure.of(missing, self.view(step.classes[missing]))
        transaction.rollback(start)
        if self._together.needed(step.pods) and self._in_company(step.pods, transaction, action):
            return None
        self._remember(failure, step.classes)
        return failure

    def _in_turn(
        self,
        pods: Sequence[int],
        classes: Sequence[int],
        transaction: Transaction,
        action: Action,
        *,
        start: bool = True,
        within: Mask | None = None,
    ) -> int | None:
        """Place pods one after the other, each on its best node; tells which was the first without one."""
        for number, (pod, class_idx) in enumerate(zip(pods, classes, strict=True)):
            place = self.view(class_idx).best(within)
            if place is None:
                return number
            place.give(transaction, pod, action=action, start=start)
        return None

    def _in_company(
        self,
        pods: Sequence[int],
        transaction: Transaction,
        action: Action,
        *,
        start: bool = True,
        within: Mask | None = None,
    ) -> bool:
        """Place pods that need each other: whom others lean on first, or all who need each other in one domain."""
        before, order = transaction.checkpoint(), self._together.in_order(pods)
        if self._in_turn(order, self._classes(order), transaction, action, start=start, within=within) is None:
            return True
        transaction.rollback(before)
        for company in self._together.companies(pods):
            if not self._in_one_domain(company, transaction, action, start=start, within=within):
                transaction.rollback(before)
                return False
        return True

    def _in_one_domain(
        self, company: Company, transaction: Transaction, action: Action, *, start: bool, within: Mask | None
    ) -> bool:
        classes = self._classes(company.pods)
        if not company.keys:
            return self._in_turn(company.pods, classes, transaction, action, start=start, within=within) is None
        neighbours, before = self.ledger.neighbours, transaction.checkpoint()
        assert neighbours is not None
        for key in company.keys:
            for domain in self._together.domains(company, key, within):
                promise = neighbours.promise(company.kinds, domain)
                try:
                    missing = self._in_turn(company.pods, classes, transaction, action, start=start, within=domain)
                finally:
                    neighbours.retract(promise)
                if missing is None and self._hold(company.pods):
                    return True
                transaction.rollback(before)
        return False

    def _classes(self, pods: Sequence[int]) -> list[int]:
        rows: list[int] = self._class[list(pods)].tolist()
        return rows

    def holds(self, step: Step) -> bool:
        """Whether neighbours are still as the pods of a step need them, which have places."""
        return self._hold(step.pods)

    def _hold(self, pods: Sequence[int]) -> bool:
        if self.ledger.neighbours is None:
            return True
        rows = list(pods)
        alike = dict(
            zip(zip(self._class[rows].tolist(), self.ledger.node[rows].tolist(), strict=True), rows, strict=True)
        )
        nears = ((self.neighbourhood(pod), node) for (_, node), pod in alike.items())
        return all(near is None or near.holds(node) for near, node in nears)

    def _remember(self, failure: Failure, classes: tuple[int, ...]) -> None:
        # What the failed step itself took and gave back is no news: it was there when it was tried.
        self._freed = self.ledger.freed
        if self.ledger.neighbours is not None:
            self._arrivals = self.ledger.neighbours.version
        if len(set(classes)) == 1 and classes[0] not in self._views.near:
            self._room[classes[0]] = failure
        else:
            self._failed[classes] = failure

    def _reason(self, failure: Failure, pods: int) -> Reason:
        nodes = len(self.ledger.snapshot.nodes)
        if failure.refusal is not None:
            details: dict[str, object] = {**failure.refusal.details, "nodes": nodes}
            details |= {"placed": failure.placed, "pods": pods} if pods > 1 else {}
            return Reason(failure.refusal.code, details, failure.nodes, failure.shortages)
        if pods == 1:
            details = {"nodes": nodes, **failure.details}
            return Reason(ReasonCode.UNSCHEDULABLE, details, failure.nodes, failure.shortages)
        details = {"nodes": nodes, "placed": failure.placed, "pods": pods, **failure.details}
        return Reason(ReasonCode.GANG_DOES_NOT_FIT, details, failure.nodes, failure.shortages)


def _place_of(view: View, seats: Seats, number: int) -> Place | None:
    """The place that was chosen for a pod, or one that is as good: pieces of devices may have been misjudged."""
    place = view.at(seats.nodes[number])
    return view.best(seats.within) if place is None and seats.within is not None else place
