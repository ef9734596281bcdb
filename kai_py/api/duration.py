"""Durations in Go's syntax (``1h30m``, ``-1s``), as KAI's manifests and our settings write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,  # U+00B5, micro sign
    "μs": 10**3,  # U+03BC, Greek mu
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART: Final = r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_PARTS: Final = re.compile(_PART)

#: The syntax, as a pattern that the API server can check as well.
DURATION_PATTERN: Final = rf"^[-+]?(0|({_PART})+)$"
_SYNTAX: Final = re.compile(DURATION_PATTERN.removesuffix("$"))

#: Go keeps durations in 64 bits; longer ones could not be read by KAI or by kubectl.
_LONGEST: Final = 2**63 - 1
_MAX_TEXT: Final = 128


@dataclass(frozen=True, order=True, slots=True)
class Duration:
    """A length of time, exact to the nanosecond. What a negative one means is up to the field."""

    nanoseconds: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read Go's syntax. As in Go, what is finer than a nanosecond is cut off.

        Raises:
            ValueError: it is not a duration, or longer than 292 years.
        """
        if len(text) > _MAX_TEXT or _SYNTAX.fullmatch(text) is None:
            raise ValueError(f"{text[:40]!r} is not a duration such as 90s, 1h30m or 500ms")
        amount = sum(int(Fraction(number) * _NANOSECONDS[unit]) for number, unit in _PARTS.findall(text))
        if amount > _LONGEST:
            raise ValueError(f"{text[:40]!r} is longer than 292 years")
        return cls(-amount if text.startswith("-") else amount)

    @classmethod
    def of_seconds(cls, seconds: float) -> Self:
        """The duration of so many seconds."""
        return cls(round(Fraction(seconds) * 10**9))

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.nanoseconds / 10**9

    def __str__(self) -> str:
        """The text that Go writes: ``1h30m0s``, ``1.5ms``, ``0s``."""
        if self.nanoseconds == 0:
            return "0s"
        sign = "-" if self.nanoseconds < 0 else ""
        rest = abs(self.nanoseconds)
        if rest < _NANOSECONDS["s"]:
            unit = next(unit for unit in ("ms", "µs", "ns") if rest >= _NANOSECONDS[unit])
            return f"{sign}{_decimal(rest, _NANOSECONDS[unit])}{unit}"
        hours, rest = divmod(rest, _NANOSECONDS["h"])
        minutes, rest = divmod(rest, _NANOSECONDS["m"])
        text = f"{_decimal(rest, _NANOSECONDS['s'])}s"
        if hours or minutes:
            text = f"{minutes}m{text}"
        return f"{sign}{hours}h{text}" if hours else sign + text

    @classmethod
    def _validate(cls, value: object) -> Self:
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            raise ValueError("Input should be a duration such as 90s, 1h30m or 500ms, as text")
        return cls.parse(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.to_string_ser_schema()
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "pattern": DURATION_PATTERN}


def _decimal(amount: int, unit: int) -> str:
    """``amount / unit`` as an exact decimal; ``unit`` is a power of ten."""
    whole, rest = divmod(amount, unit)
    decimals = str(unit + rest)[1:].rstrip("0")
    return f"{whole}.{decimals}" if decimals else str(whole)
