"""Garbage collection by owner references: background, foreground and orphaning."""

from __future__ import annotations

from collections.abc import Iterable

from kai_py.minicluster.deletion import FOREGROUND, ORPHAN
from kai_py.minicluster.kinds import Kind
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage
from kai_py.minicluster.store import Change, Object

from .loop import Loop

Key = tuple[str, str, str]


class GarbageCollector:
    """Looks at an object whenever it, one of its owners or one of its dependents goes."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._store = storage.store
        self.loop: Loop[Key] = Loop(self._due, self._handle)

    def _due(self, kind: Kind, change: Change) -> Iterable[Key]:
        entry = change.entry
        if change.type == "DELETED":
            for dependent_kind, (namespace, name) in self._store.dependents_of(entry.uid):
                yield dependent_kind, namespace, name
            for owner in entry.owners:
                if owner in self._store.live:
                    owner_kind, (namespace, name) = self._store.live[owner]
                    yield owner_kind, namespace, name
        elif entry.owners or entry.deleting:
            yield kind.key, entry.namespace, entry.name

    def _handle(self, key: Key) -> None:
        kind, namespace, name = key
        obj = self._storage.find(kind, name, namespace) if self._storage.registry.knows(kind) else None
        if obj is None:
            return
        meta = obj["metadata"]
        if "deletionTimestamp" in meta:
            finalizers = meta.get("finalizers") or ()
            if ORPHAN in finalizers:
                self._orphan(kind, obj)
            elif FOREGROUND in finalizers:
                self._delete_dependents(kind, obj)
        elif meta.get("ownerReferences"):
            self._check_owners(kind, obj)

    def _check_owners(self, kind: str, obj: Object) -> None:
        """Delete an object whose owners are all gone; forget those that are gone if others live.

        Of an owner whose kind is not served nobody knows whether it is gone, so that its dependents stay
        (kube-controller-manager finds no REST mapping, and tries again).
        """
        meta = obj["metadata"]
        registry = self._storage.registry
        if any(registry.by_kind(owner["apiVersion"], owner["kind"]) is None for owner in meta["ownerReferences"]):
            return
        living = [owner for owner in meta["ownerReferences"] if self._lives(owner["uid"], meta.get("namespace", ""))]
        if not living:
            self._delete(kind, obj)
        elif len(living) < len(meta["ownerReferences"]):
            self._set_owners(kind, obj, living)

    def _lives(self, uid: str, namespace: str) -> bool:
        """Whether an owner exists, cluster-wide or in the dependent's namespace."""
        found = self._store.live.get(uid)
        return found is not None and found[1][0] in ("", namespace)

    def _orphan(self, kind: str, owner: Object) -> None:
        uid = owner["metadata"]["uid"]
        for dependent_kind, dependent in self._dependents(uid):
            others = [ref for ref in dependent["metadata"]["ownerReferences"] if ref["uid"] != uid]
            self._set_owners(dependent_kind, dependent, others)
        self._drop_finalizer(kind, owner, ORPHAN)

    def _delete_dependents(self, kind: str, owner: Object) -> None:
        """Foreground: delete what depends on the owner; the owner goes when nothing that blocks it is left."""
        blocked = False
        uid = owner["metadata"]["uid"]
        for dependent_kind, dependent in self._dependents(uid):
            others = [ref for ref in dependent["metadata"]["ownerReferences"] if ref["uid"] != uid]
            if any(self._lives(ref["uid"], owner["metadata"].get("namespace", "")) for ref in others):
                self._set_owners(dependent_kind, dependent, others)
                continue
            if "deletionTimestamp" not in dependent["metadata"]:
                has_dependents = bool(self._store.dependents_of(dependent["metadata"]["uid"]))
                self._delete(dependent_kind, dependent, foreground=has_dependents)
            blocks = any(
                ref["uid"] == uid and ref.get("blockOwnerDeletion") for ref in dependent["metadata"]["ownerReferences"]
            )
            blocked |= blocks and dependent["metadata"]["uid"] in self._store.live
        if not blocked:
            self._drop_finalizer(kind, owner, FOREGROUND)

    def _dependents(self, uid: str) -> Iterable[tuple[str, Object]]:
        for kind, (namespace, name) in self._store.dependents_of(uid):
            found = self._storage.find(kind, name, namespace)
            if found is not None:
                yield kind, found

    def _delete(self, kind: str, obj: Object, *, foreground: bool = False) -> None:
        meta = obj["metadata"]
        options = DeleteOptions(uid=meta["uid"], propagation="Foreground" if foreground else "Background")
        self._storage.delete(kind, meta["name"], meta.get("namespace", ""), options)

    def _set_owners(self, kind: str, obj: Object, owners: list[Object]) -> None:
        meta = obj["metadata"]
        patch = {"metadata": {"uid": meta["uid"], "ownerReferences": owners or None}}
        self._storage.patch(kind, meta["name"], patch, meta.get("namespace", ""))

    def _drop_finalizer(self, kind: str, obj: Object, finalizer: str) -> None:
        meta = obj["metadata"]
        kept = [name for name in meta.get("finalizers") or () if name != finalizer]
        patch = {"metadata": {"uid": meta["uid"], "finalizers": kept or None}}
        self._storage.patch(kind, meta["name"], patch, meta.get("namespace", ""))


async def collect_garbage(storage: Storage) -> None:
    """Run the garbage collector."""
    await GarbageCollector(storage).loop.run(storage)
