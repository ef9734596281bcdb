"""A patch request as a change of an object: choose the language, apply it, read the result like any other body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from .options import WriteOptions
from .patching.apply import Manager, apply
from .patching.jsonpatch import json_patch, merge_patch
from .patching.schema import Node
from .patching.strategic import strategic_merge
from .refusals import Cause, bad_request, conflict, invalid, unsupported_media_type
from .registry import Endpoint
from .store import Entry, Object
from .writes import Writer

PatchType = Literal["json", "merge", "strategic"]


def patched(
    writer: Writer,
    endpoint: Endpoint,
    patch: Any,
    type: PatchType,  # noqa: A002  # the API's word
    options: WriteOptions,
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


def apply_patch(
    writer: Writer,
    endpoint: Endpoint,
    namespace: str,
    name: str,
    body: Object,
    options: WriteOptions,
    *,
    subresource: str = "",
) -> tuple[Entry, bool]:
    """Server-side apply; creates the object if it does not exist.

    Returns:
        The object, and whether it is new.

    Raises:
        RefusedError: 400, 404, 409 (conflicts) or 422.
    """
    if not options.manager:
        raise invalid(
            _PatchOptions(),
            "",
            [Cause("FieldValueRequired", "fieldManager", "Required value: is required for apply patch")],
        )
    applied = writer.read(endpoint, body, options)
    if applied["metadata"].get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    applied["metadata"].setdefault("name", name)
    kind, node = endpoint.collection.kind, schema_node(endpoint)
    manager = Manager(options.manager, "Apply", kind.api_version, subresource)

    def change(stored: Object) -> Object:
        return apply(stored, applied, node, manager, has_status=kind.has_status, force=options.force)

    if (namespace, name) in endpoint.collection.entries or subresource:
        return writer.update(endpoint, namespace, name, change, options, subresource=subresource, recorded=True), False
    if applied["metadata"].get("uid"):
        raise conflict(kind, name, "uid mismatch: the provided object specified uid, and no existing object was found")
    applied["metadata"].pop("resourceVersion", None)
    empty = {"apiVersion": applied["apiVersion"], "kind": applied["kind"], "metadata": {}}
    created = change(empty)
    return writer.create(endpoint, namespace, created, options, recorded=True), True


class _PatchOptions:
    group = "meta.k8s.io"
    kind = "PatchOptions"
    plural = "patchoptions"


def schema_node(endpoint: Endpoint) -> Node:
    """The root of an endpoint's schema."""
    schema, definitions = endpoint.codec.schema()
    return Node(schema, definitions)
