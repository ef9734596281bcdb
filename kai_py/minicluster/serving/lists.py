"""Lists: pages of one consistent snapshot, selectors, resourceVersion."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import msgspec

from kai_py.minicluster.refusals import Cause, bad_request, expired, invalid
from kai_py.minicluster.registry import Endpoint
from kai_py.minicluster.storage import Storage, selection_of
from kai_py.minicluster.store import Entry

from . import shapes
from .media import Accept
from .routes import Route

_EXPIRED: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without"
    " the continue parameter."
)


class _Token(msgspec.Struct):
    """Where the next page starts: after this key, in the snapshot of this revision."""

    rv: int
    namespace: str
    name: str


def page(storage: Storage, endpoint: Endpoint, route: Route, accept: Accept) -> bytes:
    """One page of a list on the wire.

    Raises:
        RefusedError: 400 (malformed token or version), 410 (expired), 504 (version in the future).
    """
    limit = route.number("limit") or 0
    token = _read_token(route.query["continue"]) if route.query.get("continue") else None
    revision = token.rv if token else _revision(storage, endpoint, route)
    try:
        snapshot = endpoint.collection.at(revision, storage.store.revision)
    except Exception as error:
        if token is not None:
            raise expired(_EXPIRED) from error
        raise
    selection = selection_of(
        endpoint, route.namespace, route.query.get("labelSelector", ""), route.query.get("fieldSelector", "")
    )
    after = (token.namespace, token.name) if token else ("", "")
    chosen = [entry for entry in snapshot if entry.key > after and selection.admits(entry)]
    meta: dict[str, Any] = {"resourceVersion": str(revision)}
    if limit and len(chosen) > limit:
        last = chosen[limit - 1]
        meta["continue"] = _write_token(_Token(revision, last.namespace, last.name))
        if selection.labels is None and selection.fields is None:
            meta["remainingItemCount"] = len(chosen) - limit
        chosen = chosen[:limit]
    return shapes.list_bytes(endpoint, chosen, accept, meta, include=route.query.get("includeObject", "Metadata"))


def selected(storage: Storage, endpoint: Endpoint, route: Route) -> list[Entry]:
    """Every object that a route's selectors admit now."""
    selection = selection_of(
        endpoint, route.namespace, route.query.get("labelSelector", ""), route.query.get("fieldSelector", "")
    )
    snapshot = endpoint.collection.at(storage.store.revision, storage.store.revision)
    return [entry for entry in snapshot if selection.admits(entry)]


def _revision(storage: Storage, endpoint: Endpoint, route: Route) -> int:
    """The revision that a list shows: the newest, unless the client wants exactly another."""
    asked, match = parse_version(route.query.get("resourceVersion", "")), route.query.get("resourceVersionMatch", "")
    if match not in ("", "Exact", "NotOlderThan") or (match and asked is None) or (match == "Exact" and asked == 0):
        raise invalid(
            endpoint.kind,
            "",
            [
                Cause(
                    "FieldValueForbidden",
                    "resourceVersionMatch",
                    "Forbidden: resourceVersionMatch needs a resourceVersion it fits",
                )
            ],
        )
    current = storage.store.revision
    if asked is not None and asked > current:
        endpoint.collection.at(asked, current)
    exact = match == "Exact" or (asked and route.number("limit") and not match)
    return asked if exact and asked is not None else current


def parse_version(text: str) -> int | None:
    """A resourceVersion parameter; None when it is not given.

    Raises:
        RefusedError: 400, not a number.
    """
    if not text:
        return None
    if not text.isdecimal():
        raise bad_request(f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax')
    return int(text)


def _write_token(token: _Token) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(token)).decode().rstrip("=")


def _read_token(text: str) -> _Token:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=_Token)
    except (binascii.Error, ValueError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error
