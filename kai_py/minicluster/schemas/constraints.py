"""Validation of a value against an OpenAPI v3 schema, with the messages of a kube-apiserver."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from kai_py.minicluster.refusals import Faults, shown

Schema = dict[str, Any]
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"


def check_value(value: Any, schema: Schema, path: str, faults: Faults) -> None:
    """Add every way in which a value breaks its schema."""
    if value is None and schema.get("nullable"):
        return
    if not _has_type(value, schema):
        wanted = schema.get("type", "integer,string" if schema.get(_INT_OR_STRING) else "")
        shown_type = shown(_type_name(value))
        faults.wrong_type(path, _type_name(value), f"{path} in body must be of type {wanted}: {shown_type}")
        return
    if "enum" in schema and value not in schema["enum"]:
        faults.not_supported(path, value, map(str, schema["enum"]))
    match value:
        case bool():
            pass
        case str():
            _check_text(value, schema, path, faults)
        case int() | float():
            _check_number(value, schema, path, faults)
        case list():
            _check_list(value, schema, path, faults)
        case dict():
            _check_object(value, schema, path, faults)
    _check_combinations(value, schema, path, faults)


_TYPES: Final[dict[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value == int(value),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def _has_type(value: Any, schema: Schema) -> bool:
    if schema.get(_INT_OR_STRING):
        return isinstance(value, int | str) and not isinstance(value, bool)
    wanted = schema.get("type")
    return wanted is None or _TYPES[wanted](value)


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
    return "object"


def _check_text(value: str, schema: Schema, path: str, faults: Faults) -> None:
    if len(value) < schema.get("minLength", 0):
        faults.invalid(path, value, f"{path} in body should be at least {schema['minLength']} chars long")
    if len(value) > schema.get("maxLength", len(value)):
        faults.too_long(path, schema["maxLength"])
    if "pattern" in schema and not _pattern(schema["pattern"]).search(value):
        faults.invalid(path, value, f"{path} in body should match '{schema['pattern']}'")
    check = _FORMATS.get(schema.get("format", ""))
    if check is not None and not check(value):
        faults.invalid(path, value, f"{path} in body must be of type {schema['format']}: {shown(value)}")


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_date(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is not None


_DURATION: Final = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:ns|us|µs|ms|s|m|h|d|w)\s*)+|0")
_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "date-time": _is_time,
    "date": _is_date,
    "duration": lambda text: _DURATION.fullmatch(text) is not None,
}


def _check_number(value: float, schema: Schema, path: str, faults: Faults) -> None:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        bound = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        faults.invalid(path, value, f"{path} in body should be {bound} {low}")
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        bound = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        faults.invalid(path, value, f"{path} in body should be {bound} {high}")
    step = schema.get("multipleOf")
    if step and value % step:
        faults.invalid(path, value, f"{path} in body should be a multiple of {step}")
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and not -(2**bits) <= value < 2**bits:
        faults.invalid(path, value, f"{path} in body must be of type {schema['format']}: {value}")


def _check_list(value: list[Any], schema: Schema, path: str, faults: Faults) -> None:
    if len(value) < schema.get("minItems", 0):
        faults.invalid(path, len(value), f"{path} in body should have at least {schema['minItems']} items")
    if len(value) > schema.get("maxItems", len(value)):
        faults.too_many(path, len(value), schema["maxItems"])
    items = schema.get("items")
    if isinstance(items, dict):
        for i, item in enumerate(value):
            check_value(item, items, f"{path}[{i}]", faults)
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or ()
    if list_type in ("set", "map") or schema.get("uniqueItems"):
        _check_unique(value, keys if list_type == "map" else (), path, faults)


def _check_unique(value: list[Any], keys: Any, path: str, faults: Faults) -> None:
    seen: set[str] = set()
    for i, item in enumerate(value):
        identity = {key: item.get(key) for key in keys} if keys and isinstance(item, dict) else item
        text = json.dumps(identity, sort_keys=True)
        if text in seen:
            faults.duplicate(f"{path}[{i}]", identity)
        seen.add(text)


def _check_object(value: Schema, schema: Schema, path: str, faults: Faults) -> None:
    prefix = f"{path}." if path else ""
    for key in schema.get("required", ()):
        if key not in value:
            faults.required(prefix + key)
    if len(value) < schema.get("minProperties", 0):
        faults.invalid(path, len(value), f"{path} in body should have at least {schema['minProperties']} properties")
    if len(value) > schema.get("maxProperties", len(value)):
        faults.too_many(path, len(value), schema["maxProperties"])
    fields, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, item in value.items():
        if key in fields:
            check_value(item, fields[key], prefix + key, faults)
        elif isinstance(extra, dict):
            check_value(item, extra, prefix + key, faults)


def _check_combinations(value: Any, schema: Schema, path: str, faults: Faults) -> None:
    for part in schema.get("allOf") or ():
        check_value(value, part, path, faults)
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            passing = sum(_passes(value, part, path) for part in schema[key])
            if not passing:
                faults.invalid(path, value, f"{path} in body must validate at least one schema ({key})")
            elif key == "oneOf" and passing > 1:
                faults.invalid(path, value, f"{path} in body must validate one and only one schema (oneOf)")
    if schema.get("not") and _passes(value, schema["not"], path):
        faults.invalid(path, value, f"{path} in body must not validate the schema (not)")


def _passes(value: Any, schema: Schema, path: str) -> bool:
    faults = Faults()
    check_value(value, schema, path, faults)
    return not faults
