"""Gets claims for pods before these are bound, and gives them back when they are not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final
from weakref import WeakValueDictionary

import structlog

from kai_py.api.keys import ALLOCATED_ANNOTATION, CLAIM_PROTECTION, EXTENDED_CLAIM_ANNOTATION
from kai_py.api.pod import ExtendedResourceClaimStatus, ExtendedResourceMapping
from kai_py.api.resource import MAX_CONSUMERS, Allocation, Consumer, ResourceClaim
from kai_py.cluster.claim_objects import Devices, Name, devices_of
from kai_py.cluster.claims import ClaimBook, OfNodes
from kai_py.cluster.encode.times import rfc3339
from kai_py.cluster.extended_rows import UNNAMED
from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.result import Granted
from kai_py.core.tables.pods import PodKey
from kai_py.errors import ApiError, ClaimRefusedError, ConflictError, InvalidError, NotFoundError, UnavailableError
from kai_py.kube.backoff import Backoff
from kai_py.kube.claims import ClaimWriter, is_permission
from kai_py.telemetry.metrics import Metrics

_log = structlog.get_logger()

#: So often a claim that others change meanwhile is tried.
TRIES: Final = 5


class ClaimKeeper:
    """Writes what was decided about claims, one write at a time for each claim.

    The newest version that is known is changed, whether the watch or an answer has brought it; only where that one is
    too old the claim is read. Every answer goes into the memory at once.

    Args:
        book: what is known of claims, and which devices were decided for them.
        writer: the door to the API server.
        metrics: refusals are counted there.
        clock: seconds since the epoch.
    """

    def __init__(
        self, book: ClaimBook, writer: ClaimWriter, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._book = book
        self._objects = book.objects
        self._writer = writer
        self._metrics = metrics
        self._locks: WeakValueDictionary[Name, asyncio.Lock] = WeakValueDictionary()

    async def secure(self, name: Name, pods: Iterable[PodKey], expected: Devices | None) -> None:
        """Write the devices of a claim if they are not written yet, and reserve it for pods, or their PodGroup.

        Args:
            name: of the claim.
            pods: those that start with it.
            expected: the devices that were decided for it, or that it had when the pods' nodes were chosen.

        Raises:
            ClaimRefusedError: it cannot be had for them; says why.
            LeaseLostError: we must not write.
        """
        wanted = self._book.consumers(name, pods)
        async with self._lock(name):
            await self._until_answered(name, lambda claim: self._secure(claim, wanted, expected))

    async def make(self, key: PodKey, granted: Granted) -> Name:
        """Make the claim on a pod's extended resources, and say so in the pod's status.

        Args:
            key: of the pod.
            granted: what was decided for a claim that does not exist yet.

        Returns:
            Its name. It counts as having its devices, which are not written yet.

        Raises:
            ClaimRefusedError: it cannot be made; says why.
            LeaseLostError: we must not write.
        """
        assert isinstance(granted.allocation, ClaimAllocation)
        now = self._clock()
        requests = frozenset(device.request for device in granted.allocation.devices)
        found = self._book.extended.claim_of(key, requests)
        if found is None:
            raise ClaimRefusedError(f"pod {key} asks for no extended resources any more")
        metadata = {
            "generateName": f"{key.name}{UNNAMED}",
            "namespace": key.namespace,
            "finalizers": [CLAIM_PROTECTION],
            "annotations": {EXTENDED_CLAIM_ANNOTATION: "true", ALLOCATED_ANNOTATION: self._objects.mark(rfc3339(now))},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": key.name,
                    "uid": key.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        }
        mappings = tuple(ExtendedResourceMapping(one.container, one.resource, one.request) for one in found.mappings)
        try:
            claim = await self._writer.create(key.namespace, metadata, found.spec)
            self._book.made(key, claim, granted, now)
            await self._writer.publish(key, ExtendedResourceClaimStatus(claim.metadata.name, mappings))
        except ApiError as error:
            self._metrics.api_errors.labels("claim", error.code).inc()
            raise ClaimRefusedError(f"no claim on extended resources of pod {key}: {error}") from error
        return claim.metadata.key

    async def tell(self, key: PodKey, of_node: OfNodes) -> None:
        """Say in a pod's status what the devices of its claims take of its node.

        Whether the server keeps it is no matter to us: what is taken is reckoned from the devices.

        Raises:
            ClaimRefusedError: it cannot be written; says why.
            LeaseLostError: we must not write.
        """
        try:
            await self._writer.publish_takes(key, self._book.takes_told(key, of_node))
        except ApiError as error:
            self._metrics.api_errors.labels("claim", error.code).inc()
            what = f"what its devices take of the node is not in the status of pod {key}"
            raise ClaimRefusedError(f"{what}: {error}") from error

    async def discard(self, name: Name) -> None:
        """Delete a claim on extended resources that nobody uses: the next attempt makes another one.

        Raises:
            ClaimRefusedError: that cannot be done; says why.
            LeaseLostError: we must not write.
        """
        async with self._lock(name):
            claim = self._objects.by_name.get(name)
            if claim is None or (self._objects.unwritten(name) is None and claim.status.allocation is not None):
                return
            try:
                await self._writer.delete(claim)
            except ApiError as error:
                raise self._refused(name, error) from error

    async def give_back(self, name: Name, uids: frozenset[str]) -> None:
        """Reserve a claim for these no longer; its devices are free if nobody uses them and we gave them.

        Args:
            name: of the claim.
            uids: of pods, or of PodGroups. A PodGroup keeps it as long as any other pod of it holds the claim.

        Raises:
            ClaimRefusedError: that cannot be written; says why.
            LeaseLostError: we must not write.
        """
        async with self._lock(name):
            await self._until_answered(name, lambda claim: self._give_back(claim, uids))

    # -- one attempt -------------------------------------------------------------------------------

    async def _secure(
        self, claim: ResourceClaim, wanted: tuple[Consumer, ...], expected: Devices | None
    ) -> ResourceClaim | None:
        """Write once; None if there is nothing to write."""
        name, meta, status = claim.metadata.key, claim.metadata, claim.status
        if meta.deletion_timestamp is not None:
            raise _refusal(name, "it is being deleted")
        if status.allocation is None:
            raise _refusal(name, "it has no devices any more")
        if devices_of(status.allocation) != expected:
            raise _refusal(name, "it was given other devices meanwhile")
        if (why := self.contested(name)) is not None:
            raise _refusal(name, why)
        known = {one.uid for one in status.reserved_for}
        missing = [one for one in wanted if one.uid not in known]
        if len(known) + len(missing) > MAX_CONSUMERS:
            raise _refusal(name, f"it serves {MAX_CONSUMERS} consumers already")
        unwritten = self._objects.unwritten(name)
        if unwritten is not None:
            return await self._allocate(claim, unwritten, missing)
        return await self._writer.reserve(claim, missing) if missing else None

    async def _allocate(
        self, claim: ResourceClaim, allocation: Allocation, consumers: Iterable[Consumer]
    ) -> ResourceClaim:
        """The finalizer with our mark, then devices and reservation at once."""
        mark = self._objects.mark(allocation.allocation_timestamp or "")
        meta = claim.metadata
        if CLAIM_PROTECTION not in meta.finalizers or meta.annotations.get(ALLOCATED_ANNOTATION) != mark:
            claim = await self._writer.protect(claim, {ALLOCATED_ANNOTATION: mark})
            self._objects.put(claim, answer=True)
        return await self._writer.allocate(claim, allocation, consumers)

    async def _give_back(self, claim: ResourceClaim, uids: frozenset[str]) -> ResourceClaim | None:
        if claim.status.allocation is None or self._objects.unwritten(claim.metadata.key) is not None:
            return None  # nothing of it was written
        kept = self._book.pod_groups.kept(claim, uids)
        free = not kept and self._objects.ours(claim)
        if len(kept) == len(claim.status.reserved_for) and not free:
            return None
        return await self._writer.give_back(claim, kept, free=free)

    def contested(self, name: Name) -> str | None:
        """Why the devices of a claim must be left to another claim; None if they need not.

        Who allocated first keeps them, where both know this rule; others do not look before they allocate, and so go
        first always.
        """
        mine = self._objects.by_name.get(name)
        for other in self._objects.rivals(name):
            theirs = self._objects.by_name[other]
            if mine is None or self._objects.unwritten(other) is not None:
                continue
            fair = ALLOCATED_ANNOTATION in theirs.metadata.annotations
            if self._objects.unwritten(name) is not None or not fair or _age(theirs) < _age(mine):
                return f"ResourceClaim {'/'.join(other)} was given the same device by another scheduler"
        return None

    # -- until there is an answer ------------------------------------------------------------------

    async def _until_answered(
        self, name: Name, attempt: Callable[[ResourceClaim], Awaitable[ResourceClaim | None]]
    ) -> None:
        """Try until it is done or refused for good."""
        backoff = Backoff(first=0.5, ceiling=10.0)
        conflicts = 0
        while (claim := self._objects.by_name.get(name)) is not None:
            try:
                answer = await attempt(claim)
                if answer is not None:
                    self._objects.put(answer, answer=True)
                return
            except UnavailableError as error:
                _log.warning("no answer, trying again", claim="/".join(name), error=str(error))
                await asyncio.sleep(backoff.delay())
            except (ConflictError, InvalidError) as error:
                conflicts += 1
                if conflicts == TRIES or is_permission(error):
                    raise self._refused(name, error) from error
                if not await self._renewed(name) and isinstance(error, InvalidError):
                    raise self._refused(name, error) from error
            except ApiError as error:
                raise self._refused(name, error) from error
        raise _refusal(name, "it does not exist any more")

    async def _renewed(self, name: Name) -> bool:
        """Look at a claim that somebody else has changed; tells whether somebody has."""
        before = self._objects.by_name.get(name)
        try:
            found = await self._writer.read(*name)
        except NotFoundError as error:
            raise _refusal(name, "it does not exist any more") from error
        except ApiError as error:
            raise self._refused(name, error) from error
        self._objects.put(found, answer=True)
        return before is None or found.metadata.resource_version != before.metadata.resource_version

    def _refused(self, name: Name, error: ApiError) -> ClaimRefusedError:
        self._metrics.api_errors.labels("claim", error.code).inc()
        if isinstance(error, NotFoundError):
            return _refusal(name, "it does not exist any more")
        if is_permission(error):
            return _refusal(name, f"we are not allowed to: {error}")
        return _refusal(name, str(error))

    def _lock(self, name: Name) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def _refusal(name: Name, why: str) -> ClaimRefusedError:
    return ClaimRefusedError(f"ResourceClaim {'/'.join(name)}: {why}")


def _age(claim: ResourceClaim) -> tuple[str, str]:
    """Older allocations first; the text of a time sorts like the time."""
    allocation = claim.status.allocation
    return (allocation.allocation_timestamp or "") if allocation is not None else "", claim.metadata.uid
