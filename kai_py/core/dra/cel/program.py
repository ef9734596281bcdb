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
from kai_py.core.dra.cel.errors import CelError, InternalError, SelectorError
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


#: By number of the program and signature of the device.
_ANSWERS: Final[dict[tuple[int, bytes], bool | _Failure]] = {}
_NUMBERS: Final = count()


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

    def matches(self, device: CelDevice) -> bool:
        """Whether the device satisfies the selector; remembered by the signature of the device.

        Raises:
            SelectorError: it could not be told, e.g. because an attribute is missing.
        """
        key = self._number, device.signature
        answer = _ANSWERS.get(key)
        if answer is None:
            try:
                answer = self.evaluate(device)[0]
            except InternalError:
                raise
            except SelectorError as error:
                answer = _Failure(type(error), str(error))
            if len(_ANSWERS) >= _MAX_ANSWERS:
                _ANSWERS.clear()
            _ANSWERS[key] = answer
        if isinstance(answer, _Failure):
            raise answer.kind(answer.message)
        return answer

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
            raise InternalError(f"internal error: {type(error).__name__}: {error}") from error
        frame.check()
        if not isinstance(value, bool):
            raise SelectorError(f"CEL result of type {type_name(value)} could not be converted to bool")
        return value, frame.cost


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
