"""The cluster's storage as programs in this process use it: the server's own verbs, without HTTP.

Every verb validates, defaults and refuses exactly as a request would. Objects that come out are the caller's own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Literal

from .bindings import Binder
from .crds import CustomKinds
from .deletion import Deleter
from .evictions import Evictor
from .options import DeleteOptions, WriteOptions
from .patches import PatchType, apply_patch, patched
from .refusals import bad_request, not_found
from .registry import Endpoint, Registry
from .selectors import Labels, parse_fields, parse_labels
from .store import Change, ChangeType, Entry, Object, Store, Watcher
from .writes import Writer

_WATCH_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a watch."""

    type: ChangeType
    object: Object


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind a list or watch is about."""

    namespace: str
    labels: Callable[[Labels], bool] | None
    fields: Callable[[Labels], bool] | None

    def admits(self, entry: Entry) -> bool:
        """Whether an object is part of it."""
        return (
            (not self.namespace or entry.namespace == self.namespace)
            and (self.labels is None or self.labels(entry.labels))
            and (self.fields is None or self.fields(entry.fields))
        )

    def sees(self, change: Change) -> ChangeType | None:
        """What a change looks like from here: an object that enters the selection is added, one that leaves deleted."""
        was = change.previous is not None and self.admits(change.previous)
        if change.type == "DELETED":
            return "DELETED" if was else None
        if self.admits(change.entry):
            return "MODIFIED" if was else "ADDED"
        return "DELETED" if was else None


class Storage:
    """All kinds and all verbs. Synchronous: a call has happened when it returns.

    Kinds are named ``pods`` or, outside the core group, ``jobs.batch``.
    """

    def __init__(self, *, history: int = 20_000, gates: AbstractSet[str] = frozenset()) -> None:
        self.gates = frozenset(gates)
        self.store = Store(history=history)
        self.registry = Registry(self.store, gates)
        self.writer = Writer(self.store, self.registry)
        self.deleter = Deleter(self.store)
        self.binder = Binder(self.store)
        self.evictor = Evictor(self.store, self.registry, self.writer, self.deleter)
        self.custom = CustomKinds(self.store, self.registry)
        self.store.observers.append(self.custom.observe)

    def create(self, kind: str, obj: Object, namespace: str = "") -> Object:
        """Store a new object. ``namespace`` may be left to the object's metadata."""
        endpoint, options = self.registry.stored(kind), WriteOptions()
        namespace = namespace or self._namespace(endpoint, obj)
        return self.writer.create(endpoint, namespace, self.writer.read(endpoint, obj, options), options).object()

    def get(self, kind: str, name: str, namespace: str = "") -> Object:
        """One object.

        Raises:
            RefusedError: 404.
        """
        endpoint = self.registry.stored(kind)
        entry = endpoint.collection.entries.get((namespace, name))
        if entry is None:
            raise not_found(endpoint.kind, name)
        return entry.object()

    def find(self, kind: str, name: str, namespace: str = "") -> Object | None:
        """One object, or None."""
        return self.writer.find(kind, namespace, name)

    def list(self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "") -> list[Object]:
        """All objects of a kind that the selectors admit, by namespace and name."""
        endpoint = self.registry.stored(kind)
        selection = selection_of(endpoint, namespace, labels, fields)
        entries = endpoint.collection.at(self.store.revision, self.store.revision)
        return [entry.object() for entry in entries if selection.admits(entry)]

    def update(self, kind: str, obj: Object, *, subresource: Literal["", "status"] = "") -> Object:
        """Replace an object, or its status. Its resourceVersion, if given, must be the current one."""
        endpoint, options = self.registry.stored(kind), WriteOptions()
        meta = obj.get("metadata") or {}
        wanted = self.writer.read(endpoint, obj, options)
        entry = self.writer.update(
            endpoint,
            meta.get("namespace", ""),
            meta.get("name", ""),
            lambda _: wanted,
            options,
            subresource=subresource,
        )
        return entry.object()

    def patch(
        self,
        kind: str,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        type: PatchType = "merge",  # noqa: A002  # the API's word
        subresource: Literal["", "status"] = "",
    ) -> Object:
        """Change an object, or its status, by a merge, strategic or JSON patch."""
        endpoint, options = self.registry.stored(kind), WriteOptions()
        change = patched(self.writer, endpoint, patch, type, options)
        return self.writer.update(endpoint, namespace, name, change, options, subresource=subresource).object()

    def apply(self, obj: Object, kind: str, *, manager: str, force: bool = False, subresource: str = "") -> Object:
        """Server-side apply an object; creates it if it does not exist."""
        endpoint, options = self.registry.stored(kind), WriteOptions(manager=manager, force=force)
        name, namespace = obj["metadata"]["name"], self._namespace(endpoint, obj)
        entry, _ = apply_patch(self.writer, endpoint, namespace, name, obj, options, subresource=subresource)
        return entry.object()

    def delete(self, kind: str, name: str, namespace: str = "", options: DeleteOptions | None = None) -> Object:
        """Delete an object, or mark it as being deleted. Returns its last state."""
        endpoint = self.registry.stored(kind)
        return self.deleter.delete(endpoint, namespace, name, options or DeleteOptions())[0].object()

    def bind(self, namespace: str, name: str, node: str, *, uid: str | None = None) -> Object:
        """Assign a pod to a node, as ``POST binding`` does."""
        binding = {"metadata": {"name": name, "uid": uid}, "target": {"kind": "Node", "name": node}}
        return self.binder.bind(namespace, name, binding).object()

    def finalize_namespace(self, name: str, finalizers: Sequence[str]) -> Object:
        """Set the finalizers of a namespace's spec; one that is being deleted goes with the last."""
        return self.writer.finalize(name, finalizers).object()

    async def watch(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", initial: bool = True
    ) -> AsyncGenerator[Event]:
        """Events of a kind, forever; first every existing object as ``ADDED``, unless ``initial`` is False.

        Raises:
            RefusedError: 410, the reader fell more than 100,000 events behind.
        """
        endpoint = self.registry.stored(kind)
        selection = selection_of(endpoint, namespace, labels, fields)
        watcher = Watcher(_WATCH_LIMIT)
        existing = [entry for entry in endpoint.collection.entries.values() if initial and selection.admits(entry)]
        endpoint.collection.watchers.add(watcher)
        try:
            for entry in existing:
                yield Event("ADDED", entry.object())
            while not watcher.closed:
                for change in await watcher.batch(60):
                    seen = selection.sees(change)
                    if seen:
                        yield Event(seen, change.seen_as(endpoint.collection.kind, seen).object())
        finally:
            endpoint.collection.watchers.discard(watcher)

    def _namespace(self, endpoint: Endpoint, obj: Object) -> str:
        return (obj.get("metadata") or {}).get("namespace") or "default" if endpoint.kind.namespaced else ""


def selection_of(endpoint: Endpoint, namespace: str, labels: str, fields: str) -> Selection:
    """A selection from the texts of selectors.

    Raises:
        RefusedError: 400, malformed or not selectable.
    """
    if not endpoint.kind.namespaced and namespace:
        raise bad_request(f"{endpoint.kind.plural} are not namespaced")
    selectable = {"metadata.name": "metadata.name", "metadata.namespace": "metadata.namespace"}
    for path in endpoint.kind.selectable:
        selectable[path] = path
        if endpoint.translation is not None:
            selectable[path.replace("involvedObject", "regarding")] = path
            selectable["reportingController"] = "reportingComponent"
    return Selection(namespace, parse_labels(labels), parse_fields(fields, selectable))
