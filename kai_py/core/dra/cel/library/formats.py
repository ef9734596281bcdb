"""Named formats (``format.dns1123Label().validate(text)``) and the formatting of strings (``'%d'.format([1])``)."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from kai_py.core.dra.cel.bounds import bounded, spend, spend_characters
from kai_py.core.dra.cel.errors import EvaluationError
from kai_py.core.dra.cel.library.conversions import double_text
from kai_py.core.dra.cel.library.network import parse_url
from kai_py.core.dra.cel.library.overload import overload
from kai_py.core.dra.cel.library.times import duration_text, parse_timestamp, timestamp_text
from kai_py.core.dra.cel.values import (
    NOTHING,
    BoolKey,
    Duration,
    Format,
    Optional,
    Timestamp,
    TypeValue,
    UInt,
    Value,
    type_name,
)

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_NAME: Final = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_PATTERNS: Final = MappingProxyType(
    {
        "dns1123Label": (re.compile(_LABEL), 63),
        "dns1123LabelPrefix": (re.compile(rf"{_LABEL}-?|-"), 63),
        "dns1123Subdomain": (re.compile(rf"{_LABEL}(\.{_LABEL})*"), 253),
        "dns1123SubdomainPrefix": (re.compile(rf"{_LABEL}(\.{_LABEL})*[-.]?"), 253),
        "dns1035Label": (re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?"), 63),
        "dns1035LabelPrefix": (re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?-?"), 63),
        "labelValue": (re.compile(rf"({_NAME})?"), 63),
        "qualifiedName": (re.compile(rf"((?=[^/]{{1,253}}/){_LABEL}(\.{_LABEL})*/)?(?=[^/]{{1,63}}$){_NAME}"), 317),
        "uuid": (re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.IGNORECASE), 36),
        "byte": (re.compile(r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"), 10**6),
    }
)
#: What upstream takes as length of the pattern when it counts the cost of ``validate``.
COSTS: Final = MappingProxyType(
    {
        "dns1123Label": 30,
        "dns1123LabelPrefix": 30,
        "dns1123Subdomain": 60,
        "dns1123SubdomainPrefix": 60,
        "dns1035Label": 30,
        "dns1035LabelPrefix": 30,
        "labelValue": 40,
        "qualifiedName": 60,
        "uri": 1103,
        "uuid": 72,
        "byte": 84,
        "date": 72,
        "datetime": 72,
    }
)


def _is_valid(name: str, text: str) -> bool:
    spend_characters(len(text))
    if name in _PATTERNS:
        pattern, longest = _PATTERNS[name]
        return len(text) <= longest and pattern.fullmatch(text) is not None
    try:
        if name == "uri":
            parse_url(text)
        else:
            parse_timestamp(text if name == "datetime" else f"{text}T00:00:00Z")
    except EvaluationError:
        return False
    return True


def _validate(form: Format, text: str) -> Optional:
    return NOTHING if _is_valid(form.name, text) else Optional([f"does not match the format {form.name}"])


def _named(name: str) -> Optional:
    return Optional(Format(name)) if name in COSTS else NOTHING


def _constant(name: str) -> Callable[[], Format]:
    return lambda: Format(name)


_CLAUSE: Final = re.compile(r"%(?:\.([0-9]{1,3}))?(.)", re.DOTALL)
_MAX_PRECISION: Final = 1000


def _format(template: str, arguments: list[Value]) -> str:
    """``'%s has %d'.format([a, b])``."""
    remaining = iter(arguments)

    def clause(match: re.Match[str]) -> str:
        if match[2] == "%":
            return "%"
        try:
            value = next(remaining)
        except StopIteration:
            raise EvaluationError(f"index {len(arguments)} out of range") from None
        return _formatted(match[2], int(match[1] or 6), value)

    result = _CLAUSE.sub(clause, template)
    bounded(len(result))
    return result


def _formatted(verb: str, precision: int, value: Value) -> str:
    if verb == "s":
        return _text(value)
    if verb in "fe" and isinstance(value, float) and precision <= _MAX_PRECISION:
        return f"{value:.{precision}{verb}}"
    if verb in "xX" and isinstance(value, (str, bytes)):
        digits = (value.encode() if isinstance(value, str) else value).hex()
        return digits.upper() if verb == "X" else digits
    if verb == "b" and isinstance(value, bool):
        return str(int(value))
    if verb in "dxXob" and type(value) in (int, UInt) and isinstance(value, int):
        return f"{int(value):{verb}}"
    raise EvaluationError(f"error during formatting: %{verb} cannot take a value of type {type_name(value)}")


def _text(value: Value, *, inside: bool = False) -> str:
    spend(1)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"' if inside else value
    if isinstance(value, list):
        return "[" + ", ".join(_text(item, inside=True) for item in value) + "]"
    if isinstance(value, dict):
        entries = ((key.value if isinstance(key, BoolKey) else key, item) for key, item in value.items())
        return "{" + ", ".join(sorted(f"{_text(k, inside=True)}:{_text(v, inside=True)}" for k, v in entries)) + "}"
    if isinstance(value, Timestamp):
        return f'timestamp("{timestamp_text(value)}")' if inside else timestamp_text(value)
    if isinstance(value, Duration):
        return f'duration("{duration_text(value)}")' if inside else duration_text(value)
    if isinstance(value, float):
        return f"{value:.6f}" if inside else double_text(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, TypeValue):
        return value.name
    if value is None:
        return "null"
    raise EvaluationError(f"error during formatting: %s cannot take a value of type {type_name(value)}")


_F = "kubernetes.NamedFormat"

OVERLOADS = (
    *(overload(f"format.{name}() -> {_F}", _constant(name), declare=True) for name in COSTS),
    overload(f"format.named(string) -> optional_type<{_F}>", _named, declare=True),
    overload(f"<{_F}>.validate(string) -> optional_type<list<string>>", _validate, declare=True),
    overload("<string>.format(list<dyn>) -> string", _format),
)
