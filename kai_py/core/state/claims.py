"""Claims as the cycle changes them: who uses which, and what they take of devices, now and later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from kai_py.core.dra.allocation import Allocation
from kai_py.core.dra.allocator import Allocator
from kai_py.core.dra.claims import Claim
from kai_py.core.dra.index import DeviceIndex
from kai_py.core.dra.lacking import lack_of
from kai_py.core.dra.ledger import DeviceLedger, Take
from kai_py.core.dra.node_shares import NodeRoom, of_claim
from kai_py.core.dra.refusal import Refusal, RefusalCode
from kai_py.core.dra.table import NO_TERMS, Ask, ClaimTable, Extended, Held
from kai_py.core.resources import Amounts, Mask
from kai_py.core.state.claim_uses import NOBODY, Change, Grants, Use, either, swap, taken_by
from kai_py.core.state.idle_devices import fits_beside, idle_devices
from kai_py.core.state.node_shares import NodeShares
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.requirements import matches_term
from kai_py.core.tables.snapshot import Snapshot

#: When so many devices have been tried in vain in a cycle, a second of work, every search has to do with a few:
#: claims that are made to be searched for must not keep all others waiting. Ordinary ones need a step for each device.
_VAIN: Final = 50_000
_FEW: Final = 500
#: What a search costs beside the devices that it tries, in devices.
_SEARCH: Final = 5
#: What a search may say that does not depend on what is taken of devices alone.
_NOT_OF_DEVICES: Final = (RefusalCode.NODE_ROOM, RefusalCode.NODE_UNUSED)


class Claims:
    """The claims of a snapshot. Part of the ledger; only ``Transaction`` changes it.

    A claim has devices as long as anybody uses it: the first pod that is placed brings them, the last one that goes
    gives them back. Claims that are reserved for somebody unknown, or were given devices and are used by nobody, keep
    what they have.

    Attributes:
        table: of the snapshot.
        uses: ``(L,)``.
        start: what is taken now or later. Who starts now must not take what is promised for later either.
        later: what is taken once leaving pods are gone and nominated ones are there.
        allocator: finds devices.
        node_shares: what devices take of nodes; None where none takes anything.
    """

    def __init__(self, snapshot: Snapshot, table: ClaimTable, node_shares: NodeShares | None = None) -> None:
        self.table = table
        self.node_shares = node_shares
        self.allocator = Allocator(table.inventory, table.memo)
        users = [[claim.leaving, 0] for claim in table.claims]
        states, nodes = snapshot.pods.state, snapshot.pods.node_idx
        for pod, rows in table.of_pod.items():
            state = states.item(pod)
            if state in USING and nodes.item(pod) != NONE:
                for row in rows:
                    users[row][0] += 1
                    users[row][1] += state != PodState.RELEASING
        self.uses: list[Use] = []
        #: What a claim has left when nobody of ours uses it any more.
        self._idle: list[Held | None] = []
        for claim, (now, soon) in zip(table.claims, users, strict=True):
            kept = claim.held if claim.others or not now else None
            self._idle.append(kept)
            self.uses.append(Use(now, soon, claim.held, claim.held if soon else kept))
        self.start = DeviceLedger(table.inventory)
        self.later = DeviceLedger(table.inventory)
        for use in self.uses:
            self._count(NOBODY, use)
        self._start_index = DeviceIndex(self.allocator, self.start, table.refusals)
        self._later_index = DeviceIndex(self.allocator, self.later, table.refusals)
        self._masks: dict[tuple[object, ...], Mask] = {}
        #: So many devices were tried in vain in this cycle.
        self._vain = 0

    # -- changes -----------------------------------------------------------------------------------

    def join(self, pod: int, grants: Grants, *, now: bool) -> tuple[Change, ...]:
        """Let a pod use its claims, now and later or only later; it brings the devices of those that have none."""
        changes = []
        for row, grant in zip(self.table.of_pod[pod], grants, strict=True):
            use = self.uses[row]
            after = use._replace(later_users=use.later_users + 1, later=grant or use.later)
            if now:
                after = after._replace(now_users=use.now_users + 1, now=grant or use.now)
            changes.append(self._change(row, use, after))
        return tuple(changes)

    def leave(self, pod: int, *, now: bool, later: bool = True) -> tuple[Change, ...]:
        """The inverse in the sense of users: claims that nobody uses any more give their devices back."""
        changes = []
        for row in self.table.of_pod[pod]:
            use = after = self.uses[row]
            if later:
                left = use.later_users - 1
                after = after._replace(later_users=left, later=use.later if left else self._idle[row])
            if now:
                left = use.now_users - 1
                after = after._replace(now_users=left, now=use.now if left else self._idle[row])
            changes.append(self._change(row, use, after))
        return tuple(changes)

    def undo(self, changes: Sequence[Change]) -> None:
        """Take changes back, the last one first."""
        for row, before, after in reversed(changes):
            self._count(after, before)
            self.uses[row] = before

    def _change(self, row: int, before: Use, after: Use) -> Change:
        self._count(before, after)
        self.uses[row] = after
        return Change(row, before, after)

    def _count(self, before: Use, after: Use) -> None:
        """Bring both ledgers from one use of a claim to another."""
        if before.later is not after.later:
            swap(self.later, taken_by(before.later), taken_by(after.later))
        if before.now is not after.now or before.later is not after.later:
            swap(self.start, either(before), either(after))

    # -- questions ---------------------------------------------------------------------------------

    def uses_any(self, pod: int) -> bool:
        """Whether a pod has claims."""
        return pod in self.table.of_pod

    def possible(self, asks: Sequence[Ask], *, later: bool) -> Mask:
        """``(N,)`` nodes on which claims may find devices; False is certain, True is not."""
        fits: Mask = np.ones(len(self.table.inventory.nodes), dtype=np.bool_)
        fresh: list[Claim] = []
        for nodes, variant in _variants(asks):
            fits &= ~nodes | self.possible(variant, later=later)
        for ask in _certain(asks):
            joined, asked = self._look(ask, later=later)
            if asked is not None:
                fresh.append(asked)
            elif joined is None:
                return np.zeros_like(fits)
            elif joined.terms is not None:
                fits &= self._reached(joined)
        if fresh:
            fits &= (self._later_index if later else self._start_index).room(fresh).count > 0
        return fits

    def slots(self, asks: Sequence[Ask], *, later: bool) -> Amounts | None:
        """``(N,)`` at most so many pods find devices for claims of their own; None where they share claims."""
        return self._room(self._later_index if later else self._start_index, asks)

    def _room(self, index: DeviceIndex, asks: Sequence[Ask]) -> Amounts | None:
        if any(isinstance(ask, int) for ask in asks):
            return None
        count = index.room([ask for ask in asks if isinstance(ask, Claim)]).count
        for nodes, variant in _variants(asks):
            of_these = self._room(index, variant)
            assert of_these is not None
            count = np.where(nodes, of_these, count)
        return count

    def sizes(self, asks: Sequence[Ask]) -> Amounts:
        """``(N,)`` how many pods would find devices for claims of their own if nobody had any; an upper bound.

        They share no claims.
        """
        count = self._room(DeviceIndex(self.allocator, DeviceLedger(self.table.inventory)), asks)
        assert count is not None
        return count

    def find(self, asks: Sequence[Ask], node: int, *, later: bool, class_idx: int = NONE) -> Grants | Refusal | None:
        """Devices on one node for all claims together.

        Args:
            asks: the claims.
            node: the node.
            later: once leaving pods are gone.
            class_idx: of the pod; decides what the devices may take of the node.

        Returns:
            What to bring; else why not; None where a claim has its devices elsewhere, or serves nobody else.
        """
        brings: list[bool] = []
        fresh: list[Claim] = []
        joins: list[tuple[int, int, Held]] = []
        places: list[int] = []
        for place, ask in enumerate(_asks_on(node, asks)):
            joined, asked = (None, None) if ask is None else self._look(ask, later=later)
            if asked is not None:
                fresh.append(asked)
                places.append(place)
            elif ask is not None and (joined is None or not self._reaches(joined, node)):
                return None
            elif isinstance(ask, int) and joined is not None and joined.of_node:
                joins.append((place, ask, joined))
            brings.append(asked is not None)
        room = None
        if self.node_shares is not None and class_idx != NONE and (joins or self.table.inventory.of_nodes):
            unused = self.table.terms.get(class_idx, NO_TERMS).unused
            numbers = frozenset(number for number, place in enumerate(places) if place in unused)
            room = self.node_shares.room(class_idx, node, later=later, unused=numbers)
            beside = self._beside(room, joins, unused, node, later=later)
            if isinstance(beside, Refusal):
                return beside
            room = beside
        if not fresh:
            return (None,) * len(asks)
        steps = _FEW if self.weary else None
        found = self.allocator.allocate(fresh, node, self.later if later else self.start, steps=steps, room=room)
        if isinstance(found, Refusal):
            self._vain += found.steps + _SEARCH
            if found.code not in _NOT_OF_DEVICES and (steps is None or found.code is not RefusalCode.CUT):
                (self._later_index if later else self._start_index).refused.note(fresh, node, found.code)
            return found
        new = self._held(found)
        return tuple(next(new) if brought else None for brought in brings)

    def _beside(
        self,
        room: NodeRoom,
        joins: Sequence[tuple[int, int, Held]],
        unused: frozenset[int],
        node: int,
        *,
        later: bool,
    ) -> NodeRoom | Refusal:
        """What a node has left beside claims that have devices, as (place, row, devices); or why they cannot be used.

        What is charged to one pod cannot be shared with another one on the same node.
        """
        assert self.node_shares is not None
        for place, row, held in joins:
            name = self.table.claims[row].asked.name
            if place in unused:
                return Refusal(RefusalCode.NODE_UNUSED, name)
            if self.node_shares.used(row, node, later=later):
                return Refusal(RefusalCode.NODE_SHARED, name)
            if shortages := room.shortages([held.of_node]):
                return Refusal(RefusalCode.NODE_ROOM, name, shortages=shortages)
            room = room.less(room.units(held.of_node))
        return room

    def least(self, asks: Sequence[Ask], class_idx: int) -> Amounts | None:
        """``(N, R)`` what devices take of nodes at least; None where they take nothing. See ``NodeShares.least``."""
        if self.node_shares is None or not self.table.inventory.of_nodes:
            return None
        return self.node_shares.least(class_idx, asks, self.allocator.verdicts)

    def lack(self, asks: Sequence[Ask], node: int, class_idx: int = NONE) -> RefusalCode:
        """What one node lacks for claims of a pod of a class once leaving pods are gone."""
        fresh = []
        for ask in _asks_on(node, asks):
            if ask is None:
                continue
            joined, asked = self._look(ask, later=True)
            if asked is not None:
                fresh.append(asked)
            elif joined is None or not self._reaches(joined, node):
                return RefusalCode.ELSEWHERE
        code = lack_of(self.allocator, fresh, node, self.later)
        if code is RefusalCode.TOGETHER and (known := self._later_index.refused.code(fresh, node)) is not None:
            return known
        if code is RefusalCode.TOGETHER and self.node_shares is not None:
            found = self.find(asks, node, later=True, class_idx=class_idx)
            return found.code if isinstance(found, Refusal) else code
        return code

    def own(self, pod: int) -> Grants | None:
        """What an evicted pod has to bring to go on with just the devices that it has; None if somebody has them."""
        grants: list[Held | None] = []
        for row in self.table.of_pod[pod]:
            use = self.uses[row]
            if use.later is None and use.now is None and self.table.claims[row].extended is not None:
                grants.append(None)  # its node serves it without devices
                continue
            if use.later is None and use.now is None:
                return None
            if use.later is not None and use.now is not None and use.later is not use.now:
                return None
            grants.append(use.now if use.later is None else None)
        wanted = [take for grant in grants if grant is not None for take in grant.takes]
        return tuple(grants) if fits_beside(self.later, self.table.inventory, wanted) else None

    def devices_of(self, pod: int, *, now: bool) -> tuple[tuple[Take, ...], ...]:
        """What each claim of a pod takes, now or later."""
        uses = [self.uses[row] for row in self.table.of_pod.get(pod, ())]
        return tuple([taken_by(use.now if now else use.later) for use in uses])

    def _reaches(self, held: Held, node: int) -> bool:
        return held.terms is None or self._reached(held).item(node)

    def _look(self, ask: int | Claim, *, later: bool) -> tuple[Held | None, Claim | None]:
        """The devices to join, or what to allocate; neither where it has to be waited for, or nobody more may join."""
        if not isinstance(ask, int):
            return None, ask
        use, row = self.uses[ask], self.table.claims[ask]
        users = use.later_users if later else max(use.now_users, use.later_users)
        if row.full(users):
            return None, None
        if use.later is None and (later or use.now is None):
            return None, row.asked
        if not later and use.now is not use.later:
            return None, None
        return use.later, None

    @property
    def weary(self) -> bool:
        """Whether this cycle has searched in vain for so long that searches have to do with little from now on."""
        return self._vain >= _VAIN

    def full(self, asks: Sequence[Ask]) -> int | None:
        """The first claim that may not serve another pod."""
        for ask in asks:
            if isinstance(ask, int) and self.table.claims[ask].full(self.uses[ask].later_users):
                return ask
        return None

    def _held(self, found: Allocation) -> Iterator[Held]:
        for claim in found.claims:
            inventory = self.table.inventory
            of_node = of_claim(claim, inventory) if inventory.of_nodes else ()
            yield Held(
                Allocation((claim,)).takes(inventory), None if claim.term is None else (claim.term,), claim, of_node
            )

    def _reached(self, held: Held) -> Mask:
        """``(N,)`` nodes that can use the devices."""
        assert held.terms is not None
        mask = self._masks.get(held.terms)
        if mask is None:
            nodes = self.table.inventory.nodes
            mask = np.zeros(len(nodes), dtype=np.bool_)
            for term in held.terms:
                mask |= matches_term(term, nodes)
            self._masks[held.terms] = mask
        return mask

    def idle(self) -> Iterator[tuple[int, int]]:
        """(column in A, base units) of devices, and parts of them, that queues pay for and that nobody has later."""
        return idle_devices(self.table.counted, self.table.inventory, self.later)

    def state(self) -> tuple[object, ...]:
        """All that it knows, to be compared."""
        return tuple(self.uses), self.start.state(), self.later.state()


def _certain(asks: Sequence[Ask]) -> list[int | Claim]:
    """What is asked for on every node."""
    return [ask for ask in asks if not isinstance(ask, Extended)]


def _variants(asks: Sequence[Ask]) -> Iterator[tuple[Mask, list[int | Claim]]]:
    """What is asked for on some nodes, by those."""
    for ask in asks:
        if isinstance(ask, Extended):
            yield from ((nodes, [*_certain(asks), claim]) for nodes, claim in ask.variants)


def _asks_on(node: int, asks: Sequence[Ask]) -> list[int | Claim | None]:
    """What is asked for on one node; None for what needs no devices there."""
    return [ask.at(node) if isinstance(ask, Extended) else ask for ask in asks]
