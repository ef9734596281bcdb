"""Where objects live: their bytes, one revision counter, a bounded history, and who watches.

An object is kept as JSON bytes and nothing else; whoever wants to look inside decodes a copy of their own, so no
reader can change what is stored, and lists and watches send the very bytes. What selectors and the garbage collector
ask for is kept beside them. Not thread-safe: one event loop owns it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from .kinds import Kind
from .refusals import expired, future_version, gone

Object = dict[str, Any]
Key = tuple[str, str]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Object).decode
_SNAPSHOTS = 8


class Entry:
    """One version of one object. Never changes.

    Attributes:
        raw: the object as JSON.
        labels: its labels.
        fields: selectable field path → text.
        owners: uids of its owners.
        generation: ``metadata.generation``, kept for speed.
    """

    __slots__ = ("deleting", "fields", "labels", "name", "namespace", "owners", "raw", "revision", "uid")

    def __init__(self, kind: Kind, obj: Object, revision: int) -> None:
        meta = obj["metadata"]
        self.raw: bytes = _encode(obj)
        self.revision = revision
        self.namespace: str = meta.get("namespace", "")
        self.name: str = meta["name"]
        self.uid: str = meta["uid"]
        self.labels: dict[str, str] = meta.get("labels") or {}
        self.fields: dict[str, str] = {"metadata.name": self.name, "metadata.namespace": self.namespace}
        for path in kind.selectable:
            self.fields[path] = field_text(obj, path)
        self.owners: tuple[str, ...] = tuple(owner["uid"] for owner in meta.get("ownerReferences") or ())
        self.deleting: bool = "deletionTimestamp" in meta

    @property
    def key(self) -> Key:
        """Namespace and name."""
        return self.namespace, self.name

    def object(self) -> Object:
        """A fresh copy, the caller's own."""
        return _decode(self.raw)


def field_text(obj: Object, path: str) -> str:
    """A selectable field as text; absent fields are empty, absent booleans ``false``."""
    value: Any = obj
    for part in path.lstrip(".").split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, dict):
        value = value.get("component")
    if value is None:
        return "false" if path in ("spec.unschedulable", "spec.hostNetwork") else ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a collection's history. ``previous`` is None for an addition."""

    type: ChangeType
    entry: Entry
    previous: Entry | None

    def seen_as(self, kind: Kind, type: ChangeType) -> Entry:  # noqa: A002  # the API's word
        """What a watcher gets. An object that only left its selection is shown as it was before it left."""
        if type != "DELETED" or self.type == "DELETED" or self.previous is None:
            return self.entry
        last = self.previous.object()
        last["metadata"]["resourceVersion"] = str(self.entry.revision)
        return Entry(kind, last, self.entry.revision)


class Watcher:
    """A bounded queue of changes for one reader. A reader that falls too far behind is dropped, not waited for."""

    def __init__(self, limit: int, *, on_overflow: Callable[[], object] | None = None) -> None:
        self._on_overflow = on_overflow
        self._queue: deque[Change] = deque()
        self._limit = limit
        self._news = asyncio.Event()
        self.closed = False

    def push(self, change: Change) -> None:
        """Add one change, or close when the queue is full."""
        if len(self._queue) >= self._limit and not self.closed:
            self.close()
            if self._on_overflow is not None:
                self._on_overflow()
        if not self.closed:
            self._queue.append(change)
            self._news.set()

    def close(self) -> None:
        """No more changes; the reader sees the end at once."""
        self.closed = True
        self._queue.clear()
        self._news.set()

    async def batch(self, timeout: float) -> list[Change]:  # noqa: ASYNC109  # a plain timeout reads better here
        """All changes that wait; empty after ``timeout`` seconds without any, or when closed."""
        if not self._queue and not self.closed:
            try:
                # Not wait_for: until Python 3.12, it forgets a cancellation that comes together with news.
                async with asyncio.timeout(timeout):
                    await self._news.wait()
            except TimeoutError:
                return []
        self._news.clear()
        waiting, self._queue = list(self._queue), deque()
        return waiting


class Collection:
    """All objects of one kind."""

    def __init__(self, kind: Kind, *, history: int, compacted: int) -> None:
        self.kind = kind
        self.entries: dict[Key, Entry] = {}
        self.by_namespace: dict[str, dict[str, Entry]] = {}
        self.changes: deque[Change] = deque()
        self.compacted = compacted
        self.watchers: set[Watcher] = set()
        self._history = history
        self._snapshots: OrderedDict[int, list[Entry]] = OrderedDict()

    def record(self, change: Change) -> None:
        """Take one change into entries, history and every watcher's queue."""
        entry = change.entry
        if change.type == "DELETED":
            del self.entries[entry.key]
            del self.by_namespace[entry.namespace][entry.name]
        else:
            self.entries[entry.key] = entry
            self.by_namespace.setdefault(entry.namespace, {})[entry.name] = entry
        if len(self.changes) >= self._history:
            self.compacted = self.changes.popleft().entry.revision
        self.changes.append(change)
        for watcher in self.watchers:
            watcher.push(change)

    def at(self, revision: int, current: int) -> list[Entry]:
        """All entries as of a revision, sorted by namespace and name.

        Raises:
            RefusedError: 410 when history no longer reaches back, 504 when the revision is in the future.
        """
        if revision > current:
            raise future_version(revision, current)
        if revision < self.compacted:
            raise expired(f"The provided resource version is too old: {revision} ({self.compacted})")
        if revision not in self._snapshots:
            self._snapshots[revision] = self._rewound(revision)
            if len(self._snapshots) > _SNAPSHOTS:
                self._snapshots.popitem(last=False)
        return self._snapshots[revision]

    def _rewound(self, revision: int) -> list[Entry]:
        entries = self.entries
        if self.changes and self.changes[-1].entry.revision > revision:
            entries = dict(entries)
            for change in reversed(self.changes):
                if change.entry.revision <= revision:
                    break
                if change.previous is None:
                    del entries[change.entry.key]
                else:
                    entries[change.entry.key] = change.previous
        return [entries[key] for key in sorted(entries)]

    def since(self, revision: int) -> Iterator[Change]:
        """The changes after a revision, oldest first.

        Raises:
            RefusedError: 410 when history no longer reaches back.
        """
        if revision < self.compacted:
            raise gone(revision, self.compacted)
        newer: list[Change] = []
        for change in reversed(self.changes):
            if change.entry.revision <= revision:
                break
            newer.append(change)
        return reversed(newer)

    def compact(self, revision: int) -> None:
        """Forget all history up to now."""
        self.changes.clear()
        self._snapshots.clear()
        self.compacted = revision

    def disconnect(self) -> None:
        """End every watch."""
        for watcher in list(self.watchers):
            watcher.close()


Observer = Callable[[Kind, Change], None]


class Store:
    """All collections and the one revision counter.

    Attributes:
        revision: the last one given out.
        live: uid of every object → where it is.
        observers: told of every change, synchronously.
    """

    def __init__(self, *, history: int) -> None:
        self.revision = 1
        self.collections: dict[str, Collection] = {}
        self.live: dict[str, tuple[str, Key]] = {}
        self._dependents: dict[str, set[tuple[str, Key]]] = {}
        self.observers: list[Observer] = []
        self._history = history

    def add_collection(self, kind: Kind) -> Collection:
        """Make room for a kind, or take its new definition."""
        collection = self.collections.get(kind.key)
        if collection is None:
            collection = Collection(kind, history=self._history, compacted=self.revision)
            self.collections[kind.key] = collection
        collection.kind = kind
        return collection

    def drop_collection(self, key: str) -> None:
        """Forget a kind with all its objects; watches on it end."""
        collection = self.collections.pop(key, None)
        if collection is not None:
            for entry in collection.entries.values():
                self._reindex(collection.kind, entry, None)
            collection.disconnect()

    def put(self, collection: Collection, obj: Object) -> Entry:
        """Write an object under the next revision. Sets ``metadata.resourceVersion`` in ``obj``."""
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        entry = Entry(collection.kind, obj, self.revision)
        previous = collection.entries.get(entry.key)
        self._reindex(collection.kind, previous, entry)
        self._tell(collection, Change("ADDED" if previous is None else "MODIFIED", entry, previous))
        return entry

    def remove(self, collection: Collection, entry: Entry, obj: Object) -> Entry:
        """Delete an object. ``obj`` is its last state, which watchers get under the revision of the deletion."""
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        last = Entry(collection.kind, obj, self.revision)
        self._reindex(collection.kind, entry, None)
        self._tell(collection, Change("DELETED", last, entry))
        return last

    def dependents_of(self, uid: str) -> Iterable[tuple[str, Key]]:
        """Collection key and object key of everything that names this uid as an owner."""
        return tuple(self._dependents.get(uid, ()))

    def _reindex(self, kind: Kind, previous: Entry | None, entry: Entry | None) -> None:
        if entry is None and previous is not None:
            del self.live[previous.uid]
        elif entry is not None and previous is None:
            self.live[entry.uid] = kind.key, entry.key
        before = previous.owners if previous else ()
        after = entry.owners if entry else ()
        if before == after:
            return
        key = (entry or previous).key  # type: ignore[union-attr]  # one of the two is always given
        for uid in before:
            if uid not in after and uid in self._dependents:
                self._dependents[uid].discard((kind.key, key))
                if not self._dependents[uid]:
                    del self._dependents[uid]
        for uid in after:
            self._dependents.setdefault(uid, set()).add((kind.key, key))

    def _tell(self, collection: Collection, change: Change) -> None:
        collection.record(change)
        for observer in self.observers:
            observer(collection.kind, change)
