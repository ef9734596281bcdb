"""Lists and watches as they come over the wire: pages, lines, envelopes. Bytes in, structs out; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Generic, Literal, TypeVar

import msgspec

from kai_py.api.decode import decode
from kai_py.api.meta import PartialObject
from kai_py.errors import ApiError, Fault, MalformedObjectError, UnavailableError
from kai_py.kube.status import error_of

T = TypeVar("T", bound=msgspec.Struct)
EventType = Literal["ADDED", "MODIFIED", "DELETED"]

#: Told about an object that cannot be decoded: the kind's name, ``namespace/name`` as far as known, what is wrong.
OnMalformed = Callable[[str, str, MalformedObjectError], None]


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Envelope(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Versioned(msgspec.Struct):
    metadata: _ListMeta


class _Event(msgspec.Struct, Generic[T]):
    """What nearly every line is."""

    type: EventType
    object: T


_PAGE = msgspec.json.Decoder(_Page)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_VERSIONED = msgspec.json.Decoder(_Versioned)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Part of a list. ``unreadable`` are the keys of objects that exist but could not be decoded."""

    objects: list[T]
    unreadable: set[tuple[str, str]]
    resource_version: str
    next_token: str


@dataclass
class Batch(Generic[T]):
    """What one piece of a watch contained.

    Attributes:
        events: in the order of arrival.
        resource_version: where to resume after them; empty when nothing in the piece said so.
        error: the watch has ended with this.
        unreadable: keys of objects whose last event in the piece could not be decoded; whether they still exist.
    """

    events: list[tuple[EventType, T]] = field(default_factory=list)
    resource_version: str = ""
    error: ApiError | None = None
    unreadable: dict[tuple[str, str], bool] = field(default_factory=dict)


class Lines:
    """Cuts a stream into lines of any length, copying each byte twice at most."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take the next piece and return the lines that it completes, without their ends."""
        end = piece.rfind(b"\n")
        if end < 0:
            self._parts.append(piece)
            return []
        self._parts.append(piece[:end])
        lines = b"".join(self._parts).split(b"\n")
        self._parts = [piece[end + 1 :]]
        return lines


def read_page(struct_type: type[T], body: bytes, on_malformed: OnMalformed) -> Page[T]:
    """Read one page of a list; an object that cannot be decoded is reported and the others are kept.

    Raises:
        MalformedObjectError: the page as a whole makes no sense.
    """
    try:
        page = _PAGE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedObjectError([Fault(f"list of {struct_type.__name__}", "", str(error))]) from error
    objects: list[T] = []
    unreadable: set[tuple[str, str]] = set()
    for raw in page.items or ():
        try:
            objects.append(decode(struct_type, raw))
        except MalformedObjectError as error:
            known = _report(struct_type, raw, error, on_malformed)
            if known is not None:
                unreadable.add(known.metadata.key)
    return Page(objects, unreadable, page.metadata.resource_version, page.metadata.continue_)


def read_events(struct_type: type[T], lines: Sequence[bytes], on_malformed: OnMalformed) -> Batch[T]:
    """Read lines of a watch; an event that cannot be decoded is reported and the others are kept.

    Nothing after an ERROR is read. A line that is not even an envelope is an error as well: what it has hidden
    must be fetched again.

    Args:
        struct_type: a struct with ``metadata``.
        lines: complete lines.
        on_malformed: see there.
    """
    batch: Batch[T] = Batch()
    decoder = _decoder(struct_type)
    for line in lines:
        if not line:
            continue
        try:
            event = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # no event, or something is wrong with its object: a closer look tells
        else:
            _add(event.type, event.object, batch)
            continue
        try:
            envelope = _ENVELOPE.decode(line)
            if envelope.type == "BOOKMARK":
                batch.resource_version = _VERSIONED.decode(envelope.object).metadata.resource_version
                continue
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            batch.error = UnavailableError(f"watch of {struct_type.__name__}: a broken line: {error}")
            break
        if envelope.type == "ERROR":
            batch.error = error_of(0, envelope.object, request=f"watch of {struct_type.__name__}")
            break
        _read_object(struct_type, envelope, batch, on_malformed)
    return batch


def _read_object(struct_type: type[T], envelope: _Envelope, batch: Batch[T], on_malformed: OnMalformed) -> None:
    try:
        obj = decode(struct_type, envelope.object)
    except MalformedObjectError as error:
        known = _report(struct_type, envelope.object, error, on_malformed)
        if known is not None:
            batch.resource_version = known.metadata.resource_version
            batch.unreadable[known.metadata.key] = envelope.type != "DELETED"
        return
    _add(envelope.type, obj, batch)  # type: ignore[arg-type]  # the server has these three types left


def _add(kind: EventType, obj: T, batch: Batch[T]) -> None:
    if batch.unreadable:
        batch.unreadable.pop(obj.metadata.key, None)  # type: ignore[attr-defined]  # every object has metadata
    batch.events.append((kind, obj))
    batch.resource_version = obj.metadata.resource_version  # type: ignore[attr-defined]  # every object has metadata


@cache
def _decoder(struct_type: type[T]) -> msgspec.json.Decoder[_Event[T]]:
    """Reads line and object at once: to step over the object first costs a third of what decoding it does."""
    return msgspec.json.Decoder(_Event[struct_type])  # type: ignore[valid-type]  # a type that is made at run time


def _report(
    struct_type: type[T], raw: msgspec.Raw, error: MalformedObjectError, on_malformed: OnMalformed
) -> PartialObject | None:
    """Report an object that cannot be decoded; returns its metadata if at least those can be."""
    try:
        known = decode(PartialObject, raw)
    except MalformedObjectError:
        known = None
    name = "/".join(filter(None, known.metadata.key)) if known else ""
    on_malformed(struct_type.__name__, name, error)
    return known
