"""How large a value may become, and how much work an evaluation may do: cost units alone do not see to either.

Upstream counts little for joining lists, comparing maps or parsing long texts, because a selector has other limits
there (a context with a deadline, an API server that estimates beforehand). Here, work that cost units do not see is
counted as well, in elements touched, so that no expression takes much longer than the dearest permitted one.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from kai_py.core.dra.cel.errors import LimitError

#: Elements of a list or map, or characters of a string. No device has more than a few dozen of either.
MAX_SIZE: Final = 100_000
#: Elements that one evaluation may touch: a tenth of a second, and far from what selectors do.
MAX_WORK: Final = 2_000_000
#: Characters that are handled as fast as one element.
_CHARACTERS: Final = 32

#: What is left of the work of the evaluation that runs in this context; empty outside of evaluations.
_LEFT: Final[ContextVar[list[int]]] = ContextVar("work left")


class LimitedWork:
    """Counts the work of one evaluation, as a context manager.

    Attributes:
        spent: elements touched, once the context is left.
    """

    __slots__ = ("_left", "_token", "spent")

    def __init__(self) -> None:
        self.spent = 0

    def __enter__(self) -> None:
        self._left = [MAX_WORK]
        self._token = _LEFT.set(self._left)

    def __exit__(self, *_failure: object) -> None:
        _LEFT.reset(self._token)
        self.spent = MAX_WORK - self._left[0]


def spend(elements: int) -> None:
    """Count elements touched.

    Raises:
        LimitError: the evaluation has done too much.
    """
    left = _LEFT.get(None)
    if left is None:
        return
    left[0] -= elements
    if left[0] < 0:
        raise LimitError(f"the expression does too much work, more than {MAX_WORK} elements are touched")


def spend_characters(count: int) -> None:
    """Count characters handled.

    Raises:
        LimitError: the evaluation has done too much.
    """
    spend(1 + count // _CHARACTERS)


def check_size(size: int) -> None:
    """Refuse to build a value of more elements or characters.

    Raises:
        LimitError: it would be too large.
    """
    if size > MAX_SIZE:
        raise LimitError(f"a value of {size} elements or characters is too large, the limit is {MAX_SIZE}")


def bounded(size: int) -> None:
    """Refuse to build a value of more elements or characters, and count the work of building it.

    Raises:
        LimitError: it would be too large.
    """
    check_size(size)
    spend_characters(size)
