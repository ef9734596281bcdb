"""One function per verb: a route and a body in, an answer out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec

from kai_py.minicluster.options import DeleteOptions, Propagation, Validation, WriteOptions
from kai_py.minicluster.patches import PatchType, apply_patch, patched
from kai_py.minicluster.patching.jsonpatch import json_patch, merge_patch
from kai_py.minicluster.refusals import (
    Faults,
    bad_request,
    invalid,
    method_not_allowed,
    no_such_path,
    not_found,
    unsupported_media_type,
)
from kai_py.minicluster.registry import Endpoint
from kai_py.minicluster.scales import read_scale, write_scale
from kai_py.minicluster.storage import Storage
from kai_py.minicluster.store import Entry

from . import lists, shapes
from .media import Accept, decode_body, encode, parse_yaml
from .routes import Route

_PATCHES: Final[dict[str, PatchType]] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
}
_APPLY: Final = "application/apply-patch+yaml"


@dataclass(slots=True)
class Answer:
    """What goes back: bytes, in the representation the client accepts unless ``media_type`` says another."""

    body: bytes
    status: int = 200
    media_type: str = ""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Call:
    """A request below a resource path.

    Attributes:
        body: the request's body, empty for reads.
        media_type: of the body.
    """

    storage: Storage
    route: Route
    endpoint: Endpoint
    accept: Accept
    body: bytes
    media_type: str
    agent: str = ""

    def address(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.route.namespace, self.route.name


def dispatch(method: str, call: Call) -> Answer:
    """Carry out a request that is not a watch.

    Raises:
        RefusedError: whatever the verb refuses, 405 for a verb that is not served.
    """
    route, kind = call.route, call.endpoint.kind
    if kind.namespaced and route.name and not route.namespace:
        raise no_such_path()
    if not kind.namespaced and route.namespace:
        raise no_such_path()
    if route.subresource:
        if route.subresource not in kind.subresources:
            raise no_such_path()
        verbs = _SUBRESOURCE_VERBS.get(route.subresource, {})
    else:
        verbs = _OBJECT_VERBS if route.name else _COLLECTION_VERBS
    verb = verbs.get(method)
    if verb is None or (verb is delete_collection and "deletecollection" not in kind.verbs):
        raise method_not_allowed()
    return verb(call)


def get(call: Call) -> Answer:
    """One object."""
    entry = call.endpoint.collection.entries.get(call.address())
    if entry is None:
        raise not_found(call.endpoint.kind, call.route.name)
    return _entry(call, entry)


def list_(call: Call) -> Answer:
    """A page of objects."""
    return Answer(lists.page(call.storage, call.endpoint, call.route, call.accept))


def create(call: Call) -> Answer:
    """A new object."""
    kind, options = call.endpoint.kind, write_options(call)
    if kind.namespaced and not call.route.namespace:
        raise method_not_allowed()
    obj = call.storage.writer.read(call.endpoint, decode_body(call.body, call.media_type), options)
    entry = call.storage.writer.create(call.endpoint, call.route.namespace, obj, options)
    return _entry(call, entry, status=201, warnings=options.warnings)


def update(call: Call) -> Answer:
    """Replace an object or its status."""
    options = write_options(call)
    obj = call.storage.writer.read(call.endpoint, decode_body(call.body, call.media_type), options)
    entry = call.storage.writer.update(
        call.endpoint, *call.address(), lambda _: obj, options, subresource=call.route.subresource
    )
    return _entry(call, entry, warnings=options.warnings)


def patch(call: Call) -> Answer:
    """Change an object or its status."""
    options = write_options(call)
    media_type = call.media_type.partition(";")[0].strip()
    if media_type == _APPLY:
        return _apply(call, options)
    if media_type not in _PATCHES:
        raise unsupported_media_type(", ".join((*_PATCHES, _APPLY)))
    document = _patch_document(call)
    change = patched(call.storage.writer, call.endpoint, document, _PATCHES[media_type], options)
    entry = call.storage.writer.update(
        call.endpoint, *call.address(), change, options, subresource=call.route.subresource
    )
    return _entry(call, entry, warnings=options.warnings)


def _patch_document(call: Call) -> Any:
    try:
        return msgspec.json.decode(call.body)
    except msgspec.DecodeError as error:
        raise bad_request(f"error decoding patch: {error}") from error


def _apply(call: Call, options: WriteOptions) -> Answer:
    options.manager = call.route.query.get("fieldManager", "")
    body = parse_yaml(call.body)
    if not isinstance(body, dict):
        raise bad_request("error decoding YAML: the document is no API object")
    entry, new = apply_patch(
        call.storage.writer, call.endpoint, *call.address(), body, options, subresource=call.route.subresource
    )
    return _entry(call, entry, status=201 if new else 200, warnings=options.warnings)


def delete(call: Call) -> Answer:
    """Delete an object."""
    entry, gone = call.storage.deleter.delete(call.endpoint, *call.address(), delete_options(call))
    if gone and call.endpoint.kind.key != "pods":
        return Answer(shapes.success(call.endpoint.kind, entry))
    return _entry(call, entry)


def delete_collection(call: Call) -> Answer:
    """Delete every object that the selectors admit."""
    options = delete_options(call)
    deleted = []
    for entry in lists.selected(call.storage, call.endpoint, call.route):
        last, _ = call.storage.deleter.delete(call.endpoint, entry.namespace, entry.name, options)
        deleted.append(last)
    return Answer(
        shapes.list_bytes(call.endpoint, deleted, call.accept, {"resourceVersion": str(call.storage.store.revision)})
    )


def bind(call: Call) -> Answer:
    """``pods/binding``: assign a pod."""
    binding = _plain(call)
    _check_kind(binding, "Binding", "v1")
    name = call.route.name or (binding.get("metadata") or {}).get("name", "")
    call.storage.binder.bind(call.route.namespace, name, binding, dry_run=_dry_run(call.route.query))
    return Answer(shapes.SUCCESS, status=201)


def evict(call: Call) -> Answer:
    """``pods/eviction``: delete a pod if budgets allow."""
    eviction = _plain(call)
    _check_kind(eviction, "Eviction", "policy/v1")
    options = _parse_delete_options(eviction.get("deleteOptions") or {}, call.route.query)
    name = (eviction.get("metadata") or {}).get("name", "")
    call.storage.evictor.evict(*call.address(), options, body_name=name)
    return Answer(shapes.SUCCESS, status=201)


def get_scale(call: Call) -> Answer:
    """``scale``: the replicas of an object."""
    return Answer(encode(read_scale(call.endpoint, *call.address()), call.accept))


def put_scale(call: Call) -> Answer:
    """``scale``: set the replicas of an object."""
    wanted = _plain(call)
    _check_kind(wanted, "Scale", "autoscaling/v1")
    scale = write_scale(call.storage.writer, call.endpoint, *call.address(), lambda _: wanted, write_options(call))
    return Answer(encode(scale, call.accept))


def patch_scale(call: Call) -> Answer:
    """``scale``: change the replicas of an object by a patch; a strategic one is a merge here."""
    document = _patch_document(call)
    is_json = call.media_type.startswith("application/json-patch")
    scale = write_scale(
        call.storage.writer,
        call.endpoint,
        *call.address(),
        lambda current: json_patch(current, document) if is_json else merge_patch(current, document),
        write_options(call),
    )
    return Answer(encode(scale, call.accept))


def finalize(call: Call) -> Answer:
    """``namespaces/finalize``: set the finalizers of the spec."""
    namespace = call.storage.writer.read(call.endpoint, decode_body(call.body, call.media_type), write_options(call))
    entry = call.storage.writer.finalize(call.route.name, (namespace.get("spec") or {}).get("finalizers") or [])
    return _entry(call, entry)


def _plain(call: Call) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(decode_body(call.body, call.media_type))
    except msgspec.DecodeError as error:
        raise bad_request(f"error decoding the request's body: {error}") from error
    if not isinstance(body, dict):
        raise bad_request("the request's body is no API object")
    return body


def _check_kind(body: dict[str, Any], kind: str, api_version: str) -> None:
    if body.get("kind", kind) != kind or body.get("apiVersion", api_version) != api_version:
        raise bad_request(f'{body.get("kind")} in version "{body.get("apiVersion")}" cannot be handled as a {kind}')


def _entry(call: Call, entry: Entry, *, status: int = 200, warnings: list[str] | None = None) -> Answer:
    return Answer(shapes.entry_bytes(call.endpoint, entry, call.accept), status, warnings=warnings or [])


def write_options(call: Call) -> WriteOptions:
    """The options of a write, from the query.

    Raises:
        RefusedError: 400 or 422, malformed.
    """
    query = call.route.query
    validation = query.get("fieldValidation", "Warn") or "Warn"
    if validation not in ("Strict", "Warn", "Ignore"):
        faults = Faults()
        faults.not_supported("fieldValidation", validation, ("Strict", "Warn", "Ignore"))
        raise invalid(_OptionsKind("CreateOptions"), "", faults)
    return WriteOptions(
        dry_run=_dry_run(query),
        validation=cast("Validation", validation),
        manager=query.get("fieldManager") or call.agent.partition("/")[0],
        force=query.get("force", "").lower() in ("true", "1"),
    )


@dataclass(frozen=True, slots=True)
class _OptionsKind:
    kind: str
    group: str = "meta.k8s.io"
    plural: str = "options"


def _dry_run(query: Mapping[str, str]) -> bool:
    value = query.get("dryRun", "")
    if value not in ("", "All"):
        faults = Faults()
        faults.not_supported("dryRun", value, ("All",))
        raise invalid(_OptionsKind("CreateOptions"), "", faults)
    return value == "All"


def delete_options(call: Call) -> DeleteOptions:
    """The options of a delete, from body and query.

    Raises:
        RefusedError: 400 or 422, malformed.
    """
    body: Any = {}
    if call.body:
        body = parse_yaml(decode_body(call.body, call.media_type)) or {}
    if not isinstance(body, dict):
        raise bad_request("the request's body is no DeleteOptions object")
    return _parse_delete_options(body, call.route.query)


def _parse_delete_options(body: dict[str, Any], query: Mapping[str, str]) -> DeleteOptions:
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = cast("Propagation | None", body.get("propagationPolicy") or query.get("propagationPolicy") or None)
    if propagation not in (None, "Background", "Foreground", "Orphan"):
        faults = Faults()
        faults.not_supported("propagationPolicy", propagation, ("Background", "Foreground", "Orphan"))
        raise invalid(_OptionsKind("DeleteOptions"), "", faults)
    if body.get("orphanDependents") is not None:
        propagation = "Orphan" if body["orphanDependents"] else "Background"
    try:
        seconds = None if grace in (None, "") else int(cast("int", grace))
    except (TypeError, ValueError):
        raise bad_request(f"gracePeriodSeconds: {grace!r} is no number") from None
    preconditions = body.get("preconditions") or {}
    return DeleteOptions(
        grace=seconds,
        uid=preconditions.get("uid"),
        resource_version=preconditions.get("resourceVersion"),
        propagation=propagation,
        dry_run=bool(body.get("dryRun")) or _dry_run(query),
    )


Verb = Callable[[Call], Answer]
_COLLECTION_VERBS: Final[dict[str, Verb]] = {"GET": list_, "POST": create, "DELETE": delete_collection}
_OBJECT_VERBS: Final[dict[str, Verb]] = {"GET": get, "PUT": update, "PATCH": patch, "DELETE": delete}
_SUBRESOURCE_VERBS: Final[dict[str, dict[str, Verb]]] = {
    "status": {"GET": get, "PUT": update, "PATCH": patch},
    "scale": {"GET": get_scale, "PUT": put_scale, "PATCH": patch_scale},
    "finalize": {"PUT": finalize},
    "binding": {"POST": bind},
    "eviction": {"POST": evict},
}
