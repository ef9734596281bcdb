"""Lists and sets: the extensions of cel-go (lists 3, sets) and Kubernetes' own list functions."""

from __future__ import annotations

from collections.abc import Callable
from functools import cmp_to_key
from itertools import pairwise

from kai_py.core.dra.cel.bounds import bounded, check_size, spend
from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.operators import add, member
from kai_py.core.dra.cel.library.overload import Overload, overload
from kai_py.core.dra.cel.values import NOTHING, Duration, Optional, UInt, Value, compare, equal_or_unequal

#: Attribute lists hold at most as many values (``ResourceSliceMaxAttributeValuesPerDevice``).
MAX_INCLUDES = 48

_COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
_ZERO: dict[str, Value] = {"int": 0, "uint": UInt(0), "double": 0.0, "duration": Duration(0)}


def _slice(values: list[Value], start: int, end: int) -> list[Value]:
    if start < 0 or end < 0:
        raise EvaluationError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise EvaluationError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if len(values) < end:
        raise EvaluationError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def _flatten(values: list[Value], depth: int = 1) -> list[Value]:
    if depth < 0:
        raise EvaluationError("level must be non-negative")
    flat: list[Value] = []
    spend(1 + len(values))
    for value in values:
        flat.extend(_flatten(value, depth - 1) if isinstance(value, list) and depth else [value])
        check_size(len(flat))
    return flat


def _range(count: int) -> list[Value]:
    bounded(count)
    return list(range(count))


def _distinct(values: list[Value]) -> list[Value]:
    unique: list[Value] = []
    for value in values:
        if not member(value, unique):
            unique.append(value)
    return unique


def _sort(values: list[Value]) -> list[Value]:
    return _sort_by(values, values)


def _compare_keys(left: tuple[Value, Value], right: tuple[Value, Value]) -> int:
    return compare("sort", left[0], right[0])


def _sort_by(values: list[Value], keys: list[Value]) -> list[Value]:
    if len(values) != len(keys):
        raise EvaluationError("@sortByAssociatedKeys() expected a list of the same size as the associated keys list")
    if len({type(key) for key in keys}) > 1:
        raise EvaluationError("list elements must have the same type")
    by_key = cmp_to_key(_compare_keys)
    return [value for _, value in sorted(zip(keys, values, strict=True), key=by_key)]


def _is_sorted(values: list[Value]) -> bool:
    return all(compare("isSorted", left, right) <= 0 for left, right in pairwise(values))


def _best(name: str, sign: int) -> Callable[[list[Value]], Value]:
    def best(values: list[Value]) -> Value:
        if not values:
            raise EvaluationError(f"{name} called on empty list")
        result = values[0]
        for value in values[1:]:
            if compare(name, value, result) == sign:
                result = value
        return result

    return best


def _sum(zero: Value) -> Callable[[list[Value]], Value]:
    def total(values: list[Value]) -> Value:
        result = zero
        for value in values:
            result = add(result, value)
        return result

    return total


def _index_of(values: list[Value], wanted: Value) -> int:
    spend(len(values))
    return next((index for index, value in enumerate(values) if equal_or_unequal(value, wanted)), -1)


def _last_index_of(values: list[Value], wanted: Value) -> int:
    spend(len(values))
    backwards = range(len(values) - 1, -1, -1)
    return next((index for index in backwards if equal_or_unequal(values[index], wanted)), -1)


def _includes(target: Value, wanted: Value) -> bool:
    if not isinstance(target, list):
        return equal_or_unequal(target, wanted)
    for index, value in enumerate(target):
        if index >= MAX_INCLUDES:
            raise EvaluationError(f"'includes' function cannot be applied to lists longer than {MAX_INCLUDES} values")
        if equal_or_unequal(value, wanted):
            return True
    return False


def _set_contains(values: list[Value], part: list[Value]) -> bool:
    return all(member(value, values) for value in part)


def _set_equivalent(left: list[Value], right: list[Value]) -> bool:
    return _set_contains(left, right) and _set_contains(right, left)


def _set_intersects(left: list[Value], right: list[Value]) -> bool:
    return any(member(value, right) for value in left)


def _typed() -> list[Overload]:
    """Kubernetes declares these once per type of element."""
    declared = []
    for kind in _COMPARABLE:
        declared += [
            overload(f"<list<{kind}>>.isSorted() -> bool", _is_sorted, declare=True),
            overload(f"<list<{kind}>>.min() -> {kind}", _best("min", -1), declare=True),
            overload(f"<list<{kind}>>.max() -> {kind}", _best("max", 1), declare=True),
        ]
    return declared + [
        overload(f"<list<{kind}>>.sum() -> {kind}", _sum(zero), declare=True) for kind, zero in _ZERO.items()
    ]


OVERLOADS = (
    overload("<list<T>>.slice(int, int) -> list<T>", _slice),
    overload("<list<list<T>>>.flatten() -> list<T>", _flatten),
    overload("<list<dyn>>.flatten(int) -> list<dyn>", _flatten),
    overload("lists.range(int) -> list<int>", _range),
    overload("<list<T>>.reverse() -> list<T>", lambda values: values[::-1]),
    overload("<list<T>>.distinct() -> list<T>", _distinct),
    overload("<list<T>>.sort() -> list<T>", _sort),
    overload("<list<T>>.@sortByAssociatedKeys(list<U>) -> list<T>", _sort_by),
    overload("<list<A>>.indexOf(A) -> int", _index_of, declare=True),
    overload("<list<A>>.lastIndexOf(A) -> int", _last_index_of, declare=True),
    overload("<list<A>>.first() -> optional_type<A>", lambda values: Optional(values[0]) if values else NOTHING),
    overload("<list<A>>.last() -> optional_type<A>", lambda values: Optional(values[-1]) if values else NOTHING),
    overload("sets.contains(list<T>, list<T>) -> bool", _set_contains),
    overload("sets.equivalent(list<T>, list<T>) -> bool", _set_equivalent),
    overload("sets.intersects(list<T>, list<T>) -> bool", _set_intersects),
    *_typed(),
)

#: Only with the feature for attributes that are lists, or for stored expressions.
INCLUDES = overload("<dyn>.includes(dyn) -> bool", _includes, declare=True)
