"""A patch request as a change of an object: choose the language, apply it, read the result like any other body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .options import WriteOptions
from .patching.jsonpatch import json_patch, merge_patch
from .patching.schema import Node
from .patching.strategic import strategic_merge
from .refusals import bad_request, unsupported_media_type
from .registry import Endpoint
from .store import Object
from .writes import Writer

PatchType = Literal["json", "merge", "strategic"]


def patched(
    writer: Writer,
    endpoint: Endpoint,
    patch: Any,
    type: PatchType,
    options: WriteOptions,  # API's word
) -> Callable[[Object], Object]:
    """The change that a patch makes. Its resourceVersion, if any, becomes a precondition."""
    if type == "strategic" and endpoint.kind.custom:
        raise unsupported_media_type(
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        )
    if type != "json" and not isinstance(patch, dict):
        raise bad_request("error decoding patch: the patch must be an object")

    def change(stored: Object) -> Object:
        served = endpoint.translation.to_served(stored) if endpoint.translation else stored
        match type:
            case "json":
                result = json_patch(served, patch)
            case "merge":
                result = merge_patch(served, patch)
            case "strategic":
                result = strategic_merge(served, patch, schema_node(endpoint))
        if not isinstance(result, dict) or not isinstance(result.get("metadata"), dict):
            raise bad_request("the patched document is no API object")
        return writer.read(endpoint, result, options)

    return change


def schema_node(endpoint: Endpoint) -> Node:
    """The root of an endpoint's schema."""
    schema, definitions = endpoint.codec.schema()
    return Node(schema, definitions)
