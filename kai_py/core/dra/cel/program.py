"""Compile a selector once, evaluate it once per kind of device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import Final

from kai_py.core.dra.cel.bounds import LimitedWork
from kai_py.core.dra.cel.checker import CelFeatures, check, error_at
from kai_py.core.dra.cel.costs import COST_LIMIT
from kai_py.core.dra.cel.device import CelDevice
from kai_py.core.dra.cel.errors import CelError, InternalError, LimitError, SelectorError
from kai_py.core.dra.cel.plan import Frame, Step
from kai_py.core.dra.cel.planner import Planner, UnsupportedError
from kai_py.core.dra.cel.validation import fault
from kai_py.core.dra.cel.values import type_name

#: Answers kept of all programs together, about 100 MB; beyond them it starts anew. Drivers that name each device give
#: every device a signature of its own, so this is devices times selectors.
_MAX_ANSWERS: Final = 500_000


@dataclass(frozen=True, slots=True)
class _Failure:
    """An error to be raised again, without the frames that it was raised in."""

    kind: type[SelectorError]
    message: str


#: Elements touched that take about as long as one cost unit.
_ELEMENTS: Final = 4
#: By number of the program and signature of the device.
_ANSWERS: Final[dict[tuple[int, bytes], bool | _Failure]] = {}
_NUMBERS: Final = count()


@dataclass
class CostBudget:
    """What the selectors of one search may cost together.

    The limit of Kubernetes holds for one selector on one device. A million devices are searched before anyone notices
    that each of them takes a second, so a search over many of them should bring its own.

    Attributes:
        left: cost units that may still be spent; a million take one or two seconds. Negative when the last evaluation
            took more than was left.
    """

    left: int


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
        self._number = next(_NUMBERS)

    def matches(self, device: CelDevice, budget: CostBudget | None = None) -> bool:
        """Whether the device satisfies the selector; remembered by the signature of the device.

        Args:
            device: any.
            budget: what the search may still spend; an answer that is remembered costs nothing.

        Raises:
            SelectorError: it could not be told, e.g. because an attribute is missing; or the budget is used up.
        """
        key = self._number, device.signature
        answer = _ANSWERS.get(key)
        if answer is None:
            answer = self._answer(device, budget or CostBudget(COST_LIMIT))
            if len(_ANSWERS) >= _MAX_ANSWERS:
                _ANSWERS.clear()
            _ANSWERS[key] = answer
        if isinstance(answer, _Failure):
            raise answer.kind(answer.message)
        return answer

    def evaluate(self, device: CelDevice) -> tuple[bool, int]:
        """Evaluate afresh.

        Returns:
            Whether the device satisfies the selector, and the cost units that telling it took.

        Raises:
            SelectorError: it could not be told.
        """
        frame = self._frame(device, COST_LIMIT)
        with LimitedWork():
            return self._run(frame), frame.cost

    def _answer(self, device: CelDevice, budget: CostBudget) -> bool | _Failure:
        limit = min(COST_LIMIT, budget.left)
        work = LimitedWork()
        frame = None
        try:
            frame = self._frame(device, limit)
            with work:
                return self._run(frame)
        except InternalError:
            raise
        except SelectorError as error:
            if frame is not None and limit < frame.cost <= COST_LIMIT:
                raise LimitError("the selectors of this search cost too much together") from None
            return _Failure(type(error), str(error))
        finally:
            if frame is not None:
                budget.left -= frame.cost + work.spent // _ELEMENTS

    def _frame(self, device: CelDevice, limit: int) -> Frame:
        return Frame(device.value(lists=self.features.list_type_attributes), self._slots, limit)

    def _run(self, frame: Frame) -> bool:
        try:
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
            raise InternalError(f"internal error: {type(error).__name__}: {error}") from error
        frame.check()
        if not isinstance(value, bool):
            raise SelectorError(f"CEL result of type {type_name(value)} could not be converted to bool")
        return value


def compile_expression(text: str, features: CelFeatures = CelFeatures()) -> Program | CelError:  # noqa: B008  # frozen
    """Compile a selector; the answer is remembered.

    Args:
        text: the expression of a DeviceClass or ResourceClaim.
        features: what is switched on.

    Returns:
        The program, or what is wrong with the expression. Never raises.
    """
    try:
        return _compiled(text, features)
    except (RecursionError, MemoryError) as error:
        # Nesting is limited to what fits under a stack of hundreds of frames; this one was deeper, and need not be
        # the next time: so it is not remembered.
        return CelError(f"cannot be compiled here: {type(error).__name__}")


@lru_cache(maxsize=2048)
def _compiled(text: str, features: CelFeatures) -> Program | CelError:
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
