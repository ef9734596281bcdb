"""Nodes through the eyes of pods with volumes: where they find theirs, and can have them attached."""

from __future__ import annotations

from typing import Final

import numpy as np

from kai_py.core.placement.around import ViewAround
from kai_py.core.placement.views import Place, View
from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.result import FilterReason, Reason
from kai_py.core.state.volumes import Volumes
from kai_py.core.tables.volumes import VolumeAsk

#: Up to so many changes are looked at node by node.
_FEW: Final = 256


class VolumeView(ViewAround[View]):
    """All nodes through the eyes of one pod class with volumes, as another view sees them apart from these."""

    def __init__(self, inner: View, volumes: Volumes, ask: VolumeAsk) -> None:
        super().__init__(inner)
        self._volumes = volumes
        self._ask = ask
        nodes = len(inner.allowed)
        self._found: Mask = np.ones(nodes, dtype=np.bool_)
        self._unused, self._attached = (np.ones((2, nodes), dtype=np.bool_) for _ in range(2))
        self._read, self._upheavals = 0, -1
        self._refresh()

    def _refresh(self) -> None:
        volumes = self._volumes
        news = volumes.changed[self._read :]
        rows: Rows | slice = slice(None)
        if self._upheavals == volumes.upheavals and len(news) <= _FEW:
            if not news:
                return
            rows = np.unique(np.array(news, dtype=np.int32))
        self._read, self._upheavals = len(volumes.changed), volumes.upheavals
        self._found[rows] = volumes.found(self._ask, rows)
        for later in (False, True):
            self._unused[int(later), rows] = volumes.unused(self._ask, rows, later=later)
            self._attached[int(later), rows] = volumes.room(self._ask, rows, later=later) > 0

    def _mask(self, *, later: bool) -> Mask:
        """``(N,)`` nodes where volumes are no obstacle; a new array."""
        return np.asarray(self._found & self._unused[int(later)] & self._attached[int(later)])

    def best(self, within: Mask | None = None) -> Place | None:
        """The best node; see :meth:`ClassView.best`. Where it can start now comes first, as for everybody."""
        self._refresh()
        now, later = self._mask(later=False), self._mask(later=True)
        place = self._sure(now & later if within is None else now & later & within)
        if place is not None and place.now:
            return place
        place = self._sure(later if within is None else later & within)
        return None if place is None else place._replace(now=place.now and now.item(place.node))

    def _sure(self, within: Mask) -> Place | None:
        """The best node on which all claims find volumes together."""
        while (place := self._inner.best(within)) is not None:
            if self._volumes.choose(self._ask, place.node) is not None:
                return place
            within[place.node] = False
        return None

    def at(self, node: int) -> Place | None:
        """One node; see :meth:`ClassView.at`."""
        self._refresh()
        place = self._inner.at(node)
        if place is None or not self._mask(later=True).item(node) or self._volumes.choose(self._ask, node) is None:
            return None
        return place._replace(now=place.now and self._mask(later=False).item(node))

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """How many pods of the class each node takes, by its volumes too; an upper bound. See :meth:`ClassView.slots`.

        Volumes that several nodes reach count on each of them.
        """
        self._refresh()
        everywhere = slice(None)
        most = np.where(self._mask(later=later), self._volumes.room(self._ask, everywhere, later=later), 0)
        if self._ask.exclusive or self._ask.disks:
            most = np.minimum(most, 1)
        most = np.minimum(most, self._volumes.left(self._ask, everywhere))
        return self._inner.slots(np.minimum(by_amounts, most), later=later)

    def refusal(self) -> Reason | None:
        """What the other view says, unless it is volumes that keep it away."""
        self._refresh()
        return None if (self._inner.fitting() & ~self._mask(later=True)).any() else self._inner.refusal()

    def fitting(self) -> Mask:
        """``(N,)`` nodes that have room for it and its volumes, now or later."""
        self._refresh()
        return self._inner.fitting() & self._mask(later=True)

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class; nodes that have room for everything but its volumes say which of them."""
        self._refresh()
        reasons, missing = self._inner.explain()
        left = self._inner.fitting()
        for reason, passes in (
            (FilterReason.VOLUME_IN_USE, self._unused[1]),
            (FilterReason.VOLUME_LIMIT, self._attached[1]),
            (FilterReason.VOLUME_MISSING, self._found),
        ):
            if refused := int((left & ~passes).sum()):
                reasons[str(reason)] = refused
            left &= passes
        return reasons, missing
