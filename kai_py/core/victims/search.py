"""The search: the shortest run of candidates that makes room, cut down to those that are needed.

1. *Grow*: take candidates in their order, and after each one tell from sums over nodes alone whether the step could fit
   (a closed form: how many pods of the class fit on each node if the victims on it were gone).
2. *Choose*: of the nodes that could be freed, those that cost the fewest victims.
3. *Simulate*, exactly and once, in the transaction: evict, nominate the step, give back every victim whose place is
   still free, move those that fit elsewhere, and ask the rule about the rest.

If the rule refuses, more candidates are taken; a budget bounds how often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from kai_py.core.filters.resources import fits
from kai_py.core.gangs.steps import Step
from kai_py.core.options import Action
from kai_py.core.placement.gang import Placer
from kai_py.core.placement.views import Place
from kai_py.core.resources import Amounts, Mask
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.transaction import Transaction
from kai_py.core.tables.pods import NONE, PodState
from kai_py.core.victims.chunks import Chunk
from kai_py.core.victims.departures import Departures
from kai_py.core.victims.rules import AnyVictims, Rule

#: Simulations per podgroup and action; each costs time in proportion to its victims.
ATTEMPTS = 48
#: Up to so many victims, each one more is tried; beyond, half as many again.
_FEW = 16


@dataclass
class Room:
    """How many pods of one class fit on each node, with the candidates taken so far gone.

    Attributes:
        need: ``(R,)`` of one pod.
        allowed: ``(N,)`` nodes that filters let it on.
        later: ``(N, R)`` free, releasing, and what the candidates would give back.
        slots: ``(N,)`` pods that fit.
        base: ``(N,)`` pods that fit without any victim.
    """

    need: Amounts
    allowed: Mask
    later: Amounts
    slots: np.ndarray = field(init=False)
    base: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self._asked = np.flatnonzero(self.need)
        self._needs = self.need[self._asked]
        self.slots = self._count(slice(None))
        self.base = self.slots.copy()

    def _count(self, rows: slice | list[int]) -> np.ndarray:
        fitting = (self.later[rows][:, self._asked] // self._needs).min(axis=1, initial=np.iinfo(np.int32).max)
        return np.where(self.allowed[rows], np.maximum(fitting, 0), 0)

    def give(self, node: int, amounts: Amounts) -> int:
        """A pod of a node is gone; returns how many more pods fit there."""
        self.later[node] += amounts
        if not self.allowed.item(node):
            return 0
        before = int(self.slots[node])
        after = max(0, int((self.later[node, self._asked] // self._needs).min(initial=np.iinfo(np.int32).max)))
        self.slots[node] = after
        return after - before


class Search:
    """One search for one podgroup's step.

    Args:
        step: what is to be placed.
        placer: finds places.
        transaction: worked in; as before after a failure.
        action: for whose decisions.
        gate: asked with the step charged, whether its queue and all above it may hold that much.
    """

    def __init__(
        self,
        step: Step,
        placer: Placer,
        transaction: Transaction,
        *,
        action: Action,
        gate: Callable[[], Reason | None],
    ) -> None:
        self._step = step
        self._rule: Rule = AnyVictims()
        self._gate = gate
        self._placer = placer
        self._transaction = transaction
        self._action = action
        ledger = transaction.ledger
        self._ledger = ledger
        self._snapshot = ledger.snapshot
        self._class = ledger.snapshot.pods.class_idx
        self._requests = ledger.snapshot.classes.request
        self._classes = [self._class.item(pod) for pod in step.pods]
        self._refusal: Reason | None = None
        self._attempts = 0
        self._had_started: set[int] = set()

    def run(self, candidates: Iterable[Chunk], rule: Rule) -> Reason | None:
        """Make room and nominate the step there.

        Args:
            candidates: possible victims, in the order in which they are considered.
            rule: which victims are acceptable.

        Returns:
            None on success, else the last refusal.
        """
        self._rule = rule
        if self._try((), None):
            return None
        # Where the step finds places, its queue is what stands in the way: no matter where victims are.
        alone = len(set(self._classes)) == 1 and self._snapshot.classes.classes[self._classes[0]].share is None
        by_node = alone and self._refusal is None
        return self._alike(candidates) if by_node else self._mixed(candidates)

    # -- all pods of the step ask for the same ------------------------------------------------------

    def _alike(self, candidates: Iterable[Chunk]) -> Reason | None:
        wanted, view = len(self._step.pods), self._placer.view(self._classes[0])
        room = Room(view.request, view.allowed, self._ledger.free + self._ledger.releasing)
        total, taken = int(np.minimum(room.slots, wanted).sum()), list[Chunk]()
        on_node: dict[int, list[int]] = {}
        departures = Departures(self._ledger)
        patience = 1
        for number, chunk in enumerate(candidates):
            taken.append(chunk)
            more = 0
            for pod in chunk.pods:
                node = self._ledger.node.item(pod)
                if node != NONE:
                    more += room.give(node, departures.gives(pod))
                    on_node.setdefault(node, []).append(number)
            total += more
            patience -= 1
            # Before more fits than did, another attempt could only fail as the last one did.
            if total < wanted or more == 0 or (patience > 0 and wanted > 1):
                continue
            if self._attempt(room, taken, on_node, wanted, latest=chunk if wanted == 1 else None):
                return None
            if self._attempts >= ATTEMPTS:
                break
            patience = max(1, len(taken) // 2)
        untried = wanted > 1 and total >= wanted and patience < len(taken) // 2
        if untried and self._attempt(room, taken, on_node, wanted, latest=None):
            return None
        return self._refusal or Reason(ReasonCode.NOT_ENOUGH_VICTIMS, {"fits": min(total, wanted), "pods": wanted})

    def _attempt(
        self,
        room: Room,
        taken: Sequence[Chunk],
        on_node: dict[int, list[int]],
        wanted: int,
        *,
        latest: Chunk | None,
    ) -> bool:
        nodes, chosen = self._choose(room, taken, on_node, wanted, latest=latest)
        return nodes is not None and self._try([taken[row] for row in chosen], nodes)

    def _choose(
        self,
        room: Room,
        taken: Sequence[Chunk],
        on_node: dict[int, list[int]],
        wanted: int,
        *,
        latest: Chunk | None,
    ) -> tuple[Mask | None, list[int]]:
        """Nodes for the step, and the candidates that have to go for it: fewest pods lost, least important first.

        With ``latest``, only nodes that this candidate has just changed: all others were tried before.
        """
        nodes = np.zeros(len(room.slots), dtype=np.bool_)
        chosen: set[int] = set()
        missing = wanted
        if latest is None:
            nodes |= room.base > 0
            missing -= int(np.minimum(room.base, wanted).sum())
        fresh = {self._ledger.node.item(pod) for pod in latest.pods} - {NONE} if latest is not None else set(on_node)
        offers = []
        for node in sorted(fresh):
            if room.slots.item(node) > room.base.item(node) or (latest is not None and room.slots.item(node)):
                slots = 1 if latest is not None else room.slots.item(node)
                needed = self._needed(room, node, taken, on_node[node], slots=slots, keep=latest)
                offers.append((sum(len(taken[row].pods) for row in needed), max(needed, default=0), node, needed))
        for _, _, node, needed in sorted(offers, key=lambda offer: offer[:3]):
            if missing <= 0:
                break
            nodes[node] = True
            chosen |= set(needed)
            missing -= room.slots.item(node) - (room.base.item(node) if latest is None else 0)
        broken = {taken[row].podgroup for row in chosen if taken[row].core}
        chosen |= {row for row, chunk in enumerate(taken) if chunk.podgroup in broken}
        return (nodes, sorted(chosen)) if missing <= 0 else (None, [])

    def _needed(
        self,
        room: Room,
        node: int,
        taken: Sequence[Chunk],
        numbers: Sequence[int],
        *,
        slots: int,
        keep: Chunk | None,
    ) -> list[int]:
        """Of the candidates on a node, those without whom fewer than ``slots`` pods would fit.

        The most important are spared first; ``keep`` is not spared, since all sets without it were tried before.
        """
        spare = room.later[node] - slots * room.need
        needed = []
        for number in reversed(list(dict.fromkeys(numbers))):
            here = [pod for pod in taken[number].pods if self._ledger.node.item(pod) == node]
            gives = self._requests[self._class[here]].sum(axis=0)
            # What a share gives depends on who else leaves its device; the simulation spares those who need not go.
            alone = self._ledger.devices is None or not any(pod in self._ledger.devices.of_pod for pod in here)
            if alone and taken[number] is not keep and ((gives <= spare) | (room.need == 0)).all():
                spare = spare - gives
            else:
                needed.append(number)
        return needed

    # -- pods that ask for different things ---------------------------------------------------------

    def _mixed(self, candidates: Iterable[Chunk]) -> Reason | None:
        """No closed form: try whenever the sums allow it, with twice as many candidates each time."""
        departures = Departures(self._ledger)
        later = (self._ledger.free + self._ledger.releasing).clip(min=0).sum(axis=0)
        need = self._requests[self._classes].sum(axis=0)
        taken: list[Chunk] = []
        patience = 1
        for chunk in candidates:
            taken.append(chunk)
            later = later + departures.most(chunk.pods)
            patience -= 1
            if patience > 0 or not (later >= need).all():
                continue
            if self._try(taken, None):
                return None
            if self._attempts >= ATTEMPTS:
                break
            patience = 1 if len(taken) < _FEW else len(taken) // 2
        if taken and patience > 0 and (later >= need).all() and self._try(taken, None):
            return None
        return self._refusal or Reason(ReasonCode.NOT_ENOUGH_VICTIMS, {"pods": len(self._step.pods)})

    # -- the simulation ----------------------------------------------------------------------------

    def _try(self, victims: Sequence[Chunk], nodes: Mask | None) -> bool:
        """Evict, nominate, give back, move, judge; the transaction is as before if it does not work out."""
        self._attempts += 1
        start = self._transaction.checkpoint()
        self._had_started = {
            pod for chunk in victims for pod in chunk.pods if self._ledger.state.item(pod) == PodState.ALLOCATED
        }
        for chunk in victims:
            for pod in chunk.pods:
                self._transaction.evict(pod, action=self._action, preemptor=self._step.podgroup)
        if self._nominate_step(nodes):
            lost = self._lost(victims)
            refusal = self._gate() or self._rule.accepts(lost, victims)
            if refusal is None:
                return True
            self._refusal = refusal
        self._transaction.rollback(start)
        return False

    def _lost(self, victims: Sequence[Chunk]) -> list[Chunk]:
        """Spare whom we can, the most important first; the others, least important first.

        What is left of a podgroup that loses its core is of no use to anybody.
        """
        lost, broken = [], set()
        for chunk in reversed(victims):
            if chunk.podgroup in broken or not self._spare(chunk):
                lost.append(chunk)
                if chunk.core:
                    broken.add(chunk.podgroup)
        return lost[::-1]

    def _nominate_step(self, nodes: Mask | None) -> bool:
        for pod, class_idx in zip(self._step.pods, self._classes, strict=True):
            place = self._placer.view(class_idx).best(nodes)
            if place is None:
                return False
            self._transaction.nominate(pod, place.node, action=self._action, devices=place.devices)
        return True

    def _spare(self, chunk: Chunk) -> bool:
        """Leave a victim where it is, or give it another place, all its pods or none."""
        start = self._transaction.checkpoint()
        for pod in chunk.pods:
            place = self._own_place(pod)
            if place is None and self._ledger.snapshot.pods.can_move(pod):
                place = self._placer.view(self._class.item(pod)).best()
            if place is None:
                self._transaction.rollback(start)
                return False
            # Who was about to start when this search began still does, if there is idle room for it.
            starts = place.now and pod in self._had_started
            settle = self._transaction.place if starts else self._transaction.nominate
            settle(pod, place.node, action=self._action, devices=place.devices)
        if self._gate() is not None:  # the queue that we share has room for one of us only
            self._transaction.rollback(start)
            return False
        return True

    def _own_place(self, pod: int) -> Place | None:
        """The node, and the devices, that a victim was evicted from, if there is still room for it."""
        ledger, node = self._ledger, self._ledger.node.item(pod)
        if node == NONE:
            return None
        request, free = self._requests[self._class.item(pod)], ledger.free[node]
        later = fits(request, (free + ledger.releasing[node])[None, :]).item(0)
        # Only who was about to start can start now: nobody else's idle room has to be looked at.
        now = later and pod in self._had_started and fits(request, free[None, :]).item(0)
        names: tuple[str, ...] = ()
        if ledger.devices is not None and (names := ledger.devices.of_pod.get(pod, ())):
            device_now, device_later = ledger.devices.holds(pod, node, names)
            now, later = now and device_now, later and device_later
        return Place(node, now, names) if later else None
