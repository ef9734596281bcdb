"""Bytes or dictionaries to structs; what does not fit is a ``MalformedObjectError`` that names object and field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec

from kai_py.errors import Fault, MalformedObjectError

T = TypeVar("T", bound=msgspec.Struct)

_PLACE = re.compile(r"^(?P<message>.*?)(?: - at `(?:key in )?\$(?P<path>[^`]*)`)?$", re.DOTALL)

#: Somebody else's document inside an object: its nulls mean what they say.
_FOREIGN = frozenset({"opaque"})


@cache
def _decoder(struct_type: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(struct_type)


def decode(struct_type: type[T], data: bytes | msgspec.Raw) -> T:
    """Read one object from JSON.

    Args:
        struct_type: one of the structs of this package; fields that it does not have are skipped.
        data: the JSON text of the object.

    Raises:
        MalformedObjectError: it is not JSON, or a field has the wrong type or is missing.
    """
    decoder: msgspec.json.Decoder[T] = _decoder(struct_type)
    try:
        try:
            return decoder.decode(data)
        except msgspec.ValidationError:
            # Go servers send null for an empty map or list. That is rare, so the fast decoder need not know it.
            return convert(struct_type, msgspec.json.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedObjectError([Fault(where=struct_type.__name__, field="", message=str(error))]) from error


def convert(struct_type: type[T], obj: Mapping[str, Any]) -> T:
    """Make a struct of a parsed object, for instance one that was read from YAML.

    Raises:
        MalformedObjectError: a field has the wrong type or is missing.
    """
    try:
        return msgspec.convert(without_nulls(obj), struct_type)
    except msgspec.ValidationError as error:
        raise MalformedObjectError([fault_of(error, where=identity(struct_type.__name__, obj))]) from error


def fault_of(error: msgspec.ValidationError, *, where: str) -> Fault:
    """Translate msgspec's message: ``… - at `$.spec.tolerations[0].key` `` becomes the fault's field."""
    match = _PLACE.match(str(error))
    assert match is not None  # the pattern accepts every text
    return Fault(where=where, field=(match["path"] or "").removeprefix("."), message=match["message"])


def identity(kind: str, obj: object) -> str:
    """How messages name an object: ``Pod default/a``, as far as it can be told."""
    metadata = obj.get("metadata") if isinstance(obj, Mapping) else None
    if not isinstance(metadata, Mapping):
        return kind
    parts = [str(metadata[part]) for part in ("namespace", "name") if metadata.get(part)]
    return f"{kind} {'/'.join(parts)}" if parts else kind


def without_nulls(value: Any) -> Any:
    """Drop what is null: for the API a null field is an absent one."""
    if isinstance(value, Mapping):
        return {
            key: item if key in _FOREIGN else without_nulls(item) for key, item in value.items() if item is not None
        }
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value
