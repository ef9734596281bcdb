"""Operators that do not evaluate all of their arguments, or treat their errors in their own way."""

from __future__ import annotations

from kai_py.core.dra.cel.costs import Cost
from kai_py.core.dra.cel.errors import EvaluationError, no_such_overload
from kai_py.core.dra.cel.library.operators import member
from kai_py.core.dra.cel.plan import Frame, Plan, Step, attribute, constant
from kai_py.core.dra.cel.values import Optional, UInt, Value, equal, equal_or_unequal, type_name

_SET_ELEMENTS = frozenset({bool, int, UInt, float, str})


def logical(function: str, steps: list[Step], *, decisive: bool) -> Plan:
    """``&&`` and ``||``: one decisive side is enough, even beside an error."""

    def run(frame: Frame) -> Value:
        failure: EvaluationError | None = None
        for step in steps:
            try:
                value = step(frame)
            except EvaluationError as error:
                failure = failure or error
                continue
            if value is decisive:
                return decisive
            if type(value) is not bool:
                failure = failure or no_such_overload(function, type_name(value))
        if failure is not None:
            raise failure
        return not decisive

    return Plan(run)


def conditional(condition: Plan, yes: Plan, no: Plan) -> Plan:
    """``condition ? yes : no``; costs no more than what it evaluates."""
    test, then, otherwise = condition.run, yes.link, no.link

    def bare(frame: Frame) -> Value:
        value = test(frame)
        if value is True:
            return then(frame)
        if value is False:
            return otherwise(frame)
        raise no_such_overload("_?_:_", type_name(value))

    return attribute(bare, base=0)


def equality(left: Step, right: Step, cost: Cost, *, wanted: bool) -> Plan:
    """``==`` (wanted) and ``!=``. What cannot be compared is an error for the one, and simply unequal for the other."""
    compared = equal if wanted else equal_or_unequal

    def run(frame: Frame) -> Value:
        one, other = left(frame), right(frame)
        frame.cost += cost((one, other), None)
        return compared(one, other) is wanted

    return Plan(run)


def membership(element: Step, container: Plan, cost: Cost | None) -> Plan:
    """``in``. Upstream looks literals up in a set, and counts nothing for that."""
    find = container.run
    if cost and container.is_constant and isinstance(container.value, list):
        values = container.value
        if not values:
            return constant(value=False)
        if all(type(value) in _SET_ELEMENTS for value in values):
            return Plan(lambda frame: member(element(frame), values))

    def run(frame: Frame) -> Value:
        one, many = element(frame), find(frame)
        frame.cost += cost((one, many), None) if cost else 1
        return member(one, many)

    return Plan(run)


def not_strictly_false(step: Step) -> Plan:
    """What the conditions of loops are wrapped in."""

    def run(frame: Frame) -> Value:
        frame.cost += 1
        try:
            return step(frame) is not False
        except EvaluationError:
            return True

    return Plan(run)


def or_value(first: Step, second: Step, *, unwrap: bool) -> Plan:
    """``optional.orValue(other)`` (unwrap) and ``optional.or(other)``; the other is evaluated when it is needed."""

    def run(frame: Frame) -> Value:
        value = first(frame)
        if not isinstance(value, Optional):
            return value  # only dynamic values get here, and upstream takes them for present
        if not value.present:
            return second(frame)
        return value.value if unwrap else value

    return Plan(run)
