"""ReplicaSets and Deployments, as far as a demo needs them: replicas, status, and a change of template."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from kai_py.api.keys import POD_TEMPLATE_HASH_LABEL
from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock, WallClock, timestamp
from .mirror import Key, Mirror
from .owned_pods import OwnedPods, pod_from, surplus
from .pod_status import with_condition
from .rolling_update import Replicas, Strategy

Object = dict[str, Any]

DEPLOYMENTS: Final = "deployments.apps"
REPLICA_SETS: Final = "replicasets.apps"


@dataclass(frozen=True, slots=True)
class _Known:
    """What makes a workload worth another look.

    Attributes:
        owner: namespace and name of the Deployment that controls a ReplicaSet.
        there, ready: replicas of a ReplicaSet.
    """

    uid: str
    generation: int
    deleting: bool
    owner: Key | None
    there: int
    ready: int
    revision: int = field(compare=False)


class ReplicaSets:
    """The ReplicaSet controller."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        self._agenda: Agenda[Key] = Agenda(clock or WallClock(), self._sync)
        self._sets = Mirror(REPLICA_SETS, _known, lambda key, _before, _after: self._agenda.soon(key))
        self._pods = OwnedPods("ReplicaSet", self._agenda.soon)
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sets.run(storage))
            tasks.create_task(self._pods.run(storage))
            tasks.create_task(self._agenda.run())

    def _sync(self, key: Key) -> None:
        owner = self._storage.find(REPLICA_SETS, key[1], key[0])
        if owner is None or "deletionTimestamp" in owner["metadata"]:
            return  # the garbage collector takes its pods
        wanted, template = owner["spec"]["replicas"], owner["spec"]["template"]
        active = self._active(key, owner)
        for name, pod in surplus(active, len(active) - wanted if len(active) > wanted else 0):
            self._pods.delete(self._storage, name, pod)
        for _ in range(wanted - len(active)):
            self._pods.create(self._storage, pod_from(template, owner, prefix=f"{key[1]}-"))
        active = self._active(key, owner)
        ready = sum(pod.ready for pod in active.values())
        status = {
            "replicas": len(active),
            "fullyLabeledReplicas": len(active),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "observedGeneration": owner["metadata"]["generation"],
        }
        if status != owner.get("status"):
            self._storage.update(REPLICA_SETS, owner | {"status": status}, subresource="status")

    def _active(self, key: Key, owner: Object) -> Any:
        uid = owner["metadata"]["uid"]
        return {name: pod for name, pod in self._pods.of(key).items() if pod.active and pod.owner_uid == uid}


class Deployments:
    """The Deployment controller.

    Replicas of a new template replace the old ones as the strategy says. Not in it: pausing, rollback, progress
    deadlines, proportional scaling in the middle of a rollout.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        self._clock = clock or WallClock()
        self._agenda: Agenda[Key] = Agenda(self._clock, self._sync)
        self._deployments = Mirror(DEPLOYMENTS, _known, lambda key, _before, _after: self._agenda.soon(key))
        self._sets = Mirror(REPLICA_SETS, _known, self._set_changed)
        self._of: dict[Key, set[Key]] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deployments.run(storage))
            tasks.create_task(self._sets.run(storage))
            tasks.create_task(self._agenda.run())

    def _set_changed(self, key: Key, before: _Known | None, after: _Known | None) -> None:
        for known in (before, after):
            if known is not None and known.owner is not None:
                self._of.setdefault(known.owner, set()).discard(key)
                self._agenda.soon(known.owner)
        if after is not None and after.owner is not None:
            self._of[after.owner].add(key)

    def _sync(self, key: Key) -> None:
        deployment = self._storage.find(DEPLOYMENTS, key[1], key[0])
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return
        current = self._current(key, deployment)
        others = [one for one in self._sets_of(key) if one["metadata"]["name"] != current["metadata"]["name"]]
        others.reverse()  # the oldest goes first
        size, sizes = Strategy.of(deployment).sizes(Replicas.of(current), [Replicas.of(other) for other in others])
        self._scale(current, size)
        for other, kept in zip(others, sizes, strict=True):
            self._scale(other, kept)
        self._report(deployment, current, others)

    def _current(self, key: Key, deployment: Object) -> Object:
        """The ReplicaSet of the template as it is now; made if there is none."""
        template = deployment["spec"]["template"]
        name = f"{key[1]}-{_hash(template)}"
        found = self._storage.find(REPLICA_SETS, name, key[0])
        if found is not None:
            return found
        labels = {POD_TEMPLATE_HASH_LABEL: _hash(template)}
        made = pod_from(template, deployment, prefix="")
        meta = made["metadata"]
        inner = {key: meta[key] for key in ("labels", "annotations", "finalizers") if key in meta}
        inner["labels"] = (meta.get("labels") or {}) | labels
        selector = deployment["spec"]["selector"]
        matched = {**selector, "matchLabels": (selector.get("matchLabels") or {}) | labels}
        created = self._storage.create(
            REPLICA_SETS,
            {
                "metadata": {
                    "name": name,
                    "namespace": key[0],
                    "labels": inner["labels"],
                    "ownerReferences": meta["ownerReferences"],
                },
                "spec": {"replicas": 0, "selector": matched, "template": {"metadata": inner, "spec": made["spec"]}},
            },
        )
        self._sets.learn(created)
        return created

    def _sets_of(self, key: Key) -> list[Object]:
        """All ReplicaSets of a Deployment, the newest first."""
        found = [self._storage.find(REPLICA_SETS, name, namespace) for namespace, name in self._of.get(key, ())]
        living = [one for one in found if one is not None]
        return sorted(living, key=lambda one: int(one["metadata"]["resourceVersion"]), reverse=True)

    def _scale(self, replica_set: Object, replicas: int) -> None:
        if replica_set["spec"]["replicas"] != replicas:
            meta = replica_set["metadata"]
            self._storage.patch(REPLICA_SETS, meta["name"], {"spec": {"replicas": replicas}}, meta["namespace"])

    def _report(self, deployment: Object, current: Object, others: list[Object]) -> None:
        statuses = [one.get("status") or {} for one in (current, *others)]
        ready = sum(status.get("readyReplicas", 0) for status in statuses)
        wanted, now = deployment["spec"]["replicas"], timestamp(self._clock.time())
        enough = ready >= wanted
        condition = {
            "type": "Available",
            "status": "True" if enough else "False",
            "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        }
        before = deployment.get("status") or {}
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": sum(one.get("replicas", 0) for one in statuses),
            "updatedReplicas": statuses[0].get("replicas", 0),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(wanted - ready, 0),
            "conditions": with_condition(before, condition, now),
        }
        if status != before:
            self._storage.update(DEPLOYMENTS, deployment | {"status": status}, subresource="status")


def _known(workload: Object) -> _Known:
    meta = workload["metadata"]
    owner = next((ref for ref in meta.get("ownerReferences") or () if ref.get("controller")), None)
    return _Known(
        uid=meta["uid"],
        generation=meta["generation"],
        deleting="deletionTimestamp" in meta,
        owner=(meta["namespace"], owner["name"]) if owner and owner["kind"] == "Deployment" else None,
        there=(workload.get("status") or {}).get("replicas", 0),
        ready=(workload.get("status") or {}).get("readyReplicas", 0),
        revision=int(meta["resourceVersion"]),
    )


def _hash(template: Object) -> str:
    """Ten letters that change with the template."""
    digest = hashlib.sha256(msgspec.json.encode(template, order="deterministic")).hexdigest()
    return digest[:10]
