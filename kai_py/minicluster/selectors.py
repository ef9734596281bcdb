"""Label and field selectors: text in, a predicate out.

Grammar and meaning are apimachinery's: ``a=b,c!=d,e in (f,g),h notin (i),j,!k,l>5``; an absent label satisfies ``!=``
and ``notin``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .refusals import bad_request

Labels = Mapping[str, str]
Test = Callable[[Labels], bool]

_LABEL_NAME = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_TERM = re.compile(
    r"\s*(?:(?P<absent>!)\s*(?P<missing>[^\s=!<>,()]+)"
    r"|(?P<key>[^\s=!<>,()]+)"
    r"(?:\s+(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r"|\s*(?P<op>==|=|!=|>|<)\s*(?P<value>[^\s=!<>,()]*))?)\s*(?:,|$)"
)
_FIELD_TERM = re.compile(r"(?P<path>[^=!,]+?)(?P<op>==|!=|=)(?P<value>(?:\\.|[^,\\])*)(?:,|$)")


def parse_labels(text: str) -> Test | None:
    """A predicate over labels, or None for "everything".

    Raises:
        RefusedError: 400, the text is no selector.
    """
    tests: list[Test] = []
    position = 0
    while position < len(text) and text.strip():
        match = _TERM.match(text, position)
        if match is None or match.end() == position:
            raise bad_request(f"unable to parse requirement: found '{text[position:].strip()}', expected a requirement")
        tests.append(_label_test(match))
        position = match.end()
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else lambda labels: all(test(labels) for test in tests)


def _label_test(match: re.Match[str]) -> Test:
    key = match["missing"] or match["key"]
    if not _LABEL_NAME.fullmatch(key):
        raise bad_request(f'unable to parse requirement: <nil>: Invalid value: "{key}": name part must be a label name')
    if match["absent"]:
        return lambda labels: key not in labels
    if match["set"]:
        values = frozenset(value.strip() for value in match["values"].split(","))
        if match["set"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    wanted = match["value"]
    match match["op"]:
        case "=" | "==":
            return lambda labels: labels.get(key) == wanted
        case "!=":
            return lambda labels: labels.get(key) != wanted
        case ">" | "<" as sign:
            return _numeric_test(key, sign, wanted)
    return lambda labels: key in labels


def _numeric_test(key: str, sign: str, text: str) -> Test:
    try:
        bound = int(text)
    except ValueError:
        raise bad_request(f'unable to parse requirement: values[0][{key}]: Invalid value: "{text}"') from None

    def test(labels: Labels) -> bool:
        try:
            number = int(labels.get(key, ""))
        except ValueError:
            return False
        return number > bound if sign == ">" else number < bound

    return test


def matches_selector(selector: Mapping[str, Any] | None, labels: Labels) -> bool:
    """Whether a ``LabelSelector`` object selects these labels. None selects nothing, an empty one everything."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_holds(expression, labels) for expression in selector.get("matchExpressions") or ())


def _expression_holds(expression: Mapping[str, Any], labels: Labels) -> bool:
    value = labels.get(expression["key"])
    values = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case _:
            return value is None


def parse_fields(text: str, selectable: Mapping[str, str]) -> Test | None:
    """A predicate over selectable fields, or None for "everything".

    Args:
        text: ``spec.nodeName=a,status.phase!=Running``.
        selectable: the field paths this kind can be selected by → the name under which they are stored.

    Raises:
        RefusedError: 400, malformed or a field that cannot be selected by.
    """
    terms: list[tuple[str, bool, str]] = []
    position = 0
    while position < len(text):
        match = _FIELD_TERM.match(text, position)
        if match is None:
            raise bad_request(f'invalid selector: "{text}"; can\'t understand "{text[position:]}"')
        path = match["path"].strip()
        if path not in selectable:
            raise bad_request(
                f'Unable to find "{path}" that match label selector "", field selector "{text}": '
                f"field label not supported: {path}"
            )
        value = re.sub(r"\\(.)", r"\1", match["value"])
        terms.append((selectable[path], match["op"] != "!=", value))
        position = match.end()
    if not terms:
        return None
    return lambda fields: all((fields.get(path, "") == value) == wanted for path, wanted, value in terms)
