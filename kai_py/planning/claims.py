"""Claims of a cluster that carries decisions out at once: made from templates, written, and freed again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec.structs import replace

from kai_py.api.keys import ALLOCATED_ANNOTATION, POD_CLAIM_ANNOTATION
from kai_py.api.meta import ObjectMeta
from kai_py.api.pod import ExtendedResourceClaimStatus, ExtendedResourceMapping, Pod, PodClaimStatus, PodResourceClaim
from kai_py.api.resource import (
    ClaimTemplate,
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
#: When plans allocate: it must say that it was us, and nobody asks when.
_THEN: Final = "1970-01-01T00:00:00Z"


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
        #: Claims of PodGroups, by the uid and what the entry is called.
        self._shared: dict[tuple[str, str], str] = {}
        self._templates = {template.metadata.key: template for template in templates}
        for claim in claims:
            # Versions are the API server's to give; what is changed here has none.
            book.put(replace(claim, metadata=replace(claim.metadata, resource_version="")))

    def with_claims(self, pod: Pod) -> Pod:
        """The pod with a claim for each template that it names; those that were made already stay as they are.

        What it names as its PodGroup does is made once for the group.
        """
        named = {status.name for status in pod.status.resource_claim_statuses}
        made = []
        for one in pod.spec.resource_claims:
            if not one.resource_claim_template_name or one.name in named:
                continue
            template = self._template(pod, (pod.metadata.namespace, one.resource_claim_template_name))
            if template is None:
                continue  # the pod waits, and says for what
            made.append(PodClaimStatus(one.name, self._made(pod, one, template)))
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

    def _made(self, pod: Pod, one: PodResourceClaim, template: ResourceClaimTemplate) -> str:
        """The name of the claim that is made for an entry of a pod; once for its PodGroup, if that has it too."""
        owner, uid = pod.metadata.name, pod.metadata.uid
        group, namespace = pod.spec.scheduling_group, pod.metadata.namespace
        entry = one.name, "", one.resource_claim_template_name or ""
        shared = "" if group is None else self._book.pod_groups.agreed((namespace, group.pod_group_name), entry)
        if group is not None and shared:
            if (known := self._of_pod_group(namespace, shared, one.name)) is not None:
                return known
            owner, uid = group.pod_group_name, shared
        meta = ObjectMeta(
            name=f"{owner}-{one.name}",
            namespace=namespace,
            uid=f"{uid}-{one.name}",
            labels=template.spec.metadata.labels,
            annotations=template.spec.metadata.annotations,
        )
        self._book.put(ResourceClaim(meta, template.spec.spec))
        if shared:
            self._shared[shared, one.name] = meta.name
        return meta.name

    def _of_pod_group(self, namespace: str, uid: str, entry: str) -> str | None:
        """The claim of a PodGroup: one that was made here, or that the cluster has; None as long as there is none."""
        if (uid, entry) not in self._shared:
            for key, claim in self._book.objects.by_name.items():
                owner, said = claim.metadata.controller, claim.metadata.annotations.get(POD_CLAIM_ANNOTATION)
                if key[0] == namespace and owner is not None and (owner.uid, said) == (uid, entry):
                    self._shared[uid, entry] = key[1]
                    break
        return self._shared.get((uid, entry))

    def write(self, pod: Pod, bind: Bind) -> Pod:
        """Store the devices that a pod brings to its claims, and reserve all its claims for it, or its PodGroup.

        Returns:
            The pod with the claim on its extended resources, if one had to be made.
        """
        for granted in bind.claims:
            if granted.extended and not granted.uid:
                pod = self._made_special(pod, granted)
                continue
            bare = self._book.objects.by_name[split(granted.claim)]
            assert isinstance(granted.allocation, ClaimAllocation)
            allocation = written(granted.allocation, uid=granted.uid, timestamp=_THEN)
            mark = {**bare.metadata.annotations, ALLOCATED_ANNOTATION: self._book.objects.mark(_THEN)}
            meta = replace(bare.metadata, annotations=mark)
            self._book.put(replace(bare, metadata=meta, status=replace(bare.status, allocation=allocation)))
        needs = needs_of(pod)
        for name in needs.claims:
            consumer = self._book.pod_groups.consumer(key_of(pod), needs, name)
            claim = self._book.objects.by_name.get(name)
            if claim is not None and consumer not in claim.status.reserved_for:
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

        Claims that were made for it go, too, and others are free once nobody uses them, also those of its PodGroup.

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
            group = self._book.pod_groups.uid(needs, name)
            if name in needs.owned and not group:
                self._book.drop(name)
                continue
            still = used(name)
            gone = {pod.metadata.uid} if still else {pod.metadata.uid, group}
            reserved = tuple(one for one in claim.status.reserved_for if one.uid not in gone)
            free = not reserved and not still
            status = _NOTHING if free else replace(claim.status, reserved_for=reserved)
            self._book.put(replace(claim, status=status))
        return replace(pod, status=replace(pod.status, resource_claim_statuses=(), extended_resource_claim_status=None))
