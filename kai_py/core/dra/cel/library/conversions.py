"""Conversions between types: ``int(…)``, ``string(…)``, ``type(…)`` and their like."""

from __future__ import annotations

import math
import re
from typing import Final

from kai_py.core.dra.cel.bounds import bounded
from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.operators import timestamp
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.library.times import duration_text, parse_duration, parse_timestamp, timestamp_text
from kai_py.core.dra.cel.values import (
    Timestamp,
    TypeValue,
    UInt,
    Value,
    checked_int,
    checked_uint,
    size,
    type_name,
)

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,400}", re.ASCII)
_DOUBLE: Final = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?|nan", re.ASCII | re.IGNORECASE
)
_BOOLS: Final = dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True) | dict.fromkeys(
    ("0", "f", "F", "false", "FALSE", "False"), False
)
_SECOND: Final = 10**9


def _int_of_double(number: float) -> int:
    if not math.isfinite(number) or not -(2**63) < number < 2**63:
        raise EvaluationError("integer overflow")
    return int(number)


def _int_of_string(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise EvaluationError(f"strconv.ParseInt: parsing {text[:40]!r}: invalid syntax")
    return checked_int(int(text))


def _uint_of_double(number: float) -> UInt:
    if not math.isfinite(number) or not 0 <= number < 2**64:
        raise EvaluationError("unsigned integer overflow")
    return UInt(number)


def _uint_of_string(text: str) -> UInt:
    if not _INTEGER.fullmatch(text) or text[0] in "+-":
        raise EvaluationError(f"strconv.ParseUint: parsing {text[:40]!r}: invalid syntax")
    return checked_uint(int(text))


def _double_of_string(text: str) -> float:
    if not _DOUBLE.fullmatch(text):
        raise EvaluationError(f"strconv.ParseFloat: parsing {text[:40]!r}: invalid syntax")
    number = float(text)
    if math.isinf(number) and "n" not in text.lower():
        raise EvaluationError(f"strconv.ParseFloat: parsing {text[:40]!r}: value out of range")
    return number


def _bool_of_string(text: str) -> bool:
    if text not in _BOOLS:
        raise EvaluationError(f"strconv.ParseBool: parsing {text[:40]!r}: invalid syntax")
    return _BOOLS[text]


def _bytes_of_string(text: str) -> bytes:
    bounded(len(text))
    return text.encode()


def _string_of_bytes(data: bytes) -> str:
    bounded(len(data))
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EvaluationError("invalid UTF-8 in bytes, cannot convert to string") from None


def double_text(number: float) -> str:
    """The shortest text that reads back as the same double, in Go's spelling."""
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else ("+Inf" if number > 0 else "-Inf")
    sign = "-" if math.copysign(1, number) < 0 else ""
    digits, _, power = repr(abs(number)).partition("e")
    whole, _, part = digits.partition(".")
    joined = (whole + part).lstrip("0")
    exponent = len(joined) - len(part) + int(power or "0") - 1
    joined = joined.rstrip("0")
    if not joined:
        return sign + "0"
    if exponent < -4 or exponent >= 6:
        mantissa = joined[0] + ("." + joined[1:] if joined[1:] else "")
        return f"{sign}{mantissa}e{exponent:+03}"
    if exponent < 0:
        return sign + "0." + "0" * (-exponent - 1) + joined
    joined = joined.ljust(exponent + 1, "0")
    return sign + joined[: exponent + 1] + ("." + joined[exponent + 1 :] if joined[exponent + 1 :] else "")


def _timestamp_of_int(seconds: int) -> Timestamp:
    return timestamp(seconds * _SECOND)


def _same(value: Value) -> Value:
    return value


OVERLOADS = (
    overload("bool(bool) -> bool", _same),
    overload("bool(string) -> bool", _bool_of_string),
    overload("bytes(bytes) -> bytes", _same),
    overload("bytes(string) -> bytes", _bytes_of_string),
    overload("double(double) -> double", _same),
    overload("double(int) -> double", float),
    overload("double(uint) -> double", float),
    overload("double(string) -> double", _double_of_string),
    overload("duration(duration) -> duration", _same),
    overload("duration(string) -> duration", parse_duration),
    overload("dyn(A) -> dyn", _same),
    overload("int(int) -> int", _same),
    overload("int(uint) -> int", lambda number: checked_int(int(number))),
    overload("int(double) -> int", _int_of_double),
    overload("int(string) -> int", _int_of_string),
    overload("int(timestamp) -> int", lambda moment: moment.nanos // _SECOND),
    overload("int(duration) -> int", lambda span: span.nanos),
    *(overload(f"size({kind}) -> int", size) for kind in ("string", "bytes", "list<A>", "map<A, B>")),
    *(overload(f"<{kind}>.size() -> int", size) for kind in ("string", "bytes", "list<A>", "map<A, B>")),
    overload("string(string) -> string", _same, declare=True),
    overload("string(bool) -> string", lambda value: "true" if value else "false", declare=True),
    overload("string(int) -> string", str, declare=True),
    overload("string(uint) -> string", str, declare=True),
    overload("string(double) -> string", double_text, declare=True),
    overload("string(bytes) -> string", _string_of_bytes, declare=True),
    overload("string(timestamp) -> string", timestamp_text, declare=True),
    overload("string(duration) -> string", duration_text, declare=True),
    overload("timestamp(timestamp) -> timestamp", _same),
    overload("timestamp(string) -> timestamp", parse_timestamp),
    overload("timestamp(int) -> timestamp", _timestamp_of_int),
    overload("type(A) -> type", lambda value: TypeValue(type_name(value))),
    overload("uint(uint) -> uint", _same),
    overload("uint(int) -> uint", checked_uint),
    overload("uint(double) -> uint", _uint_of_double),
    overload("uint(string) -> uint", _uint_of_string),
)
