"""The checked expression as a tree, read from what the checker serialises (``cel.expr.CheckedExpr``).

The format is that of protocol buffers; the field numbers are those of cel-spec's ``syntax.proto`` and
``checked.proto``. A reader of forty lines spares the dependency, the copies and the nesting limit of the protobuf
runtime.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kai_py.core.dra.cel.values import UInt, Value

#: The fields of one message: number → values in order; a value is an ``int`` or the bytes of a nested one.
Fields = Mapping[int, Sequence[int | bytes]]


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal."""

    id: int
    value: Value


@dataclass(frozen=True, slots=True)
class Ident:
    """A variable or type by its (possibly qualified) name."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``, or ``has(operand.field)``."""

    id: int
    operand: Node
    field: str
    test_only: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A function or operator; a method has its target as first argument.

    Attributes:
        overload: id of the only overload that fits, empty when the types decide at run time.
    """

    id: int
    function: str
    arguments: tuple[Node, ...]
    method: bool
    overload: str


@dataclass(frozen=True, slots=True)
class ListLiteral:
    """``[a, ?b]``: elements, and the positions of the optional ones."""

    id: int
    elements: tuple[Node, ...]
    optional: frozenset[int]


@dataclass(frozen=True, slots=True)
class Entry:
    """``key: value`` or ``?key: value`` of a map literal."""

    key: Node
    value: Node
    optional: bool


@dataclass(frozen=True, slots=True)
class MapLiteral:
    """``{a: b}``."""

    id: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class MessageLiteral:
    """``some.Message{}``, which selectors have no use for."""

    id: int
    name: str


@dataclass(frozen=True, slots=True)
class Comprehension:
    """What the macros all, exists, map, filter, ``cel.bind``, … turn into: a fold."""

    id: int
    variable: str
    second_variable: str
    range: Node
    accumulator: str
    initial: Node
    condition: Node
    step: Node
    result: Node


Node = Constant | Ident | Select | Call | ListLiteral | MapLiteral | MessageLiteral | Comprehension


@dataclass(frozen=True, slots=True)
class CheckedExpression:
    """An expression with what the checker found out.

    Attributes:
        root: the tree.
        types: name of the type of each node, by its id; spelled as cel-go does, e.g. ``map(string, dyn)``.
        positions: code point at which each node begins, by its id.
    """

    root: Node
    types: Mapping[int, str]
    positions: Mapping[int, int]


def read_checked(serialized: bytes) -> CheckedExpression:
    """Read a serialised ``google.protobuf.Any`` that holds a ``cel.expr.CheckedExpr``."""
    checked = _fields(_bytes(_fields(serialized), 2))
    references = {_int(entry, 1): _fields(_bytes(entry, 2)) for entry in map(_fields, _all_bytes(checked, 2))}
    types = {_int(entry, 1): _type(_bytes(entry, 2)) for entry in map(_fields, _all_bytes(checked, 3))}
    source = _fields(_bytes(checked, 5))
    positions = {_int(entry, 1): _int(entry, 2) for entry in map(_fields, _all_bytes(source, 4))}
    return CheckedExpression(_Tree(references, types).node(_bytes(checked, 4)), types, positions)


class _Tree:
    """Builds nodes: qualified names and namespaced functions are resolved as the checker resolved them."""

    def __init__(self, references: Mapping[int, Fields], types: Mapping[int, str]) -> None:
        self._references = references
        self._types = types

    def node(self, data: bytes) -> Node:
        fields = _fields(data)
        identity = _int(fields, 2)
        name = _text(self._references.get(identity, {}), 1)
        if name and (4 in fields or 5 in fields):
            return Ident(identity, name.removeprefix("."))
        if 3 in fields:
            return Constant(identity, _constant(_fields(_bytes(fields, 3))))
        if 4 in fields:
            return Ident(identity, _text(_fields(_bytes(fields, 4)), 1).removeprefix("."))
        if 5 in fields:
            select = _fields(_bytes(fields, 5))
            return Select(identity, self.node(_bytes(select, 1)), _text(select, 2), bool(_int(select, 3)))
        if 6 in fields:
            return self._call(identity, _fields(_bytes(fields, 6)))
        if 7 in fields:
            listed = _fields(_bytes(fields, 7))
            return ListLiteral(identity, self._nodes(listed, 1), frozenset(_packed(listed, 2)))
        if 8 in fields:
            return self._struct(identity, _fields(_bytes(fields, 8)))
        return self._comprehension(identity, _fields(_bytes(fields, 9)))

    def _nodes(self, fields: Fields, number: int) -> tuple[Node, ...]:
        return tuple(map(self.node, _all_bytes(fields, number)))

    def _call(self, identity: int, call: Fields) -> Node:
        overloads = _all_bytes(self._references.get(identity, {}), 3)
        overload = overloads[0].decode() if len(overloads) == 1 else ""
        function, arguments = _text(call, 2), self._nodes(call, 3)
        if 1 not in call:
            return Call(identity, function, arguments, method=False, overload=overload)
        target = self.node(_bytes(call, 1))
        if target.id not in self._types:  # not a value: the namespace of the function, e.g. ``sets``
            return Call(identity, f"{_dotted(target)}.{function}", arguments, method=False, overload=overload)
        return Call(identity, function, (target, *arguments), method=True, overload=overload)

    def _struct(self, identity: int, literal: Fields) -> Node:
        if name := _text(literal, 1):
            return MessageLiteral(identity, name)
        entries = map(_fields, _all_bytes(literal, 2))
        return MapLiteral(
            identity,
            tuple(
                Entry(self.node(_bytes(entry, 3)), self.node(_bytes(entry, 4)), bool(_int(entry, 5)))
                for entry in entries
            ),
        )

    def _comprehension(self, identity: int, fold: Fields) -> Node:
        return Comprehension(
            identity,
            variable=_text(fold, 1),
            second_variable=_text(fold, 8),
            range=self.node(_bytes(fold, 2)),
            accumulator=_text(fold, 3),
            initial=self.node(_bytes(fold, 4)),
            condition=self.node(_bytes(fold, 5)),
            step=self.node(_bytes(fold, 6)),
            result=self.node(_bytes(fold, 7)),
        )


def _dotted(node: Node) -> str:
    return f"{_dotted(node.operand)}.{node.field}" if isinstance(node, Select) else getattr(node, "name", "")


_PRIMITIVES = {1: "bool", 2: "int", 3: "uint", 4: "double", 5: "string", 6: "bytes"}
_WELL_KNOWN = {1: "google.protobuf.Any", 2: "google.protobuf.Timestamp", 3: "google.protobuf.Duration"}


def _type(data: bytes) -> str:
    fields = _fields(data)
    number = next(iter(fields), 1)
    if number in (1, 12):
        return "dyn"
    if number == 2:
        return "null_type"
    if number == 3:
        return _PRIMITIVES[_int(fields, 3)]
    if number == 4:
        return f"wrapper({_PRIMITIVES[_int(fields, 4)]})"
    if number == 5:
        return _WELL_KNOWN[_int(fields, 5)]
    if number in (9, 10):
        return _text(fields, number)
    inner = _fields(_bytes(fields, number))
    if number == 6:
        return f"list({_type(_bytes(inner, 1))})"
    if number == 7:
        return f"map({_type(_bytes(inner, 1))}, {_type(_bytes(inner, 2))})"
    if number == 11:
        return f"type({_type(_bytes(fields, 11))})"
    parameters = ", ".join(map(_type, _all_bytes(inner, 2)))
    return f"{_text(inner, 1)}({parameters})" if parameters else _text(inner, 1)


def _constant(fields: Fields) -> Value:
    number = next(iter(fields), 1)
    if number == 2:
        return bool(_int(fields, 2))
    if number == 3:
        return _int(fields, 3)
    if number == 4:
        return UInt(_int(fields, 4) % 2**64)
    if number == 5:
        return float(struct.unpack("<d", _bytes(fields, 5))[0])
    if number == 6:
        return _text(fields, 6)
    return _bytes(fields, 7) if number == 7 else None


def _fields(data: bytes) -> Fields:
    fields: dict[int, list[int | bytes]] = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        if tag & 7 == 0:
            number, position = _varint(data, position)
            value: int | bytes = number - 2**64 if number >= 2**63 else number
        else:
            length, position = (8, position) if tag & 7 == 1 else _varint(data, position)
            value, position = data[position : position + length], position + length
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return number, position


def _int(fields: Fields, number: int) -> int:
    value = fields.get(number, (0,))[-1]
    return value if isinstance(value, int) else 0


def _bytes(fields: Fields, number: int) -> bytes:
    value = fields.get(number, (b"",))[-1]
    return value if isinstance(value, bytes) else b""


def _all_bytes(fields: Fields, number: int) -> list[bytes]:
    return [value for value in fields.get(number, ()) if isinstance(value, bytes)]


def _text(fields: Fields, number: int) -> str:
    return _bytes(fields, number).decode()


def _packed(fields: Fields, number: int) -> list[int]:
    numbers: list[int] = []
    for value in fields.get(number, ()):
        position = 0
        if isinstance(value, int):
            numbers.append(value)
            continue
        while position < len(value):
            item, position = _varint(value, position)
            numbers.append(item)
    return numbers
