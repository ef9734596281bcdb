"""Claims of a cluster that carries decisions out at once: made from templates, written, and freed again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from kai_py.api.meta import ObjectMeta
from kai_py.api.pod import ExtendedResourceClaimStatus, ExtendedResourceMapping, Pod, PodClaimStatus
from kai_py.api.resource import (
    ClaimTemplate,
    Consumer,
    ResourceClaim,
    ResourceClaimSpec,
    ResourceClaimStatus,
    ResourceClaimTemplate,
)
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.claims import ClaimBook
from kai_py.cluster.devices.results import written
from kai_py.cluster.extended_rows import UNNAMED
from kai_py.cluster.needs import needs_of, split
from kai_py.cluster.pods import key_of
from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.result import Bind, Granted

_NOTHING: Final = ResourceClaimStatus()


class ClaimKeeper:
    """Does what a cluster's controllers and binders do to claims.

    Args:
        book: gets the claims.
        claims: of the input.
        templates: of the input.
    """

    def __init__(
        self, book: ClaimBook, claims: Iterable[ResourceClaim], templates: Iterable[ResourceClaimTemplate]
    ) -> None:
        self._book = book
        self._templates = {template.metadata.key: template for template in templates}
        for claim in claims:
            # Versions are the API server's to give; what is changed here has none.
            book.put(replace(claim, metadata=replace(claim.metadata, resource_version="")))

    def with_claims(self, pod: Pod) -> Pod:
        """The pod with a claim for each template that it names; those that were made already stay as they are."""
        named = {status.name for status in pod.status.resource_claim_statuses}
        made = []
        for one in pod.spec.resource_claims:
            if not one.resource_claim_template_name or one.name in named:
                continue
            template = self._template(pod, (pod.metadata.namespace, one.resource_claim_template_name))
            if template is None:
                continue  # the pod waits, and says for what
            name = f"{pod.metadata.name}-{one.name}"
            meta = ObjectMeta(
                name=name,
                namespace=pod.metadata.namespace,
                uid=f"{pod.metadata.uid}-{one.name}",
                labels=template.spec.metadata.labels,
                annotations=template.spec.metadata.annotations,
            )
            self._book.put(ResourceClaim(meta, template.spec.spec))
            made.append(PodClaimStatus(one.name, name))
        if not made:
            return pod
        statuses = (*pod.status.resource_claim_statuses, *made)
        return replace(pod, status=replace(pod.status, resource_claim_statuses=statuses))

    def _template(self, pod: Pod, name: Name) -> ResourceClaimTemplate | None:
        """A template of the input, or the one that the scheduler would make for a part of a GPU."""
        if (known := self._templates.get(name)) is not None:
            return known
        shares = self._book.shares
        shares.see(key_of(pod), pod)
        claim = shares.claim_for(name)
        if claim is None:
            return None
        meta = ObjectMeta(name[1], namespace=name[0])
        made = self._templates[name] = ResourceClaimTemplate(meta, ClaimTemplate(spec=ResourceClaimSpec(claim)))
        return made

    def write(self, pod: Pod, bind: Bind) -> Pod:
        """Store the devices that a pod brings to its claims, and reserve all its claims for it.

        Returns:
            The pod with the claim on its extended resources, if one had to be made.
        """
        for granted in bind.claims:
            if granted.extended and not granted.uid:
                pod = self._made_special(pod, granted)
                continue
            bare = self._book.objects.by_name[split(granted.claim)]
            assert isinstance(granted.allocation, ClaimAllocation)
            allocation = written(granted.allocation, uid=granted.uid)
            self._book.put(replace(bare, status=replace(bare.status, allocation=allocation)))
        consumer = Consumer("pods", pod.metadata.name, pod.metadata.uid)
        for name in needs_of(pod).claims:
            if (
                claim := self._book.objects.by_name.get(name)
            ) is not None and consumer not in claim.status.reserved_for:
                reserved = (*claim.status.reserved_for, consumer)
                self._book.put(replace(claim, status=replace(claim.status, reserved_for=reserved)))
        return pod

    def _made_special(self, pod: Pod, granted: Granted) -> Pod:
        """Make the claim on extended resources, with its devices."""
        assert isinstance(granted.allocation, ClaimAllocation)
        requests = frozenset(device.request for device in granted.allocation.devices)
        found = self._book.extended.special_claim(pod, requests)
        assert found is not None  # it was allocated
        name = f"{pod.metadata.name}{UNNAMED}0"
        meta = ObjectMeta(name=name, namespace=pod.metadata.namespace, uid=f"{pod.metadata.uid}-extended")
        allocation = written(granted.allocation, uid=meta.uid)
        self._book.put(ResourceClaim(meta, ResourceClaimSpec(found.spec), ResourceClaimStatus(allocation)))
        mappings = tuple(ExtendedResourceMapping(one.container, one.resource, one.request) for one in found.mappings)
        status = ExtendedResourceClaimStatus(name, mappings)
        return replace(pod, status=replace(pod.status, extended_resource_claim_status=status))

    def free(self, pod: Pod, used: Callable[[Name], bool]) -> Pod:
        """Take claims from a pod that has gone.

        Claims that were made for it go, too, and others are free once nobody uses them.

        Args:
            pod: it has gone.
            used: whether some other pod that runs uses a claim.

        Returns:
            The pod as its controller makes it anew, without the claims that were made for it.
        """
        needs = needs_of(pod)
        for name in needs.claims:
            claim = self._book.objects.by_name.get(name)
            if claim is None:
                continue
            if name in needs.owned:
                self._book.drop(name)
                continue
            reserved = tuple(one for one in claim.status.reserved_for if one.uid != pod.metadata.uid)
            free = not reserved and not used(name)
            status = _NOTHING if free else replace(claim.status, reserved_for=reserved)
            self._book.put(replace(claim, status=status))
        return replace(pod, status=replace(pod.status, resource_claim_statuses=(), extended_resource_claim_status=None))
