"""Quantities of devices as the core's amounts, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction

from kai_py.api.meta import Quantity
from kai_py.api.quantity import format_quantity, parse_quantity
from kai_py.core.dra.devices import UNIT
from kai_py.errors import Fault, MalformedObjectError

#: What an int64 holds, which is where Kubernetes stops.
_MOST = 2**63 * UNIT


def amount(quantity: Quantity, where: str, field: str) -> int:
    """A quantity in billionths, finer ones rounded up as Kubernetes does.

    Raises:
        MalformedObjectError: it is not a quantity, or a negative one.
    """
    try:
        exact = math.ceil(parse_quantity(quantity) * UNIT)
    except ValueError as error:
        raise MalformedObjectError([Fault(where, field, str(error))]) from error
    if exact < 0:
        raise MalformedObjectError([Fault(where, field, f"must not be negative, and {quantity!r} is")])
    return min(_MOST, exact)


def amounts(quantities: Mapping[str, Quantity], where: str, field: str) -> dict[str, int]:
    """The same for a map."""
    return {name: amount(value, where, f"{field}[{name}]") for name, value in quantities.items()}


def quantity(units: int) -> str:
    """An amount as a quantity: binary suffixes where they lose nothing, as for memory."""
    return format_quantity(Fraction(units, UNIT), binary=True)
