"""Comprehensions: the loop behind all, exists, exists_one, map, filter, ``cel.bind`` and the other macros.

The error of a step is kept in the accumulator and raised when the accumulator is read, so that
``[1, 0].exists(x, 1 / x > 0)`` is true as soon as one element says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kai_py.core.dra.cel.bounds import check_size
from kai_py.core.dra.cel.errors import EvaluationError, no_such_overload
from kai_py.core.dra.cel.plan import Frame, Step
from kai_py.core.dra.cel.quantity import Quantity
from kai_py.core.dra.cel.semver import Semver
from kai_py.core.dra.cel.syntax import ListLiteral, MapLiteral, Node
from kai_py.core.dra.cel.values import (
    Address,
    Duration,
    Network,
    Timestamp,
    UInt,
    Url,
    Value,
    key_value,
    map_key,
    type_name,
)

#: How upstream names what cannot be iterated.
_GO_NAMES = {
    bool: "types.Bool",
    int: "types.Int",
    UInt: "types.Uint",
    float: "types.Double",
    str: "types.String",
    bytes: "types.Bytes",
    type(None): "types.Null",
    Timestamp: "types.Timestamp",
    Duration: "types.Duration",
    Quantity: "cel.Quantity",
    Semver: "cel.Semver",
    Address: "cel.IP",
    Network: "cel.CIDR",
    Url: "cel.URL",
}


@dataclass(frozen=True, slots=True)
class Fold:
    """A planned comprehension.

    Attributes:
        items: the range.
        initial: first value of the accumulator.
        condition: whether to go on; only a plain ``false`` ends the loop.
        step: next value of the accumulator.
        result: value of the whole.
        accumulator: slot of the accumulator.
        slots: slots of the iteration variables, one or two.
        fresh: for accumulators that are changed in place, the type of which each evaluation gets a new, empty one.
    """

    items: Step
    initial: Step
    condition: Step
    step: Step
    result: Step
    accumulator: int
    slots: tuple[int, ...]
    fresh: type[list[Value] | dict[Value, Value]] | None

    def __call__(self, frame: Frame) -> Value:
        """Run the loop."""
        values, slot, step, condition = frame.values, self.accumulator, self.step, self.condition
        entries = _iterate(self.items(frame), two=len(self.slots) == 2)
        try:
            values[slot] = self.fresh() if self.fresh else self.initial(frame)
        except EvaluationError as error:
            values[slot] = error
        for entry in entries:
            for place, value in zip(self.slots, entry, strict=False):
                values[place] = value
            try:
                if condition(frame) is False:
                    break
            except EvaluationError:
                pass  # as upstream: an error is not a plain false
            try:
                values[slot] = step(frame)
            except EvaluationError as error:
                values[slot] = error
            frame.check()
        return self.result(frame)


def _iterate(items: Value, *, two: bool) -> Iterator[Sequence[Value]]:
    if isinstance(items, list):
        return enumerate(items) if two else ((item,) for item in items)
    if isinstance(items, dict):
        if two:
            return ((key_value(key), value) for key, value in items.items())
        return ((key_value(key),) for key in items)
    shown = _GO_NAMES.get(type(items), type_name(items))
    raise EvaluationError(f"got '{shown}', expected iterable type")


def fresh_type(initial: Node) -> type[list[Value] | dict[Value, Value]] | None:
    """The type of an empty literal; ``None`` for any other beginning."""
    if isinstance(initial, ListLiteral) and not initial.elements:
        return list
    return dict if isinstance(initial, MapLiteral) and not initial.entries else None


def append(read: Step, added: Step) -> Step:
    """``accumulator + [x]``, in place: a copy each time would make ``map`` quadratic."""

    def run(frame: Frame) -> Value:
        values, more = read(frame), added(frame)
        frame.cost += 1
        if not isinstance(values, list) or not isinstance(more, list):
            raise no_such_overload("_+_", type_name(values), type_name(more))
        check_size(len(values) + len(more))
        values += more
        return values

    return run


def insert(read: Step, rest: Sequence[Step]) -> Step:
    """``cel.@mapInsert(accumulator, key, value)`` or ``(accumulator, map)``, in place."""

    def run(frame: Frame) -> Value:
        values = read(frame)
        added = [step(frame) for step in rest]
        frame.cost += 1
        entries = added[0] if len(added) == 1 else {map_key(added[0]): added[1]}
        if not isinstance(values, dict) or not isinstance(entries, dict):
            raise no_such_overload("cel.@mapInsert", type_name(values), type_name(entries))
        check_size(len(values) + len(entries))
        for key, value in entries.items():
            if key in values:
                raise EvaluationError(f"insert failed: key {key_value(key)} already exists")
            values[key] = value
        return values

    return run
