"""Create and update: the one way an object gets into the store.

The order is the real server's: decode, default, admit, validate, then look for conflicts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from . import metadata
from .kinds import NAMESPACES, PODS
from .options import Precondition, WriteOptions
from .patching.apply import Manager, record_update
from .patching.schema import Node
from .refusals import (
    Cause,
    Faults,
    RefusedError,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    invalid,
    modified,
    not_found,
)
from .registry import Endpoint, Registry
from .store import Entry, Object, Store

_NAME_ATTEMPTS: Final = 8
_META_FIELDS: Final = ("apiVersion", "kind", "metadata", "status")
_KEPT_BY_STATUS: Final = ("labels", "annotations", "finalizers", "ownerReferences", "generateName")


class Writer:
    """Creates and updates objects."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def find(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object, or None. With :meth:`all` this is the rules' ``Reader``."""
        entry = self._store.collections[kind].entries.get((namespace, name))
        return entry.object() if entry else None

    def all(self, kind: str, namespace: str = "") -> list[Object]:
        """All objects of a kind; of one namespace, if given."""
        collection = self._store.collections[kind]
        entries = collection.by_namespace.get(namespace, {}) if namespace else collection.entries
        return [entry.object() for entry in entries.values()]

    def read(self, endpoint: Endpoint, data: bytes | Object, options: WriteOptions) -> Object:
        """A request's object in the stored spelling.

        Raises:
            RefusedError: 400, malformed, of another kind, or with unknown fields under Strict validation.
        """
        obj, unknown = endpoint.codec.decode(data)
        if unknown and options.validation != "Ignore":
            texts = [f'unknown field "{path}"' for path in unknown]
            if options.validation == "Strict":
                raise bad_request(
                    f'{endpoint.kind.kind} in version "{endpoint.version}" cannot be handled as a'
                    f" {endpoint.kind.kind}: strict decoding error: {', '.join(texts)}"
                )
            options.warnings += texts
        if obj.setdefault("apiVersion", endpoint.group_version) != endpoint.group_version:
            raise bad_request(
                f"the API version in the data ({obj['apiVersion']}) does not match the expected API version"
                f" ({endpoint.group_version})"
            )
        if obj.setdefault("kind", endpoint.kind.kind) != endpoint.kind.kind:
            raise bad_request(
                f'{obj["kind"]} in version "{endpoint.version}" cannot be handled as a {endpoint.kind.kind}'
            )
        obj = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": {}} | obj
        return endpoint.translation.to_stored(obj) if endpoint.translation else obj

    def create(
        self, endpoint: Endpoint, namespace: str, obj: Object, options: WriteOptions, *, recorded: bool = False
    ) -> Entry:
        """Store a new object, as :meth:`read` gave it.

        Args:
            endpoint: the kind.
            namespace: from the request.
            obj: taken over.
            options: of the request.
            recorded: whether ``managedFields`` is the server's own account, to be kept.

        Raises:
            RefusedError: 400, 403, 404 (no such namespace), 409 or 422.
        """
        collection, kind, meta = endpoint.collection, endpoint.collection.kind, obj["metadata"]
        _place(kind.namespaced, namespace, meta)
        if meta.get("resourceVersion"):
            raise RefusedError(500, "", "resourceVersion should not be set on objects to be created")
        if kind.namespaced:
            self._check_namespace(endpoint, namespace, meta.get("name", ""))
        generated = not meta.get("name") and bool(meta.get("generateName"))
        if generated:
            meta["name"] = self._free_name(endpoint, namespace, meta["generateName"])
        elif not meta.get("name"):
            raise invalid(
                kind,
                "",
                [Cause("FieldValueRequired", "metadata.name", "Required value: name or generateName is required")],
            )
        metadata.stamp(kind, meta)
        if not recorded:
            meta.pop("managedFields", None)
        if kind.has_status and not endpoint.rules.keeps_status:
            obj.pop("status", None)
        endpoint.rules.default(obj)
        endpoint.codec.default(obj)
        endpoint.rules.prepare_create(obj, self)
        self._validate(endpoint, obj)
        if (meta.get("namespace", ""), meta["name"]) in collection.entries:
            raise already_exists(kind, meta["name"])
        if options.dry_run:
            return Entry(kind, obj, 0)
        return self._store.put(collection, obj)

    def update(
        self,
        endpoint: Endpoint,
        namespace: str,
        name: str,
        change: Callable[[Object], Object],
        options: WriteOptions,
        *,
        subresource: str = "",
        recorded: bool = False,
    ) -> Entry:
        """Replace an object by what ``change`` makes of a copy of it.

        Args:
            endpoint: the kind.
            namespace: of the object.
            name: of the object.
            change: the stored object → the wanted one, in the stored spelling.
            options: of the request.
            subresource: empty for the object itself, or ``status``.
            recorded: whether ``change`` has brought ``managedFields`` up to date.

        Raises:
            RefusedError: 400, 404, 409 or 422.
        """
        collection, kind = endpoint.collection, endpoint.collection.kind
        entry = collection.entries.get((namespace, name))
        if entry is None:
            raise not_found(kind, name)
        old = entry.object()
        new = change(entry.object())
        check_precondition(kind, entry, Precondition.of(new["metadata"]))
        _check_address(namespace, name, new["metadata"])
        if not new["metadata"].get("resourceVersion") and not kind.unconditional_update:
            raise invalid(
                kind,
                name,
                [
                    Cause(
                        "FieldValueInvalid",
                        "metadata.resourceVersion",
                        "Invalid value: 0x0: must be specified for an update",
                    )
                ],
            )
        metadata.carry_over(new["metadata"], old["metadata"])
        self._prepare_update(endpoint, new, old, subresource)
        self._validate(endpoint, new, old, subresource)
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return entry
        if "managedFields" in old["metadata"] and not recorded:
            self._record(endpoint, new, old, options, subresource)
        if (
            not subresource
            and kind.counts_generation
            and _spec_of(kind.has_status, new) != _spec_of(kind.has_status, old)
        ):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if options.dry_run:
            return Entry(kind, new, entry.revision)
        if _may_vanish(kind.key, new):
            return self._store.remove(collection, entry, new)
        return self._store.put(collection, new)

    def _record(self, endpoint: Endpoint, new: Object, old: Object, options: WriteOptions, subresource: str) -> None:
        if new["metadata"].get("managedFields") == old["metadata"]["managedFields"]:
            schema, definitions = endpoint.codec.schema()
            manager = Manager(options.manager or "unknown", "Update", endpoint.collection.kind.api_version, subresource)
            record_update(new, old, Node(schema, definitions), manager)

    def finalize(self, name: str, finalizers: Sequence[str]) -> Entry:
        """``namespaces/finalize``: set the finalizers of the spec; a deleted namespace goes with the last.

        Raises:
            RefusedError: 404.
        """
        collection = self._store.collections[NAMESPACES.key]
        entry = collection.entries.get(("", name))
        if entry is None:
            raise not_found(NAMESPACES, name)
        namespace = entry.object()
        namespace["spec"] = {"finalizers": list(finalizers)} if finalizers else {}
        if _may_vanish(NAMESPACES.key, namespace):
            return self._store.remove(collection, entry, namespace)
        return self._store.put(collection, namespace)

    def _prepare_update(self, endpoint: Endpoint, new: Object, old: Object, subresource: str) -> None:
        kind = endpoint.collection.kind
        if subresource == "status":
            for key in new.keys() | old.keys():
                if key not in _META_FIELDS:
                    _restore(new, old, key)
            if not kind.status_keeps_labels:
                for key in _KEPT_BY_STATUS:
                    _restore(new["metadata"], old["metadata"], key)
            endpoint.codec.default(new)
            endpoint.rules.prepare_status(new, old, self)
            return
        if kind.has_status:
            _restore(new, old, "status")
        endpoint.rules.default(new)
        endpoint.codec.default(new)
        endpoint.rules.prepare_update(new, old, self)

    def _validate(self, endpoint: Endpoint, obj: Object, old: Object | None = None, subresource: str = "") -> None:
        kind, faults = endpoint.collection.kind, Faults()
        metadata.check_metadata(kind, obj["metadata"], faults)
        if old is not None:
            metadata.check_metadata_update(obj["metadata"], old["metadata"], faults)
        if subresource == "status" and old is not None:
            endpoint.rules.validate_status(obj, old, faults)
            if kind.custom:
                endpoint.codec.validate(obj, faults)
                endpoint.codec.evaluate(obj, old, faults)
        else:
            endpoint.codec.validate(obj, faults)
            endpoint.codec.evaluate(obj, old, faults)
            if not faults:
                endpoint.rules.validate(obj, faults)
            if old is not None:
                endpoint.rules.validate_update(obj, old, faults)
        if faults:
            raise invalid(kind, obj["metadata"]["name"], faults)

    def _check_namespace(self, endpoint: Endpoint, namespace: str, name: str) -> None:
        found = self._store.collections[NAMESPACES.key].entries.get(("", namespace))
        if found is None:
            raise not_found(NAMESPACES, namespace)
        if found.deleting:
            text = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(
                endpoint.kind,
                name,
                text,
                causes=[
                    Cause("NamespaceTerminating", "metadata.namespace", f"namespace {namespace} is being terminated")
                ],
            )

    def _free_name(self, endpoint: Endpoint, namespace: str, prefix: str) -> str:
        for _ in range(_NAME_ATTEMPTS):
            name = metadata.generated_name(prefix)
            if (namespace, name) not in endpoint.collection.entries:
                break
        return name


def check_precondition(kind: Any, entry: Entry, wanted: Precondition) -> None:
    """Refuse a write that was meant for another object or another version.

    Raises:
        RefusedError: 409.
    """
    if wanted.uid and wanted.uid != entry.uid:
        key = "/".join(filter(None, ("/registry", kind.plural, entry.namespace, entry.name)))
        raise conflict(
            kind,
            entry.name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: Precondition"
            f" failed: UID in precondition: {wanted.uid}, UID in object meta: {entry.uid}",
        )
    if wanted.resource_version and wanted.resource_version != str(entry.revision):
        raise modified(kind, entry.name)


def _place(namespaced: bool, namespace: str, meta: Object) -> None:
    if not namespaced:
        if meta.get("namespace"):
            raise bad_request("namespace is not allowed on this type")
        meta.pop("namespace", None)
    elif meta.setdefault("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def _check_address(namespace: str, name: str, meta: Object) -> None:
    if meta.get("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    if meta.get("namespace", namespace) != namespace:
        raise bad_request(
            f"the namespace of the object ({meta['namespace']}) does not match the namespace on the URL ({namespace})"
        )


def _restore(new: Object, old: Object, key: str) -> None:
    new.pop(key, None)
    if key in old:
        new[key] = old[key]


def _spec_of(has_status: bool, obj: Object) -> Object:
    ignored = _META_FIELDS if has_status else _META_FIELDS[:3]
    return {key: value for key, value in obj.items() if key not in ignored}


def _may_vanish(key: str, obj: Object) -> bool:
    """Whether an object that is being deleted has lost its last reason to stay."""
    meta = obj["metadata"]
    if "deletionTimestamp" not in meta or meta.get("finalizers"):
        return False
    if key == NAMESPACES.key:
        return not (obj.get("spec") or {}).get("finalizers")
    return key != PODS.key or not meta.get("deletionGracePeriodSeconds")
