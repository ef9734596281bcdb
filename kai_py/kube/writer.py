"""Writes to the API server: ``Writer`` is the one door, for pods and for every other kind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from kai_py.errors import NotFoundError
from kai_py.kube.claims import ClaimWriter
from kai_py.kube.client import JSON_PATCH, MERGE_PATCH, ApiClient, Fence
from kai_py.kube.pods import PodWriter
from kai_py.kube.resource import ResourceKind
from kai_py.kube.sender import Sender

Document = Mapping[str, Any]
AnyKind = ResourceKind[Any]


class Writer(PodWriter):
    """All that we write. Conflicts, refusals and absence are raised as ``ApiError``s, or are a pod's ``Outcome``.

    Args:
        client: the API server.
        fence: raises ``LeaseLostError`` when we must not write (``Leadership.check``); called at the last moment before
            every sending.
        sleep: how to wait between tries; tests replace it.

    Attributes:
        claims: writes about ResourceClaims.
    """

    def __init__(
        self, client: ApiClient, fence: Fence, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        sender = Sender(client, fence, sleep=sleep)
        super().__init__(sender)
        self.claims = ClaimWriter(sender)

    async def create(self, resource: AnyKind, obj: Document) -> bytes:
        """Create an object.

        Args:
            resource: its kind.
            obj: the whole object. With ``metadata.generateName`` it is not sent again when an answer is lost, as
                that could make two.

        Returns:
            The object as created, as JSON.

        Raises:
            ConflictError: reason ``AlreadyExists``; after a lost answer, it may be our own.
        """
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace", ""))
        return await self._sender.send("POST", path, _json(obj), idempotent="name" in metadata)

    async def replace(self, resource: AnyKind, obj: Document) -> bytes:
        """Replace an object but for its status. Its ``resourceVersion`` makes sure that nothing is overwritten."""
        return await self._sender.send("PUT", _path(resource, obj), _json(obj))

    async def patch_status(
        self, resource: AnyKind, namespace: str, name: str, status: Document, *, resource_version: str | None = None
    ) -> bytes:
        """Merge into an object's status.

        Args:
            resource: its kind; it must have the status subresource.
            namespace: empty for cluster-scoped kinds.
            name: of the object.
            status: what to change. A null removes a field; lists are replaced as a whole.
            resource_version: refuse (``ConflictError``) if the object has changed since.
        """
        patch: dict[str, Any] = {"status": status}
        if resource_version:
            patch["metadata"] = {"resourceVersion": resource_version}
        return await self._merge(resource.path(namespace, name, "status"), patch)

    async def patch_metadata(
        self,
        resource: AnyKind,
        namespace: str,
        name: str,
        *,
        labels: Mapping[str, str | None] | None = None,
        annotations: Mapping[str, str | None] | None = None,
        resource_version: str | None = None,
    ) -> bytes:
        """Set labels and annotations; a None removes one. ``resource_version`` as in ``patch_status``."""
        fields = {"labels": labels, "annotations": annotations, "resourceVersion": resource_version}
        metadata = {field: value for field, value in fields.items() if value}
        return await self._merge(resource.path(namespace, name), {"metadata": metadata})

    async def merge(self, resource: AnyKind, namespace: str, name: str, patch: Document) -> bytes:
        """Merge a patch into an object."""
        return await self._merge(resource.path(namespace, name), patch)

    async def patch_where(
        self, resource: AnyKind, namespace: str, name: str, tests: Document, values: Document
    ) -> bytes:
        """Set fields of an object, if others have the values that are expected.

        Args:
            resource: its kind.
            namespace: of the object.
            name: of the object.
            tests: JSON pointers and what is expected there.
            values: JSON pointers and what to put there.

        Raises:
            InvalidError: something else is there.
        """
        steps = [{"op": "test", "path": at, "value": value} for at, value in tests.items()]
        steps += [{"op": "add", "path": at, "value": value} for at, value in values.items()]
        path = resource.path(namespace, name)
        return await self._sender.send("PATCH", path, msgspec.json.encode(steps), content_type=JSON_PATCH)

    async def remove(self, resource: AnyKind, namespace: str, name: str) -> bool:
        """Delete an object; tells whether it was there."""
        try:
            await self._sender.send("DELETE", resource.path(namespace, name), b"")
        except NotFoundError:
            return False
        return True

    async def _merge(self, path: str, patch: Document) -> bytes:
        return await self._sender.send("PATCH", path, _json(patch), content_type=MERGE_PATCH)


def _json(obj: Document) -> bytes:
    return msgspec.json.encode(obj)


def _path(resource: AnyKind, obj: Document, subresource: str = "") -> str:
    metadata = obj["metadata"]
    return resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
