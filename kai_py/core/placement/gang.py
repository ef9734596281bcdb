"""Places for all pods of a step, or for none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action, Options
from kai_py.core.placement.claims import ClaimView
from kai_py.core.placement.nearness import Nearness, Seats, Wish
from kai_py.core.placement.sharing import SharingView
from kai_py.core.placement.suitability import Suitabilities
from kai_py.core.placement.views import ClassView, Place
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
    def of(cls, placed: int, view: ClassView) -> Failure:
        """The failure of a pod of some class."""
        return cls(placed, *view.explain(), view.refusal(), view.details())


class Placer:
    """Places steps onto nodes through a transaction.

    Keeps one :class:`ClassView` per pod class, and remembers what did not fit for as long as nothing is given back:

    * ``room``: of one class, alone in its step, no more than ``placed`` found places. Since equal pods are placed
      wherever there is room, no order of placing them does better, and no step with more of them can succeed.
    * ``failed``: steps of several classes, by the classes of their pods in order, which is all that placement knows.
    * ``unmet``: wishes to be near each other that could not be met; they say nothing about anybody without one.
    """

    def __init__(self, ledger: Ledger, options: Options) -> None:
        self.ledger = ledger
        self._options = options
        self._suitabilities = Suitabilities(ledger.snapshot, options)
        self._views: dict[int, ClassView] = {}
        self._room: dict[int, Failure] = {}
        self._failed: dict[tuple[int, ...], Failure] = {}
        self._unmet: dict[Wish, Reason] = {}
        table = ledger.snapshot.topologies
        self._nearness = None if table is None else Nearness(ledger, table, self.view)
        self._freed = ledger.freed

    def view(self, class_idx: int) -> ClassView:
        """The view of a class, made when it is first asked for."""
        found = self._views.get(class_idx)
        if found is None:
            pod = self.ledger.snapshot.classes.classes[class_idx]
            kind = ClaimView if pod.claims else ClassView if pod.share is None else SharingView
            found = self._views[class_idx] = kind(class_idx, self._suitabilities.of(pod), self.ledger, self._options)
        return found

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
        for number, (pod, class_idx) in enumerate(zip(step.pods, step.classes, strict=True)):
            view = self.view(class_idx)
            place = view.best(within) if seats is None else _place_of(view, seats, number)
            if place is None:
                return False
            place.give(transaction, pod, action=action, start=False)
        return True

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

    def _seat(self, seats: Seats, step: Step, transaction: Transaction, action: Action) -> bool:
        for number, (pod, class_idx) in enumerate(zip(step.pods, step.classes, strict=True)):
            place = _place_of(self.view(class_idx), seats, number)
            if place is None:
                return False
            place.give(transaction, pod, action=action)
        return True

    def _anywhere(self, step: Step, transaction: Transaction, action: Action) -> Reason | None:
        failure = self._known(step.classes) or self._place(step, transaction, action)
        return None if failure is None else self._reason(failure, len(step.pods))

    def _forget(self) -> None:
        """What did not fit may fit when something was given back."""
        if self._freed != self.ledger.freed:
            self._freed = self.ledger.freed
            self._room.clear()
            self._failed.clear()
            self._unmet.clear()

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
        for number, (pod, class_idx) in enumerate(zip(step.pods, step.classes, strict=True)):
            place = self.view(class_idx).best()
            if place is None:
                failure = Failure.of(number, self.view(class_idx))
                transaction.rollback(start)
                self._remember(failure, step.classes)
                return failure
            place.give(transaction, pod, action=action)
        return None

    def _remember(self, failure: Failure, classes: tuple[int, ...]) -> None:
        # What the failed step itself took and gave back is no news: it was there when it was tried.
        self._freed = self.ledger.freed
        if len(set(classes)) == 1:
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


def _place_of(view: ClassView, seats: Seats, number: int) -> Place | None:
    """The place that was chosen for a pod, or one that is as good: pieces of devices may have been misjudged."""
    place = view.at(seats.nodes[number])
    return view.best(seats.within) if place is None and seats.within is not None else place
