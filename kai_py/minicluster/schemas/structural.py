"""Structural schemas of custom kinds: prune what they do not know, default, validate."""

from __future__ import annotations

import copy
from typing import Any

import msgspec

from kai_py.minicluster.refusals import Faults, bad_request

from .constraints import check_value
from .expressions import evaluate, has_rules
from .typed import TypedDecoder

Object = dict[str, Any]
Schema = dict[str, Any]
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"


class StructuralCodec:
    """Reads one version of a custom kind."""

    def __init__(self, schema: Schema, metadata: TypedDecoder, definitions: Schema) -> None:
        """Prepare.

        Args:
            schema: ``openAPIV3Schema`` of the version.
            metadata: how ``metadata`` is read; it is typed in every kind.
            definitions: the built-in definitions, for the schema of ``metadata``.
        """
        self._schema = schema
        self._has_rules = has_rules(schema)
        self._metadata = metadata
        self._definitions = definitions

    def schema(self) -> tuple[Schema, Schema]:
        """See :class:`Codec`."""
        meta = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
        return self._schema | {"properties": self._schema.get("properties", {}) | {"metadata": meta}}, self._definitions

    def decode(self, data: bytes | Object) -> tuple[Object, list[str]]:
        """See :class:`Codec`."""
        try:
            obj = msgspec.json.decode(data) if isinstance(data, bytes) else copy.deepcopy(data)
            if not isinstance(obj, dict):
                raise bad_request("the request's body is no API object")
            if obj.get("metadata") is not None:
                obj["metadata"] = self._metadata.from_data(obj["metadata"])
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise bad_request(f"error decoding object: {error}") from error
        head = {key: obj.pop(key) for key in ("apiVersion", "kind", "metadata") if obj.get(key) is not None}
        unknown: list[str] = []
        _prune(obj, self._schema, "", unknown)
        return head | {
            key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")
        }, unknown

    def default(self, obj: Object) -> None:
        """See :class:`Codec`."""
        _default(obj, self._schema)

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Codec`."""
        body = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
        fields = {key: sub for key, sub in self._schema.get("properties", {}).items() if key != "metadata"}
        required = [key for key in self._schema.get("required", ()) if key not in ("apiVersion", "kind", "metadata")]
        check_value(body, self._schema | {"properties": fields, "required": required}, "", faults)

    def evaluate(self, obj: Object, old: Object | None, faults: Faults) -> None:
        """See :class:`Codec`."""
        if self._has_rules:
            evaluate(obj, old, self._schema, faults)


def _prune(value: Any, schema: Schema, path: str, unknown: list[str]) -> None:
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for i, item in enumerate(value):
                _prune(item, items, f"{path}[{i}]", unknown)
        return
    if not isinstance(value, dict):
        return
    fields, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key in list(value):
        here = f"{path}.{key}" if path else key
        if key in fields:
            _prune(value[key], fields[key], here, unknown)
        elif isinstance(extra, dict):
            _prune(value[key], extra, here, unknown)
        elif not (
            extra or schema.get(_PRESERVE) or (schema.get(_EMBEDDED) and key in ("apiVersion", "kind", "metadata"))
        ):
            unknown.append(here)
            del value[key]


def _default(value: Any, schema: Schema) -> None:
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for item in value:
                _default(item, items)
        return
    if not isinstance(value, dict):
        return
    fields, extra = schema.get("properties") or {}, schema.get("additionalProperties")
    for key, sub in fields.items():
        if value.get(key, ...) is None and not sub.get("nullable"):
            if "default" not in sub:
                continue
            del value[key]
        if key not in value and "default" in sub:
            value[key] = copy.deepcopy(sub["default"])
        if key in value:
            _default(value[key], sub)
    if isinstance(extra, dict):
        for key, item in value.items():
            if key not in fields:
                _default(item, extra)
