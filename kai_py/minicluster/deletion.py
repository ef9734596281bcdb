"""Delete: grace for pods, finalizers, propagation. What happens to dependents is the garbage collector's work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from .kinds import NAMESPACES, PODS
from .metadata import now
from .options import DeleteOptions, Precondition
from .refusals import conflict, forbidden, not_found
from .registry import Endpoint
from .store import Entry, Object, Store
from .writes import check_precondition

ORPHAN: Final = "orphan"
FOREGROUND: Final = "foregroundDeletion"
_IMMORTAL_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public"})
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


class Deleter:
    """Deletes objects, or marks them as being deleted."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def delete(self, endpoint: Endpoint, namespace: str, name: str, options: DeleteOptions) -> tuple[Entry, bool]:
        """Delete one object.

        Returns:
            Its last state, and whether it is gone (False: it waits for a kubelet or for finalizers).

        Raises:
            RefusedError: 403 (a namespace that must live), 404 or 409.
        """
        collection, kind = endpoint.collection, endpoint.collection.kind
        entry = collection.entries.get((namespace, name))
        if entry is None:
            raise not_found(kind, name)
        check_precondition(kind, entry, Precondition(uid=options.uid))
        if options.resource_version and options.resource_version != str(entry.revision):
            raise conflict(
                kind,
                name,
                f"Precondition failed: ResourceVersion in precondition: {options.resource_version}, ResourceVersion in"
                f" object meta: {entry.revision}",
            )
        if kind.key == NAMESPACES.key and name in _IMMORTAL_NAMESPACES:
            raise forbidden(kind, name, "this namespace may not be deleted")
        obj = entry.object()
        grace = _grace(kind.key, obj, options.grace)
        changed = _set_finalizers(obj, options.propagation)
        changed |= _mark(kind.key, obj, grace)
        held = obj["metadata"].get("finalizers") or (obj.get("spec") or {}).get("finalizers")
        if options.dry_run:
            return Entry(kind, obj, entry.revision), not (held or grace)
        if not held and not grace:
            return self._store.remove(collection, entry, obj), True
        return (self._store.put(collection, obj) if changed else entry), False


def _grace(key: str, obj: Object, asked: int | None) -> int:
    """Seconds a pod has to end. An unbound or finished pod has none."""
    if key != PODS.key:
        return 0
    if not obj["spec"].get("nodeName") or obj.get("status", {}).get("phase") in _FINISHED:
        return 0
    if asked is not None:
        return max(asked, 0)
    return int(obj["spec"].get("terminationGracePeriodSeconds", 30))


def _set_finalizers(obj: Object, propagation: str | None) -> bool:
    """Ask the garbage collector to act before the object goes; the other request's finalizer is withdrawn."""
    if propagation is None:
        return False
    meta = obj["metadata"]
    finalizers = list(meta.get("finalizers") or ())
    wanted = {"Orphan": ORPHAN, "Foreground": FOREGROUND}.get(propagation)
    kept = [finalizer for finalizer in finalizers if finalizer not in (ORPHAN, FOREGROUND) or finalizer == wanted]
    if wanted and wanted not in kept:
        kept.append(wanted)
    meta.pop("finalizers", None)
    if kept:
        meta["finalizers"] = kept
    return kept != finalizers


def _mark(key: str, obj: Object, grace: int) -> bool:
    """Set the deletion timestamp; a second delete can only shorten the grace. Tells whether anything changed."""
    meta = obj["metadata"]
    if "deletionTimestamp" in meta:
        if grace >= (meta.get("deletionGracePeriodSeconds") or 0):
            return False
    elif key == NAMESPACES.key:
        obj.setdefault("status", {})["phase"] = "Terminating"
    end = datetime.now(UTC) + timedelta(seconds=grace)
    meta["deletionTimestamp"] = end.strftime("%Y-%m-%dT%H:%M:%SZ") if grace else now()
    if key == NAMESPACES.key:
        return True
    meta["deletionGracePeriodSeconds"] = grace
    if "generation" in meta:
        meta["generation"] += 1
    return True
