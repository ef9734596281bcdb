"""How many pods of one class fit on each node once candidates are gone: a closed form, kept up as candidates come."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kai_py.core.resources import Amounts, Mask

_MANY = np.iinfo(np.int32).max


@dataclass
class Room:
    """Slots for pods of one class, with the candidates taken so far gone.

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
        self.slots = self.count(self.later)
        self.base = self.slots.copy()

    def count(self, later: Amounts) -> np.ndarray:
        """``(N,)`` pods that fit if nodes had ``(N, R)`` free."""
        fitting = (later[:, self._asked] // self._needs).min(axis=1, initial=_MANY)
        return np.where(self.allowed, np.maximum(fitting, 0), 0)

    def fitting(self, node: int, amounts: Amounts) -> int:
        """Pods that would fit on a node with ``(R,)`` free."""
        if not self.allowed.item(node):
            return 0
        return max(0, int((amounts[self._asked] // self._needs).min(initial=_MANY)))

    def asked(self, amounts: Amounts) -> tuple[int, ...]:
        """Of ``(R,)`` amounts, those of resources that the class asks for."""
        return tuple(amounts[self._asked].tolist())

    def give(self, node: int, amounts: Amounts) -> int:
        """A pod of a node is gone; returns how many more pods fit there."""
        self.later[node] += amounts
        before = int(self.slots[node])
        after = self.fitting(node, self.later[node])
        self.slots[node] = after
        return after - before

    def at_most(self, later: Amounts, wanted: int) -> int:
        """Pods, up to ``wanted``, that would fit if nodes had ``(N, R)`` free."""
        return min(wanted, int(np.minimum(self.count(later), wanted).sum()))

    def fewest(self, missing: int, largest: Amounts, before: Amounts) -> int:
        """No fewer victims can make room for so many more pods, if none gives back more than ``(R,)`` of ``largest``.

        For each resource, the least that has to be given back: what the best nodes lack for one pod more each, and all
        that a pod needs for every further one. ``before`` is ``(N, R)``, what ``later`` was without any victim.
        """
        lacks = (self.base[:, None] + 1) * self._needs - before[:, self._asked]
        first = np.sort(lacks[self.allowed].clip(min=0), axis=0)[:missing]
        rest = np.where((first > 0).all(axis=0), (missing - len(first)) * self._needs, 0)
        return int((-(-(first.sum(axis=0) + rest) // largest[self._asked].clip(min=1))).max(initial=0))
