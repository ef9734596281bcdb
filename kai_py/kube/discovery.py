"""How the server calls a kind of object: its version, and its plural."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from kai_py.errors import NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.resource import ResourceKind

T = TypeVar("T", bound=msgspec.Struct)


class _Version(msgspec.Struct, rename="camel"):
    version: str = ""


class _Group(msgspec.Struct, rename="camel"):
    preferred_version: _Version = msgspec.field(default_factory=_Version)
    versions: tuple[_Version, ...] = ()


class _Resource(msgspec.Struct, rename="camel"):
    name: str
    kind: str = ""
    namespaced: bool = False


class _Resources(msgspec.Struct, rename="camel"):
    resources: tuple[_Resource, ...] | None = None


async def discover(client: ApiClient, group: str, kind: str, struct: type[T]) -> ResourceKind[T] | None:
    """The kind as the server serves it: in the version that it prefers, if that has the kind.

    Args:
        client: the API server.
        group: API group; empty for the core group.
        kind: for instance ``JobSet``.
        struct: what objects are to be decoded to.

    Returns:
        ``None`` if the kind is not served.

    Raises:
        ApiError: the server does not answer, or refuses.
    """
    for version in await _versions(client, group):
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            listed = msgspec.json.decode(await client.get(root), type=_Resources)
        except NotFoundError:
            continue
        for resource in listed.resources or ():
            if resource.kind == kind and "/" not in resource.name:  # not a subresource
                return ResourceKind(group, version, resource.name, struct, namespaced=resource.namespaced)
    return None


async def _versions(client: ApiClient, group: str) -> tuple[str, ...]:
    if not group:
        return ("v1",)
    try:
        found = msgspec.json.decode(await client.get(f"/apis/{group}"), type=_Group)
    except NotFoundError:
        return ()
    names = (found.preferred_version.version, *(one.version for one in found.versions))
    return tuple(dict.fromkeys(name for name in names if name))
