"""Nodes through the eyes of pods with volumes: where they find theirs, and can have them attached."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kai_py.core.placement.views import Place, View
from kai_py.core.resources import Amounts, Mask, Shares
from kai_py.core.result import FilterReason, Reason
from kai_py.core.state.volumes import Volumes
from kai_py.core.tables.volumes import VolumeAsk


class _When(NamedTuple):
    """What volumes say of the nodes at one time.

    Attributes:
        unused: ``(N,)`` where nobody uses what cannot be shared.
        room: ``(N,)`` pods of the class whose volumes can be attached.
    """

    unused: Mask
    room: Amounts


class VolumeView:
    """All nodes through the eyes of one pod class with volumes, as another view sees them apart from these.

    Attributes:
        request: ``(R,)`` of one pod.
        allowed: ``(N,)`` nodes that all filters let it on, room and volumes apart.
    """

    def __init__(self, inner: View, volumes: Volumes, ask: VolumeAsk) -> None:
        self._inner = inner
        self._volumes = volumes
        self._ask = ask
        self.request: Amounts = inner.request
        self.allowed: Mask = inner.allowed
        self._read = -1
        self._found: Mask
        self._now: _When
        self._later: _When
        self._refresh()

    def _refresh(self) -> None:
        volumes, ask = self._volumes, self._ask
        if self._read == volumes.version:
            return
        self._read = volumes.version
        self._found = volumes.found(ask)
        self._now, self._later = (
            _When(volumes.unused(ask, later=later), volumes.room(ask, later=later)) for later in (False, True)
        )

    def _mask(self, when: _When) -> Mask:
        return self._found & when.unused & (when.room > 0)

    def best(self, within: Mask | None = None) -> Place | None:
        """The best node; see :meth:`ClassView.best`. Where it can start now comes first, as for everybody."""
        self._refresh()
        now, later = self._mask(self._now), self._mask(self._later)
        place = self._inner.best(now & later if within is None else now & later & within)
        if place is not None and place.now:
            return place
        place = self._inner.best(later if within is None else later & within)
        return None if place is None else place._replace(now=place.now and now.item(place.node))

    def ahead(self, limit: int) -> list[int]:  # noqa: ARG002  # each pod changes what the next one finds
        """Nowhere: it has to be looked at one by one."""
        return []

    def at(self, node: int) -> Place | None:
        """One node; see :meth:`ClassView.at`."""
        self._refresh()
        place = self._inner.at(node)
        if place is None or not self._mask(self._later).item(node):
            return None
        return place._replace(now=place.now and self._mask(self._now).item(node))

    def slots(self, by_amounts: Amounts, *, later: bool) -> Amounts:
        """How many pods of the class each node takes, by its volumes too; an upper bound. See :meth:`ClassView.slots`.

        Volumes that several nodes reach count on each of them.
        """
        self._refresh()
        when = self._later if later else self._now
        most = np.where(self._found & when.unused, when.room, 0)
        if self._ask.exclusive or self._ask.disks:
            most = np.minimum(most, 1)
        most = np.minimum(most, self._volumes.choices_left(self._ask))
        return self._inner.slots(np.minimum(by_amounts, most), later=later)

    def refusal(self) -> Reason | None:
        """What the other view says, unless it is volumes that keep it away."""
        self._refresh()
        return None if (self._inner.fitting() & ~self._mask(self._later)).any() else self._inner.refusal()

    def details(self) -> dict[str, object]:
        """As the other view has it."""
        return self._inner.details()

    @property
    def liking(self) -> Shares | None:
        """As the other view has it."""
        return self._inner.liking

    @property
    def may_misalign(self) -> bool:
        """As the other view has it."""
        return self._inner.may_misalign

    def fitting(self) -> Mask:
        """``(N,)`` nodes that have room for it and its volumes, now or later."""
        self._refresh()
        return self._inner.fitting() & self._mask(self._later)

    def explain(self) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
        """Why no node takes the class; nodes that have room for everything but its volumes say which of them."""
        self._refresh()
        reasons, missing = self._inner.explain()
        left = self._inner.fitting()
        for reason, passes in (
            (FilterReason.VOLUME_IN_USE, self._later.unused),
            (FilterReason.VOLUME_LIMIT, self._later.room > 0),
            (FilterReason.VOLUME_MISSING, self._found),
        ):
            if refused := int((left & ~passes).sum()):
                reasons[str(reason)] = refused
            left &= passes
        return reasons, missing
