"""The pieces that an evaluation is made of: the frame that it works on, and steps as closures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kai_py.core.dra.cel.errors import LimitError
from kai_py.core.dra.cel.values import DeviceValue, Value


class Frame:
    """What one evaluation changes.

    Attributes:
        device: the variable ``device``.
        limit: cost units that may be spent.
        cost: cost units spent.
        values: variables of comprehensions by their slot.
    """

    __slots__ = ("cost", "device", "limit", "values")

    def __init__(self, device: DeviceValue, slots: int, limit: int) -> None:
        self.device = device
        self.limit = limit
        self.cost = 0
        self.values: list[Value] = [None] * slots

    def check(self) -> None:
        """Stop an evaluation that has spent more than it may.

        Raises:
            LimitError: it has.
        """
        if self.cost > self.limit:
            raise LimitError("operation cancelled: actual cost limit exceeded")


#: Evaluates a part of an expression.
Step = Callable[[Frame], Value]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to evaluate a node.

    Attributes:
        run: its value, counting all of its cost.
        bare: for variables and what is selected from them: the same without ``base``, because upstream counts a chain
            like ``a.b[c]`` as one attribute with one cost for each of its links.
        base: cost of the chain as a whole.
        is_constant: ``value`` is known and costs nothing.
    """

    run: Step
    bare: Step | None = None
    base: int = 0
    is_constant: bool = False
    value: Value = None

    @property
    def link(self) -> Step:
        """How a longer chain begins with this."""
        return self.bare or self.run


def constant(value: Value) -> Plan:
    """A value known beforehand."""
    return Plan(lambda _frame: value, is_constant=True, value=value)


def attribute(bare: Step, base: int = 1) -> Plan:
    """A variable, or something selected from one."""
    if not base:
        return Plan(bare, bare)

    def run(frame: Frame) -> Value:
        frame.cost += base
        return bare(frame)

    return Plan(run, bare, base)
