"""The little protobuf that kubectl sends: bodies of ``kubectl create namespace`` and its like, and of evictions.

Typed commands of kubectl write protobuf and do not fall back to JSON. The messages listed here are read; others are
refused with 415. Answers are always JSON, which every client takes.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any, Final

from kai_py.minicluster.refusals import bad_request

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_VARINT: Final = 0
_FIXED64: Final = 1
_BYTES: Final = 2
_FIXED32: Final = 5

#: A message: field number → (name, type). A type is a scalar, ``map``, ``map-bytes``, ``text-list`` or a
#: message's name; a message in brackets is a list of them.
Message = dict[int, tuple[str, str]]
_MESSAGES: Final[dict[str, Message]] = {
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        5: ("uid", "text"),
        6: ("resourceVersion", "text"),
        11: ("labels", "map"),
        12: ("annotations", "map"),
        14: ("finalizers", "text-list"),
    },
    "LabelSelector": {1: ("matchLabels", "map")},
    "LocalReference": {1: ("name", "text")},
    "Preconditions": {1: ("uid", "text"), 2: ("resourceVersion", "text")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "int"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "bool"),
        4: ("propagationPolicy", "text"),
        5: ("dryRun", "text-list"),
    },
    "v1/Namespace": {1: ("metadata", "ObjectMeta")},
    "v1/ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map"),
        3: ("binaryData", "map-bytes"),
        4: ("immutable", "bool"),
    },
    "v1/Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "map-bytes"),
        3: ("type", "text"),
        4: ("stringData", "map"),
        5: ("immutable", "bool"),
    },
    "v1/ServiceAccount": {1: ("metadata", "ObjectMeta"), 3: ("imagePullSecrets", "[LocalReference]")},
    "scheduling.k8s.io/v1/PriorityClass": {
        1: ("metadata", "ObjectMeta"),
        2: ("value", "int"),
        3: ("globalDefault", "bool"),
        4: ("description", "text"),
        5: ("preemptionPolicy", "text"),
    },
    "policy/v1/Eviction": {1: ("metadata", "ObjectMeta"), 2: ("deleteOptions", "DeleteOptions")},
    "authorization.k8s.io/v1/SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta")},
    "authorization.k8s.io/v1/SubjectAccessReview": {1: ("metadata", "ObjectMeta")},
    "v1/DeleteOptions": {},
}
_MESSAGES["v1/DeleteOptions"] = _MESSAGES["DeleteOptions"]


def decode(raw: bytes) -> dict[str, Any] | None:
    """An object from its protobuf envelope; None for a kind that we cannot read.

    Raises:
        RefusedError: 400, malformed.
    """
    if not raw.startswith(_MAGIC):
        raise bad_request("the body does not start with the magic bytes of a Kubernetes protobuf message")
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        head = {number: _text(value) for number, value in _fields(_chunk(envelope[1]))}
        api_version, kind = head.get(1, ""), head.get(2, "")
        message = _MESSAGES.get(f"{api_version}/{kind}")
        if message is None:
            return None
        return {"apiVersion": api_version, "kind": kind} | _read(_chunk(envelope.get(2, b"")), message)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise bad_request("the body is no readable protobuf message") from error


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(raw):
        tag, position = _varint(raw, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(raw, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _varint(raw, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if position + size > len(raw):
            raise ValueError("truncated")
        yield number, raw[position : position + size]
        position += size


def _varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _read(raw: bytes, message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(raw):
        if number not in message:
            continue
        name, kind = message[number]
        if kind in ("map", "map-bytes"):
            pair = dict(_fields(_chunk(value)))
            content = _chunk(pair.get(2, b""))
            text = base64.b64encode(content).decode() if kind == "map-bytes" else content.decode()
            found.setdefault(name, {})[_text(pair.get(1, b""))] = text
        elif kind == "text-list":
            found.setdefault(name, []).append(_text(value))
        elif kind.startswith("["):
            found.setdefault(name, []).append(_read(_chunk(value), _MESSAGES[kind.strip("[]")]))
        else:
            content_of = _scalar(value, kind)
            if content_of != "":
                found[name] = content_of
    return found


def _scalar(value: int | bytes, kind: str) -> Any:
    match kind:
        case "text":
            return _text(value)
        case "bool":
            return bool(value)
        case "int":
            number = int(value) if isinstance(value, int) else 0
            return number - (1 << 64) if number >= 1 << 63 else number
    return _read(_chunk(value), _MESSAGES[kind])


def _chunk(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("expected a length-delimited field")
    return value


def _text(value: int | bytes) -> str:
    return _chunk(value).decode()
