"""Places for all pods of a step, or for none."""

from __future__ import annotations

from dataclasses import dataclass

from kai_py.core.gangs.steps import Gang, Step
from kai_py.core.options import Action, Options
from kai_py.core.placement.views import ClassView
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.state.transaction import Checkpoint, Transaction
from kai_py.core.tables.pods import PodState


@dataclass(frozen=True)
class Signature:
    """What makes two steps equal in the eyes of placement: the classes of their pods, in order."""

    classes: tuple[int, ...]


class Placer:
    """Places steps onto nodes through a transaction.

    Keeps one :class:`ClassView` per pod class, and remembers which steps did not fit, so that identical ones are not
    tried again until capacity is freed (:meth:`forget_failures`).
    """

    def __init__(self, ledger: Ledger, options: Options) -> None:
        self.ledger = ledger
        self._options = options
        self._views: dict[int, ClassView] = {}
        self._failed: dict[Signature, Reason] = {}
        self._class = ledger.snapshot.pods.class_idx.tolist()

    def view(self, class_idx: int) -> ClassView:
        """The view of a class, made when it is first asked for."""
        found = self._views.get(class_idx)
        if found is None:
            found = self._views[class_idx] = ClassView(class_idx, self.ledger, self._options)
        return found

    def forget_failures(self) -> None:
        """Something was freed: what did not fit may fit now."""
        self._failed.clear()

    def place(self, step: Step, transaction: Transaction, *, action: Action) -> Reason | None:
        """Place all pods of a step; on failure the transaction is as before.

        Pods are placed one after the other, each on its best node; a pod that fits only where others are leaving is
        nominated there.

        Returns:
            None on success, else why not.
        """
        signature = Signature(tuple(self._class[pod] for pod in step.pods))
        if (known := self._failed.get(signature)) is not None:
            return known
        start = transaction.checkpoint()
        for number, (pod, class_idx) in enumerate(zip(step.pods, signature.classes, strict=True)):
            place = self.view(class_idx).best()
            if place is None:
                reason = self._explain(class_idx, step, placed=number)
                transaction.rollback(start)
                self._failed[signature] = reason
                return reason
            if place.now:
                transaction.place(pod, place.node, action=action)
            else:
                transaction.nominate(pod, place.node, action=action)
        return None

    def _explain(self, class_idx: int, step: Step, *, placed: int) -> Reason:
        nodes, missing = self.view(class_idx).explain()
        total = len(step.pods)
        if total == 1:
            return Reason(ReasonCode.UNSCHEDULABLE, {"nodes": len(self.ledger.snapshot.nodes)}, nodes, missing)
        details = {"nodes": len(self.ledger.snapshot.nodes), "placed": placed, "pods": total}
        return Reason(ReasonCode.GANG_DOES_NOT_FIT, details, nodes, missing)


def nominate_unless_whole(gang: Gang, transaction: Transaction, since: Checkpoint, *, action: Action) -> None:
    """Turn a podgroup's new places into nominations unless it can start with what it has now.

    A gang of which one member must wait would otherwise start in parts. Its nominations keep the places until the
    capacity is released.
    """
    if gang.satisfied(gang.root, counting_nominated=False):
        return
    ledger, pods, subgroups = gang.ledger, gang.ledger.snapshot.pods, gang.ledger.snapshot.subgroups
    operations = transaction.journal[since:]
    theirs = {op.pod for op in operations if subgroups.podgroup_idx[pods.subgroup_idx[op.pod]] == gang.podgroup}
    if not any(ledger.state[pod] == PodState.ALLOCATED for pod in theirs):
        return
    transaction.rollback(since)
    for operation in operations:
        transaction.nominate(operation.pod, operation.node, action=action)
