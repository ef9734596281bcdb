"""The pods of a workload: remembered by owner, made from its template, deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.kinds import PODS
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from .mirror import Key, Mirror

Object = dict[str, Any]

#: Keeps a Job's pod until the Job controller has counted how it ended.
TRACKING: Final = "batch.kubernetes.io/job-tracking"
INDEX: Final = "batch.kubernetes.io/job-completion-index"
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class OwnedPod:
    """What a workload controller remembers of a pod.

    Attributes:
        owner: namespace and name of the controlling owner.
        owner_uid: its uid.
        index: completion index of a Job's pod.
        tracked: whether a Job has yet to count how it ends.
        ready: its Ready condition.
    """

    uid: str
    owner: Key
    owner_uid: str
    phase: str
    deleting: bool
    ready: bool
    tracked: bool
    index: int | None
    node: str
    revision: int = field(compare=False)

    @property
    def active(self) -> bool:
        """Whether it runs or may still run, and nobody has asked it to go."""
        return not self.deleting and self.phase not in _FINISHED

    @property
    def terminating(self) -> bool:
        """Whether it was asked to go and has not ended."""
        return self.deleting and self.phase not in _FINISHED


class OwnedPods:
    """All pods whose controller is of one kind, by owner."""

    def __init__(self, owner_kind: str, changed: Callable[[Key], None]) -> None:
        """Prepare.

        Args:
            owner_kind: e.g. ``Job``.
            changed: told the owner whose pods have changed.
        """
        self._owner_kind = owner_kind
        self._changed = changed
        self._by_owner: dict[Key, dict[Key, OwnedPod]] = {}
        self._mirror = Mirror(PODS.key, self._view, self._on_change)

    async def run(self, storage: Storage) -> None:
        """Follow pods until cancelled."""
        await self._mirror.run(storage)

    def of(self, owner: Key) -> Mapping[Key, OwnedPod]:
        """The pods of an owner, as they are now: a copy."""
        return dict(self._by_owner.get(owner, {}))

    def create(self, storage: Storage, pod: Object) -> None:
        """Create a pod and remember it at once.

        Raises:
            RefusedError: the cluster refuses it.
        """
        self._mirror.learn(storage.create(PODS.key, pod))

    def delete(self, storage: Storage, key: Key, pod: OwnedPod) -> None:
        """Delete a pod without anybody counting it as a failure. One that is gone already is fine."""
        self.untrack(storage, key, pod)
        if storage.find(PODS.key, key[1], key[0]) is not None:
            deleted = storage.delete(PODS.key, key[1], key[0], DeleteOptions(propagation="Background"))
            if storage.find(PODS.key, key[1], key[0]) is not None:
                self._mirror.learn(deleted)

    def untrack(self, storage: Storage, key: Key, pod: OwnedPod) -> None:
        """Take the Job controller's finalizer off a pod, if it is still there."""
        obj = storage.find(PODS.key, key[1], key[0]) if pod.tracked else None
        if obj is None or obj["metadata"]["uid"] != pod.uid:
            return
        kept = [finalizer for finalizer in obj["metadata"].get("finalizers") or () if finalizer != TRACKING]
        patch = {"metadata": {"uid": pod.uid, "finalizers": kept or None}}
        changed = storage.patch(PODS.key, key[1], patch, key[0])
        if storage.find(PODS.key, key[1], key[0]) is not None:
            self._mirror.learn(changed)

    def _view(self, pod: Object) -> OwnedPod | None:
        meta, status = pod["metadata"], pod.get("status") or {}
        owner = next((ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), None)
        if owner is None or owner["kind"] != self._owner_kind:
            return None
        index = (meta.get("annotations") or {}).get(INDEX)
        ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions") or ())
        return OwnedPod(
            uid=meta["uid"],
            owner=(meta["namespace"], owner["name"]),
            owner_uid=owner["uid"],
            phase=status.get("phase", "Pending"),
            deleting="deletionTimestamp" in meta,
            ready=ready,
            tracked=TRACKING in (meta.get("finalizers") or ()),
            index=int(index) if index is not None and index.isdecimal() else None,
            node=pod["spec"].get("nodeName", ""),
            revision=int(meta["resourceVersion"]),
        )

    def _on_change(self, key: Key, before: OwnedPod | None, after: OwnedPod | None) -> None:
        for pod in (before, after):
            if pod is not None:
                self._changed(pod.owner)
        if before is not None:
            siblings = self._by_owner[before.owner]
            siblings.pop(key, None)
            if not siblings:
                del self._by_owner[before.owner]
        if after is not None:
            self._by_owner.setdefault(after.owner, {})[key] = after


def pod_from(template: Object, owner: Object, *, prefix: str) -> Object:
    """A pod from a workload's template, controlled by the workload. ``prefix`` is its ``generateName``."""
    meta = template.get("metadata") or {}
    made: Object = {
        "generateName": prefix,
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"],
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
    for part in ("labels", "annotations", "finalizers"):
        if meta.get(part):
            made[part] = deepcopy(meta[part])
    return {"metadata": made, "spec": deepcopy(template["spec"])}


def surplus(pods: Mapping[Key, OwnedPod], count: int) -> list[tuple[Key, OwnedPod]]:
    """Which pods to give up first: unbound, then not ready, then the newest."""
    order = sorted(pods.items(), key=lambda item: (item[1].node != "", item[1].ready, -item[1].revision))
    return order[:count]
