"""Objects as a client wants to see them: as stored, in another version, as metadata only, or as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from kai_py.minicluster.kinds import Kind
from kai_py.minicluster.registry import Endpoint
from kai_py.minicluster.store import Entry, Object

from . import tables
from .media import JSON, Accept, encode

_META_VERSION: Final = "meta.k8s.io/v1"
SUCCESS: Final = msgspec.json.encode(
    {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
)


def is_plain(endpoint: Endpoint, accept: Accept) -> bool:
    """Whether the stored bytes can go out as they are."""
    return not accept.shape and accept.media_type == JSON and endpoint.translation is None


def served(endpoint: Endpoint, entry: Entry) -> Object:
    """An object in the spelling of an endpoint."""
    obj = entry.object()
    return endpoint.translation.to_served(obj) if endpoint.translation else obj


def entry_bytes(endpoint: Endpoint, entry: Entry, accept: Accept) -> bytes:
    """One object on the wire."""
    if is_plain(endpoint, accept):
        return entry.raw
    obj = served(endpoint, entry)
    match accept.shape:
        case "Table":
            meta = {"resourceVersion": str(entry.revision)}
            return encode(tables.table(endpoint, [obj], meta, _include(accept)), accept)
        case "PartialObjectMetadata":
            return encode(_metadata_only(obj), accept)
    return encode(obj, accept)


def _include(accept: Accept) -> str:
    return dict(accept.parameters).get("includeObject", "Metadata")


def _metadata_only(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META_VERSION, "metadata": obj["metadata"]}


def list_bytes(
    endpoint: Endpoint, entries: Iterable[Entry], accept: Accept, meta: dict[str, Any], *, include: str = "Metadata"
) -> bytes:
    """A list on the wire. The stored bytes are joined, not encoded again."""
    if is_plain(endpoint, accept):
        head = {"kind": endpoint.kind.list_name, "apiVersion": endpoint.group_version, "metadata": meta}
        items = b",".join(entry.raw for entry in entries)
        return msgspec.json.encode(head)[:-1] + b',"items":[' + items + b"]}"
    objects = [served(endpoint, entry) for entry in entries]
    if accept.shape == "Table":
        return encode(tables.table(endpoint, objects, meta, include), accept)
    if accept.shape == "PartialObjectMetadataList":
        slim = [_metadata_only(obj) for obj in objects]
        body = {"kind": "PartialObjectMetadataList", "apiVersion": _META_VERSION, "metadata": meta, "items": slim}
        return encode(body, accept)
    body = {"kind": endpoint.kind.list_name, "apiVersion": endpoint.group_version, "metadata": meta, "items": objects}
    return encode(body, accept)


def success(kind: Kind, entry: Entry) -> bytes:
    """The Status that answers a delete."""
    details = {"name": entry.name, "group": kind.group, "kind": kind.plural, "uid": entry.uid}
    return msgspec.json.encode(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Success",
            "details": {key: text for key, text in details.items() if text},
        }
    )
