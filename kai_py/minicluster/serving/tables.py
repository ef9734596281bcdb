"""Server-side printing: lists as tables, as ``kubectl get`` shows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from kai_py.minicluster.registry import Endpoint

from .cells import age
from .columns import COLUMNS, Column
from .jsonpath import find

Object = dict[str, Any]


def table(
    endpoint: Endpoint, objects: Sequence[Object], meta: dict[str, Any], include: str, *, header: bool = True
) -> Object:
    """Objects as a ``meta.k8s.io/v1`` Table.

    Args:
        endpoint: their kind.
        objects: as served.
        meta: the list's metadata.
        include: ``None``, ``Metadata`` or ``Object``: what each row carries besides its cells.
        header: whether to send the column definitions; a watch sends them once.
    """
    columns = _columns(endpoint)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [_definition(column) for column in columns] if header else [],
        "rows": [_row(columns, obj, include) for obj in objects],
    }


def _columns(endpoint: Endpoint) -> Sequence[Column]:
    name = Column("Name", lambda obj: obj["metadata"]["name"], format="name")
    if endpoint.kind.custom:
        extra = [_custom_column(definition) for definition in endpoint.columns]
        return (name, *(extra or [Column("Age", age)]))
    return (name, *COLUMNS.get(endpoint.collection.kind.key, (Column("Age", age),)))


def _custom_column(definition: Object) -> Column:
    kind, path = definition["type"], definition["jsonPath"]
    return Column(
        definition["name"],
        lambda obj: _cell(find(obj, path), kind),
        type=kind,
        format=definition.get("format", ""),
        priority=definition.get("priority", 0),
        description=definition.get("description", ""),
    )


def _cell(found: list[Any], kind: str) -> Any:
    if not found:
        return None
    if kind == "date":
        return age_of(found[0])
    value = found[0] if len(found) == 1 else " ".join(map(str, found))
    if kind == "string" and not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    return value


def age_of(text: Any) -> str:
    """A timestamp as the time since then."""
    return age({"metadata": {"creationTimestamp": text}})


def _definition(column: Column) -> Object:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": column.description,
        "priority": column.priority,
    }


def _row(columns: Sequence[Column], obj: Object, include: str) -> Object:
    row: Object = {"cells": [column.cell(obj) for column in columns]}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": obj["metadata"],
        }
    return row
