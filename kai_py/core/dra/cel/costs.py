"""What a call costs, in the units of Kubernetes.

The numbers are those of cel-go's cost tracker (``interpreter/runtimecost.go``), of its lists and sets extensions and
of Kubernetes' own libraries (``apiserver/pkg/cel/library/cost.go``), so that an expression that passes there passes
here. A cost is told from arguments and result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Final

from kai_py.core.dra.cel.bounds import spend
from kai_py.core.dra.cel.library.formats import COSTS
from kai_py.core.dra.cel.values import Address, Format, Network, Value, size

#: Kubernetes' limit for a selector on one device (``CELSelectorExpressionMaxCost``).
COST_LIMIT: Final = 1_000_000
CREATE_LIST: Final = 10
CREATE_MAP: Final = 30

#: Cost of a call, from its arguments (receiver first) and its result.
Cost = Callable[[Sequence[Value], Value], int]


def actual_size(value: Value) -> int:
    """What costs are counted by; addresses count their bytes."""
    if isinstance(value, Address):
        return value.address.max_prefixlen // 8
    if isinstance(value, Network):
        return math.ceil(value.interface.network.prefixlen / 8)
    return size(value)


def _tenth(count: float) -> int:
    return math.ceil(count * 0.1)


def _first(arguments: Sequence[Value], _result: Value) -> int:
    return _tenth(actual_size(arguments[0]))


def _first_twice(arguments: Sequence[Value], _result: Value) -> int:
    return _tenth(actual_size(arguments[0]) * 2)


def _result_twice(_arguments: Sequence[Value], result: Value) -> int:
    return _tenth(actual_size(result) * 2)


def _regex(arguments: Sequence[Value], _result: Value) -> int:
    return _tenth(1 + actual_size(arguments[0])) * math.ceil(actual_size(arguments[1]) * 0.25)


def _traversal(arguments: Sequence[Value], _result: Value) -> int:
    return _traverse(arguments[0])


def _traverse(value: Value) -> int:
    spend(1)
    if isinstance(value, str):
        return int(len(value.encode()) * 0.1)
    if isinstance(value, bytes):
        return int(len(value) * 0.1)
    if isinstance(value, list):
        return sum(map(_traverse, value))
    if isinstance(value, dict):
        return sum(_traverse(key) + _traverse(item) for key, item in value.items())
    return 1


def _shorter(arguments: Sequence[Value], _result: Value) -> int:
    return _tenth(min(actual_size(arguments[0]), actual_size(arguments[1])))


def _equals(arguments: Sequence[Value], result: Value) -> int:
    return 1 if isinstance(arguments[0], (Address, Network)) else _shorter(arguments, result)


def _both(arguments: Sequence[Value], _result: Value) -> int:
    return _tenth(actual_size(arguments[0]) + actual_size(arguments[1]))


def _product(arguments: Sequence[Value], _result: Value) -> int:
    return _tenth(actual_size(arguments[0])) * _tenth(actual_size(arguments[1]))


def _elements(arguments: Sequence[Value], _result: Value) -> int:
    return actual_size(arguments[1])


def _new_list(_arguments: Sequence[Value], result: Value) -> int:
    return 1 + CREATE_LIST + actual_size(result)


def _flatten(arguments: Sequence[Value], _result: Value) -> int:
    depth = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], int) else 1
    depth = max(depth, 0)
    return 1 + CREATE_LIST + depth * actual_size(arguments[0])


def _squared(position: int) -> Cost:
    def cost(arguments: Sequence[Value], _result: Value) -> int:
        values = arguments[position]
        assert isinstance(values, list)
        factor = 2.1 if values and isinstance(values[0], (str, bytes)) else 2.0
        return 1 + CREATE_LIST + int(factor * len(values) ** 2)

    return cost


def _sets(factor: int) -> Cost:
    def cost(arguments: Sequence[Value], _result: Value) -> int:
        return 1 + factor * actual_size(arguments[0]) * actual_size(arguments[1])

    return cost


def _contains_address(arguments: Sequence[Value], _result: Value) -> int:
    parse = _tenth(actual_size(arguments[1])) if isinstance(arguments[1], str) else 0
    return _tenth(2 * actual_size(arguments[0])) + parse


def _contains_network(arguments: Sequence[Value], result: Value) -> int:
    return _contains_address(arguments, result) + _tenth(actual_size(arguments[0])) + 1


def _validate(arguments: Sequence[Value], _result: Value) -> int:
    form = arguments[0]
    length = COSTS[form.name] if isinstance(form, Format) else 0
    return _tenth(1 + actual_size(arguments[1])) * math.ceil(length * 0.25)


#: By name of the function.
_BY_NAME: Final = MappingProxyType(
    dict.fromkeys(
        ("url", "lowerAscii", "upperAscii", "substring", "trim", "cidr", "isIP", "isCIDR", "quantity", "isQuantity",
         "semver", "isSemver"),
        _first,
    )
    | dict.fromkeys(("replace", "split", "ip.isCanonical"), _first_twice)
    | dict.fromkeys(("find", "findAll"), _regex)
    | dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _traversal)
    | {
        "join": _result_twice,
        "lists.range": _new_list,
        "slice": _new_list,
        "reverse": _new_list,
        "flatten": _flatten,
        "distinct": _squared(0),
        "sort": _squared(0),
        "@sortByAssociatedKeys": _squared(1),
        "sets.contains": _sets(1),
        "sets.intersects": _sets(1),
        "sets.equivalent": _sets(2),
        "containsIP": _contains_address,
        "containsCIDR": _contains_network,
        "validate": _validate,
        "_==_": _equals,
        "_!=_": _shorter,
    }
)  # fmt: skip

#: By the overload that the checker settled on; dynamic arguments leave it open, and then a call costs 1.
_BY_OVERLOAD: Final = MappingProxyType(
    dict.fromkeys(
        ("starts_with_string", "ends_with_string", "string_to_bytes", "string(bytes) -> string", "strings_quote",
         "string_format"),
        _first,
    )
    | dict.fromkeys(
        tuple(f"{order}_{kind}" for kind in ("string", "bytes")
              for order in ("less", "less_equals", "greater", "greater_equals")),
        _shorter,
    )
    | {
        "in_list": _elements,
        "add_string": _both,
        "add_bytes": _both,
        "matches_string": _regex,
        "contains_string": _product,
    }
)  # fmt: skip


def needs_result(cost: Cost) -> bool:
    """Whether a cost can be told only afterwards; all others are told, and refused, before anything is computed."""
    return cost in (_new_list, _result_twice)


def cost_of(function: str, overload: str, *, method: bool) -> Cost | None:
    """How to count the cost of a call; ``None`` when it always costs 1."""
    if function == "ip":
        return None if method else _first
    return _BY_NAME.get(function) or _BY_OVERLOAD.get(overload)
