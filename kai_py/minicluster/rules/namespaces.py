"""Namespaces: born active, with the finalizer that keeps them until they are empty."""

from __future__ import annotations

from typing import Final

from .base import Object, Reader, Rules

FINALIZER: Final = "kubernetes"
_NAME_LABEL: Final = "kubernetes.io/metadata.name"


class NamespaceRules(Rules):
    """Rules of namespaces."""

    def default(self, obj: Object) -> None:
        """Every namespace carries its name as a label."""
        meta = obj["metadata"]
        meta["labels"] = (meta.get("labels") or {}) | {_NAME_LABEL: meta["name"]}

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        obj["spec"] = {"finalizers": [FINALIZER]}
        obj["status"] = {"phase": "Active"}

    def prepare_update(self, new: Object, old: Object, _reader: Reader) -> None:
        """Finalizers of the spec are written through ``finalize`` only."""
        new["spec"] = old["spec"]
