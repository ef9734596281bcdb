"""What a scheduler does to ResourceClaims: protect, allocate, reserve, give back. Always the version that it has seen.

A status is written as kube-scheduler does it: allocation and reservation in one update. What is left of the object is
patched, because our structs do not know all of its fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from kai_py.api.decode import decode
from kai_py.api.keys import CLAIM_PROTECTION
from kai_py.api.pod import ExtendedResourceClaimStatus, NodeClaimStatus, Pod
from kai_py.api.resource import Allocation, Consumer, DeviceClaim, ResourceClaim
from kai_py.core.tables.pods import PodKey
from kai_py.errors import ApiError, ForbiddenError, InvalidError, NotFoundError
from kai_py.kube.client import MERGE_PATCH
from kai_py.kube.resource import ResourceKind
from kai_py.kube.sender import Sender

CLAIMS: Final = ResourceKind("resource.k8s.io", "v1", "resourceclaims", ResourceClaim)
PODS: Final = ResourceKind("", "v1", "pods", Pod)

# What an object leaves out is one immutable map for all, which the encoder does not know.
_encode: Final = msgspec.json.Encoder(enc_hook=dict).encode


class ClaimWriter:
    """Writes about claims, and the reading that a conflict needs. Every write answers with the claim as it is then.

    All methods raise ``LeaseLostError`` if the fence is closed, ``ConflictError`` if the claim is of another version
    than the one that was handed in, and every other refusal as an ``ApiError``.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def read(self, namespace: str, name: str) -> ResourceClaim:
        """A claim as it is now."""
        return decode(ResourceClaim, await self._sender.get(CLAIMS.path(namespace, name)))

    async def create(self, namespace: str, metadata: Mapping[str, Any], spec: DeviceClaim) -> ResourceClaim:
        """Make a claim."""
        body = {
            "apiVersion": CLAIMS.api_version,
            "kind": CLAIMS.kind,
            "metadata": metadata,
            "spec": {"devices": spec},
        }
        return decode(
            ResourceClaim, await self._sender.send("POST", CLAIMS.path(namespace), _encode(body), idempotent=False)
        )

    async def publish(self, pod: PodKey, status: ExtendedResourceClaimStatus) -> None:
        """Say in a pod's status which claim serves its extended resources."""
        body = {"metadata": {"uid": pod.uid}, "status": {"extendedResourceClaimStatus": status}}
        path = f"{PODS.path(pod.namespace, pod.name)}/status"
        await self._sender.send("PATCH", path, _encode(body), content_type=MERGE_PATCH)

    async def publish_takes(self, pod: PodKey, takes: Sequence[NodeClaimStatus]) -> None:
        """Say in a pod's status what devices take of its node; nothing takes back what was said.

        A server that does not have the field drops it.
        """
        body = {"metadata": {"uid": pod.uid}, "status": {"nodeAllocatableResourceClaimStatuses": list(takes) or None}}
        path = f"{PODS.path(pod.namespace, pod.name)}/status"
        await self._sender.send("PATCH", path, _encode(body), content_type=MERGE_PATCH)

    async def delete(self, claim: ResourceClaim) -> None:
        """Delete a claim that has no devices, and its protection with it."""
        if claim.metadata.finalizers:
            await self._patch(claim, {"finalizers": None})
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": claim.metadata.uid}}
        with suppress(NotFoundError):
            await self._sender.send("DELETE", _path(claim), _encode(body))

    async def protect(self, claim: ResourceClaim, annotations: Mapping[str, str]) -> ResourceClaim:
        """Add the finalizer without which nobody takes devices back, and annotations."""
        finalizers = list(dict.fromkeys((*claim.metadata.finalizers, CLAIM_PROTECTION)))
        return await self._patch(claim, {"finalizers": finalizers, "annotations": dict(annotations)})

    async def allocate(
        self, claim: ResourceClaim, allocation: Allocation, consumers: Iterable[Consumer]
    ) -> ResourceClaim:
        """Give a claim its devices, and reserve it."""
        status = {"allocation": allocation, "reservedFor": [*claim.status.reserved_for, *consumers]}
        body = {
            "apiVersion": CLAIMS.api_version,
            "kind": CLAIMS.kind,
            "metadata": _identity(claim) | {"name": claim.metadata.name, "namespace": claim.metadata.namespace},
            "status": status,
        }
        return decode(ResourceClaim, await self._sender.send("PUT", _path(claim, "status"), _encode(body)))

    async def reserve(self, claim: ResourceClaim, consumers: Iterable[Consumer]) -> ResourceClaim:
        """Reserve a claim that has its devices."""
        return await self._patch(claim, status={"reservedFor": [*claim.status.reserved_for, *consumers]})

    async def give_back(self, claim: ResourceClaim, kept: Iterable[Consumer], *, free: bool) -> ResourceClaim:
        """Reserve a claim for nobody but ``kept``; with ``free``, it loses its devices."""
        status: dict[str, Any] = {"reservedFor": list(kept) or None}
        if free:
            status |= {"allocation": None, "devices": None}
        return await self._patch(claim, status=status)

    async def _patch(
        self,
        claim: ResourceClaim,
        metadata: Mapping[str, Any] | None = None,
        status: Mapping[str, Any] | None = None,
    ) -> ResourceClaim:
        body: dict[str, Any] = {"metadata": {**_identity(claim), **(metadata or {})}}
        if status is not None:
            body["status"] = status
        path = _path(claim, "status" if status is not None else "")
        return decode(ResourceClaim, await self._sender.send("PATCH", path, _encode(body), content_type=MERGE_PATCH))


def is_permission(error: ApiError) -> bool:
    """Whether we may not do it, whatever it is that we wrote.

    Devices and reservations need ``resourceclaims/binding`` as well, and a server that misses it answers 422 with the
    cause Forbidden. The same cause is given for reservations that contradict the claim's state, but names no verb.
    """
    if isinstance(error, ForbiddenError):
        return True
    causes = error.causes if isinstance(error, InvalidError) else ()
    return any(reason == "FieldValueForbidden" and "resourceclaims/" in message for reason, _, message in causes)


def _identity(claim: ResourceClaim) -> dict[str, str]:
    return {"uid": claim.metadata.uid, "resourceVersion": claim.metadata.resource_version}


def _path(claim: ResourceClaim, subresource: str = "") -> str:
    return CLAIMS.path(claim.metadata.namespace, claim.metadata.name, subresource)
