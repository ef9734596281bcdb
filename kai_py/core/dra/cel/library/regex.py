"""Regular expressions with RE2's syntax and linear time (google-re2, the engine that Go's regexp follows)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import re2

from kai_py.core.dra.cel.bounds import spend
from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.values import Value

#: Bytes that one compiled expression and its caches may take; enough for any pattern that is meant.
_MEMORY: Final = 1 << 20
#: What the C++ library knows and Go's does not: a match inside a character.
_SINGLE_BYTE: Final = re.compile(r"(?<!\\)(?:\\\\)*\\C")
#: Work of compiling a pattern that is not a literal, in elements touched.
_COMPILING: Final = 2000
#: States of a pattern visited in the time that other functions need for one element.
_STATES: Final = 16
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = _MEMORY


@lru_cache(maxsize=1024)
def pattern(text: str) -> re2._Regexp:
    """Compile a pattern.

    Raises:
        EvaluationError: it is not one that RE2 knows, or it is too large.
    """
    spend(_COMPILING)
    if _SINGLE_BYTE.search(text):
        raise EvaluationError("Illegal regex: invalid escape sequence: \\C")
    try:
        return re2.compile(text, _OPTIONS)
    except re2.error as error:
        reason = error.args[0] if error.args else "unknown"
        shown = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise EvaluationError(f"Illegal regex: {shown}") from None


def _compiled(text: str, expression: str) -> re2._Regexp:
    """The pattern, once the worst that it can do to the text is counted: RE2 may visit each state at each character."""
    compiled = pattern(expression)
    _spend_search(len(text), compiled.programsize)
    return compiled


def _spend_search(characters: int, states: int) -> None:
    spend(1 + characters * states // _STATES)


def _matches(text: str, expression: str) -> bool:
    return _compiled(text, expression).search(text) is not None


def _find(text: str, expression: str) -> str:
    found = _compiled(text, expression).search(text)
    return "" if found is None else str(found.group())


def _find_all(text: str, expression: str, limit: int = -1) -> list[Value]:
    found: list[Value] = []
    if limit == 0:
        return found
    compiled = _compiled(text, expression)
    for match in compiled.finditer(text):
        found.append(match.group())
        if len(found) == limit:
            break
        _spend_search(len(text) - match.end(), compiled.programsize)  # each match is a search of the rest
    return found


OVERLOADS = (
    overload("matches(string, string) -> bool", _matches),
    overload("<string>.matches(string) -> bool", _matches),
    overload("<string>.find(string) -> string", _find, declare=True),
    overload("<string>.findAll(string) -> list<string>", _find_all, declare=True),
    overload("<string>.findAll(string, int) -> list<string>", _find_all, declare=True),
)
