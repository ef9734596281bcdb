"""Arithmetic, order, indexing and membership: what the operators of the language do."""

from __future__ import annotations

import math
from collections.abc import Callable

from kai_py.core.dra.cel.bounds import bounded, spend
from kai_py.core.dra.cel.errors import EvaluationError, no_such_overload
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.values import (
    EMPTY,
    NOTHING,
    DeviceValue,
    DomainMap,
    Duration,
    Optional,
    Timestamp,
    UInt,
    Value,
    checked_int,
    checked_uint,
    compare,
    equal_or_unequal,
    map_key,
    type_name,
)

#: Timestamps lie between the years 1 and 9999.
_FIRST, _LAST = -62_135_596_800_000_000_000, 253_402_300_799_999_999_999
_SPAN = 2**63 - 1


def duration(nanos: int) -> Duration:
    """A span of time, if 64 bits can count its nanoseconds."""
    if -_SPAN - 1 <= nanos <= _SPAN:
        return Duration(nanos)
    raise EvaluationError("duration overflow")


def timestamp(nanos: int) -> Timestamp:
    """A moment between the years 1 and 9999."""
    if _FIRST <= nanos <= _LAST:
        return Timestamp(nanos)
    raise EvaluationError("timestamp overflow")


def add(left: Value, right: Value) -> Value:
    """``left + right``."""
    kinds = type(left), type(right)
    if kinds == (int, int):
        return checked_int(left + right)  # type: ignore[operator]  # the kinds say so
    if kinds in ((str, str), (bytes, bytes), (list, list)):
        bounded(len(left) + len(right))  # type: ignore[arg-type]  # the kinds say so
        return left + right  # type: ignore[operator]  # the kinds say so
    if kinds == (UInt, UInt):
        return checked_uint(int(left) + int(right))  # type: ignore[call-overload]  # the kinds say so
    if kinds == (float, float):
        return left + right  # type: ignore[operator]  # the kinds say so
    if isinstance(left, Duration) and isinstance(right, Duration):
        return duration(left.nanos + right.nanos)
    if (
        isinstance(left, (Timestamp, Duration))
        and isinstance(right, (Timestamp, Duration))
        and kinds[0] is not kinds[1]
    ):
        return timestamp(left.nanos + right.nanos)
    raise no_such_overload("_+_", type_name(left), type_name(right))


def _subtract_timestamps(left: Timestamp, right: Timestamp) -> Duration:
    return duration(left.nanos - right.nanos)


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("division by zero")
    quotient = abs(left) // abs(right)
    return checked_int(quotient if (left < 0) == (right < 0) else -quotient)


def _remainder(left: int, right: int) -> int:
    if right == 0:
        raise EvaluationError("modulus by zero")
    if right == -1 and left == -(2**63):
        raise EvaluationError("integer overflow")
    return int(math.copysign(1, left)) * (abs(left) % abs(right))


def _divide_uint(left: UInt, right: UInt) -> UInt:
    return UInt(_divide_whole(int(left), int(right), "division by zero"))


def _remainder_uint(left: UInt, right: UInt) -> UInt:
    if right == 0:
        raise EvaluationError("modulus by zero")
    return UInt(int(left) % int(right))


def _divide_whole(left: int, right: int, message: str) -> int:
    if right == 0:
        raise EvaluationError(message)
    return left // right


def _divide_double(left: float, right: float) -> float:
    if right:
        return left / right
    if not left or left != left:  # not a number
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1, right)


def _order(symbol: str, test: Callable[[int], bool]) -> Callable[[Value, Value], bool]:
    def ordered(left: Value, right: Value) -> bool:
        if left != left or right != right:  # not a number
            return False
        return test(compare(symbol, left, right))

    return ordered


def member(element: Value, container: Value) -> bool:
    """``element in container``."""
    if isinstance(container, list):
        spend(1 + len(container))
        return any(equal_or_unequal(element, value) for value in container)
    if isinstance(container, dict):
        try:
            return map_key(element) in container
        except EvaluationError:
            return False
    raise no_such_overload("@in", type_name(element), type_name(container))


def index(container: Value, key: Value) -> Value:
    """``container[key]``.

    Raises:
        EvaluationError: no such key or index; except that an unknown *domain* of a device is an empty map.
    """
    if isinstance(container, list):
        position = _position(key)
        if not 0 <= position < len(container):
            raise EvaluationError(f"index out of bounds: {position}")
        return container[position]
    if not isinstance(container, (dict, DeviceValue)):
        raise no_such_overload("_[_]", type_name(container), type_name(key))
    found = find(container, key)
    if found is _MISSING:
        raise EvaluationError(f"no such key: {_shown(key)}")
    return found


class _Missing:
    """No value, not even null."""


_MISSING = _Missing()


def find(container: Value, key: Value) -> Value:
    """The value of a key or field, or an object that is no value."""
    if isinstance(container, dict):
        if type(key) is str:
            found = container.get(key, _MISSING)
        else:
            try:
                found = container.get(map_key(key), _MISSING)
            except EvaluationError:
                found = _MISSING
        return EMPTY if found is _MISSING and type(container) is DomainMap else found
    if isinstance(container, DeviceValue):
        return container.fields.get(key, _MISSING) if isinstance(key, str) else _MISSING
    return _MISSING


def select(operand: Value, field: str) -> Value:
    """``operand.field``; of an optional it is an optional again."""
    if isinstance(operand, Optional):
        return optional_index(operand, field)
    return index(operand, field) if not isinstance(operand, list) else index({}, field)


def has(operand: Value, field: str) -> bool:
    """``has(operand.field)``."""
    if isinstance(operand, Optional):
        return operand.present and has(operand.value, field)
    return find(operand, field) is not _MISSING


def optional_index(container: Value, key: Value) -> Optional:
    """``container[?key]`` and ``container.?key``."""
    if isinstance(container, Optional):
        return optional_index(container.value, key) if container.present else NOTHING
    if isinstance(container, list):
        position = _position(key)
        return Optional(container[position]) if 0 <= position < len(container) else NOTHING
    found = find(container, key)
    return NOTHING if found is _MISSING else Optional(found)


def _position(key: Value) -> int:
    if type(key) is int or type(key) is UInt:
        return int(key)
    if isinstance(key, float) and key.is_integer():
        return int(key)
    raise EvaluationError(f"unsupported index type '{type_name(key)}' in list")


def _shown(key: Value) -> str:
    if type(key) is bool:
        return "true" if key else "false"
    return str(key)


def _not(value: bool) -> bool:
    return not value


OVERLOADS = (
    overload("@not(bool) -> bool", _not),
    overload("@negate(int) -> int", lambda number: checked_int(-number)),
    overload("@negate(double) -> double", lambda number: -number),
    overload("@negate(duration) -> duration", lambda span: duration(-span.nanos)),
    overload("@add(A, B) -> dyn", add),
    overload("@subtract(int, int) -> int", lambda left, right: checked_int(left - right)),
    overload("@subtract(uint, uint) -> uint", lambda left, right: checked_uint(int(left) - int(right))),
    overload("@subtract(double, double) -> double", lambda left, right: left - right),
    overload("@subtract(duration, duration) -> duration", lambda left, right: duration(left.nanos - right.nanos)),
    overload("@subtract(timestamp, timestamp) -> duration", _subtract_timestamps),
    overload("@subtract(timestamp, duration) -> timestamp", lambda left, right: timestamp(left.nanos - right.nanos)),
    overload("@multiply(int, int) -> int", lambda left, right: checked_int(left * right)),
    overload("@multiply(uint, uint) -> uint", lambda left, right: checked_uint(int(left) * int(right))),
    overload("@multiply(double, double) -> double", lambda left, right: left * right),
    overload("@divide(int, int) -> int", _divide),
    overload("@divide(uint, uint) -> uint", _divide_uint),
    overload("@divide(double, double) -> double", _divide_double),
    overload("@modulo(int, int) -> int", _remainder),
    overload("@modulo(uint, uint) -> uint", _remainder_uint),
    overload("@less(A, B) -> bool", _order("_<_", lambda order: order < 0)),
    overload("@less_equals(A, B) -> bool", _order("_<=_", lambda order: order <= 0)),
    overload("@greater(A, B) -> bool", _order("_>_", lambda order: order > 0)),
    overload("@greater_equals(A, B) -> bool", _order("_>=_", lambda order: order >= 0)),
    overload("@in(A, B) -> bool", member),
)
