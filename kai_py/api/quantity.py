"""Kubernetes quantities (``500m``, ``16Gi``, ``1e3``) to exact numbers and back.

A quantity is a sign, a decimal number and one suffix: decimal (``n u m k M G T P E``), binary (``Ki Mi Gi Ti Pi Ei``)
or an exponent (``e3``). Nothing is rounded while parsing; ledgers round up, once, in :func:`to_units`.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

from kai_py.api.meta import Quantity

_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"": 0, "Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SYNTAX: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]+)|(?P<suffix>[A-Za-z]*))",
    re.ASCII,
)

#: Nobody means more digits, and a power of ten with a billion of them would take forever to write out.
_LONGEST: Final = 256
_LARGEST_EXPONENT: Final = 256

#: Where :func:`to_units` stops. Kubernetes stops at 2⁶³-1; we add such numbers up in int64, so leave room for a
#: thousand of them. It is 9 petabytes, and the largest whole number up to which float64 is exact.
MAX_UNITS: Final = 2**53


@lru_cache(maxsize=65536, typed=True)
def parse_quantity(text: Quantity) -> Fraction:
    """Read a quantity exactly.

    Args:
        text: the quantity as sent; a plain JSON or YAML number is one, too.

    Raises:
        ValueError: it is not a quantity; the text says why.
    """
    written = str(text)
    match = _SYNTAX.fullmatch(written) if len(written) <= _LONGEST and not isinstance(text, bool) else None
    if match is None or not (match["whole"] or match["part"]):
        raise ValueError(f"{written[:40]!r} is not a quantity: a number with an optional suffix such as m, k, Mi or Gi")
    digits, decimals = match["whole"] + (match["part"] or ""), len(match["part"] or "")
    value = Fraction(int(digits), 10**decimals) * _scale(written, match["exponent"], match["suffix"])
    return -value if match["sign"] == "-" else value


def to_units(quantity: Quantity, *, per_unit: int = 1) -> int:
    """Whole base units of a quantity, rounded up.

    Args:
        quantity: as sent.
        per_unit: base units in 1, e.g. 1000 for millicores.

    Raises:
        ValueError: it is not a quantity.
    """
    return _to_units(quantity, per_unit)


@lru_cache(maxsize=65536, typed=True)
def _to_units(quantity: Quantity, per_unit: int) -> int:
    units = math.ceil(parse_quantity(quantity) * per_unit)
    return max(-MAX_UNITS, min(MAX_UNITS, units))


def format_quantity(value: int | Fraction, *, binary: bool = False) -> str:
    """Write a number in Kubernetes' canonical form: no fraction, the largest suffix that loses nothing.

    Args:
        value: what to write; anything finer than one billionth is rounded away from zero.
        binary: prefer ``Ki, Mi, …`` (whole numbers from 1024 on).
    """
    exact = Fraction(value)
    sign = "-" if exact < 0 else ""
    if binary and exact.denominator == 1 and abs(exact) >= 1024:
        return sign + _largest_suffix(abs(exact.numerator), {name: 2**power for name, power in _BINARY.items()})
    nanos = math.ceil(abs(exact) * 10**9)
    return sign + _largest_suffix(nanos, {name: 10 ** (power + 9) for name, power in _DECIMAL.items()})


def _scale(written: str, exponent: str | None, suffix: str) -> Fraction:
    if exponent is not None:
        if abs(int(exponent)) > _LARGEST_EXPONENT:
            raise ValueError(f"{written[:40]!r} has an exponent beyond ±{_LARGEST_EXPONENT}")
        return Fraction(10) ** int(exponent)
    if suffix in _DECIMAL:
        return Fraction(10) ** _DECIMAL[suffix]
    if suffix in _BINARY:
        return Fraction(2 ** _BINARY[suffix])
    raise ValueError(
        f"{written[:40]!r} has an unknown suffix {suffix!r}: use one of n u m k M G T P E Ki Mi Gi Ti Pi Ei"
    )


def _largest_suffix(amount: int, units: dict[str, int]) -> str:
    """``amount`` of the smallest unit, written with the largest unit that divides it. ``units`` ascend from 1."""
    if amount == 0:
        return "0"
    name = next(name for name, unit in reversed(units.items()) if amount % unit == 0)
    return f"{amount // units[name]}{name}"
