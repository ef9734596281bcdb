"""Claims that are made from templates, for pods and for PodGroups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from kai_py.minicluster.kinds import CLAIM_TEMPLATES, CLAIMS, EVENTS, POD_GROUPS, PODS, Kind
from kai_py.minicluster.storage import Storage

from .mirror import Key

Object = dict[str, Any]

#: Names the entry of ``spec.resourceClaims``, of a pod or a PodGroup, for which a claim was made.
POD_CLAIM_NAME: Final = "resource.kubernetes.io/pod-claim-name"
_LONGEST_PREFIX: Final = 57
_LONGEST_NAME: Final = 253
_OWNERS: Final = {PODS.kind: "", POD_GROUPS.kind: POD_GROUPS.group}


@dataclass(frozen=True, slots=True)
class KnownClaim:
    """A claim. Every change of it is worth a look.

    Attributes:
        owner: uid of the pod, or PodGroup, for which it was generated; empty if for none.
    """

    uid: str
    owner: str
    revision: int


def known_claim(claim: Object) -> KnownClaim:
    """What to remember of a claim."""
    owner = owner_of(claim)
    uid = owner["uid"] if owner is not None else ""
    return KnownClaim(claim["metadata"]["uid"], uid, int(claim["metadata"]["resourceVersion"]))


def owner_of(claim: Object) -> Object | None:
    """The reference to the pod, or PodGroup, that a claim was generated for."""
    for ref in claim["metadata"].get("ownerReferences") or ():
        if ref.get("controller") and _OWNERS.get(ref["kind"]) == ref["apiVersion"].rpartition("/")[0]:
            found: Object = ref
            return found
    return None


class GeneratedClaims:
    """Makes claims from templates, and finds those that were made."""

    def __init__(self) -> None:
        self._made: dict[str, set[Key]] = {}

    def changed(self, key: Key, before: KnownClaim | None, after: KnownClaim | None) -> None:
        """A claim came, changed or went."""
        if before is not None and before.owner:
            made = self._made.get(before.owner, set())
            made.discard(key)
            if not made:
                self._made.pop(before.owner, None)
        if after is not None and after.owner:
            self._made.setdefault(after.owner, set()).add(key)

    def of(self, uid: str) -> list[Key]:
        """The claims that were made for a pod or PodGroup."""
        return sorted(self._made.get(uid, ()))

    def find(self, storage: Storage, uid: str, entry: str) -> Object | None:
        """The claim that was made for an entry of a pod, or PodGroup."""
        for key in self.of(uid):
            claim = storage.find(CLAIMS.key, key[1], key[0])
            if claim is not None and (claim["metadata"].get("annotations") or {}).get(POD_CLAIM_NAME) == entry:
                return claim
        return None

    def make(self, storage: Storage, kind: Kind, owner: Object, reference: Object) -> Object | None:
        """The claim for an entry: one that was made before and not told, or a new one. None without template."""
        meta = owner["metadata"]
        if (claim := self.find(storage, meta["uid"], reference["name"])) is not None:
            return claim
        template = storage.find(CLAIM_TEMPLATES.key, reference["resourceClaimTemplateName"], meta["namespace"])
        if template is None:
            _complain(storage, kind, owner, reference)
            return None  # it may come yet; until then whoever needs it waits
        return storage.create(CLAIMS.key, _claim_for(kind, owner, reference["name"], template))


def _complain(storage: Storage, kind: Kind, owner: Object, reference: Object) -> None:
    """Tell, once, that a template does not exist."""
    meta, template = owner["metadata"], reference["resourceClaimTemplateName"]
    name = f"{meta['name']}.{reference['name']}.{meta['uid'].partition('-')[0]}"[-_LONGEST_NAME:].lstrip("-.")
    if storage.find(EVENTS.key, name, meta["namespace"]) is None:
        identity = {key: meta[key] for key in ("name", "namespace", "uid")}
        event = {
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "involvedObject": {"apiVersion": kind.api_version, "kind": kind.kind, **identity},
            "type": "Warning",
            "reason": "FailedResourceClaimCreation",
            "message": f'{kind.kind}ResourceClaim {reference["name"]}: resource claim template "{template}" not found',
            "source": {"component": "resource_claim"},
        }
        storage.create(EVENTS.key, event)


def _claim_for(kind: Kind, owner: Object, entry: str, template: Object) -> Object:
    meta, spec = owner["metadata"], template["spec"]
    given = spec.get("metadata") or {}
    identity = {"name": meta["name"], "uid": meta["uid"], "controller": True}
    claim: Object = {
        "metadata": {
            "generateName": _prefix(meta["name"], entry),
            "namespace": meta["namespace"],
            "annotations": (given.get("annotations") or {}) | {POD_CLAIM_NAME: entry},
            "ownerReferences": [{"apiVersion": kind.api_version, "kind": kind.kind, **identity}],
        },
        "spec": spec["spec"],
    }
    if given.get("labels"):
        claim["metadata"]["labels"] = given["labels"]
    return claim


def _prefix(owner: str, entry: str) -> str:
    """``<owner>-<entry>-``; what is too long is shortened on both sides in proportion, and loses its last dash."""
    whole = f"{owner}-{entry}-"
    if len(whole) <= _LONGEST_PREFIX:
        return whole
    kept = [part[: len(part) * _LONGEST_PREFIX // len(whole)] for part in (owner, entry)]
    return "-".join(kept)
