"""A view around another one: what all those have in common that only narrow what another view says."""

from __future__ import annotations

from typing import Generic, TypeVar

from kai_py.core.placement.views import View
from kai_py.core.resources import Amounts, Mask, Shares

Inner = TypeVar("Inner", bound=View)


class ViewAround(Generic[Inner]):
    """What the view inside says.

    Attributes:
        request: ``(R,)`` of one pod.
        allowed: ``(N,)`` nodes that all filters let it on, room and what is narrowed apart.
    """

    def __init__(self, inner: Inner) -> None:
        self._inner = inner
        self.request: Amounts = inner.request
        self.allowed: Mask = inner.allowed

    def ahead(self, limit: int) -> list[int]:  # noqa: ARG002  # each pod changes what the next one finds
        """Nowhere: it has to be looked at one by one."""
        return []

    def details(self) -> dict[str, object]:
        """See :meth:`ClassView.details`."""
        return self._inner.details()

    @property
    def liking(self) -> Shares | None:
        """See :meth:`ClassView.liking`."""
        return self._inner.liking

    @property
    def may_misalign(self) -> bool:
        """See :meth:`ClassView.may_misalign`."""
        return self._inner.may_misalign
