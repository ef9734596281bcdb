"""OpenAPI v2 and v3: enough for kubectl to apply, explain and validate, custom kinds included."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from kai_py.minicluster.refusals import no_such_path
from kai_py.minicluster.registry import Endpoint, Registry

Object = dict[str, Any]
_V2: Final = "#/definitions/"
_V3: Final = "#/components/schemas/"
_PARAMETERS: Final = ("dryRun", "fieldManager", "fieldValidation")
_PATCH_TYPES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_DELETE_OPTIONS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


class OpenApi:
    """Both documents, made when asked for and kept until a kind changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, bytes] = {}
        self._generation = -1

    def v2(self) -> bytes:
        """``/openapi/v2``: definitions of all kinds, and the paths that tell what PATCH takes."""
        return self._cached("v2", self._make_v2)

    def v3(self, path: str) -> bytes:
        """``/openapi/v3`` and below: one document for each group and version.

        Raises:
            RefusedError: 404.
        """
        if not path:
            return self._cached("v3", self._make_index)
        if path not in self._paths():
            raise no_such_path()
        return self._cached(f"v3/{path}", lambda: self._make_v3(path))

    def _cached(self, key: str, make: Any) -> bytes:
        if self._generation != self._registry.generation:
            self._made.clear()
            self._generation = self._registry.generation
        if key not in self._made:
            self._made[key] = msgspec.json.encode(make())
        return self._made[key]

    def _paths(self) -> dict[str, list[Endpoint]]:
        found: dict[str, list[Endpoint]] = {}
        for endpoint in self._registry:
            prefix = "apis" if endpoint.kind.group else "api"
            found.setdefault(f"{prefix}/{endpoint.group_version}", []).append(endpoint)
        return found

    def _make_index(self) -> Object:
        digest = hashlib.sha256(str(self._registry.generation).encode()).hexdigest()
        return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"} for path in self._paths()}}

    def _make_v2(self) -> Object:
        definitions = dict(self._registry.schemas.definitions)
        paths: Object = {}
        for endpoint in self._registry:
            name, schema = self._definition(endpoint)
            definitions[name] = schema
            paths |= _operations(endpoint, {"schema": {"$ref": _V2 + name}}, v3=False)
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": "v1.36.0"},
            "paths": paths,
            "definitions": definitions,
        }

    def _make_v3(self, path: str) -> Object:
        schemas: Object = {}
        paths: Object = {}
        for endpoint in self._paths()[path]:
            name, schema = self._definition(endpoint)
            schemas[name] = schema
            content = {"content": {"application/json": {"schema": {"$ref": _V3 + name}}}}
            paths |= _operations(endpoint, content, v3=True)
        pending = [name for schema in schemas.values() for name in _references(schema)] + [_DELETE_OPTIONS]
        while pending:
            name = pending.pop()
            if name not in schemas:
                schemas[name] = self._registry.schemas.definitions[name]
                pending.extend(_references(schemas[name]))
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "v1.36.0"},
            "paths": paths,
            "components": {"schemas": {name: _as_v3(schema) for name, schema in schemas.items()}},
        }

    def _definition(self, endpoint: Endpoint) -> tuple[str, Object]:
        """Name and schema of a kind, with the mark by which clients find it."""
        kind = endpoint.kind
        schema, _ = endpoint.codec.schema()
        if not kind.custom:
            return self._registry.schemas.names[kind.group, endpoint.version, kind.kind], schema
        reverse = ".".join(reversed(kind.group.split(".")))
        marked = schema | {
            "x-kubernetes-group-version-kind": [{"group": kind.group, "version": endpoint.version, "kind": kind.kind}],
            "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}} | schema.get("properties", {}),
        }
        return f"{reverse}.{endpoint.version}.{kind.kind}", marked


def _references(schema: Any) -> Iterator[str]:
    if not isinstance(schema, dict):
        return
    for key, value in schema.items():
        if key == "$ref" and isinstance(value, str):
            yield value.rpartition("/")[2]
        elif isinstance(value, dict):
            yield from _references(value)


def _as_v3(schema: Any) -> Any:
    """A v2 schema with v3 references; a reference with siblings must be wrapped."""
    if not isinstance(schema, dict):
        return schema
    converted = {key: _as_v3(value) for key, value in schema.items()}
    if isinstance(schema.get("$ref"), str):
        converted["$ref"] = schema["$ref"].replace(_V2, _V3)
        if len(converted) > 1:
            reference = {"$ref": converted.pop("$ref")}
            converted["allOf"] = [reference]
    return converted


def _operations(endpoint: Endpoint, body: Object, *, v3: bool) -> Object:
    """The paths of a kind, with what kubectl looks for: the kind, and which parameters a write takes."""
    kind = endpoint.kind
    prefix = f"/apis/{endpoint.group_version}" if kind.group else f"/api/{endpoint.version}"
    base = f"{prefix}/namespaces/{{namespace}}/{kind.plural}" if kind.namespaced else f"{prefix}/{kind.plural}"
    gvk = {"group": kind.group, "version": endpoint.version, "kind": kind.kind}

    def operation(action: str, *, writes: bool) -> Object:
        found: Object = {
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk,
            "responses": {"200": {"description": "OK"} | body},
        }
        if writes:
            found["parameters"] = [_parameter(name, v3=v3) for name in _PARAMETERS]
            if v3:
                types = _patch_types(endpoint) if action == "patch" else ("application/json",)
                content = body["content"]["application/json"]
                found["requestBody"] = {"content": dict.fromkeys(types, content), "required": True}
            else:
                found["consumes"] = list(_patch_types(endpoint)) if action == "patch" else ["*/*"]
        return found

    return {
        base: {"get": operation("list", writes=False), "post": operation("post", writes=True)},
        f"{base}/{{name}}": {
            "get": operation("get", writes=False),
            "put": operation("put", writes=True),
            "patch": operation("patch", writes=True),
            "delete": operation("delete", writes=False),
        },
    }


def _patch_types(endpoint: Endpoint) -> tuple[str, ...]:
    """Custom kinds take no strategic merge patch; kubectl looks it up here."""
    return _PATCH_TYPES[:3] if endpoint.kind.custom else _PATCH_TYPES


def _parameter(name: str, *, v3: bool) -> Object:
    kind: Object = {"type": "string", "uniqueItems": True}
    return {"name": name, "in": "query"} | ({"schema": kind} if v3 else kind)
