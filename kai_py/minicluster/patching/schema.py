"""What a patch needs to know about a field: how its list merges, by which keys. One view over both schema dialects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]
_SET: Final = "set"
#: OpenAPI v2 does not tell the defaults of built-in kinds; of all list keys only this one has any.
_KEY_DEFAULTS: Final = {"protocol": "TCP"}


@dataclass(frozen=True, slots=True)
class Node:
    """A place in a kind's schema.

    Built-in kinds use OpenAPI v2 with ``$ref``; custom kinds structural schemas, whose lists are atomic unless they say
    otherwise. A place that no schema describes is free-form.
    """

    schema: Schema
    definitions: Schema

    def _resolved(self) -> Schema:
        if "$ref" in self.schema:
            resolved: Schema = self.definitions[self.schema["$ref"].rpartition("/")[2]]
            return resolved
        return self.schema

    def child(self, key: str) -> Node:
        """The schema of a field."""
        schema = self._resolved()
        fields = schema.get("properties") or {}
        if key in fields:
            return Node(fields[key], self.definitions)
        extra = schema.get("additionalProperties")
        return Node(extra if isinstance(extra, dict) else {}, self.definitions)

    def item(self) -> Node:
        """The schema of a list's items."""
        items = self._resolved().get("items")
        return Node(items if isinstance(items, dict) else {}, self.definitions)

    @property
    def merge_key(self) -> str:
        """The key by which strategic merge patch merges a list of objects, or empty."""
        if "merge" not in str(self.schema.get("x-kubernetes-patch-strategy", "")):
            return ""
        key: str = self.schema.get("x-kubernetes-patch-merge-key", "")
        return key

    @property
    def merges_scalars(self) -> bool:
        """Whether strategic merge patch unites a list of scalars, such as finalizers."""
        return "merge" in str(self.schema.get("x-kubernetes-patch-strategy", "")) and not self.merge_key

    @property
    def retains_keys(self) -> bool:
        """Whether ``$retainKeys`` is meant for this field (a union, such as a deployment's strategy)."""
        return "retainKeys" in str(self.schema.get("x-kubernetes-patch-strategy", ""))

    @property
    def list_keys(self) -> tuple[str, ...]:
        """The keys of an associative list under server-side apply; empty for other lists."""
        if self.schema.get("x-kubernetes-list-type") != "map":
            return ()
        return tuple(self.schema.get("x-kubernetes-list-map-keys") or ())

    @property
    def is_set(self) -> bool:
        """Whether a list is a set of scalars under server-side apply."""
        return self.schema.get("x-kubernetes-list-type") == _SET

    @property
    def is_atomic(self) -> bool:
        """Whether an object is owned as a whole under server-side apply."""
        return "atomic" in (self.schema.get("x-kubernetes-map-type"), self._resolved().get("x-kubernetes-map-type"))

    def default_of(self, key: str) -> Any:
        """The default of a field, for list keys that an item leaves out."""
        schema = self._resolved().get("properties", {}).get(key, {})
        return schema.get("default", _KEY_DEFAULTS.get(key))
