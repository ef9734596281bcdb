"""Quantity and Semver: reading, comparing and (quantities) adding them."""

from __future__ import annotations

from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.quantity import Quantity, parse_quantity
from kai_py.core.dra.cel.semver import Semver, parse_semver


def _quantity(text: str) -> Quantity:
    try:
        return parse_quantity(text)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        parse_quantity(text)
    except ValueError:
        return False
    return True


def _as_integer(quantity: Quantity) -> int:
    if not quantity.is_integer:
        raise EvaluationError("cannot convert value to integer")
    return quantity.value.numerator


def _whole(number: int) -> Quantity:
    return parse_quantity(str(number))


def _order(left: Quantity | Semver, right: Quantity | Semver) -> int:
    return (left > right) - (left < right)  # type: ignore[operator]  # overloads pair equal types


def _semver(text: str, normalize: bool = False) -> Semver:
    try:
        return parse_semver(text, normalize=normalize)
    except ValueError as error:
        raise EvaluationError(str(error)) from None


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        parse_semver(text, normalize=normalize)
    except ValueError:
        return False
    return True


def _signed(number: int) -> int:
    """Upstream reads the 64 bits of an unsigned number as a signed one."""
    return number - 2**64 if number >= 2**63 else number


def _sign(quantity: Quantity) -> int:
    return (quantity.value > 0) - (quantity.value < 0)


_Q = "kubernetes.Quantity"
_V = "kubernetes.Semver"

OVERLOADS = (
    overload(f"quantity(string) -> {_Q}", _quantity, declare=True),
    overload("isQuantity(string) -> bool", _is_quantity, declare=True),
    overload(f"sign({_Q}) -> int", _sign, declare=True),
    overload(f"<{_Q}>.isInteger() -> bool", lambda quantity: quantity.is_integer, declare=True),
    overload(f"<{_Q}>.asInteger() -> int", _as_integer, declare=True),
    overload(f"<{_Q}>.asApproximateFloat() -> double", lambda quantity: float(quantity.value), declare=True),
    overload(f"<{_Q}>.add({_Q}) -> {_Q}", lambda left, right: left + right, declare=True),
    overload(f"<{_Q}>.add(int) -> {_Q}", lambda left, right: left + _whole(right), declare=True),
    overload(f"<{_Q}>.sub({_Q}) -> {_Q}", lambda left, right: left - right, declare=True),
    overload(f"<{_Q}>.sub(int) -> {_Q}", lambda left, right: left - _whole(right), declare=True),
    overload(f"<{_Q}>.isGreaterThan({_Q}) -> bool", lambda left, right: left > right, declare=True),
    overload(f"<{_Q}>.isLessThan({_Q}) -> bool", lambda left, right: left < right, declare=True),
    overload(f"<{_Q}>.compareTo({_Q}) -> int", _order, declare=True),
    overload(f"semver(string) -> {_V}", _semver, declare=True),
    overload(f"semver(string, bool) -> {_V}", _semver, declare=True),
    overload("isSemver(string) -> bool", _is_semver, declare=True),
    overload("isSemver(string, bool) -> bool", _is_semver, declare=True),
    overload(f"<{_V}>.major() -> int", lambda version: _signed(version.major), declare=True),
    overload(f"<{_V}>.minor() -> int", lambda version: _signed(version.minor), declare=True),
    overload(f"<{_V}>.patch() -> int", lambda version: _signed(version.patch), declare=True),
    overload(f"<{_V}>.isGreaterThan({_V}) -> bool", lambda left, right: left > right, declare=True),
    overload(f"<{_V}>.isLessThan({_V}) -> bool", lambda left, right: left < right, declare=True),
    overload(f"<{_V}>.compareTo({_V}) -> int", _order, declare=True),
)
