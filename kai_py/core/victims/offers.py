"""What nodes offer: the cheapest candidates that have to go for slots on each, and the cheapest nodes together."""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from kai_py.core.resources import ACCOUNTED, GPU, Amounts, Cost, Mask
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import NONE
from kai_py.core.victims.chunks import Chunk
from kai_py.core.victims.costs import Costs, Price
from kai_py.core.victims.departures import Departures
from kai_py.core.victims.room import Room

_GPU = ACCOUNTED.index(GPU)
#: Numbers of candidates in the order in which they were taken.
Numbers = frozenset[int]
#: Amounts of those resources that the step asks for.
Asked = tuple[int, ...]


class Choice(NamedTuple):
    """Where a step might go, and the candidates that have to go for it.

    Attributes:
        nodes: ``(N,)``
        victims: numbers of candidates, ascending.
        price: of those together.
    """

    nodes: Mask
    victims: tuple[int, ...]
    price: Price


class Offer(NamedTuple):
    """One node's: ``slots`` more pods for the candidates that have to go beyond those that go anyway."""

    price: Price
    latest: int
    node: int
    slots: int
    victims: Numbers

    @property
    def key(self) -> tuple[float, ...]:
        """What one slot costs; between equals, who was taken first goes first."""
        over_budget, importance, work, pods, gpus = self.price
        slots = self.slots
        return over_budget / slots, importance, work / slots, pods / slots, gpus / slots, self.latest, self.node


class Offers:
    """The candidates that were taken so far, and what could be had for them.

    Args:
        room: slots on the nodes; kept up here.
        ledger: as it was when the search began.
        costs: prices.
        cost: what one pod of the step is charged.
        largest: ``(R,)`` no candidate's pod has more.
        wanted: pods of the step.
    """

    def __init__(self, room: Room, ledger: Ledger, costs: Costs, cost: Cost, largest: Amounts, wanted: int) -> None:
        self.taken: list[Chunk] = []
        self.total = int(np.minimum(room.slots, wanted).sum())
        self._room = room
        self._ledger = ledger
        self._costs = costs
        self._cost = cost
        self._largest = largest
        self._wanted = wanted
        self._departures = Departures(ledger)
        self._class = ledger.snapshot.pods.class_idx
        self._subgroup = ledger.snapshot.pods.subgroup_idx
        self._requests = ledger.snapshot.classes.request
        self._on_node: dict[int, list[int]] = {}
        self._of_leaf: dict[int, list[int]] = {}
        self._need = room.asked(room.need)
        self._by_class: dict[int, Asked] = {}
        self._keep: Numbers = frozenset()

    def take(self, chunk: Chunk) -> list[int]:
        """One candidate more; returns the nodes on which more fits now."""
        number, fuller = len(self.taken), []
        self.taken.append(chunk)
        for leaf in dict.fromkeys(self._subgroup[list(chunk.pods)].tolist()):
            self._of_leaf.setdefault(leaf, []).append(number)
        for pod in chunk.pods:
            node = self._ledger.node.item(pod)
            if node == NONE:
                continue
            gives = self._departures.gives(pod)
            if more := self._room.give(node, gives):
                self.total += more
                fuller.append(node)
            numbers = self._on_node.setdefault(node, [])
            if not numbers or numbers[-1] != number:
                numbers.append(number)
        return fuller

    def unbeatable(self, choice: Choice) -> bool:
        """Whether no choice can do with fewer pods, or with fewer GPUs, within all budgets."""
        missing, price = self._wanted - int(np.minimum(self._room.base, self._wanted).sum()), choice.price
        if price.over_budget or price.gpus > missing * self._cost[_GPU]:
            return False
        if price.pods <= 1:
            return True
        return price.pods <= self._room.fewest(missing, self._largest, self._ledger.free + self._ledger.releasing)

    def single(self, among: Collection[int] | None = None) -> list[Choice]:
        """For a step of one pod: every node on its own, the cheapest first."""
        fresh = self._on_node if among is None else set(among)
        nodes = [node for node in fresh if self._room.slots.item(node)]
        offers = [offer for node in nodes for offer in self._offers(node, 0, 1, frozenset())]
        choices = []
        for offer in sorted(offers, key=lambda offer: offer.key):
            mask = np.zeros(len(self._room.slots), dtype=np.bool_)
            mask[offer.node] = True
            choices.append(self._choice(mask, offer.victims))
        return choices

    def cover(self, keep: Numbers = frozenset()) -> Choice | None:
        """For several pods: nodes that hold them all, taken one after the other by what a slot costs there.

        Args:
            keep: candidates that have to stay.
        """
        self._keep = keep
        nodes, chosen = self._room.base > 0, set[int]()
        missing = self._wanted - int(np.minimum(self._room.base, self._wanted).sum())
        got = {node: self._room.base.item(node) for node in self._on_node}
        line = [
            offer for node in sorted(self._on_node) if (offer := self._best_offer(node, got[node], missing, chosen))
        ]
        heap = [(offer.key, offer) for offer in line]
        heapq.heapify(heap)
        while missing > 0 and heap:
            _, offer = heapq.heappop(heap)
            now = self._best_offer(offer.node, got[offer.node], missing, chosen)
            if now is None:
                continue
            if heap and now.key > heap[0][0]:  # fewer are missing, or others have gone meanwhile
                heapq.heappush(heap, (now.key, now))
                continue
            nodes[now.node] = True
            got[now.node] += now.slots
            missing -= now.slots
            chosen |= now.victims
            for node in self._gone_with(now.victims) | {now.node}:
                if (again := self._best_offer(node, got[node], missing, chosen)) is not None:
                    heapq.heappush(heap, (again.key, again))
        return self._choice(nodes, chosen) if missing <= 0 else None

    def _gone_with(self, victims: Collection[int]) -> set[int]:
        """Nodes on which candidates have pods, if on more than one: what goes here makes others cheaper there."""
        nodes = [{self._ledger.node.item(pod) for pod in self.taken[number].pods} - {NONE} for number in victims]
        return {node for some in nodes if len(some) > 1 for node in some}

    def _best_offer(self, node: int, got: int, missing: int, chosen: set[int]) -> Offer | None:
        """One slot more, or all that can be had here, whichever costs less for each."""
        most = min(self._room.slots.item(node) - got, missing)
        if most <= 0:
            return None
        here = frozenset([number for number in self._on_node[node] if number in chosen])
        offers = [offer for slots in {1, most} for offer in self._offers(node, got, slots, here)]
        return min(offers, key=lambda offer: (offer.key, -offer.slots), default=None)

    def _offers(self, node: int, got: int, slots: int, chosen: Numbers) -> list[Offer]:
        """Candidates without whom fewer than ``got + slots`` pods would fit on a node, found in up to three ways.

        Everybody stays who can, asked one after the other: the most important first, or the smallest (which leaves few
        to go), or the largest (which leaves little to go).
        """
        gives = {number: self._gives(number, node) for number in self._on_node[node] if number not in chosen}
        later = self._room.asked(self._room.later[node])
        spare = tuple([have - (got + slots) * need for have, need in zip(later, self._need, strict=True)])
        for number in self._keep.intersection(gives):
            spare = _minus(spare, gives.pop(number))
        if self._keep and min(spare, default=0) < 0:
            return []
        numbers = list(gives)
        ways = {self._needed(numbers[::-1], gives, spare, node): None}
        if len({(gives[number], self.taken[number].cost) for number in numbers}) > 1:
            by_size = sorted(reversed(numbers), key=lambda number: self._size(gives[number]))  # noqa: C414  # ties
            for order in (by_size, by_size[::-1]):
                ways[self._needed(order, gives, spare, node)] = None
        return [Offer(self._price(victims), max(victims, default=0), node, slots, victims) for victims in ways]

    def _needed(self, numbers: list[int], gives: dict[int, Asked], spare: Asked, node: int) -> Numbers:
        """Those who are left when everybody stays who can, asked one after the other."""
        needed, kept = [], set[str]()
        for number in numbers:
            opens = self._shares(number, node) - kept
            left = _minus(spare, self._with_devices(gives[number], len(opens)) if opens else gives[number])
            if min(left, default=0) >= 0:
                spare = left
                kept |= opens
            else:
                needed.append(number)
        return frozenset(needed)

    def _with_devices(self, amounts: Asked, count: int) -> Asked:
        """What is asked for of some amounts and some whole devices."""
        devices = self._departures.with_devices(self._room.need * 0, count)
        return tuple([have + more for have, more in zip(amounts, self._room.asked(devices), strict=True)])

    def _shares(self, number: int, node: int) -> set[str]:
        """Devices of a node that are whole again only if this candidate goes, too."""
        if self._ledger.devices is None:
            return set()
        of_pod = self._ledger.devices.of_pod
        here = [pod for pod in self.taken[number].pods if self._ledger.node.item(pod) == node]
        names = {name for pod in here for name in of_pod.get(pod, ())}
        return {name for name in names if (node, name) in self._departures.closed}

    def _gives(self, number: int, node: int) -> Asked:
        """What a candidate gives back on a node."""
        pods = self.taken[number].pods
        if len(pods) == 1:
            class_idx = self._class.item(pods[0])
            if class_idx not in self._by_class:
                self._by_class[class_idx] = self._room.asked(self._requests[class_idx])
            return self._by_class[class_idx]
        here = [pod for pod in pods if self._ledger.node.item(pod) == node]
        return self._room.asked(self._requests[self._class[here]].sum(axis=0))

    def _size(self, gives: Asked) -> float:
        """How much somebody gives back, in pods of the step."""
        return max([have / need for have, need in zip(gives, self._need, strict=True)], default=0.0)

    def _price(self, victims: Collection[int]) -> Price:
        return self._costs.price([self.taken[number] for number in self._with_rest(victims)])

    def _with_rest(self, victims: Collection[int]) -> list[int]:
        """What is left of a subgroup that loses its minimum is of no use to anybody."""
        broken = {leaf for number in victims for leaf in self.taken[number].breaks}
        return sorted({*victims, *(number for leaf in broken for number in self._of_leaf.get(leaf, ()))})

    def _choice(self, nodes: Mask, victims: Collection[int]) -> Choice:
        return Choice(nodes, tuple(self._with_rest(victims)), self._price(victims))


def _minus(amounts: Asked, less: Asked) -> Asked:
    return tuple([have - taken for have, taken in zip(amounts, less, strict=True)])
