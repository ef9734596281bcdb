"""Watches: history first, then changes as they come, each as the bytes that are stored."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
from aiohttp import web

from kai_py.minicluster.refusals import Cause, RefusedError, invalid
from kai_py.minicluster.registry import Endpoint
from kai_py.minicluster.storage import Selection, Storage, selection_of
from kai_py.minicluster.store import Change, Entry, Watcher

from . import shapes, tables
from .lists import parse_version
from .media import JSON, Accept, encode
from .routes import Route

_BOOKMARK_SECONDS: Final = 10.0
_QUEUE_LIMIT: Final = 50_000
_MIN_TIMEOUT: Final = 1800
_INITIAL_END: Final = "k8s.io/initial-events-end"
Frame = Callable[[str, Entry], bytes]


class _ListOptions:
    group = "meta.k8s.io"
    kind = "ListOptions"
    plural = "listoptions"


class WatchSession:
    """One client's watch."""

    def __init__(self, storage: Storage, endpoint: Endpoint, route: Route, accept: Accept) -> None:
        self._storage = storage
        self._endpoint = endpoint
        self._route = route
        self._accept = accept
        self._selection: Selection = selection_of(
            endpoint, route.namespace, route.query.get("labelSelector", ""), route.query.get("fieldSelector", "")
        )
        self._asked = parse_version(route.query.get("resourceVersion", ""))
        self._bookmarks = route.flag("allowWatchBookmarks")
        self._initial = route.query.get("sendInitialEvents", "")
        self._check_initial()
        self._timeout = route.number("timeoutSeconds") or random.randint(_MIN_TIMEOUT, 2 * _MIN_TIMEOUT)  # noqa: S311
        self._frame: Frame = _plain_frame if shapes.is_plain(endpoint, accept) else self._shaped_frame
        self._table_started = False

    def _check_initial(self) -> None:
        if not self._initial:
            return
        match = self._route.query.get("resourceVersionMatch", "")
        if match != "NotOlderThan":
            text = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise invalid(_ListOptions(), "", [Cause("FieldValueForbidden", "resourceVersionMatch", text)])
        if self._route.flag("sendInitialEvents") and not self._bookmarks:
            text = "Forbidden: sendInitialEvents requires allowWatchBookmarks"
            raise invalid(_ListOptions(), "", [Cause("FieldValueForbidden", "sendInitialEvents", text)])

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Stream events until the time is up, the client goes, or the server ends all watches."""
        response = web.StreamResponse(headers={"Content-Type": JSON, "Cache-Control": "no-cache, private"})
        watcher = Watcher(_QUEUE_LIMIT, on_overflow=lambda: _abort(request))
        collection = self._endpoint.collection
        try:
            first = b"".join(self._first_frames())
        except RefusedError as refusal:
            first = _event_bytes("ERROR", msgspec.json.encode(refusal.body()))
            watcher.close()
        else:
            collection.watchers.add(watcher)
        try:
            with contextlib.suppress(ConnectionResetError):  # the client has gone, and nobody is left to be told
                await response.prepare(request)
                if first:
                    await response.write(first)
                await self._follow(response, watcher)
        finally:
            collection.watchers.discard(watcher)
        return response

    async def _follow(self, response: web.StreamResponse, watcher: Watcher) -> None:
        end = time.monotonic() + self._timeout
        while not watcher.closed:
            left = end - time.monotonic()
            if left <= 0:
                return
            changes = await watcher.batch(min(left, _BOOKMARK_SECONDS))
            frames = [frame for change in changes if (frame := self._change_frame(change))]
            if not changes and self._bookmarks and not watcher.closed:
                frames.append(self._bookmark())
            if frames:
                await response.write(b"".join(frames))

    def _first_frames(self) -> Iterator[bytes]:
        """What the client gets before anything new happens. Taken in one go, so nothing falls between."""
        revision, collection = self._storage.store.revision, self._endpoint.collection
        wants_state = not self._asked if not self._initial else self._route.flag("sendInitialEvents")
        if wants_state:
            for entry in collection.at(revision, max(revision, 0)):
                if self._selection.admits(entry):
                    yield self._frame("ADDED", entry)
            if self._initial:
                yield self._bookmark(annotations={_INITIAL_END: "true"})
        elif self._asked:
            if self._asked > revision:
                collection.at(self._asked, revision)
            for change in collection.since(self._asked):
                yield self._change_frame(change)

    def _change_frame(self, change: Change) -> bytes:
        seen = self._selection.sees(change)
        return self._frame(seen, change.seen_as(self._endpoint.collection.kind, seen)) if seen else b""

    def _bookmark(self, annotations: dict[str, str] | None = None) -> bytes:
        meta: dict[str, object] = {"resourceVersion": str(self._storage.store.revision), "creationTimestamp": None}
        if annotations:
            meta["annotations"] = annotations
        mark = {"kind": self._endpoint.kind.kind, "apiVersion": self._endpoint.group_version, "metadata": meta}
        if self._accept.shape == "Table":
            mark = tables.table(self._endpoint, [], {"resourceVersion": meta["resourceVersion"]}, "None")
        return _event_bytes("BOOKMARK", msgspec.json.encode(mark))

    def _shaped_frame(self, type: str, entry: Entry) -> bytes:  # noqa: A002  # the API's word
        if self._accept.shape != "Table":
            return _event_bytes(type, shapes.entry_bytes(self._endpoint, entry, Accept(JSON, self._accept.shape)))
        obj = shapes.served(self._endpoint, entry)
        include = self._route.query.get("includeObject", "Metadata")
        body = tables.table(
            self._endpoint, [obj], {"resourceVersion": str(entry.revision)}, include, header=not self._table_started
        )
        self._table_started = True
        return _event_bytes(type, encode(body, Accept()))


def _plain_frame(type: str, entry: Entry) -> bytes:  # noqa: A002  # the API's word
    return _event_bytes(type, entry.raw)


def _event_bytes(type: str, raw: bytes) -> bytes:  # noqa: A002  # the API's word
    return b'{"type":"' + type.encode() + b'","object":' + raw + b"}\n"


def _abort(request: web.BaseRequest) -> None:
    """Drop a client that does not read: its own fault must not cost the server's memory."""
    if request.transport is not None:
        request.transport.abort()
