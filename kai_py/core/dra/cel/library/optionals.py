"""Optional values."""

from __future__ import annotations

from kai_py.core.dra.cel.bounds import bounded
from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.values import NOTHING, Duration, Optional, Timestamp, Value


def _value(optional: Optional) -> Value:
    if not optional.present:
        raise EvaluationError("optional.none() dereference")
    return optional.value


def _of_non_zero(value: Value) -> Optional:
    zero = value is None or (isinstance(value, (bool, int, float, str, bytes, list, dict)) and not value)
    zero = zero or (isinstance(value, (Duration, Timestamp)) and not value.nanos)
    return NOTHING if zero or value == NOTHING else Optional(value)


def _unwrap(optionals: list[Value]) -> list[Value]:
    bounded(len(optionals))
    return [item.value for item in optionals if isinstance(item, Optional) and item.present]


OVERLOADS = (
    overload("optional.of(A) -> optional_type<A>", Optional),
    overload("optional.none() -> optional_type<A>", lambda: NOTHING),
    overload("optional.ofNonZeroValue(A) -> optional_type<A>", _of_non_zero),
    overload("optional.unwrap(list<optional_type<A>>) -> list<A>", _unwrap, declare=True),
    overload("<list<optional_type<A>>>.unwrapOpt() -> list<A>", _unwrap, declare=True),
    overload("<optional_type<A>>.hasValue() -> bool", lambda optional: optional.present),
    overload("<optional_type<A>>.value() -> A", _value),
)
