"""Compile a selector once, evaluate it once per kind of device."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from kai_py.core.dra.cel.bounds import LimitedWork
from kai_py.core.dra.cel.checker import CelFeatures, check, error_at
from kai_py.core.dra.cel.costs import COST_LIMIT
from kai_py.core.dra.cel.device import CelDevice
from kai_py.core.dra.cel.errors import CelError, SelectorError
from kai_py.core.dra.cel.plan import Frame, Step
from kai_py.core.dra.cel.planner import Planner, UnsupportedError
from kai_py.core.dra.cel.validation import fault
from kai_py.core.dra.cel.values import type_name

#: Results kept per program; beyond them it starts anew. A cluster has some hundreds of kinds of devices.
_MAX_RESULTS: Final = 16_384


class Program:
    """A compiled selector.

    Attributes:
        text: the expression.
        features: what it was compiled for.
        output_type: its static type: ``bool``, or the type of an attribute.
    """

    def __init__(self, text: str, features: CelFeatures, output_type: str, step: Step, slots: int) -> None:
        self.text = text
        self.features = features
        self.output_type = output_type
        self._step = step
        self._slots = slots
        self._results: dict[bytes, bool | SelectorError] = {}

    def matches(self, device: CelDevice) -> bool:
        """Whether the device satisfies the selector; remembered by the signature of the device.

        Raises:
            SelectorError: it could not be told, e.g. because an attribute is missing.
        """
        signature = device.signature
        result = self._results.get(signature)
        if result is None:
            try:
                result = self.evaluate(device)[0]
            except SelectorError as error:
                result = error
            if len(self._results) >= _MAX_RESULTS:
                self._results.clear()
            self._results[signature] = result
        if isinstance(result, SelectorError):
            raise result.with_traceback(None)
        return result

    def evaluate(self, device: CelDevice, *, cost_limit: int = COST_LIMIT) -> tuple[bool, int]:
        """Evaluate afresh.

        Args:
            device: on which.
            cost_limit: cost units that may be spent.

        Returns:
            Whether the device satisfies the selector, and what telling that cost.

        Raises:
            SelectorError: it could not be told.
        """
        frame = Frame(device.value(lists=self.features.list_type_attributes), self._slots, cost_limit)
        try:
            with LimitedWork():
                value = self._step(frame)
        except (
            ArithmeticError,
            LookupError,
            TypeError,
            ValueError,
            AssertionError,
            RecursionError,
            MemoryError,
        ) as error:
            # A fault of ours in some corner of the language must not end more than this attempt.
            raise SelectorError(f"internal error: {type(error).__name__}: {error}") from error
        frame.check()
        if not isinstance(value, bool):
            raise SelectorError(f"CEL result of type {type_name(value)} could not be converted to bool")
        return value, frame.cost


@lru_cache(maxsize=4096)
def compile_expression(text: str, features: CelFeatures = CelFeatures()) -> Program | CelError:  # noqa: B008  # frozen
    """Compile a selector; the answer is remembered.

    Args:
        text: the expression of a DeviceClass or ResourceClaim.
        features: what is switched on.

    Returns:
        The program, or what is wrong with the expression. Never raises.
    """
    checked = check(text, features)
    if isinstance(checked, CelError):
        return checked
    if found := fault(checked):
        node, message = found
        return error_at(text, checked.positions.get(node.id, 0), message)
    output_type = checked.types.get(checked.root.id, "dyn")
    attribute_type = "dyn" if features.list_type_attributes else "google.protobuf.Any"
    if output_type not in ("bool", attribute_type):
        return CelError(f"must evaluate to bool or the unknown type, not {output_type}")
    planner = Planner()
    try:
        step = planner.plan(checked.root).run
    except UnsupportedError as error:
        return error_at(text, checked.positions.get(error.node.id, 0), str(error))
    except SelectorError as error:
        return CelError(f"program instantiation failed: {error}")
    return Program(text, features, output_type, step, planner.slots)
