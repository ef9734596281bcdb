"""Places for all pods of a step, or for none."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action, Options
from kai_py.core.placement.sharing import SharingView
from kai_py.core.placement.suitability import Suitabilities
from kai_py.core.placement.views import ClassView
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Failure:
    """Why some pods found no places.

    Attributes:
        placed: how many found one before the first that did not.
        nodes: what the nodes said to that one, see :class:`kai_py.core.result.Reason`.
        shortages: the same.
    """

    placed: int
    nodes: dict[str, int]
    shortages: dict[str, tuple[int, int]]


class Placer:
    """Places steps onto nodes through a transaction.

    Keeps one :class:`ClassView` per pod class, and remembers what did not fit for as long as nothing is given back:

    * ``room``: of one class, alone in its step, no more than ``placed`` found places. Since equal pods are placed
      wherever there is room, no order of placing them does better, and no step with more of them can succeed.
    * ``failed``: steps of several classes, by the classes of their pods in order, which is all that placement knows.
    """

    def __init__(self, ledger: Ledger, options: Options) -> None:
        self.ledger = ledger
        self._options = options
        self._suitabilities = Suitabilities(ledger.snapshot, options)
        self._views: dict[int, ClassView] = {}
        self._room: dict[int, Failure] = {}
        self._failed: dict[tuple[int, ...], Failure] = {}
        self._freed = ledger.freed
        self._class = ledger.snapshot.pods.class_idx

    def view(self, class_idx: int) -> ClassView:
        """The view of a class, made when it is first asked for."""
        found = self._views.get(class_idx)
        if found is None:
            pod = self.ledger.snapshot.classes.classes[class_idx]
            kind = ClassView if pod.share is None else SharingView
            found = self._views[class_idx] = kind(class_idx, self._suitabilities.of(pod), self.ledger, self._options)
        return found

    def place(self, gang: Gang, step: Step, transaction: Transaction, *, action: Action) -> Reason | None:
        """Place all pods of a podgroup's step; on failure the transaction is as before.

        Pods are placed one after the other, each on its best node; a pod that fits only where others are leaving is
        nominated there. If that leaves the podgroup, or the subgroup that the step is about, with less than its
        minimum to start with, then the whole step is nominated: it would otherwise start in parts. Nominations keep
        the places until the capacity is released; what earlier steps of the podgroup were given is left alone.

        Returns:
            None on success, else why not.
        """
        start = transaction.checkpoint()
        grows_what_runs = gang.has_started(step)
        classes = tuple([self._class.item(pod) for pod in step.pods])
        if (failure := self._known(classes) or self._place(step.pods, classes, transaction, action)) is not None:
            return self._reason(failure, len(step.pods))
        if not (grows_what_runs and gang.running(step.path)):
            transaction.nominate_instead(start, podgroup=gang.podgroup)
        return None

    def _known(self, classes: tuple[int, ...]) -> Failure | None:
        """The failure that makes it pointless to try."""
        if self._freed != self.ledger.freed:
            self._freed = self.ledger.freed
            self._room.clear()
            self._failed.clear()
        if not self._room and not self._failed:
            return None
        for class_idx, count in Counter(classes).items():
            if (full := self._room.get(class_idx)) is not None and count > full.placed:
                return full
        return self._failed.get(classes)

    def _place(
        self, pods: tuple[int, ...], classes: tuple[int, ...], transaction: Transaction, action: Action
    ) -> Failure | None:
        start = transaction.checkpoint()
        for number, (pod, class_idx) in enumerate(zip(pods, classes, strict=True)):
            place = self.view(class_idx).best()
            if place is None:
                failure = Failure(number, *self.view(class_idx).explain())
                transaction.rollback(start)
                self._remember(failure, classes)
                return failure
            if place.now:
                transaction.place(pod, place.node, action=action, devices=place.devices)
            else:
                transaction.nominate(pod, place.node, action=action, devices=place.devices)
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
        if pods == 1:
            return Reason(ReasonCode.UNSCHEDULABLE, {"nodes": nodes}, failure.nodes, failure.shortages)
        details = {"nodes": nodes, "placed": failure.placed, "pods": pods}
        return Reason(ReasonCode.GANG_DOES_NOT_FIT, details, failure.nodes, failure.shortages)
