"""The simulation: evict, nominate, give back, move, judge. Exact, in the transaction, and undone if it fails."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from kai_py.core.filters.resources import fits
from kai_py.core.gangs.steps import Step
from kai_py.core.options import Action
from kai_py.core.placement.gang import Placer
from kai_py.core.placement.views import Place
from kai_py.core.resources import Mask
from kai_py.core.result import Reason
from kai_py.core.state.claim_uses import NO_GRANTS
from kai_py.core.state.decisions import account
from kai_py.core.state.transaction import Checkpoint, Transaction
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.tables.zones import NO_SEAT
from kai_py.core.victims.chunks import Chunk
from kai_py.core.victims.rules import Rule


class Simulation:
    """What would happen to everybody if some victims went for one podgroup's step.

    Args:
        step: what is to be placed.
        placer: finds places.
        transaction: worked in; as before after a failure.
        action: for whose decisions.
        gate: asked with the step charged, whether its queue and all above it may hold that much.
        rule: which victims are acceptable.
        made_way: podgroups for which others had to go in this cycle; whoever takes their places has had those moved.
    """

    def __init__(
        self,
        step: Step,
        placer: Placer,
        transaction: Transaction,
        *,
        action: Action,
        gate: Callable[[], Reason | None],
        rule: Rule,
        made_way: Container[int] = (),
    ) -> None:
        self._step = step
        self._placer = placer
        self._transaction = transaction
        self._action = action
        self._gate = gate
        self._rule = rule
        self._made_way = made_way
        self._ledger = transaction.ledger
        snapshot = transaction.ledger.snapshot
        self._class = snapshot.pods.class_idx
        self._subgroup = snapshot.pods.subgroup_idx
        self._requests = snapshot.classes.request
        self._had_started: set[int] = set()
        self._start = transaction.checkpoint()
        #: Podgroups of which somebody has to wait for a place: nobody else of them starts.
        self._waiting: set[int] = set()
        self.count = 0
        self.refusal: Reason | None = None
        #: The victim without whom the last refusal of the rule would have been none.
        self.blamed: Chunk | None = None
        #: With whom the last try has succeeded, on which nodes, and who of them was lost or moved.
        self.success: tuple[Sequence[Chunk], Mask | None, Sequence[Chunk]] | None = None

    def succeeds(self, victims: Sequence[Chunk], nodes: Mask | None) -> bool:
        """Try it, with the step on some nodes only; what is not acceptable is undone, and ``refusal`` says why.

        Args:
            victims: who goes, least important first; whoever need not is spared, or gets another place.
            nodes: ``(N,)`` where the step may go; None = anywhere.
        """
        self.count += 1
        self.blamed = None
        start = self._start = self._transaction.checkpoint()
        pods = [pod for chunk in victims for pod in chunk.pods]
        self._had_started = {pod for pod in pods if self._ledger.state.item(pod) == PodState.ALLOCATED}
        for pod in pods:
            self._transaction.evict(pod, action=self._action, preemptor=self._step.podgroup)
        if self._placer.nominate(self._step, self._transaction, action=self._action, within=nodes):
            lost, disturbed = self._settle(victims)
            refusal = self._gate() or self._rule.accepts(lost, disturbed)
            blamed = self._rule.blamed
            if refusal is None and (taken_over := [chunk for chunk in lost if chunk.podgroup in self._made_way]):
                refusal, blamed = self._rule.accepts(lost, [*disturbed, *self._inherited(start)]), taken_over[0]
            if refusal is None:
                self.success = victims, nodes, disturbed
                return True
            self.refusal, self.blamed = refusal, blamed
        self._transaction.rollback(start)
        return False

    def _inherited(self, start: Checkpoint) -> Iterator[Chunk]:
        """Pods that had moved for those who lose their places now, and so move for this step."""
        journal, snapshot = self._transaction.journal, self._ledger.snapshot
        ours = {operation.pod for operation in journal[start:]}
        for pod in account(self._ledger, journal).moved_for(self._step.podgroup):
            if pod not in ours:
                cost = snapshot.classes.costs[self._class.item(pod)]
                yield Chunk(self._transaction.podgroup_of(pod), (pod,), cost, core=False)

    def take_back(self) -> None:
        """Undo the last try, which has succeeded."""
        self._transaction.rollback(self._start)

    def _settle(self, victims: Sequence[Chunk]) -> tuple[list[Chunk], list[Chunk]]:
        """Spare whom we can, the most important first.

        What is left of a subgroup that loses its minimum is of no use to anybody.

        Returns:
            Those that are lost, and those that are lost or moved; least important first.
        """
        lost, disturbed, broken = list[Chunk](), list[Chunk](), set[int]()
        self._waiting = set()
        for chunk in reversed(victims):
            was = [self._seat(pod, evicted=True) for pod in chunk.pods]
            spared = broken.isdisjoint(self._subgroup[list(chunk.pods)].tolist()) and self._spare(chunk)
            if not spared:
                lost.append(chunk)
                broken.update(chunk.breaks)
            if not spared or was != [self._seat(pod, evicted=False) for pod in chunk.pods]:
                disturbed.append(chunk)
        return lost[::-1], disturbed[::-1]

    def _seat(self, pod: int, *, evicted: bool) -> tuple[object, ...]:
        """The node of a pod, or of one that was just evicted, with its devices and zones there."""
        claims = self._ledger.claims
        held = () if claims is None else claims.devices_of(pod, now=evicted)
        seat = NO_SEAT if self._ledger.zones is None else self._ledger.zones.seat(pod)
        return self._ledger.node.item(pod), self._devices(pod), held, seat

    def _devices(self, pod: int) -> tuple[str, ...]:
        """Devices that a pod has a share of."""
        return () if self._ledger.devices is None else self._ledger.devices.of_pod.get(pod, ())

    def _spare(self, chunk: Chunk) -> bool:
        """Leave a victim where it is, or give it another place, all its pods or none."""
        start, waits = self._transaction.checkpoint(), False
        for pod in chunk.pods:
            moves = (place := self._own_place(pod)) is None
            if place is None and chunk.movable:
                place = self._placer.view(self._class.item(pod)).best()
            if place is None:
                self._transaction.rollback(start)
                return False
            # Who was about to start when this search began still does, if there is idle room for it.
            about_to_start = pod in self._had_started
            place.give(
                self._transaction, pod, action=self._action, start=about_to_start, spared_for=self._step.podgroup
            )
            waits |= not place.now if about_to_start else moves
        if waits:
            self._waiting.add(chunk.podgroup)
        if chunk.podgroup in self._waiting:
            self._transaction.nominate_instead(start, podgroup=chunk.podgroup)
        if self._gate() is not None or not self._placer.holds(
            self._step
        ):  # the queue that we share has room for one of us only
            self._transaction.rollback(start)
            return False
        return True

    def _own_place(self, pod: int) -> Place | None:
        """The node that a victim was evicted from, with its devices and zones, if there is still room for it."""
        ledger, node = self._ledger, self._ledger.node.item(pod)
        if node == NONE:
            return None
        near = self._placer.neighbourhood(pod)
        if near is not None and not near.stays(node):
            return None
        claims, grants = self._ledger.claims, NO_GRANTS
        if claims is not None and claims.uses_any(pod):
            if pod in self._had_started:  # what it was about to take is anybody's again
                return self._placer.view(self._class.item(pod)).at(node)
            own = claims.own(pod)
            if own is None:
                return None
            grants = own
        request, free = self._requests[self._class.item(pod)], ledger.free[node]
        later = fits(request, (free + ledger.releasing[node])[None, :]).item(0)
        # Only who was about to start can start now: nobody else's idle room has to be looked at.
        now = later and pod in self._had_started and fits(request, free[None, :]).item(0)
        names = self._devices(pod)
        if ledger.devices is not None and names:
            device_now, device_later = ledger.devices.holds(pod, node, names)
            now, later = now and device_now, later and device_later
        seat = NO_SEAT
        if ledger.zones is not None and (seat := ledger.zones.seat(pod)):
            later = later and ledger.zones.holds(node, seat, later=True)
            now = now and ledger.zones.holds(node, seat, later=False)
        if ledger.volumes is not None:
            later = later and ledger.volumes.holds(pod, node, later=True)
            now = now and ledger.volumes.holds(pod, node, later=False)
        return Place(node, now, names, grants, seat) if later else None
