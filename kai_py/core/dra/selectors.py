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
    """A condition on devices. Equal selectors must be equal and have the same hash: answers are remembered.

    It may look at name, driver, attributes, capacities and whether the device is shareable, and at nothing else.
    """

    def matches(self, device: Device) -> bool:
        """Whether a device qualifies.

        Raises:
            SelectorError: it cannot be told.
        """
        ...

    def __hash__(self) -> int: ...


class SelectorMemo:
    """Remembers what selectors said about devices, across snapshots: most devices never change.

    Devices that look the same to selectors, as the GPUs of equal nodes do, are asked about once. A memory and nothing
    else: answers are the same without it.
    """

    def __init__(self) -> None:
        self._known: dict[Selector, dict[int, bool | SelectorError]] = {}
        self._looks: dict[object, int] = {}
        self._look_of: dict[Device, int] = {}

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
        look = self._look_of.get(device)
        if look is None:
            look = self._look_of[device] = self._looks.setdefault(_look(device), len(self._looks))
        answer = known.get(look)
        if answer is None:
            try:
                answer = selector.matches(device)
            except SelectorError as error:
                answer = SelectorError(str(error))  # without the frames that the original would keep alive
            known[look] = answer
        if isinstance(answer, SelectorError):
            raise SelectorError(str(answer))
        return answer

    def keep(self, devices: Iterable[Device]) -> None:
        """Forget all other devices."""
        kept = set(devices)
        for device in self._look_of.keys() - kept:
            del self._look_of[device]
        looks = set(self._look_of.values())
        if len(looks) * 2 < len(self._looks):  # numbers are not given twice, so that forgetting all is simplest
            self._known, self._looks, self._look_of = {}, {}, {}


def _look(device: Device) -> tuple[object, ...]:
    """All that selectors may look at."""
    return (
        device.name,
        device.driver,
        device.shareable,
        frozenset(device.attributes.items()),
        frozenset(device.capacities.items()),
    )
