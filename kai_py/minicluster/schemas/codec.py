"""From a request's data to an object the server would keep, and what it dropped on the way."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from kai_py.minicluster.refusals import Faults, bad_request

from .checks import CheckBuilder
from .typed import StructBuilder, TypedDecoder, load_definitions

Object = dict[str, Any]


class Codec(Protocol):
    """How one kind is read."""

    def decode(self, data: bytes | Object) -> tuple[Object, list[str]]:
        """The object without what its schema does not know, and the paths of what was dropped.

        Raises:
            RefusedError: 400, a field has the wrong type.
        """
        ...

    def schema(self) -> tuple[Object, Object]:
        """The OpenAPI schema of the kind, and the definitions its references point into."""
        ...

    def default(self, obj: Object) -> None:
        """Fill in what the schema defaults."""
        ...

    def validate(self, obj: Object, faults: Faults) -> None:
        """Add what the schema forbids."""
        ...

    def evaluate(self, obj: Object, old: Object | None, faults: Faults) -> None:
        """Add what the schema's CEL rules forbid, given the object before; after :meth:`validate`."""
        ...


class BuiltinSchemas:
    """The definitions of all built-in kinds, loaded once."""

    def __init__(self) -> None:
        self.definitions = load_definitions()
        self._structs = StructBuilder(self.definitions)
        self._checks = CheckBuilder(self.definitions)
        self.names: dict[tuple[str, str, str], str] = {}
        for name, schema in self.definitions.items():
            served = schema.get("x-kubernetes-group-version-kind", ())
            if len(served) == 1:
                self.names[served[0]["group"], served[0]["version"], served[0]["kind"]] = name

    def codec(self, group: str, version: str, kind: str) -> BuiltinCodec:
        """The codec of one kind."""
        name = self.names[group, version, kind]
        return BuiltinCodec(
            f'{kind} in version "{version}" cannot be handled as a {kind}',
            TypedDecoder(self._structs, name),
            self.definitions,
            name,
            self._checks,
        )


class BuiltinCodec:
    """Reads a built-in kind: struct decoding in C, and a slower walk only where a field is unknown."""

    def __init__(
        self, complaint: str, decoder: TypedDecoder, definitions: Object, name: str, checks: CheckBuilder
    ) -> None:
        self._complaint = complaint
        self._decoder = decoder
        self._definitions = definitions
        self._name = name
        self._check = checks.check(name)

    def decode(self, data: bytes | Object) -> tuple[Object, list[str]]:
        """See :class:`Codec`."""
        try:
            return self._read(data), []
        except msgspec.DecodeError as error:
            if "unknown field" not in str(error):
                raise bad_request(f"{self._complaint}: {error}") from error
        unknown: list[str] = []
        try:
            loose = msgspec.json.decode(data) if isinstance(data, bytes) else data
            kept = known_fields(loose, self._definitions[self._name], self._definitions, "", unknown)
            return self._decoder.from_data(kept), unknown
        except msgspec.DecodeError as error:
            raise bad_request(f"{self._complaint}: {error}") from error

    def _read(self, data: bytes | Object) -> Object:
        return self._decoder.from_bytes(data) if isinstance(data, bytes) else self._decoder.from_data(data)

    def schema(self) -> tuple[Object, Object]:
        """See :class:`Codec`."""
        return self._definitions[self._name], self._definitions

    def default(self, obj: Object) -> None:
        """Built-in kinds are defaulted by their rules, not by their schema."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Codec`."""
        if self._check is not None:
            self._check(obj, "", faults)

    def evaluate(self, obj: Object, old: Object | None, faults: Faults) -> None:
        """Built-in kinds have no rules in CEL."""


def known_fields(value: Any, schema: Object, definitions: Object, path: str, unknown: list[str]) -> Any:
    """A copy of ``value`` without the fields its OpenAPI schema does not name; their paths go to ``unknown``."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if isinstance(value, list) and "items" in schema:
        items = schema["items"]
        return [known_fields(item, items, definitions, f"{path}[{i}]", unknown) for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "additionalProperties" in schema:
        each = schema["additionalProperties"]
        return {key: known_fields(item, each, definitions, f"{path}.{key}", unknown) for key, item in value.items()}
    fields = schema.get("properties")
    if not fields:
        return value
    kept = {}
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if key in fields:
            kept[key] = known_fields(item, fields[key], definitions, here, unknown)
        else:
            unknown.append(here)
    return kept
