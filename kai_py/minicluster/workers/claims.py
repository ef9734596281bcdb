"""The ResourceClaim controller: claims from templates, and the release of what nobody uses any more.

As ``kube-controller-manager`` does it: generated claims of pods and PodGroups, ``status.resourceClaimStatuses`` of
both, ``reservedFor`` entries of pods that are over and PodGroups that are gone, and the allocation once the last entry
has gone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.kinds import CLAIM_TEMPLATES, CLAIMS, POD_GROUPS, PODS, Kind
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock
from .generated_claims import GeneratedClaims, KnownClaim, known_claim, owner_of
from .mirror import Key, Mirror
from .pod_groups import (
    KnownPodGroup,
    agrees,
    consumer_of,
    have_claims,
    is_pod_group,
    known_pod_group,
    pod_group_name,
    reserves_for,
)

Object = dict[str, Any]

PROTECTION: Final = "resource.kubernetes.io/delete-protection"
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_MOST_CONSUMERS: Final = 256


@dataclass(frozen=True, slots=True)
class ClaimingPod:
    """A pod that refers to claims.

    Attributes:
        over: whether it has finished, or is being deleted without ever having had a node.
        leaving: whether it has finished, or is being deleted.
        claims: names of the claims that it uses.
        spoken_for: those among them that its spec asks for; the others stand for its extended resources.
        pod_group: the PodGroup that it names; empty if none.
    """

    uid: str
    over: bool
    leaving: bool
    bound: bool
    claims: frozenset[str]
    spoken_for: frozenset[str]
    pod_group: str
    revision: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class KnownTemplate:
    """A template. Every change of it is worth a look, so there is nothing to compare but its revision."""

    uid: str
    revision: int


class Claims:
    """The controller."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        clock = clock or WallClock()
        self._pending: Agenda[Key] = Agenda(clock, self._sync_pod)
        self._used: Agenda[Key] = Agenda(clock, self._sync_claim)
        self._pods = Mirror(PODS.key, _claiming_pod, self._pod_changed)
        self._grouped: Agenda[Key] = Agenda(clock, self._sync_pod_group)
        self._claims = Mirror(CLAIMS.key, known_claim, self._claim_changed)
        self._pod_groups = Mirror(POD_GROUPS.key, known_pod_group, self._pod_group_changed)
        self._templates = Mirror(CLAIM_TEMPLATES.key, _known_template, self._template_changed)
        self._users: dict[Key, set[Key]] = {}
        self._members: dict[Key, set[Key]] = {}
        self._generated = GeneratedClaims()
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            for mirror in (self._templates, self._pods, self._claims):
                tasks.create_task(mirror.run(storage))
            if have_claims(storage):
                tasks.create_task(self._pod_groups.run(storage))
            for agenda in (self._pending, self._used, self._grouped):
                tasks.create_task(agenda.run())

    def _pod_changed(self, key: Key, before: ClaimingPod | None, after: ClaimingPod | None) -> None:
        for name in before.claims if before is not None else ():
            users = self._users.setdefault((key[0], name), set())
            users.discard(key)
            if not users:
                del self._users[key[0], name]
            self._used.soon((key[0], name))
        for name in after.claims if after is not None else ():
            self._users.setdefault((key[0], name), set()).add(key)
            self._used.soon((key[0], name))
        if before is not None and before.pod_group:
            self._members.get((key[0], before.pod_group), set()).discard(key)
        if after is not None:
            self._pending.soon(key)
            if after.pod_group:
                self._members.setdefault((key[0], after.pod_group), set()).add(key)

    def _claim_changed(self, key: Key, before: KnownClaim | None, after: KnownClaim | None) -> None:
        self._used.soon(key)
        self._generated.changed(key, before, after)
        if before is not None and after is None:  # it may have to be made again
            for pod_key in self._users.get(key, ()):
                self._pending.soon(pod_key)
            for group_key, pod_group in self._pod_groups.views.items():
                if group_key[0] == key[0] and key[1] in pod_group.claims:
                    self._grouped.soon(group_key)

    def _pod_group_changed(self, key: Key, before: KnownPodGroup | None, after: KnownPodGroup | None) -> None:
        for known in (before, after):
            for name in known.claims if known is not None else ():
                self._used.soon((key[0], name))
        if after is not None:
            self._grouped.soon(key)
            for pod_key in self._members.get(key, ()):
                self._pending.soon(pod_key)

    def _template_changed(self, key: Key, _before: KnownTemplate | None, after: KnownTemplate | None) -> None:
        if after is not None:
            for pod_key in self._pods.views:
                if pod_key[0] == key[0]:
                    self._pending.soon(pod_key)
            for group_key in self._pod_groups.views:
                if group_key[0] == key[0]:
                    self._grouped.soon(group_key)

    # claims for pods and PodGroups ------------------------------------------------------------------

    def _sync_pod(self, key: Key) -> None:
        """Make the claims that a pod's templates ask for, and tell their names in its status."""
        pod = self._storage.find(PODS.key, key[1], key[0])
        if pod is None or "deletionTimestamp" in pod["metadata"] or _is_over(pod):
            return
        pod_group = self._pod_group(key[0], pod_group_name(pod))
        if pod_group is None and pod_group_name(pod) and have_claims(self._storage):
            return  # nobody can say yet whose its claims are
        told = {one["name"]: one for one in pod["status"].get("resourceClaimStatuses") or ()}
        before = dict(told)
        for reference in pod["spec"].get("resourceClaims") or ():
            if reference.get("resourceClaimTemplateName") and self._lacks(pod, told.get(reference["name"])):
                claim = self._claim_for(pod, pod_group, reference)
                if claim is not None:
                    name = reference["name"]
                    told[name] = {"name": name, "resourceClaimName": claim["metadata"]["name"]}
        if told != before:
            pod["status"]["resourceClaimStatuses"] = list(told.values())
            self._storage.update(PODS.key, pod, subresource="status")

    def _lacks(self, owner: Object, told: Object | None) -> bool:
        """Whether a claim has to be made: there is none yet, or it has been deleted, or is not its owner's."""
        if told is None:
            return True
        if not told.get("resourceClaimName"):
            return False  # none is needed
        claim = self._storage.find(CLAIMS.key, told["resourceClaimName"], owner["metadata"]["namespace"])
        return claim is None or not _is_owned(claim, owner)

    def _claim_for(self, pod: Object, pod_group: Object | None, reference: Object) -> Object | None:
        """The claim for an entry of a pod; that of its PodGroup is made for that, and None until then."""
        if pod_group is not None and agrees(pod_group, reference):
            return self._generated.find(self._storage, pod_group["metadata"]["uid"], reference["name"])
        return self._made(PODS, pod, reference)

    def _made(self, kind: Kind, owner: Object, reference: Object) -> Object | None:
        claim = self._generated.make(self._storage, kind, owner, reference)
        if claim is not None:
            self._claims.learn(claim)
        return claim

    def _sync_pod_group(self, key: Key) -> None:
        """Make the claims that a PodGroup's templates ask for, one for all its pods, and tell their names."""
        pod_group = self._pod_group(*key)
        if pod_group is None or "deletionTimestamp" in pod_group["metadata"]:
            return
        told = {one["name"]: one for one in (pod_group.get("status") or {}).get("resourceClaimStatuses") or ()}
        before = dict(told)
        for reference in pod_group["spec"].get("resourceClaims") or ():
            if reference.get("resourceClaimTemplateName") and self._lacks(pod_group, told.get(reference["name"])):
                claim = self._made(POD_GROUPS, pod_group, reference)
                if claim is not None:
                    name = reference["name"]
                    told[name] = {"name": name, "resourceClaimName": claim["metadata"]["name"]}
        if told != before:
            patch = {"status": {"resourceClaimStatuses": list(told.values())}}
            self._storage.patch(POD_GROUPS.key, key[1], patch, key[0], subresource="status")

    def _pod_group(self, namespace: str, name: str) -> Object | None:
        """A PodGroup, if it may have claims."""
        if not name or not have_claims(self._storage):
            return None
        return self._storage.find(POD_GROUPS.key, name, namespace)

    # the end of claims ------------------------------------------------------------------------------

    def _sync_claim(self, key: Key) -> None:
        """Forget consumers that are over; free what has no consumer; delete what was made for a pod that is over."""
        claim = self._storage.find(CLAIMS.key, key[1], key[0])
        if claim is None:
            return
        status = claim.setdefault("status", {})
        before = list(status.get("reservedFor") or ())
        kept = [consumer for consumer in before if not self._is_over(key[0], consumer)]
        kept += self._unreserved(key, status, kept)
        let_go = not kept and (bool(before) or "deletionTimestamp" in claim["metadata"])
        protected = PROTECTION in (claim["metadata"].get("finalizers") or ())
        if kept != before or (let_go and protected and "allocation" in status):
            _set(status, "reservedFor", kept)
            # Without the finalizer the allocation is not ours to clear: whoever wrote it does not expect it.
            if let_go and protected:
                status.pop("allocation", None)
            claim = self._storage.update(CLAIMS.key, claim, subresource="status")
        if let_go and protected:
            self._unprotect(claim)
        if not kept:
            self._delete_if_over(key)

    def _is_over(self, namespace: str, consumer: Object) -> bool:
        """Whether a consumer is a pod that is gone, replaced, finished, or was deleted without ever having a node.

        A PodGroup is over when it is gone or replaced, whatever its pods do.
        """
        if is_pod_group(consumer) and have_claims(self._storage):
            pod_group = self._pod_group(namespace, consumer["name"])
            return pod_group is None or bool(pod_group["metadata"]["uid"] != consumer["uid"])
        if consumer.get("resource") != "pods" or consumer.get("apiGroup"):
            return False
        # The pod itself is asked and not our memory of it, which may be a few events behind that of the claim.
        pod = self._storage.find(PODS.key, consumer["name"], namespace)
        return pod is None or pod["metadata"]["uid"] != consumer["uid"] or _is_over(pod)

    def _unreserved(self, key: Key, status: Object, consumers: list[Object]) -> list[Object]:
        """Bound pods, or PodGroups of them, that use an allocated claim which is not reserved for them.

        Their binder forgot. Not for claims of extended resources, and not beyond what a claim can be shared by.
        """
        if not status.get("allocation"):
            return []
        known = {consumer["uid"] for consumer in consumers}
        users = [(name, self._pods.views[namespace, name]) for namespace, name in sorted(self._users.get(key, ()))]
        forgotten: dict[str, Object] = {}
        for name, pod in users:
            if not pod.bound or pod.leaving or key[1] not in pod.spoken_for or pod.uid in known:
                continue
            if not any(reserves_for(one, pod.pod_group) for one in (*consumers, *forgotten.values())):
                found = self._consumer(key, name, pod)
                forgotten[found["uid"]] = found
        return list(forgotten.values())[: max(0, _MOST_CONSUMERS - len(consumers))]

    def _consumer(self, key: Key, name: str, user: ClaimingPod) -> Object:
        """Who a claim is reserved for when a pod uses it."""
        pod_group = self._pod_group(key[0], user.pod_group)
        pod = self._storage.find(PODS.key, name, key[0]) if pod_group is not None else None
        if pod_group is not None and pod is not None:
            made = {one["name"]: one for one in pod["status"].get("resourceClaimStatuses") or ()}
            for reference in pod["spec"].get("resourceClaims") or ():
                used = reference.get("resourceClaimName") or made.get(reference["name"], {}).get("resourceClaimName")
                if used == key[1] and agrees(pod_group, reference):
                    return consumer_of(pod_group)
        return {"resource": "pods", "name": name, "uid": user.uid}

    def _unprotect(self, claim: Object) -> None:
        meta = claim["metadata"]
        finalizers = meta.get("finalizers") or ()
        if PROTECTION in finalizers:
            kept = [finalizer for finalizer in finalizers if finalizer != PROTECTION]
            patch = {"metadata": {"uid": meta["uid"], "finalizers": kept or None}}
            self._storage.patch(CLAIMS.key, meta["name"], patch, meta["namespace"])

    def _delete_if_over(self, key: Key) -> None:
        """A generated claim goes when its pod has finished or was replaced; if the pod is gone, it is garbage."""
        claim = self._storage.find(CLAIMS.key, key[1], key[0])
        owner = owner_of(claim) if claim is not None else None
        if claim is None or owner is None or owner["kind"] != PODS.kind or "deletionTimestamp" in claim["metadata"]:
            return
        pod = self._storage.find(PODS.key, owner["name"], key[0])
        if pod is not None and (pod["metadata"]["uid"] != owner["uid"] or _is_over(pod)):
            options = DeleteOptions(uid=claim["metadata"]["uid"], propagation="Background")
            self._storage.delete(CLAIMS.key, key[1], key[0], options)


def _is_over(pod: Object) -> bool:
    if "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName"):
        return True
    return (pod.get("status") or {}).get("phase") in _FINISHED


def _claiming_pod(pod: Object) -> ClaimingPod | None:
    spec, meta, status = pod["spec"], pod["metadata"], pod.get("status") or {}
    references = spec.get("resourceClaims") or ()
    extended = (status.get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
    if not references and not extended:
        return None
    made = [one.get("resourceClaimName") for one in status.get("resourceClaimStatuses") or ()]
    named = [reference.get("resourceClaimName") for reference in references]
    return ClaimingPod(
        uid=meta["uid"],
        over=_is_over(pod),
        leaving=_is_over(pod) or "deletionTimestamp" in meta,
        bound=bool(spec.get("nodeName")),
        claims=frozenset(name for name in (*made, *named, extended) if name),
        spoken_for=frozenset(name for name in (*made, *named) if name),
        pod_group=pod_group_name(pod),
        revision=int(meta["resourceVersion"]),
    )


def _known_template(template: Object) -> KnownTemplate:
    return KnownTemplate(template["metadata"]["uid"], int(template["metadata"]["resourceVersion"]))


def _is_owned(claim: Object, owner: Object) -> bool:
    """Whether a claim was generated for a pod or PodGroup, and not for an earlier one of its name.

    Of its PodGroup, a pod knows the name alone.
    """
    ref = owner_of(claim)
    if ref is None:
        return False
    of_group = ref["kind"] == POD_GROUPS.kind and ref["name"] == pod_group_name(owner)
    return bool(ref["uid"] == owner["metadata"]["uid"]) or of_group


def _set(status: Object, key: str, value: list[Object]) -> None:
    if value:
        status[key] = value
    else:
        status.pop(key, None)
