"""CEL expressions as selectors of the allocator's devices."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from kai_py.core.dra import cel
from kai_py.core.dra.devices import UNIT, Attribute, Capacity, Device
from kai_py.core.dra.selectors import SelectorError

#: What a scheduler compiles with: expressions that are stored already may use all that is known.
FEATURES: Final = cel.CelFeatures(list_type_attributes=True)


#: Cost units that a selector may spend on its first devices, and on every further one. Ordinary expressions cost 2 to
#: 100; the limit of Kubernetes, a million on each device, would let one claim hold up a cluster for hours.
_COST: Final = 1_000_000
_COST_PER_DEVICE: Final = 200


@dataclass(frozen=True)
class ExpressionSelector:
    """A compiled expression; equal if the text is.

    One that has cost too much on the devices so far fails on all others.
    """

    text: str
    _program: cel.Program = field(repr=False, compare=False)
    _budget: cel.CostBudget = field(repr=False, compare=False)

    def matches(self, device: Device) -> bool:
        """See :class:`~kai_py.core.dra.selectors.Selector`."""
        self._budget.left += _COST_PER_DEVICE
        try:
            return self._program.matches(as_cel(device), self._budget)
        except cel.SelectorError as error:
            raise SelectorError(str(error)) from error


def compile_selector(text: str) -> ExpressionSelector:
    """A selector of an expression.

    Raises:
        SelectorError: it cannot be used on any device.
    """
    program = cel.compile_expression(text, FEATURES)
    if isinstance(program, cel.CelError):
        raise SelectorError(str(program))
    return ExpressionSelector(text, program, cel.CostBudget(_COST))


@lru_cache(maxsize=64)  # the selectors of a class and of a request are asked one after the other
def as_cel(device: Device) -> cel.CelDevice:
    """A device as expressions see it."""
    return cel.CelDevice(
        driver=device.driver,
        attributes={name: _attribute(value) for name, value in device.attributes.items()},
        capacity={name: _quantity(value) for name, value in device.capacities.items()},
        allow_multiple_allocations=device.shareable,
    )


def _attribute(attribute: Attribute) -> cel.Attribute:
    if not attribute.kind:
        return cel.Unsupported()
    if attribute.kind != "version":
        return attribute.values if attribute.many else attribute.values[0]  # type: ignore[return-value]  # of one kind
    versions = [cel.version_attribute(str(value)) for value in attribute.values]
    if not attribute.many:
        return versions[0]
    good = tuple(one for one in versions if isinstance(one, cel.Semver))
    return good if len(good) == len(versions) else cel.Unsupported("parse semantic version")


def _quantity(capacity: Capacity) -> cel.Quantity:
    units, rest = divmod(capacity.value, UNIT)
    return cel.parse_quantity(f"{capacity.value}n" if rest else str(units))
