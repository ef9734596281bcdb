"""What Kubernetes demands beyond types: homogeneous literals, and literal patterns and times that can be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from kai_py.core.dra.cel.errors import SelectorError
from kai_py.core.dra.cel.library.regex import pattern
from kai_py.core.dra.cel.library.times import parse_duration, parse_timestamp
from kai_py.core.dra.cel.syntax import (
    Call,
    CheckedExpression,
    Comprehension,
    Constant,
    Ident,
    ListLiteral,
    MapLiteral,
    Node,
    Select,
)

#: Literal arguments that are read when the expression is compiled: function → position of the argument, reader.
_READERS: Final[Mapping[str, tuple[int, Callable[[str], object]]]] = MappingProxyType(
    {
        "matches": (1, pattern),
        "find": (1, pattern),
        "findAll": (1, pattern),
        "duration": (0, parse_duration),
        "timestamp": (0, parse_timestamp),
    }
)


def fault(checked: CheckedExpression) -> tuple[Node, str] | None:
    """The first thing that the API server would refuse, with where it is; ``None`` if there is none."""
    return next(_faults(checked.root, checked, shadowed=False), None)


def _faults(node: Node, checked: CheckedExpression, *, shadowed: bool) -> Iterator[tuple[Node, str]]:
    match node:
        case ListLiteral():
            yield from _mixed(node.elements, node.optional, checked)
        case MapLiteral():
            optional = frozenset(place for place, entry in enumerate(node.entries) if entry.optional)
            yield from _mixed(tuple(entry.key for entry in node.entries), frozenset(), checked)
            yield from _mixed(tuple(entry.value for entry in node.entries), optional, checked)
        case Call() if node.function in _READERS:
            yield from _unreadable(node)
        case Select(operand=Ident(name="device")) if not shadowed:  # the fields that exist are variables of their own
            yield node, f"undefined field '{node.field}'"
        case Comprehension():
            shadowed = shadowed or "device" in (node.variable, node.second_variable, node.accumulator)
    if not (isinstance(node, Call) and node.function == "format"):  # its list may hold anything
        for child in _children(node):
            yield from _faults(child, checked, shadowed=shadowed)


def _mixed(nodes: tuple[Node, ...], optional: frozenset[int], checked: CheckedExpression) -> Iterator[tuple[Node, str]]:
    expected = ""
    for place, node in enumerate(nodes):
        found = checked.types.get(node.id, "dyn")
        if place in optional:
            found = found.removeprefix("optional_type(").removesuffix(")")
        expected = expected or found
        if found != expected:
            message = f"expected type '{expected}' but found '{found}'"
            yield node, message.replace("google.protobuf.Any", "any")


def _unreadable(call: Call) -> Iterator[tuple[Node, str]]:
    place, read = _READERS[call.function]
    argument = call.arguments[place] if len(call.arguments) > place else call
    if isinstance(argument, Constant) and isinstance(argument.value, str):
        try:
            read(argument.value)
        except SelectorError:
            yield argument, f"invalid {call.function} argument"


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Select():
            return (node.operand,)
        case Call():
            return node.arguments
        case ListLiteral():
            return node.elements
        case MapLiteral():
            return tuple(child for entry in node.entries for child in (entry.key, entry.value))
        case Comprehension():
            return node.range, node.initial, node.condition, node.step, node.result
    return ()
