"""The ResourceClaim controller: claims from templates, and the release of what nobody uses any more.

As ``kube-controller-manager`` does it: a pod's generated claims, ``pod.status.resourceClaimStatuses``, ``reservedFor``
entries of pods that are over, and the allocation once the last entry has gone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.kinds import CLAIM_TEMPLATES, CLAIMS, EVENTS, PODS
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock
from .mirror import Key, Mirror

Object = dict[str, Any]

POD_CLAIM_NAME: Final = "resource.kubernetes.io/pod-claim-name"
PROTECTION: Final = "resource.kubernetes.io/delete-protection"
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_LONGEST_PREFIX: Final = 57
_MOST_CONSUMERS: Final = 256
_LONGEST_NAME: Final = 253


@dataclass(frozen=True, slots=True)
class ClaimingPod:
    """A pod that refers to claims.

    Attributes:
        over: whether it has finished, or is being deleted without ever having had a node.
        leaving: whether it has finished, or is being deleted.
        claims: names of the claims that it uses.
        spoken_for: those among them that its spec asks for; the others stand for its extended resources.
    """

    uid: str
    over: bool
    leaving: bool
    bound: bool
    claims: frozenset[str]
    spoken_for: frozenset[str]
    revision: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class KnownClaim:
    """A claim. Every change of it is worth a look.

    Attributes:
        owner: uid of the pod for which it was generated; empty if for none.
    """

    uid: str
    owner: str
    revision: int


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
        self._claims = Mirror(CLAIMS.key, _known_claim, self._claim_changed)
        self._templates = Mirror(CLAIM_TEMPLATES.key, _known_template, self._template_changed)
        self._users: dict[Key, set[Key]] = {}
        self._generated_for: dict[str, set[Key]] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            for mirror in (self._templates, self._pods, self._claims):
                tasks.create_task(mirror.run(storage))
            for agenda in (self._pending, self._used):
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
        if after is not None:
            self._pending.soon(key)

    def _claim_changed(self, key: Key, before: KnownClaim | None, after: KnownClaim | None) -> None:
        self._used.soon(key)
        if before is not None and before.owner:
            made = self._generated_for.get(before.owner, set())
            made.discard(key)
            if not made:
                self._generated_for.pop(before.owner, None)
        if after is not None and after.owner:
            self._generated_for.setdefault(after.owner, set()).add(key)
        if before is not None and after is None:
            for pod_key in self._users.get(key, ()):
                self._pending.soon(pod_key)  # it may have to be made again

    def _template_changed(self, key: Key, _before: KnownTemplate | None, after: KnownTemplate | None) -> None:
        if after is not None:
            for pod_key in self._pods.views:
                if pod_key[0] == key[0]:
                    self._pending.soon(pod_key)

    # claims for pods --------------------------------------------------------------------------------

    def _sync_pod(self, key: Key) -> None:
        """Make the claims that a pod's templates ask for, and tell their names in its status."""
        pod = self._storage.find(PODS.key, key[1], key[0])
        if pod is None or "deletionTimestamp" in pod["metadata"] or _is_over(pod):
            return
        told = {one["name"]: one for one in pod["status"].get("resourceClaimStatuses") or ()}
        before = dict(told)
        for reference in pod["spec"].get("resourceClaims") or ():
            if reference.get("resourceClaimTemplateName") and self._lacks(pod, told.get(reference["name"])):
                claim = self._generated(pod, reference)
                if claim is not None:
                    name = reference["name"]
                    told[name] = {"name": name, "resourceClaimName": claim["metadata"]["name"]}
        if told != before:
            pod["status"]["resourceClaimStatuses"] = list(told.values())
            self._storage.update(PODS.key, pod, subresource="status")

    def _lacks(self, pod: Object, told: Object | None) -> bool:
        """Whether a claim has to be made: there is none yet, or it has been deleted, or is not this pod's."""
        if told is None:
            return True
        if not told.get("resourceClaimName"):
            return False  # none is needed
        claim = self._storage.find(CLAIMS.key, told["resourceClaimName"], pod["metadata"]["namespace"])
        return claim is None or not _is_owned(claim, pod)

    def _generated(self, pod: Object, reference: Object) -> Object | None:
        """The claim for a reference: one that was made before and not told, or a new one. None without template."""
        meta, name = pod["metadata"], reference["name"]
        mine = sorted(self._generated_for.get(meta["uid"], ()))
        for key in mine:
            claim = self._storage.find(CLAIMS.key, key[1], key[0])
            if claim is not None and (claim["metadata"].get("annotations") or {}).get(POD_CLAIM_NAME) == name:
                return claim
        template = self._storage.find(CLAIM_TEMPLATES.key, reference["resourceClaimTemplateName"], meta["namespace"])
        if template is None:
            self._complain(pod, reference)
            return None  # it may come yet; until then the pod waits
        claim = self._storage.create(CLAIMS.key, _claim_for(pod, name, template))
        self._claims.learn(claim)
        return claim

    def _complain(self, pod: Object, reference: Object) -> None:
        """Tell, once, that a pod's template does not exist."""
        meta, template = pod["metadata"], reference["resourceClaimTemplateName"]
        name = f"{meta['name']}.{reference['name']}.{meta['uid'].partition('-')[0]}"[-_LONGEST_NAME:].lstrip("-.")
        if self._storage.find(EVENTS.key, name, meta["namespace"]) is None:
            about = {"apiVersion": "v1", "kind": "Pod", **{key: meta[key] for key in ("name", "namespace", "uid")}}
            text = f'resource claim template "{template}" not found'
            event = {
                "metadata": {"name": name, "namespace": meta["namespace"]},
                "involvedObject": about,
                "type": "Warning",
                "reason": "FailedResourceClaimCreation",
                "message": f"PodResourceClaim {reference['name']}: {text}",
                "source": {"component": "resource_claim"},
            }
            self._storage.create(EVENTS.key, event)

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
        """Whether a consumer is a pod that is gone, replaced, finished, or was deleted without ever having a node."""
        if consumer.get("resource") != "pods" or consumer.get("apiGroup"):
            return False
        # The pod itself is asked and not our memory of it, which may be a few events behind that of the claim.
        pod = self._storage.find(PODS.key, consumer["name"], namespace)
        return pod is None or pod["metadata"]["uid"] != consumer["uid"] or _is_over(pod)

    def _unreserved(self, key: Key, status: Object, consumers: list[Object]) -> list[Object]:
        """Bound pods that use an allocated claim which is not reserved for them: their binder forgot.

        Not for claims of extended resources, and not beyond what a claim can be shared by.
        """
        if not status.get("allocation"):
            return []
        known = {consumer["uid"] for consumer in consumers}
        users = [(name, self._pods.views[namespace, name]) for namespace, name in sorted(self._users.get(key, ()))]
        forgotten = [
            {"resource": "pods", "name": name, "uid": pod.uid}
            for name, pod in users
            if pod.bound and not pod.leaving and key[1] in pod.spoken_for and pod.uid not in known
        ]
        return forgotten[: max(0, _MOST_CONSUMERS - len(consumers))]

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
        owner = _pod_owner(claim) if claim is not None else None
        if claim is None or owner is None or "deletionTimestamp" in claim["metadata"]:
            return
        pod = self._storage.find(PODS.key, owner["name"], key[0])
        if pod is not None and (pod["metadata"]["uid"] != owner["uid"] or _is_over(pod)):
            options = DeleteOptions(uid=claim["metadata"]["uid"], propagation="Background")
            self._storage.delete(CLAIMS.key, key[1], key[0], options)


def _is_over(pod: Object) -> bool:
    if "deletionTimestamp" in pod["metadata"] and not pod["spec"].get("nodeName"):
        return True
    return (pod.get("status") or {}).get("phase") in _FINISHED


def _pod_owner(claim: Object) -> Object | None:
    """The reference to the pod that a claim was generated for."""
    owners = claim["metadata"].get("ownerReferences") or ()
    return next((ref for ref in owners if ref.get("controller") and ref["kind"] == "Pod"), None)


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
        revision=int(meta["resourceVersion"]),
    )


def _known_claim(claim: Object) -> KnownClaim:
    owner = _pod_owner(claim)
    return KnownClaim(
        uid=claim["metadata"]["uid"],
        owner=owner["uid"] if owner is not None else "",
        revision=int(claim["metadata"]["resourceVersion"]),
    )


def _known_template(template: Object) -> KnownTemplate:
    return KnownTemplate(template["metadata"]["uid"], int(template["metadata"]["resourceVersion"]))


def _is_owned(claim: Object, pod: Object) -> bool:
    """Whether a claim was generated for a pod, and not for an earlier one of its name."""
    owner = _pod_owner(claim)
    return owner is not None and bool(owner["uid"] == pod["metadata"]["uid"])


def _claim_for(pod: Object, reference: str, template: Object) -> Object:
    meta, spec = pod["metadata"], template["spec"]
    given = spec.get("metadata") or {}
    claim: Object = {
        "metadata": {
            "generateName": _prefix(meta["name"], reference),
            "namespace": meta["namespace"],
            "annotations": (given.get("annotations") or {}) | {POD_CLAIM_NAME: reference},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Pod",
                    "name": meta["name"],
                    "uid": meta["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": spec["spec"],
    }
    if given.get("labels"):
        claim["metadata"]["labels"] = given["labels"]
    return claim


def _prefix(pod: str, reference: str) -> str:
    """``<pod>-<reference>-``; what is too long is shortened on both sides in proportion, and loses its last dash."""
    whole = f"{pod}-{reference}-"
    if len(whole) <= _LONGEST_PREFIX:
        return whole
    kept = [part[: len(part) * _LONGEST_PREFIX // len(whole)] for part in (pod, reference)]
    return "-".join(kept)


def _set(status: Object, key: str, value: list[Object]) -> None:
    if value:
        status[key] = value
    else:
        status.pop(key, None)
