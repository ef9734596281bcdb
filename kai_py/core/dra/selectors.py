"""What the allocator needs of a selector, and a memory of what selectors said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from kai_py.core.dra.devices import Device
from kai_py.errors import KaiError


#: So many selectors are remembered; a cluster has as many as it has kinds of claims.
_REMEMBERED: Final = 1024


class SelectorError(KaiError):
    """A selector cannot be evaluated on a device, for instance because it reads an attribute that is not there."""

    code = "SelectorFailed"


class Selector(Protocol):
    """A condition on devices. Equal selectors must be equal and have the same hash: answers are remembered."""

    def matches(self, device: Device) -> bool:
        """Whether a device qualifies.

        Raises:
            SelectorError: it cannot be told.
        """
        ...

    def __hash__(self) -> int: ...


class SelectorMemo:
    """Remembers what selectors said about devices, across snapshots: most devices never change.

    A memory and nothing else: answers are the same without it.
    """

    def __init__(self) -> None:
        self._known: dict[Selector, dict[Device, bool | SelectorError]] = {}

    def matches(self, selectors: Sequence[Selector], device: Device) -> bool:
        """Whether all selectors match a device; later ones are not asked once one says no.

        Raises:
            SelectorError: one of them cannot be evaluated.
        """
        return all(self._matches(selector, device) for selector in selectors)

    def _matches(self, selector: Selector, device: Device) -> bool:
        known = self._known.get(selector)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[selector] = {}
        answer = known.get(device)
        if answer is None:
            try:
                answer = selector.matches(device)
            except SelectorError as error:
                answer = SelectorError(str(error))  # without the frames that the original would keep alive
            known[device] = answer
        if isinstance(answer, SelectorError):
            raise SelectorError(str(answer))
        return answer

    def keep(self, devices: Iterable[Device]) -> None:
        """Forget all other devices."""
        kept = set(devices)
        for known in self._known.values():
            for device in known.keys() - kept:
                del known[device]
