"""What is taken of the devices, now: the only state of dynamic resource allocation that changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kai_py.core.dra.capacity import Taking
from kai_py.core.dra.inventory import Inventory


@dataclass(frozen=True, slots=True)
class Take:
    """What an allocation takes of one device.

    Attributes:
        identity: row in the inventory's ``ids``.
        shared: a part of it; otherwise all of it.
        consumed: of a part, the capacities.
    """

    identity: int
    shared: bool = False
    consumed: Taking = ()


class DeviceLedger:
    """What all allocations together take. :meth:`give` is the exact inverse of :meth:`take`.

    Nothing is refused here: others allocate devices, too, and two of them may have given away the same one.

    Attributes:
        inventory: of which it keeps count.
        whole: ``(I,)`` how many claims have a device to themselves.
        shares: ``(I,)`` how many parts of a device are taken.
        consumed: row of a device's name -> capacity -> amount that its parts take; no zeros.
        used: ``(K,)`` amounts taken of shared counters. A device counts once, whoever has it and how often.
        touched: rows of names, in the order in which they changed; a log that only grows.
    """

    def __init__(self, inventory: Inventory, taken: Iterable[Take] = ()) -> None:
        self.inventory = inventory
        self.whole = [0] * len(inventory.ids)
        self.shares = [0] * len(inventory.ids)
        self.consumed: dict[int, dict[str, int]] = {}
        self.used = [0] * len(inventory.counters.totals)
        self.touched: list[int] = []
        self.take(taken)

    def take(self, taken: Iterable[Take]) -> None:
        """Count devices as taken. Those of admin access are not among them: it takes nothing."""
        for one in taken:
            if not self.busy(one.identity):
                self._charge(one.identity, 1)
            self._count(one, 1)

    def give(self, taken: Iterable[Take]) -> None:
        """Undo :meth:`take` of the same devices."""
        for one in taken:
            self._count(one, -1)
            if not self.busy(one.identity):
                self._charge(one.identity, -1)

    def busy(self, identity: int) -> bool:
        """Whether anybody has a device, or a part of it."""
        return self.whole[identity] > 0 or self.shares[identity] > 0

    def copy(self) -> DeviceLedger:
        """An independent ledger in the same state, with an empty log."""
        other = DeviceLedger(self.inventory)
        other.whole[:] = self.whole
        other.shares[:] = self.shares
        other.used[:] = self.used
        other.consumed = {identity: dict(amounts) for identity, amounts in self.consumed.items()}
        return other

    def state(self) -> tuple[object, ...]:
        """All that it knows, to be compared."""
        return (
            tuple(self.whole),
            tuple(self.shares),
            tuple(self.used),
            {key: dict(v) for key, v in self.consumed.items()},
        )

    def _count(self, one: Take, sign: int) -> None:
        (self.shares if one.shared else self.whole)[one.identity] += sign
        self.touched.append(one.identity)
        if not one.consumed:
            return
        amounts = self.consumed.setdefault(one.identity, {})
        for name, amount in one.consumed:
            total = amounts.get(name, 0) + sign * amount
            if total:
                amounts[name] = total
            else:
                amounts.pop(name, None)
        if not amounts:
            del self.consumed[one.identity]

    def _charge(self, identity: int, sign: int) -> None:
        for counter, amount in self.inventory.charges_of_id[identity]:
            self.used[counter] += sign * amount
