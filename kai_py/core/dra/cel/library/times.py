"""Timestamps and durations. Time zones are fixed offsets or UTC: the core reads no zone database."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Final

from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.operators import duration, timestamp
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.values import Duration, Timestamp

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = 10**9
_MOMENT: Final = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:[.,](\d{1,18}))?(Z|[+-]\d{2}:\d{2})", re.ASCII)
_OFFSET: Final = re.compile(r"([+-]?)(\d{2}):(\d{2})", re.ASCII)
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_PART: Final = re.compile(r"(\d*)(?:\.(\d*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def parse_timestamp(text: str) -> Timestamp:
    """A moment in the form of RFC 3339.

    Raises:
        EvaluationError: it is none.
    """
    match = _MOMENT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        moment = datetime.fromisoformat(match[1] + ("+00:00" if match[3] == "Z" else match[3]))
    except ValueError:
        raise EvaluationError(f"invalid timestamp {text[:40]!r}") from None
    nanos = int(((match[2] or "") + "0" * 9)[:9])
    return timestamp((moment - _EPOCH) // timedelta(seconds=1) * _SECOND + nanos)


def parse_duration(text: str) -> Duration:
    """A span of time as Go writes it, e.g. ``1h30m`` or ``-1.5s``.

    Raises:
        EvaluationError: it is none.
    """
    body = text[1:] if text[:1] in ("+", "-") else text
    if len(body) > 64 or not body:
        raise EvaluationError(f"invalid duration {text[:40]!r}")
    total, position = Fraction(0), 0
    while position < len(body) and body != "0":
        match = _PART.match(body, position)
        if match is None or not (match[1] or match[2]):
            raise EvaluationError(f"invalid duration {text[:40]!r}")
        amount = Fraction(int(match[1] or "0")) + Fraction(int(match[2] or "0"), 10 ** len(match[2] or ""))
        total, position = total + amount * _UNITS[match[3]], match.end()
    return duration(-int(total) if text[0] == "-" else int(total))


def timestamp_text(moment: Timestamp) -> str:
    """RFC 3339, with as many decimals as needed."""
    seconds, nanos = divmod(moment.nanos, _SECOND)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0")
    return text + (f".{nanos:09}".rstrip("0") if nanos else "") + "Z"


def duration_text(span: Duration) -> str:
    """Seconds, with as many decimals as needed."""
    seconds, nanos = divmod(abs(span.nanos), _SECOND)
    return ("-" if span.nanos < 0 else "") + str(seconds) + (f".{nanos:09}".rstrip("0") if nanos else "") + "s"


def _local(moment: Timestamp, zone: str) -> datetime:
    match = _OFFSET.fullmatch(zone)
    if match is None and zone not in ("UTC", ""):
        raise EvaluationError(f"unknown time zone {zone[:40]}")
    minutes = int(match[2]) * 60 + int(match[3]) if match else 0
    offset = timedelta(minutes=-minutes if match and match[1] == "-" else minutes)
    try:
        utc = _EPOCH + timedelta(seconds=moment.nanos // _SECOND)
        return utc.astimezone(timezone(offset))
    except (ValueError, OverflowError):
        raise EvaluationError(f"invalid time zone offset {zone[:40]}") from None


def _getter(read: Callable[[datetime], int]) -> Callable[..., int]:
    def get(moment: Timestamp, zone: str = "UTC") -> int:
        return read(_local(moment, zone))

    return get


def _milliseconds(moment: Timestamp, zone: str = "UTC") -> int:
    _local(moment, zone)
    return moment.nanos % _SECOND // 10**6


def _whole(unit: int) -> Callable[[Duration], int]:
    def count(span: Duration) -> int:
        return abs(span.nanos) // unit * (-1 if span.nanos < 0 else 1)

    return count


def _span_milliseconds(span: Duration) -> int:
    return abs(span.nanos) // 10**6 * (-1 if span.nanos < 0 else 1)


_GETTERS: Final = {
    "getFullYear": _getter(lambda local: local.year),
    "getMonth": _getter(lambda local: local.month - 1),
    "getDayOfYear": _getter(lambda local: local.timetuple().tm_yday - 1),
    "getDayOfMonth": _getter(lambda local: local.day - 1),
    "getDate": _getter(lambda local: local.day),
    "getDayOfWeek": _getter(lambda local: local.isoweekday() % 7),
    "getHours": _getter(lambda local: local.hour),
    "getMinutes": _getter(lambda local: local.minute),
    "getSeconds": _getter(lambda local: local.second),
    "getMilliseconds": _milliseconds,
}

OVERLOADS = (
    *(overload(f"<timestamp>.{name}() -> int", get) for name, get in _GETTERS.items()),
    *(overload(f"<timestamp>.{name}(string) -> int", get) for name, get in _GETTERS.items()),
    overload("<duration>.getHours() -> int", _whole(3600 * _SECOND)),
    overload("<duration>.getMinutes() -> int", _whole(60 * _SECOND)),
    overload("<duration>.getSeconds() -> int", _whole(_SECOND)),
    overload("<duration>.getMilliseconds() -> int", _span_milliseconds),
)
