"""The search: the shortest run of candidates that makes room, and of those the cheapest that are enough.

1. *Grow*: take candidates in their order, and tell from sums over nodes alone whether the step could fit by now.
2. *Prove*: where that takes long, ask once how many would fit with every candidate gone; too few end the search.
3. *Choose*: look a little further ahead than needed, and of the nodes that could be freed take the cheapest.
4. *Simulate*, exactly and once. If the rule refuses: the next choice, or more candidates; a budget bounds how often.

A search that was ended by its budget goes on in the next cycle with the choices that it has not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kai_py.core.gangs.steps import Step
from kai_py.core.placement.gang import Placer
from kai_py.core.resources import Amounts, Mask
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import NONE
from kai_py.core.victims.chunks import Chunk
from kai_py.core.victims.costs import Costs
from kai_py.core.victims.departures import Departures
from kai_py.core.victims.domains import DomainChoice, Domains
from kai_py.core.victims.nearer import Nearer
from kai_py.core.victims.offers import Choice, Offers
from kai_py.core.victims.room import Room
from kai_py.core.victims.simulation import Simulation

#: Simulations per podgroup, action and cycle; each costs time in proportion to its victims.
ATTEMPTS = 48
#: Up to so many victims, each one more is tried; beyond, half as many again. We look so far ahead for cheaper ones.
FEW = 16
#: A node, and the zones there as far as they matter and are known.
_Home = tuple[int, frozenset[int]]
#: After so many candidates that were not enough, it is worth to ask what all of them could give.
_LONG = 64


@dataclass(frozen=True)
class Candidates:
    """Who may have to go.

    Attributes:
        chunks: in the order in which they are considered.
        freeable: asked at most once: ``(N, R)`` no less than what all of them together give back.
        largest: ``(R,)`` no pod of theirs has more.
        proof: asked at most twice: why all of them together cannot be enough, for reasons beside room; None = they may.
    """

    chunks: Iterable[Chunk]
    freeable: Callable[[], Amounts]
    largest: Amounts
    proof: Callable[[], Reason | None] = lambda: None


class Search:
    """One search for one podgroup's step.

    Args:
        step: what is to be placed.
        placer: finds places.
        ledger: as it is before the search.
        simulation: of this step, with its rule.
        costs: prices.
        skip: choices that were tried in earlier cycles.
    """

    def __init__(
        self, step: Step, placer: Placer, ledger: Ledger, simulation: Simulation, costs: Costs, *, skip: int = 0
    ) -> None:
        self._step = step
        self._placer = placer
        self._ledger = ledger
        self._simulation = simulation
        self._costs = costs
        costs.begin(ledger.state)
        self._skip = skip
        self._nearer = Nearer(step, placer, ledger, simulation, costs)
        self._tried: set[tuple[int, ...]] = set()
        snapshot = ledger.snapshot
        self._classes = list(step.classes)
        self._requests = snapshot.classes.request
        wish = placer.wish(step)
        self._near = wish is not None and wish.required
        classes = [snapshot.classes.classes[row] for row in self._classes]
        #: Nodes may refuse the step over NUMA nodes.
        self._aligned = any(
            one.alignment is not None and placer.view(row).may_misalign
            for row, one in zip(self._classes, classes, strict=True)
        )
        #: Devices, volumes, NUMA nodes or neighbours are at stake, which sums over nodes do not show.
        self._shared = self._aligned or any(
            one.share is not None or one.claims or one.volumes is not None or one.kind != NONE for one in classes
        )

    @property
    def next_skip(self) -> int:
        """With how many choices a later search need not begin; 0 if this one has tried all that there were."""
        return len(self._tried) if self._exhausted else 0

    @property
    def _exhausted(self) -> bool:
        return self._simulation.count > ATTEMPTS

    def run(self, candidates: Candidates) -> Reason | None:
        """Make room and nominate the step there.

        Returns:
            None on success, else the last refusal.
        """
        if self._simulation.succeeds((), None):
            return None
        candidates = replace(candidates, chunks=self._nearer.follow(candidates.chunks))
        # Where the step finds places, its queue is what stands in the way: no matter where victims are.
        alike = len(set(self._classes)) == 1 and not self._shared and self._simulation.refusal is None
        domains = Domains.of(self._step, self._placer, self._ledger, self._costs)
        if domains is not None:
            refusal = self._in_one_domain(domains, candidates)
        elif alike and not self._near:
            refusal = self._alike(candidates)
        else:
            refusal = self._mixed(candidates)
        if refusal is None:
            return None if self._nearer.settle() else self._simulation.refusal
        return candidates.proof() or refusal

    def _simulate(self, victims: tuple[int, ...], taken: Sequence[Chunk], choice: Choice | DomainChoice | None) -> bool:
        """Try a choice, unless it was tried, now or in an earlier cycle, or the budget is used up."""
        key = (-1 - choice.domain, *victims) if isinstance(choice, DomainChoice) else victims
        if key in self._tried or self._exhausted:
            return False
        self._tried.add(key)
        if len(self._tried) <= self._skip:
            return False
        nodes, chunks = choice.nodes if choice else None, [taken[row] for row in victims]
        if not (self._near or self._aligned):
            return self._simulation.succeeds(chunks, nodes)
        homes = [set(map(self._home, chunk.pods)) for chunk in chunks]
        return self._simulation.succeeds(chunks, nodes) and self._only_in_the_way(chunks, homes, nodes)

    def _home(self, pod: int) -> _Home:
        """Where a pod is."""
        zones = self._ledger.zones
        seat = zones.seat(pod) if self._aligned and zones is not None else ()
        return self._ledger.node.item(pod), frozenset([zone for zone, _, _ in seat])

    # -- all pods of the step ask for the same ------------------------------------------------------

    def _alike(self, candidates: Candidates) -> Reason | None:
        wanted, view = len(self._step.pods), self._placer.view(self._classes[0])
        room = Room(view.request, view.allowed, self._ledger.free + self._ledger.releasing)
        cost = self._ledger.snapshot.classes.costs[self._classes[0]]
        offers = Offers(room, self._ledger, self._costs, cost, candidates.largest, wanted)
        until = 0
        for chunk in candidates.chunks:
            fuller, count = offers.take(chunk), len(offers.taken)
            if count == _LONG and (proof := self._proof(room, candidates, wanted)) is not None:
                return proof
            if offers.total < wanted:
                continue
            if until == 0:
                until = count + max(FEW, count // 2)
                if self._at_once(offers, wanted):
                    return None
            if count < until:
                continue
            # One pod that was refused everywhere is offered what has changed since.
            if self._attempt(offers, wanted, fuller if wanted == 1 and count > until else None):
                return None
            if self._exhausted:
                break
            until = count if wanted == 1 else count + max(1, count // 2)
        if offers.total >= wanted and self._attempt(offers, wanted, None):
            return None
        fallback = Reason(ReasonCode.NOT_ENOUGH_VICTIMS, {"fits": min(offers.total, wanted), "pods": wanted})
        return self._simulation.refusal or fallback

    def _proof(self, room: Room, candidates: Candidates, wanted: int) -> Reason | None:
        """Why not even all candidates are enough: by what they may lose, or by how many pods would fit without them."""
        if (proof := candidates.proof()) is not None:
            return proof
        fits = room.at_most(self._ledger.free + self._ledger.releasing + candidates.freeable(), wanted)
        return Reason(ReasonCode.NOT_ENOUGH_VICTIMS, {"fits": fits, "pods": wanted}) if fits < wanted else None

    def _at_once(self, offers: Offers, wanted: int) -> bool:
        """The first choice that is enough, if nothing further ahead can be cheaper."""
        choice = next(iter(offers.single()), None) if wanted == 1 else offers.cover()
        if choice is None or not offers.unbeatable(choice):
            return False
        return self._simulate(choice.victims, offers.taken, choice)

    def _attempt(self, offers: Offers, wanted: int, nodes: list[int] | None) -> bool:
        """Try what is on offer, the cheapest first."""
        if wanted > 1:
            return self._attempt_covers(offers)
        return any(self._simulate(choice.victims, offers.taken, choice) for choice in offers.single(nodes))

    def _attempt_covers(self, offers: Offers) -> bool:
        """Try the cheapest cover; as long as the rule blames one candidate, the cheapest without that one."""
        keep = set[int]()
        while (choice := offers.cover(frozenset(keep))) is not None:
            if self._simulate(choice.victims, offers.taken, choice):
                return True
            blamed = self._simulation.blamed
            if self._exhausted or blamed is None or (number := offers.taken.index(blamed)) in keep:
                return False
            keep.add(number)
        return False

    # -- pods that ask for different things ---------------------------------------------------------

    def _mixed(self, candidates: Candidates) -> Reason | None:
        """No closed form: try whenever the sums allow it, with half as many candidates more each time."""
        departures = Departures(self._ledger)
        later = (self._ledger.free + self._ledger.releasing).clip(min=0).sum(axis=0)
        need = self._requests[self._classes].sum(axis=0)
        taken: list[Chunk] = []
        patience = 1
        for chunk in candidates.chunks:
            taken.append(chunk)
            if len(taken) == _LONG and (proof := candidates.proof()) is not None:
                return proof
            later = later + departures.most(chunk.pods)
            patience -= 1
            if patience > 0 or not (later >= need).all():
                continue
            if self._simulate(tuple(range(len(taken))), taken, None):
                return None
            if self._exhausted:
                break
            patience = 1 if len(taken) < FEW else len(taken) // 2
        if taken and (later >= need).all() and self._simulate(tuple(range(len(taken))), taken, None):
            return None
        return self._simulation.refusal or Reason(ReasonCode.NOT_ENOUGH_VICTIMS, {"pods": len(self._step.pods)})

    # -- all pods of the step have to be in one domain ------------------------------------------------

    def _in_one_domain(self, domains: Domains, candidates: Candidates) -> Reason | None:
        """Make room in one domain: the cheapest of those that are enough a little further ahead than the first."""
        refusal, until = Reason(ReasonCode.NOT_ENOUGH_VICTIMS, {"pods": len(self._step.pods)}), 0
        for chunk in candidates.chunks:
            domains.take(chunk)
            count = len(domains.taken)
            if count == _LONG and not domains.possible(candidates.freeable()):
                return candidates.proof() or refusal
            if not domains.enough:
                continue
            until = until or count + max(FEW, count // 2)
            if count < until:
                continue
            if self._attempt_domains(domains):
                return None
            if self._exhausted:
                break
            until = count + max(1, count // 2)
        if self._attempt_domains(domains):
            return None
        return self._simulation.refusal or refusal

    def _attempt_domains(self, domains: Domains) -> bool:
        """Try every domain, the cheapest first; where the step does not fit after all, with all candidates there."""
        promised = []
        for choice in domains.cheapest():
            before = self._simulation.refusal
            if self._simulate(choice.victims, domains.taken, choice):
                return True
            if self._simulation.refusal is before:
                promised.append(choice.domain)
        return any(self._simulate(choice.victims, domains.taken, choice) for choice in domains.all_of(promised))

    def _only_in_the_way(self, chunks: list[Chunk], homes: list[set[_Home]], nodes: Mask | None) -> bool:
        """Once it is known where the step goes, try again with those alone that are in its way there.

        All others would stay, but only after those before them have had a choice of their places: many would be moved.

        Args:
            chunks: victims with whom it has just succeeded.
            homes: of each before.
            nodes: ``(N,)`` where the step might go; None = anywhere.
        """
        seats = set(map(self._home, self._step.pods))
        tries = [self._with_rest(chunks, homes, lambda home: any(_meet(home, seat) for seat in seats))]
        if self._aligned:  # what lacks on the node beside zones may be in anybody's hands there
            there = {node for node, _ in seats}
            tries.append(self._with_rest(chunks, homes, lambda home: home[0] in there))
        if len(tries[0]) == len(chunks):
            return True
        mask = np.zeros(len(self._ledger.snapshot.nodes), dtype=np.bool_)
        mask[[node for node, _ in seats]] = True
        self._simulation.take_back()
        return any(self._simulation.succeeds(needed, mask) for needed in tries) or self._simulation.succeeds(
            chunks, nodes
        )

    def _with_rest(self, chunks: list[Chunk], homes: list[set[_Home]], near: Callable[[_Home], bool]) -> list[Chunk]:
        """Chunks with pods at some homes, and what is left of subgroups that lose their minimum with them."""
        of = self._ledger.snapshot.pods.subgroup_idx
        mine = [any(map(near, home)) for home in homes]
        broken = {leaf for chunk, here in zip(chunks, mine, strict=True) if here for leaf in chunk.breaks}
        return [
            chunk
            for chunk, here in zip(chunks, mine, strict=True)
            if here or not broken.isdisjoint(of[list(chunk.pods)].tolist())
        ]


def _meet(one: _Home, other: _Home) -> bool:
    """Whether two homes have something in common: a zone, or the node where it is not known of which zones."""
    return one[0] == other[0] and (not one[1] or not other[1] or not one[1].isdisjoint(other[1]))
