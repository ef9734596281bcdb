"""Constraints while a search goes on: what the devices chosen so far have in common."""

from __future__ import annotations

from typing import Final

from kai_py.core.dra.claims import Constraint
from kai_py.core.dra.devices import Scalar
from kai_py.core.dra.inventory import Inventory

#: Values with their kind; empty = the device cannot be used under the constraint.
Values = frozenset[tuple[str, Scalar]]
_NONE: Values = frozenset()


class Bond:
    """One constraint of one claim.

    Attributes:
        constraint: what it is about.
        initial: the state before any device is chosen.
        state: matching: the values that all devices so far share, None = no device yet; distinct: all their values.
    """

    def __init__(self, constraint: Constraint, inventory: Inventory) -> None:
        self.constraint = constraint
        self.initial: Final[Values | None] = _NONE if constraint.distinct else None
        self.state: Values | None = self.initial
        self._inventory = inventory
        self._values: dict[int, Values] = {}

    def values(self, device: int) -> Values:
        """The values of a device. An attribute that is missing, or that nobody knows how to read, has none."""
        found = self._values.get(device)
        if found is None:
            attribute = self._inventory.devices[device].attribute(self.constraint.attribute)
            found = _NONE if attribute is None or not attribute.kind else attribute.members
            self._values[device] = found
        return found

    def after(self, device: int) -> Values | None:
        """The state once a device is chosen as well; None = it must not be."""
        own = self.values(device)
        if not own:
            return None
        state = self.state
        if self.constraint.distinct:
            assert state is not None  # from the beginning
            return None if state & own else state | own
        return own if state is None else (state & own or None)
