"""How a selector can fail: a compile error is an answer, a run-time error is an exception of ours."""

from __future__ import annotations

from dataclasses import dataclass

from kai_py.errors import KaiError


@dataclass(frozen=True)
class CelError:
    """An expression that cannot be used on any device.

    Attributes:
        message: what is wrong, in the words of kube-apiserver where it would refuse the expression as well.
        line: from 1; 0 when the expression as a whole is wrong.
        column: from 1; 0 when the expression as a whole is wrong.
    """

    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return self.message


class SelectorError(KaiError):
    """A compiled selector could not be evaluated on one device: kube-scheduler ends the attempt of the pod with it."""

    code = "Selector"


class EvaluationError(SelectorError):
    """An error of the language: ``true || error`` is true, ``false && error`` is false."""

    code = "SelectorEvaluation"


class LimitError(SelectorError):
    """The selector costs too much on this device. Nothing in the expression can absorb it."""

    code = "SelectorLimit"


class InternalError(SelectorError):
    """A fault of ours, or too little memory or stack: the next time it may go well, so it is not remembered."""

    code = "SelectorInternal"


def no_such_overload(function: str, *types: str) -> EvaluationError:
    """The error for arguments that a function does not take; only values of dynamic type get this far."""
    return EvaluationError(f"no such overload: {function}({', '.join(types)})")
