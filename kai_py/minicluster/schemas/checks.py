"""What the OpenAPI definitions say beyond types: required fields and closed sets of values, as one compiled check.

Status is left out: controllers may write parts of it, as on a real server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kai_py.minicluster.refusals import Faults

Check = Callable[[Any, str, Faults], None]
_REFERENCE = "#/definitions/"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


class CheckBuilder:
    """Compiles a definition to a check that walks only where there is something to check."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._compiled: dict[str, Check | None] = {}

    def check(self, name: str) -> Check | None:
        """The check of a top-level kind; its ``metadata`` and ``status`` are left to others."""
        schema = dict(self._definitions[name])
        schema["properties"] = {
            field: sub for field, sub in schema.get("properties", {}).items() if field not in ("metadata", "status")
        }
        schema["required"] = [field for field in schema.get("required", ()) if field in schema["properties"]]
        return self._object(schema)

    def _named(self, name: str) -> Check | None:
        if name == _META:
            return None
        if name not in self._compiled:
            self._compiled[name] = None  # a recursive definition is checked one level deep
            self._compiled[name] = self._compile(self._definitions[name])
        return self._compiled[name]

    def _compile(self, schema: dict[str, Any]) -> Check | None:
        if "$ref" in schema:
            return self._named(schema["$ref"].removeprefix(_REFERENCE))
        if "enum" in schema:
            return _one_of(frozenset(schema["enum"]))
        match schema.get("type"):
            case "array":
                return _each(self._compile(schema["items"]))
            case "object" if "additionalProperties" in schema:
                return _each_value(self._compile(schema["additionalProperties"]))
            case "object":
                return self._object(schema)
        return None

    def _object(self, schema: dict[str, Any]) -> Check | None:
        required = tuple(schema.get("required", ()))
        fields = {name: self._compile(sub) for name, sub in schema.get("properties", {}).items()}
        checked = [(name, check) for name, check in fields.items() if check is not None]
        if not required and not checked:
            return None

        def check_object(value: Any, path: str, faults: Faults) -> None:
            prefix = f"{path}." if path else ""
            for name in required:
                if name not in value:
                    faults.required(prefix + name)
            for name, check in checked:
                if name in value:
                    check(value[name], prefix + name, faults)

        return check_object


def _one_of(allowed: frozenset[str]) -> Check:
    def check_value(value: Any, path: str, faults: Faults) -> None:
        if value and value not in allowed:
            faults.not_supported(path, value, allowed)

    return check_value


def _each(check: Check | None) -> Check | None:
    if check is None:
        return None

    def check_items(value: Any, path: str, faults: Faults) -> None:
        for i, item in enumerate(value):
            check(item, f"{path}[{i}]", faults)

    return check_items


def _each_value(check: Check | None) -> Check | None:
    if check is None:
        return None

    def check_values(value: Any, path: str, faults: Faults) -> None:
        for key, item in value.items():
            check(item, f"{path}[{key}]", faults)

    return check_values
