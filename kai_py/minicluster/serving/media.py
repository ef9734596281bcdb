"""Media types: what a client accepts, what it sends. Answers are JSON or YAML, never protobuf; clients take it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
import yaml

from kai_py.minicluster.refusals import bad_request, not_acceptable, unsupported_media_type

from . import protobuf

JSON: Final = "application/json"
YAML: Final = "application/yaml"
_SPOKEN: Final = f"{JSON}, {YAML}"
_BODY_TYPES: Final = frozenset({"", JSON, YAML})


@dataclass(frozen=True, slots=True)
class Accept:
    """The representation a client gets.

    Attributes:
        media_type: JSON or YAML.
        shape: ``Table``, ``PartialObjectMetadata``, ``PartialObjectMetadataList``, or empty for the object itself.
        parameters: all parameters of the media type.
    """

    media_type: str = JSON
    shape: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


_SHAPES: Final = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})


@lru_cache(maxsize=256)
def negotiate(header: str) -> Accept:
    """Choose the first representation in the client's list that we can give.

    Raises:
        RefusedError: 406, none.
    """
    if not header:
        return Accept()
    for choice in header.split(","):
        media_type, *parts = (part.strip() for part in choice.split(";"))
        pairs = tuple((key, value) for key, _, value in (part.partition("=") for part in parts))
        shape = dict(pairs).get("as", "")
        if media_type in ("*/*", "application/*", JSON) and _can_give(shape, dict(pairs)):
            return Accept(JSON, shape, pairs)
        if media_type == YAML and not shape:
            return Accept(YAML, "", pairs)
    raise not_acceptable(_SPOKEN)


def _can_give(shape: str, parameters: dict[str, str]) -> bool:
    if shape == "APIGroupDiscoveryList":
        return parameters.get("v") == "v2"
    return not shape or (shape in _SHAPES and parameters.get("v", "v1") == "v1")


def decode_body(raw: bytes, content_type: str) -> bytes:
    """A request's body as JSON text.

    Raises:
        RefusedError: 400 for malformed YAML, 415 for a type that we do not read.
    """
    media_type = content_type.partition(";")[0].strip()
    if media_type == protobuf.MEDIA_TYPE:
        obj = protobuf.decode(raw)
        if obj is None:
            raise unsupported_media_type(_SPOKEN)
        return msgspec.json.encode(obj)
    if media_type not in _BODY_TYPES:
        raise unsupported_media_type(_SPOKEN)
    if media_type == YAML:
        return msgspec.json.encode(parse_yaml(raw))
    return raw


def parse_yaml(raw: bytes) -> Any:
    """The first document of a YAML text; JSON is YAML.

    Raises:
        RefusedError: 400, malformed.
    """
    try:
        return yaml.load(raw, Loader=_JsonLikeLoader)  # noqa: S506  # derived from the safe loader
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding YAML: {error}") from error


class _JsonLikeLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # chosen at run time
    """The safe loader without dates: a timestamp in a manifest is a text."""


_JsonLikeLoader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def encode(data: Any, accept: Accept) -> bytes:
    """Data in the representation the client accepts."""
    if accept.media_type == YAML:
        text: str = yaml.safe_dump(data, sort_keys=False)
        return text.encode()
    return msgspec.json.encode(data)
