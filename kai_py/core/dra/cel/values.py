"""What an expression computes with, as Python values, and their equality and order.

==================  =======================================================
CEL                 here
==================  =======================================================
bool, int, double   ``bool``, ``int`` within 64 bits, ``float``
uint                :class:`UInt`
string, bytes       ``str``, ``bytes``
null                ``None``
list, map           ``list``, ``dict`` (boolean keys as :class:`BoolKey`)
timestamp           :class:`Timestamp`
duration            :class:`Duration`
optional            :class:`Optional`
type                :class:`TypeValue`
==================  =======================================================

Quantity, Semver, IP, CIDR, URL and NamedFormat are classes of their own. Values are never changed after they can be
seen by two expressions.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import SplitResult

from kai_py.core.dra.cel.bounds import spend
from kai_py.core.dra.cel.errors import EvaluationError, no_such_overload
from kai_py.core.dra.cel.quantity import Quantity
from kai_py.core.dra.cel.semver import Semver

#: A value of the language; what it may be is in the table above.
Value = object

MIN_INT64: Final = -(2**63)
MAX_INT64: Final = 2**63 - 1
MAX_UINT64: Final = 2**64 - 1


class UInt(int):
    """An unsigned number of 64 bits; equal to an ``int`` or ``float`` of the same amount."""

    __slots__ = ()


@dataclass(frozen=True)
class BoolKey:
    """A boolean key of a map: Python would take ``True`` for ``1``."""

    value: bool


class DomainMap(dict[Value, Value]):
    """``device.attributes`` and ``device.capacity``: looking up a domain that nobody filled gives an empty map."""

    __slots__ = ()


@dataclass(frozen=True, order=True)
class Timestamp:
    """A moment: nanoseconds since 1970-01-01T00:00:00Z."""

    nanos: int


@dataclass(frozen=True, order=True)
class Duration:
    """A span of time in nanoseconds."""

    nanos: int


@dataclass(frozen=True)
class TypeValue:
    """A type as a value, e.g. the result of ``type(1)``."""

    name: str


@dataclass(frozen=True)
class Optional:
    """A value that may be absent. ``NOTHING`` is the absent one."""

    value: Value
    present: bool = True


NOTHING: Final = Optional(None, present=False)


@dataclass(frozen=True)
class Address:
    """An IP address (``net.IP``)."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Network:
    """A CIDR (``net.CIDR``); the address keeps the bits behind the prefix."""

    interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True)
class Url:
    """An absolute URL."""

    parts: SplitResult
    escaped_path: str


@dataclass(frozen=True)
class Format:
    """One of Kubernetes' named formats, e.g. ``format.dns1123Label()``."""

    name: str


@dataclass(frozen=True)
class DeviceValue:
    """The variable ``device`` as a whole."""

    fields: Mapping[str, Value]


EMPTY: Final[dict[Value, Value]] = {}

TYPE_NAMES: Final[Mapping[type, str]] = MappingProxyType(
    {
        bool: "bool",
        int: "int",
        UInt: "uint",
        float: "double",
        str: "string",
        bytes: "bytes",
        type(None): "null_type",
        list: "list",
        dict: "map",
        DomainMap: "map",
        Timestamp: "google.protobuf.Timestamp",
        Duration: "google.protobuf.Duration",
        Optional: "optional_type",
        TypeValue: "type",
        Quantity: "kubernetes.Quantity",
        Semver: "kubernetes.Semver",
        Address: "net.IP",
        Network: "net.CIDR",
        Url: "kubernetes.URL",
        Format: "kubernetes.NamedFormat",
        DeviceValue: "kubernetes.DRADevice",
    }
)

#: Types that refuse to be compared with another type, where others are just unequal.
_PROUD: Final = frozenset({Quantity, Semver, Address, Network, Url, Format})
_KEYS: Final = frozenset({str, int, UInt, float})
_NUMBERS: Final = frozenset({int, UInt, float})
_ORDERED: Final = frozenset({bool, str, bytes, Timestamp, Duration})


def type_name(value: Value) -> str:
    """The CEL name of a value's type."""
    return TYPE_NAMES[type(value)]


def map_key(key: Value) -> Value:
    """A CEL value as the key of a Python dict.

    Raises:
        EvaluationError: values of this type cannot be keys.
    """
    kind = type(key)
    if kind is bool:
        return BoolKey(key is True)
    if kind in _KEYS:
        return key
    raise EvaluationError(f"unsupported key type: {type_name(key)}")


def key_value(key: Value) -> Value:
    """The CEL value of a key of a Python dict."""
    return key.value if type(key) is BoolKey else key


def equal(left: Value, right: Value) -> bool:
    """``left == right``: of different types is unequal, except among numbers.

    Raises:
        EvaluationError: the left side is a Quantity, Semver, … and the right side is not.
    """
    kind, other = type(left), type(right)
    if kind is other:
        if kind is list:
            return _equal_lists(left, right)  # type: ignore[arg-type]  # the kind says so
        if kind is dict:
            return _equal_maps(left, right)  # type: ignore[arg-type]  # the kind says so
        if kind is Optional:
            return _equal_optionals(left, right)  # type: ignore[arg-type]  # the kind says so
        return left == right
    if left is None or right is None:
        return False
    if kind in _NUMBERS:
        return other in _NUMBERS and left == right
    if kind in _PROUD:
        raise no_such_overload("_==_", type_name(left), type_name(right))
    if isinstance(left, dict) and isinstance(right, dict):
        return _equal_maps(left, right)
    return False


def equal_or_unequal(left: Value, right: Value) -> bool:
    """Like :func:`equal`, where an error counts as unequal: how lists and sets are searched."""
    try:
        return equal(left, right)
    except EvaluationError:
        return False


def compare(function: str, left: Value, right: Value) -> int:
    """Order of two values: -1, 0 or 1.

    Raises:
        EvaluationError: they have no order, or are of different types and not both numbers.
    """
    kind, other = type(left), type(right)
    if kind in _NUMBERS and other in _NUMBERS:
        if left != left or right != right:  # not a number
            raise EvaluationError("NaN values cannot be ordered")
    elif kind is not other or kind not in _ORDERED:
        raise no_such_overload(function, type_name(left), type_name(right))
    return 0 if left == right else (1 if left > right else -1)  # type: ignore[operator]  # of one ordered type


def size(value: Value) -> int:
    """What costs are counted by: characters, bytes, elements or entries; 1 for everything else."""
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    if isinstance(value, Optional) and value.present:
        return size(value.value)
    return 1


def checked_int(number: int) -> int:
    """The number, if it fits into 64 bits."""
    if MIN_INT64 <= number <= MAX_INT64:
        return number
    raise EvaluationError("integer overflow")


def checked_uint(number: int) -> UInt:
    """The number, if it fits into 64 bits without a sign."""
    if 0 <= number <= MAX_UINT64:
        return UInt(number)
    raise EvaluationError("unsigned integer overflow")


def _equal_lists(left: list[Value], right: list[Value]) -> bool:
    spend(1 + len(left))
    return len(left) == len(right) and all(map(_not_unequal, left, right))


def _equal_maps(left: dict[Value, Value], right: dict[Value, Value]) -> bool:
    spend(1 + len(left))
    return len(left) == len(right) and all(
        key in right and _not_unequal(value, right[key]) for key, value in left.items()
    )


def _equal_optionals(left: Optional, right: Optional) -> bool:
    if not left.present or not right.present:
        return left.present == right.present
    return equal(left.value, right.value)


def _not_unequal(left: Value, right: Value) -> bool:
    """Inside lists and maps, upstream takes an error of a comparison for "not unequal"."""
    try:
        return equal(left, right)
    except EvaluationError:
        return True
