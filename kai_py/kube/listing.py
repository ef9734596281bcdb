"""Reading all objects of a kind at once, for kinds that come by the dozen."""

from __future__ import annotations

from typing import Any

import msgspec

from kai_py.errors import GoneError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.reflector import PAGE_SIZE
from kai_py.kube.resource import ResourceKind

_TRIES = 3


async def list_all(
    client: ApiClient, resource: ResourceKind[Any], namespace: str = "", **selectors: str
) -> list[dict[str, Any]]:
    """All objects of a kind, as the server has them; none where the kind is not served.

    Items of a list come without apiVersion and kind; they are put back.

    Args:
        client: the cluster.
        resource: the kind.
        namespace: empty for all.
        selectors: ``labelSelector``, ``fieldSelector``.

    Raises:
        ApiError: the server does not answer, or refuses.
    """
    for tries_left in range(_TRIES - 1, -1, -1):
        try:
            return await _pages(client, resource, namespace, selectors)
        except NotFoundError:
            return []
        except GoneError:  # the list was compacted away between two pages
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


async def _pages(
    client: ApiClient, resource: ResourceKind[Any], namespace: str, selectors: dict[str, str]
) -> list[dict[str, Any]]:
    objects: list[dict[str, Any]] = []
    params: dict[str, str | int] = {"limit": PAGE_SIZE, **selectors}
    while True:
        page = msgspec.json.decode(await client.get(resource.path(namespace), params=params))
        kind = str(page.get("kind", "")).removesuffix("List")
        objects += [{"apiVersion": page.get("apiVersion"), "kind": kind, **item} for item in page.get("items") or ()]
        token = page.get("metadata", {}).get("continue")
        if not token:
            return objects
        params["continue"] = token
