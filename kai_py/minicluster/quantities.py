"""Kubernetes quantities: reading, comparing, and the one canonical spelling.

``1000m`` is stored as ``1``, ``1024Mi`` as ``1Gi``, ``0.5`` as ``500m``: the exponent is as large as it can be without
a fraction. The value is an exact ``Fraction``; the server rounds up beyond nano.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Self

_PATTERN = re.compile(r"([+-]?)(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d+)|([KMGTPE]i)|([numkMGTPE]))?")
_DECIMAL = ("n", "u", "m", "", "k", "M", "G", "T", "P", "E")
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_NANO = Fraction(1, 10**9)

#: What the server says about a text that is no quantity.
MALFORMED = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class Quantity(str):
    """A quantity in its canonical spelling; made from what JSON had, a text or a number."""

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        """Read a quantity.

        Raises:
            ValueError: the text is no quantity.
        """
        return super().__new__(cls, canonical(str(text)))


@lru_cache(maxsize=65536)
def amount(text: str) -> Fraction:
    """The exact value.

    Raises:
        ValueError: the text is no quantity.
    """
    return _parse(text)[0]


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """The spelling under which the server stores the quantity.

    Raises:
        ValueError: the text is no quantity.
    """
    value, style = _parse(text)
    if value == 0:
        return "0"
    if style == "binary" and abs(value) >= 1024 and value.denominator == 1:
        return _shortest(value, _BINARY, 1024)
    if style == "exponent":
        return _with_exponent(value)
    return _shortest(value / _NANO, _DECIMAL, 1000)


@lru_cache(maxsize=65536)
def in_millis(text: str) -> str:
    """A canonical quantity, rounded up to thousandths: pods cannot ask for less."""
    value = amount(text) * 1000
    return text if value.denominator == 1 else canonical(f"{math.ceil(value)}m")


def _parse(text: str) -> tuple[Fraction, str]:
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(MALFORMED)
    sign, digits, exponent, binary, decimal = match.groups()
    value, style = Fraction(digits + "0" if digits.endswith(".") else digits), "decimal"
    if exponent:
        if abs(int(exponent[1:])) > 30:
            raise ValueError("unable to parse quantity's suffix")
        value, style = value * Fraction(10) ** int(exponent[1:]), "exponent"
    elif binary:
        value, style = value * 1024 ** _BINARY.index(binary), "binary"
    elif decimal:
        value *= Fraction(1000) ** (_DECIMAL.index(decimal) - 3)
    if value.denominator != 1:
        value = math.ceil(value / _NANO) * _NANO
    return (-value if sign == "-" else value), style


def _shortest(value: Fraction, suffixes: tuple[str, ...], base: int) -> str:
    number, power = int(value), 0
    while power + 1 < len(suffixes) and number % base == 0:
        number, power = number // base, power + 1
    return f"{number}{suffixes[power]}"


def _with_exponent(value: Fraction) -> str:
    number, exponent = int(value / _NANO), -9
    while number % 1000 == 0:
        number, exponent = number // 1000, exponent + 3
    return f"{number}e{exponent}" if exponent else str(number)
