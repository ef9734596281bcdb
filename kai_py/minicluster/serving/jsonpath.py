"""The part of JSONPath that printer columns use: fields, indexes, slices, ``[*]``, filters by equality, ``..`` not."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

_STEP: Final = re.compile(
    r"""\.(?P<field>(?:\\.|[^.\[\]\\])+)
      | \[(?P<index>-?\d+)\]
      | \[(?P<slice>-?\d*:-?\d*)\]
      | \[(?P<all>\*)\]
      | \['(?P<quoted>[^']*)'\]
      | \[\?\(\s*@\.(?P<key>[\w.]+)\s*==\s*(?P<value>"[^"]*"|'[^']*'|[^)\s]+)\s*\)\]""",
    re.VERBOSE,
)


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[tuple[str, str], ...]:
    text, position, steps = path if path.startswith((".", "[")) else f".{path}", 0, []
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return ()
        if match["key"]:
            steps.append(("filter", f"{match['key']}={match['value'].strip(chr(34) + chr(39))}"))
        else:
            name = match.lastgroup or ""
            steps.append((name, re.sub(r"\\(.)", r"\1", match[name])))
        position = match.end()
    return tuple(steps)


def find(obj: Any, path: str) -> list[Any]:
    """All values at a path; none if there is none, or if the path is beyond what we read."""
    found, steps = [obj], _steps(path)
    if not steps:
        return []
    for kind, argument in steps:
        found = [value for item in found for value in _step(item, kind, argument) if value is not None]
    return found


def _step(item: Any, kind: str, argument: str) -> list[Any]:
    if kind in ("field", "quoted"):
        return [item.get(argument)] if isinstance(item, dict) else []
    if kind == "all":
        return list(item.values()) if isinstance(item, dict) else list(item) if isinstance(item, list) else []
    if not isinstance(item, list):
        return []
    if kind == "index":
        number = int(argument)
        return [item[number]] if -len(item) <= number < len(item) else []
    if kind == "slice":
        first, last = (int(end) if end else None for end in argument.split(":"))
        return item[first:last]
    key, _, wanted = argument.partition("=")
    return [element for element in item if str(_deep(element, key)) == wanted]


def _deep(element: Any, key: str) -> Any:
    for part in key.split("."):
        element = element.get(part) if isinstance(element, dict) else None
    return str(element).lower() if isinstance(element, bool) else element
