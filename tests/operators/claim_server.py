"""The claims of an API server in memory: versions, refusals, and a crash after a number of writes."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from kai_py.api.keys import CLAIM_PROTECTION
from kai_py.api.resource import ResourceClaim, ResourceClaimStatus
from kai_py.errors import ConflictError, ForbiddenError


class CrashedError(Exception):
    """The process is gone."""


class ClaimServer:
    """What ``ClaimWriter`` writes to.

    Attributes:
        claims: by namespace and name.
        left: so many writes go through; None for all.
        refuses: writes are not allowed.
    """

    def __init__(self):
        self.claims = {}
        self.left = None
        self.refuses = False
        self._version = 0

    def add(self, claim: ResourceClaim) -> None:
        self._store(claim, claim.metadata, claim.status)

    def write(self) -> None:
        """Count a write.

        Raises:
            CrashedError: it was one too many.
        """
        if self.left == 0:
            raise CrashedError
        if self.left is not None:
            self.left -= 1

    async def read(self, *name):
        return self.claims[name]

    async def protect(self, seen, annotations):
        meta = replace(seen.metadata, finalizers=(CLAIM_PROTECTION,), annotations=annotations)
        return self._change(seen, meta, self.claims[seen.metadata.key].status)

    async def allocate(self, seen, allocation, consumers):
        status = ResourceClaimStatus(allocation, (*seen.status.reserved_for, *consumers))
        return self._change(seen, seen.metadata, status)

    async def reserve(self, seen, consumers):
        status = replace(seen.status, reserved_for=(*seen.status.reserved_for, *consumers))
        return self._change(seen, seen.metadata, status)

    async def give_back(self, seen, kept, *, free):
        status = ResourceClaimStatus() if free else replace(seen.status, reserved_for=tuple(kept))
        return self._change(seen, seen.metadata, status)

    def control(self, uids) -> Iterator[ResourceClaim]:
        """What the claim controller does, which knows these pods and PodGroups; tells which claims it has changed."""
        for claim in list(self.claims.values()):
            before = claim.status.reserved_for
            kept = tuple(one for one in before if one.uid in uids)
            if kept != before:
                status = replace(claim.status, reserved_for=kept) if kept else ResourceClaimStatus()
                yield self._store(claim, claim.metadata, status)

    def _change(self, seen, meta, status):
        self.write()
        if self.refuses:
            raise ForbiddenError("not allowed", status=403)
        if seen.metadata.resource_version != self.claims[seen.metadata.key].metadata.resource_version:
            raise ConflictError("modified", status=409)
        return self._store(seen, meta, status)

    def _store(self, claim, meta, status):
        self._version += 1
        stored = replace(claim, metadata=replace(meta, resource_version=str(self._version)), status=status)
        self.claims[meta.key] = stored
        return stored
