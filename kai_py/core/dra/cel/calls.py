"""Calls of functions: the overload is chosen by the types of the arguments, as dynamic values demand."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kai_py.core.dra.cel.bounds import LimitedWork
from kai_py.core.dra.cel.costs import COST_LIMIT, Cost, cost_of, needs_result
from kai_py.core.dra.cel.errors import SelectorError, no_such_overload
from kai_py.core.dra.cel.library import OVERLOADS
from kai_py.core.dra.cel.library.overload import Implementation, Overload
from kai_py.core.dra.cel.plan import Frame, Plan, Step, constant
from kai_py.core.dra.cel.syntax import Call
from kai_py.core.dra.cel.values import TYPE_NAMES, DomainMap, Value

_OPERATORS: Final = MappingProxyType(
    {
        "_+_": "@add",
        "_-_": "@subtract",
        "_*_": "@multiply",
        "_/_": "@divide",
        "_%_": "@modulo",
        "-_": "@negate",
        "!_": "@not",
        "_<_": "@less",
        "_<=_": "@less_equals",
        "_>_": "@greater",
        "_>=_": "@greater_equals",
    }
)
_CONVERSIONS: Final = frozenset(
    {"bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"}
)


def _by_name() -> Mapping[tuple[str, bool, int], tuple[Overload, ...]]:
    table: dict[tuple[str, bool, int], tuple[Overload, ...]] = {}
    for each in OVERLOADS:
        key = each.name, each.method, len(each.parameters)
        table[key] = (*table.get(key, ()), each)
    return MappingProxyType(table)


_TABLE: Final = _by_name()


class _Dispatch:
    """Finds the implementation for argument types, and remembers it."""

    def __init__(self, function: str, candidates: tuple[Overload, ...]) -> None:
        self._function = function
        self._candidates = candidates
        self._known: dict[tuple[type, ...], Implementation] = {}

    def __call__(self, arguments: list[Value]) -> Value:
        kinds = tuple(map(type, arguments))
        compute = self._known.get(kinds)
        if compute is None:
            compute = self._known[kinds] = self._find(kinds)
        return compute(*arguments)

    def check(self, arguments: list[Value]) -> None:
        """Refuse arguments that no overload takes, before their cost is counted."""
        kinds = tuple(map(type, arguments))
        if kinds not in self._known:
            self._known[kinds] = self._find(kinds)

    def _find(self, kinds: tuple[type, ...]) -> Implementation:
        plain = tuple(dict if kind is DomainMap else kind for kind in kinds)
        for candidate in self._candidates:
            if all(wanted in (object, kind) for wanted, kind in zip(candidate.kinds, plain, strict=True)):
                return candidate.compute
        raise no_such_overload(self._function, *(TYPE_NAMES[kind] for kind in kinds))


def plan_call(call: Call, arguments: list[Plan]) -> Plan | None:
    """Plan a function that evaluates all of its arguments.

    Returns:
        ``None`` when there is no such function.

    Raises:
        EvaluationError: a conversion of a literal that cannot succeed, e.g. ``int("x")``.
    """
    name = _OPERATORS.get(call.function, call.function)
    candidates = _TABLE.get((name, call.method, len(arguments)))
    if candidates is None:
        return None
    chosen = tuple(each for each in candidates if each.signature == call.overload)
    compute = _Dispatch(call.function, chosen or candidates)
    cost = cost_of(call.function, call.overload, method=call.method)
    if arguments and all(argument.is_constant for argument in arguments):
        planned = _of_constants(call, compute, cost, [argument.value for argument in arguments])
        if planned is not None:
            return planned
    steps = [argument.run for argument in arguments]
    return Plan(_counted(compute, cost, steps) if cost else _plain(compute, steps))


def _of_constants(call: Call, compute: _Dispatch, cost: Cost | None, values: list[Value]) -> Plan | None:
    """Functions are pure, so compute once; but upstream does it on each device, and counts that."""
    if call.function in _CONVERSIONS and len(values) == 1:
        return constant(compute(values))
    try:
        with LimitedWork():
            compute.check(values)
            units = cost(values, None) if cost and not needs_result(cost) else 1
            if units > COST_LIMIT:
                return None
            result = compute(values)
    except SelectorError:
        return None  # it may be absorbed, or never be reached: evaluations will tell
    units = cost(values, result) if cost and needs_result(cost) else units

    def run(frame: Frame) -> Value:
        frame.cost += units
        return result

    return Plan(run)


def _plain(compute: _Dispatch, steps: list[Step]) -> Step:
    if len(steps) == 1:
        (only,) = steps

        def run_one(frame: Frame) -> Value:
            frame.cost += 1
            return compute([only(frame)])

        return run_one
    if len(steps) == 2:
        first, second = steps

        def run_two(frame: Frame) -> Value:
            frame.cost += 1
            return compute([first(frame), second(frame)])

        return run_two

    def run(frame: Frame) -> Value:
        frame.cost += 1
        return compute([step(frame) for step in steps])

    return run


def _counted(compute: _Dispatch, cost: Cost, steps: list[Step]) -> Step:
    if needs_result(cost):

        def run_then_count(frame: Frame) -> Value:
            arguments = [step(frame) for step in steps]
            result = compute(arguments)
            frame.cost += cost(arguments, result)
            frame.check()
            return result

        return run_then_count

    def run(frame: Frame) -> Value:
        arguments = [step(frame) for step in steps]
        compute.check(arguments)
        frame.cost += cost(arguments, None)
        frame.check()
        return compute(arguments)

    return run
