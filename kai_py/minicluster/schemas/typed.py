"""Decoding of built-in kinds: the OpenAPI definitions as msgspec structs, so that C code checks every field's type.

An object comes out as plain JSON data: unknown fields and nulls dropped, quantities in their canonical spelling,
exactly what a Go server would keep of it.
"""

from __future__ import annotations

import json
import re
import sys
import types
from importlib.resources import files
from typing import Annotated, Any

import msgspec

from kai_py.minicluster.quantities import Quantity

_REFERENCE = "#/definitions/"
_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."

#: Definitions that are not plain structs.
_SPECIAL: dict[str, Any] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": Quantity,
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": int | str,
    _META + "Time": Annotated[str, msgspec.Meta(pattern=_TIME)],
    _META + "MicroTime": Annotated[str, msgspec.Meta(pattern=_TIME)],
    _META + "FieldsV1": dict[str, Any],
    "io.k8s.apimachinery.pkg.runtime.RawExtension": dict[str, Any],
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps": dict[str, Any],
}
_INTEGERS = {"int32": 2**31, "int64": 2**63}


def load_definitions() -> dict[str, Any]:
    """``builtin.json``: definition name → OpenAPI v2 schema."""
    text = files(__package__).joinpath("builtin.json").read_text(encoding="utf-8")
    definitions: dict[str, Any] = json.loads(text)
    return definitions


class StructBuilder:
    """Turns definitions into struct types. Types refer to each other by name through a module made for them."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._module = types.ModuleType("kai_py.minicluster.schemas.structs")
        sys.modules[self._module.__name__] = self._module

    def struct(self, name: str) -> Any:
        """The struct type of a definition, built with all it refers to."""
        identifier = _identifier(name)
        if not hasattr(self._module, identifier):
            # Recursive definitions find this placeholder; msgspec resolves the name when the decoder is made.
            setattr(self._module, identifier, None)
            setattr(self._module, identifier, self._define(identifier, self._definitions[name]))
        return getattr(self._module, identifier)

    def _define(self, identifier: str, schema: dict[str, Any]) -> type[msgspec.Struct]:
        names = list(schema.get("properties", {}))
        fields = [(f"f{i}", self._annotation(schema["properties"][name]), None) for i, name in enumerate(names)]
        return msgspec.defstruct(
            identifier,
            fields,
            module=self._module.__name__,
            rename={f"f{i}": name for i, name in enumerate(names)},
            omit_defaults=True,
            forbid_unknown_fields=True,
        )

    def _annotation(self, schema: dict[str, Any]) -> Any:
        annotation = self._type(schema)
        if isinstance(annotation, str):
            return f"{annotation} | None"
        return annotation | None

    def _type(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self._referred(schema["$ref"].removeprefix(_REFERENCE))
        match schema.get("type"):
            case "string" if schema.get("format") == "byte":
                return bytes
            case "string":
                return str
            case "boolean":
                return bool
            case "number":
                return float
            case "integer":
                limit = _INTEGERS[schema.get("format", "int64")]
                return Annotated[int, msgspec.Meta(ge=-limit, le=limit - 1)]
            case "array":
                return _generic("list", self._type(schema["items"]))
            case "object" if "additionalProperties" in schema:
                return _generic("dict", self._type(schema["additionalProperties"]))
            case "object":
                return dict[str, Any]
        return Any

    def _referred(self, name: str) -> Any:
        if name in _SPECIAL:
            return _SPECIAL[name]
        schema = self._definitions[name]
        if not schema.get("properties"):
            return dict[str, Any] if schema.get("type") == "object" else Any
        self.struct(name)
        return _identifier(name)


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


def _generic(container: str, item: Any) -> Any:
    """``list[item]`` or ``dict[str, item]``, with nulls tolerated; as text where the item is a forward reference."""
    if isinstance(item, str):
        return f"list[{item}]" if container == "list" else f"dict[str, {item}]"
    return list[item] if container == "list" else dict[str, item]


def from_json(kind: type, value: Any) -> Any:
    """Msgspec's ``dec_hook``: make one of our own scalar types."""
    if kind is Quantity and isinstance(value, str | int | float):
        return Quantity(value)
    raise TypeError(f"cannot read {value!r} as {kind.__name__}")


class TypedDecoder:
    """Decodes one built-in kind."""

    def __init__(self, builder: StructBuilder, definition: str) -> None:
        struct = builder.struct(definition)
        self._struct = struct
        self._decoder = msgspec.json.Decoder(struct, dec_hook=from_json)

    def from_bytes(self, raw: bytes) -> dict[str, Any]:
        """Plain data from JSON text.

        Raises:
            msgspec.ValidationError: a wrong type or an unknown field.
        """
        return plain(self._decoder.decode(raw))

    def from_data(self, data: dict[str, Any]) -> dict[str, Any]:
        """Plain data from plain data; the same checks."""
        return plain(msgspec.convert(data, self._struct, dec_hook=from_json))


def plain(value: Any) -> dict[str, Any]:
    """A struct as JSON data."""
    data: dict[str, Any] = msgspec.to_builtins(value, enc_hook=str)
    return data
