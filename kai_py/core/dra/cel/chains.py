"""Where chains like ``device.attributes["d"].name`` begin, and a short cut through the usual ones."""

from __future__ import annotations

from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.plan import Frame, Plan, Step, attribute
from kai_py.core.dra.cel.syntax import Call, Constant, Ident, Node, Select
from kai_py.core.dra.cel.values import EMPTY, Value

_LOOKUPS = frozenset({"device.attributes", "device.capacity"})


def device_field(name: str) -> Plan:
    """``device.name``."""

    def bare(frame: Frame) -> Value:
        frame.cost += 1
        return frame.device.fields[name]

    return attribute(bare)


def accumulator(slot: int) -> Plan:
    """A variable that holds what a step before could compute, or its error."""

    def bare(frame: Frame) -> Value:
        value = frame.values[slot]
        if isinstance(value, EvaluationError):
            raise value.with_traceback(None)
        return value

    return attribute(bare)


def local(slot: int) -> Plan:
    """A variable over which a macro iterates."""
    return attribute(lambda frame: frame.values[slot])


def base_of(operand: Plan) -> int:
    """Cost of a chain that goes on from here: a conditional counts nothing, everything else 1."""
    return 0 if operand.bare is not None and operand.base == 0 else 1


def quick_lookup(operand: Node, identifier: Value) -> Step | None:
    """One closure for ``device.attributes["domain"].id``, in place of four; ``None`` for every other chain."""
    domain: Value = None
    if isinstance(operand, Call) and operand.function == "_[_]" and isinstance(operand.arguments[1], Constant):
        start, domain = operand.arguments[0], operand.arguments[1].value
    elif isinstance(operand, Select) and not operand.test_only:
        start, domain = operand.operand, operand.field
    if not isinstance(domain, str) or not isinstance(identifier, str):
        return None
    if not isinstance(start, Ident) or start.name not in _LOOKUPS:
        return None
    field = start.name.removeprefix("device.")

    def bare(frame: Frame) -> Value:
        frame.cost += 3
        domains = frame.device.fields[field]
        assert isinstance(domains, dict)
        try:
            return domains.get(domain, EMPTY)[identifier]
        except KeyError:
            raise EvaluationError(f"no such key: {identifier}") from None

    return bare
