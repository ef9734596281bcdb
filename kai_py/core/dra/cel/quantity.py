"""Quantities as values of CEL: exact numbers, compared by value.

The rule is that of ``resource.Quantity`` in Kubernetes: a sign, a decimal number and one suffix; anything finer than
one billionth is rounded away from zero, and with a binary suffix anything beyond 2⁶³-1 becomes that number.
``kai_py.api.quantity`` reads the same texts for ledgers; the core may not import it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Final

MAX_INT64: Final = 2**63 - 1
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_SYNTAX: Final = re.compile(
    r"(?P<sign>[+-]?)(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?:[eE](?P<exponent>[+-]?[0-9]+)|(?P<suffix>[A-Za-z]*))",
    re.ASCII,
)
#: Nobody means more digits, and a power of ten with a billion of them would take forever to write out.
_LONGEST: Final = 256
_LARGEST_EXPONENT: Final = 256
#: Up to how many decimal digits Kubernetes keeps a quantity as a whole number of 64 bits.
_DECIMAL_DIGITS: Final = 18
_BINARY_DIGITS: Final = 14


@dataclass(frozen=True, order=True)
class Quantity:
    """An exact amount.

    Attributes:
        value: the number, a multiple of one billionth.
        whole: whether Kubernetes keeps it as a whole number, which it decides by how the quantity is written:
            ``1Ti`` is one, ``1000m`` and ``1Pi`` are none. Not part of the value, but what ``isInteger`` tells.
    """

    value: Fraction
    whole: bool = field(default=True, compare=False)

    def __add__(self, other: Quantity) -> Quantity:
        return Quantity(self.value + other.value, self.whole and other.whole)

    def __sub__(self, other: Quantity) -> Quantity:
        return Quantity(self.value - other.value, self.whole and other.whole)

    @property
    def is_integer(self) -> bool:
        """Whether ``asInteger`` gives a number: written as a whole one, and one that fits into 64 bits."""
        return self.whole and self.value.denominator == 1 and -MAX_INT64 - 1 <= self.value <= MAX_INT64


@lru_cache(maxsize=4096)
def parse_quantity(text: str) -> Quantity:
    """Read a quantity.

    Raises:
        ValueError: it is not one.
    """
    match = _SYNTAX.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or not (match["whole"] or match["part"]):
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    part, exponent, suffix = match["part"] or "", match["exponent"], match["suffix"] or ""
    digits = Fraction(int(match["whole"] + part), 10 ** len(part))
    written = len(match["whole"].lstrip("0")) or 1
    if exponent is None and suffix in _BINARY:
        value = min(digits * 2 ** _BINARY[suffix], Fraction(MAX_INT64))
        whole = not part and written + 3 * _BINARY[suffix] // 10 <= _BINARY_DIGITS
    else:
        power = _power(exponent, suffix)
        value = digits * Fraction(10) ** power
        whole = power >= len(part) and written + len(part) <= _DECIMAL_DIGITS
    value = Fraction(math.ceil(value * 10**9), 10**9)
    return Quantity(-value if match["sign"] == "-" else value, whole)


def _power(exponent: str | None, suffix: str) -> int:
    """The power of ten that a decimal suffix or an exponent stands for."""
    if exponent is None:
        if suffix not in _DECIMAL:
            raise ValueError("unable to parse quantity's suffix")
        return _DECIMAL[suffix]
    if abs(int(exponent)) > _LARGEST_EXPONENT:
        raise ValueError("unable to parse quantity's suffix")
    return int(exponent)
