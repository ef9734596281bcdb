"""A pod class to whom neighbours matter: what its view of the nodes says, where its neighbours let it."""

from __future__ import annotations

import numpy as np

from kai_py.core.placement.around import ViewAround
from kai_py.core.placement.neighbourhood import Neighbourhood
from kai_py.core.placement.views import ClassView, Place
from kai_py.core.resources import Amounts, Mask
from kai_py.core.result import Reason


class NeighbourView(ViewAround[ClassView]):
    """All nodes through the eyes of one pod class, its neighbours among them.

    Attributes:
        near: what neighbours say.
    """

    def __init__(self, inner: ClassView, near: Neighbourhood) -> None:
        super().__init__(inner)
        self.near = near

    def best(self, within: Mask | None = None) -> Place | None:
        """The best node; see :meth:`ClassView.best`. Where it can start now comes first, as for everybody."""
        near = self.near
        near.refresh()
        bonus = near.bonus()
        if near.free:
            return self._inner.best(within, bonus)
        place = self._inner.best(near.now if within is None else near.now & within, bonus)
        if place is not None and place.now:
            return place
        place = self._inner.best(near.later if within is None else near.later & within, bonus)
        return None if place is None else place._replace(now=place.now and near.now.item(place.node))

    def at(self, node: int) -> Place | None:
        """One node; see :meth:`ClassView.at`."""
        self.near.refresh()
        place = self._inner.at(node)
        if place is None:
            return None
        if place.now and self.near.now.item(node):
            return place
        return place._replace(now=False) if self.near.later.item(node) else None

    def fitting(self) -> Mask:
        """``(N,)`` nodes that have room for it, now or later; neighbours apart."""
        return self._inner.fitting()

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """How many pods each node takes; more than that of a domain is not told. See :meth:`ClassView.slots`."""
        self.near.refresh()
        slots = np.where(self.near.later if later else self.near.now, by_amounts, 0)
        slots = np.where(self.near.single, np.minimum(slots, 1), slots)
        return self._inner.slots(slots, later=later)

    def refusal(self) -> Reason | None:
        """What its view says, unless it is neighbours who keep it away."""
        return None if (self.fitting() & ~self.near.later).any() else self._inner.refusal()

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class; see :meth:`ClassView.explain`."""
        reasons, missing = self._inner.explain()
        for one in self.near.refusals(self.fitting()):
            reasons[str(one.reason)] = reasons.get(str(one.reason), 0) + one.nodes
        return reasons, missing

    def details(self) -> dict[str, object]:
        """What else a reader has to know: ``about`` tells what the neighbours' reasons are about, by reason."""
        refusals = sorted(self.near.refusals(self.fitting()), key=lambda one: one.nodes)
        about = {str(one.reason): one.text for one in refusals}  # of several the one that most nodes give
        return {**super().details(), **({"about": about} if about else {})}
