"""What must be emptied before it goes: namespaces, and CustomResourceDefinitions."""

from __future__ import annotations

from collections.abc import Iterable

from kai_py.minicluster.kinds import CRDS, NAMESPACES, Kind
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.rules.crds import FINALIZER
from kai_py.minicluster.storage import Storage
from kai_py.minicluster.store import Change

from .loop import Loop


class NamespaceTermination:
    """Deletes what is in a namespace that is being deleted; when it is empty, lets the namespace go."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.loop: Loop[str] = Loop(self._due, self._handle)

    def _due(self, kind: Kind, change: Change) -> Iterable[str]:
        if kind.key == NAMESPACES.key:
            if change.entry.deleting and change.type != "DELETED":
                yield change.entry.name
        elif change.type == "DELETED" and self._is_terminating(change.entry.namespace):
            yield change.entry.namespace

    def _is_terminating(self, namespace: str) -> bool:
        entry = self._storage.store.collections[NAMESPACES.key].entries.get(("", namespace))
        return entry is not None and entry.deleting

    def _handle(self, namespace: str) -> None:
        if not self._is_terminating(namespace):
            return
        empty = True
        for endpoint in self._storage.registry.all_stored():
            collection = endpoint.collection
            if not endpoint.kind.namespaced:
                continue
            for entry in list(collection.by_namespace.get(namespace, {}).values()):
                if not entry.deleting:
                    self._storage.delete(
                        endpoint.kind.key, entry.name, namespace, DeleteOptions(propagation="Background")
                    )
            empty &= not collection.by_namespace.get(namespace)
        if empty:
            self._storage.finalize_namespace(namespace, [])


class DefinitionTermination:
    """Deletes the objects of a CustomResourceDefinition that is being deleted; then lets the definition go."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.loop: Loop[str] = Loop(self._due, self._handle)

    def _due(self, kind: Kind, change: Change) -> Iterable[str]:
        if kind.key == CRDS.key:
            if change.entry.deleting and change.type != "DELETED":
                yield change.entry.name
        elif kind.custom and change.type == "DELETED":
            yield kind.key

    def _handle(self, name: str) -> None:
        definition = self._storage.find(CRDS.key, name)
        if definition is None or "deletionTimestamp" not in definition["metadata"]:
            return
        collection = self._storage.store.collections.get(name)
        if collection is not None:
            for entry in list(collection.entries.values()):
                if not entry.deleting and self._storage.registry.knows(name):
                    self._storage.delete(name, entry.name, entry.namespace, DeleteOptions(propagation="Background"))
        if collection is None or not collection.entries:
            kept = [finalizer for finalizer in definition["metadata"].get("finalizers") or () if finalizer != FINALIZER]
            self._storage.patch(CRDS.key, name, {"metadata": {"finalizers": kept or None}})


async def terminate_namespaces(storage: Storage) -> None:
    """Run the namespace controller."""
    await NamespaceTermination(storage).loop.run(storage)


async def terminate_definitions(storage: Storage) -> None:
    """Run the CustomResourceDefinition finalizer."""
    await DefinitionTermination(storage).loop.run(storage)
