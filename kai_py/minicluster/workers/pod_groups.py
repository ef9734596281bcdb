"""PodGroups as controllers and kubelets see them: their claims, and their protection while pods name them.

A pod uses the claim of its PodGroup where both have the very same entry (KEP-5729).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.kinds import POD_GROUPS, PODS
from kai_py.minicluster.rules.pod_groups import CLAIMS_GATE, PROTECTION, WORKLOAD_GATE
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock
from .mirror import Key, Mirror

Object = dict[str, Any]

_ENTRY: Final = ("name", "resourceClaimName", "resourceClaimTemplateName")
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


def have_claims(storage: Storage) -> bool:
    """Whether PodGroups may have claims."""
    return CLAIMS_GATE in storage.gates


def pod_group_name(pod: Object) -> str:
    """The PodGroup that a pod names; empty if none."""
    return str((pod["spec"].get("schedulingGroup") or {}).get("podGroupName") or "")


def agrees(pod_group: Object | None, reference: Object) -> bool:
    """Whether an entry of a pod is one of its PodGroup's, too."""
    entries = pod_group["spec"].get("resourceClaims") or () if pod_group is not None else ()
    return any(all(one.get(key) == reference.get(key) for key in _ENTRY) for one in entries)


def consumer_of(pod_group: Object) -> Object:
    """How a claim names the PodGroup that it is reserved for."""
    meta = pod_group["metadata"]
    return {"apiGroup": POD_GROUPS.group, "resource": POD_GROUPS.plural, "name": meta["name"], "uid": meta["uid"]}


def is_pod_group(consumer: Object) -> bool:
    """Whether a claim is reserved for a PodGroup."""
    return (consumer.get("apiGroup"), consumer.get("resource")) == (POD_GROUPS.group, POD_GROUPS.plural)


def reserves_for(consumer: Object, name: str) -> bool:
    """Whether a reservation is for a PodGroup; of that, pods know no more than the name."""
    return bool(name) and is_pod_group(consumer) and consumer["name"] == name


@dataclass(frozen=True, slots=True)
class KnownPodGroup:
    """A PodGroup. Every change of it is worth a look.

    Attributes:
        claims: names of the claims that it has.
        leaving: whether it is being deleted, and protected.
    """

    uid: str
    claims: frozenset[str] = field(compare=False)
    leaving: bool = field(compare=False)
    revision: int


def known_pod_group(pod_group: Object) -> KnownPodGroup:
    """What to remember of a PodGroup."""
    meta = pod_group["metadata"]
    named = [one.get("resourceClaimName") for one in pod_group["spec"].get("resourceClaims") or ()]
    made = [one.get("resourceClaimName") for one in (pod_group.get("status") or {}).get("resourceClaimStatuses") or ()]
    return KnownPodGroup(
        uid=meta["uid"],
        claims=frozenset(name for name in (*named, *made) if name),
        leaving="deletionTimestamp" in meta and PROTECTION in (meta.get("finalizers") or ()),
        revision=int(meta["resourceVersion"]),
    )


@dataclass(frozen=True, slots=True)
class _Member:
    """A pod that names a PodGroup and has not finished."""

    uid: str
    pod_group: str
    revision: int = field(compare=False)


class PodGroupProtection:
    """The controller that lets PodGroups go which are being deleted, and which no pod names that may still run."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        self._agenda: Agenda[Key] = Agenda(clock or WallClock(), self._sync)
        self._pods = Mirror(PODS.key, _member, self._pod_changed)
        self._pod_groups = Mirror(POD_GROUPS.key, known_pod_group, self._pod_group_changed)
        self._members: dict[Key, set[Key]] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        if WORKLOAD_GATE not in storage.gates:
            return
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            for mirror in (self._pods, self._pod_groups):
                tasks.create_task(mirror.run(storage))
            tasks.create_task(self._agenda.run())

    def _pod_changed(self, key: Key, before: _Member | None, after: _Member | None) -> None:
        if before is not None:
            self._members.get((key[0], before.pod_group), set()).discard(key)
            self._agenda.soon((key[0], before.pod_group))
        if after is not None:
            self._members.setdefault((key[0], after.pod_group), set()).add(key)

    def _pod_group_changed(self, key: Key, _before: KnownPodGroup | None, after: KnownPodGroup | None) -> None:
        if after is None:
            self._members.pop(key, None)
        elif after.leaving:
            self._agenda.soon(key)

    def _sync(self, key: Key) -> None:
        pod_group = self._storage.find(POD_GROUPS.key, key[1], key[0])
        if pod_group is None or not known_pod_group(pod_group).leaving or self._members.get(key):
            return
        meta = pod_group["metadata"]
        kept = [finalizer for finalizer in meta["finalizers"] if finalizer != PROTECTION]
        patch = {"metadata": {"uid": meta["uid"], "finalizers": kept or None}}
        self._storage.patch(POD_GROUPS.key, meta["name"], patch, meta["namespace"])


def _member(pod: Object) -> _Member | None:
    name = pod_group_name(pod)
    if not name or (pod.get("status") or {}).get("phase") in _FINISHED:
        return None
    return _Member(pod["metadata"]["uid"], name, int(pod["metadata"]["resourceVersion"]))
