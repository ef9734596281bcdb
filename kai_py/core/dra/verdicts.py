"""What an alternative makes of each device, before anybody has taken anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from kai_py.core.dra.capacity import Taking, taking
from kai_py.core.dra.claims import Alternative
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.selectors import SelectorError, SelectorMemo
from kai_py.core.dra.taints import tolerated


class Verdict(IntEnum):
    """What an alternative makes of a device."""

    NO_MATCH = 0
    FITS = 1
    #: A selector cannot be evaluated on it.
    FAILED = 2
    TAINTED = 3
    #: It lacks a capacity, or enough of it, even when idle.
    TOO_SMALL = 4


#: Alternatives with equal keys judge all devices alike.
Key = tuple[object, ...]
_UNKNOWN = 255
#: So many alternatives are known by their identity, which keeps them alive.
_REMEMBERED = 16_384
_FITS, _FAILED, _NO_MATCH = int(Verdict.FITS), int(Verdict.FAILED), int(Verdict.NO_MATCH)


def key_of(alternative: Alternative) -> Key:
    """All that verdicts depend on."""
    return (
        alternative.device_class.selectors,
        alternative.selectors,
        alternative.tolerations,
        tuple(sorted(alternative.capacity.items())),
    )


class Judge:
    """The verdicts of one kind of alternative, worked out device by device when they are wanted.

    Attributes:
        key: see :func:`key_of`.
    """

    def __init__(self, alternative: Alternative, inventory: Inventory, memo: SelectorMemo) -> None:
        self.key = key_of(alternative)
        self._selectors = (*alternative.device_class.selectors, *alternative.selectors)
        self._tolerations = alternative.tolerations
        self._capacity: Mapping[str, int] = alternative.capacity
        self._inventory = inventory
        self._memo = memo
        self._verdicts = bytearray([_UNKNOWN]) * len(inventory)
        self._takings: dict[int, Taking] = {}
        self._messages: dict[int, tuple[int, str]] = {}

    def verdict(self, device: int) -> int:
        """A ``Verdict`` as a number."""
        found = self._verdicts[device]
        if found == _UNKNOWN:
            found = self._verdicts[device] = self._judge(device)
        return found

    def taking(self, device: int) -> Taking:
        """What is consumed of a device that fits; nothing if it is taken as a whole."""
        return self._takings.get(device, ())

    def failure(self, device: int) -> tuple[int, str]:
        """Which selector could not be evaluated on a device, those of the class first, and what it said."""
        return self._messages[device]

    def among(self, pools: Sequence[str]) -> tuple[str, ...]:
        """Those of some pools (``driver/pool``) that have a device that is not refused by the selectors."""
        rows = self._inventory.rows_of_pool
        return tuple(one for one in pools if any(self.verdict(row) != _NO_MATCH for row in rows.get(one, ())))

    def _judge(self, row: int) -> int:
        device = self._inventory.devices[row]
        for number, selector in enumerate(self._selectors):
            try:
                if not self._memo.matches((selector,), device):
                    return _NO_MATCH
            except SelectorError as error:
                self._messages[row] = number, str(error)
                return _FAILED
        if self._capacity or device.shareable:
            amounts = taking(self._capacity, device)
            if amounts is None:
                return Verdict.TOO_SMALL
            if device.shareable:
                self._takings[row] = amounts
        if device.taints and not tolerated(device, self._tolerations):
            return Verdict.TAINTED
        return _FITS


class Verdicts:
    """The judges of a snapshot: one for all alternatives that judge alike."""

    def __init__(self, inventory: Inventory, memo: SelectorMemo) -> None:
        self._inventory = inventory
        self._memo = memo
        self._judges: dict[Key, Judge] = {}
        # Claims of a template share their alternatives, and an identity is found faster than a key is made.
        self._by_identity: dict[int, tuple[Alternative, Judge]] = {}

    def of(self, alternative: Alternative) -> Judge:
        """The judge of an alternative."""
        found = self._by_identity.get(id(alternative))
        if found is not None:
            return found[1]
        key = key_of(alternative)
        judge = self._judges.get(key)
        if judge is None:
            judge = self._judges[key] = Judge(alternative, self._inventory, self._memo)
        if len(self._by_identity) >= _REMEMBERED:
            self._by_identity.clear()
        self._by_identity[id(alternative)] = alternative, judge
        return judge
