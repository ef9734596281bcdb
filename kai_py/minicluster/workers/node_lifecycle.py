"""The node controllers: taints that follow conditions, eviction by taint, and pods that have lost their node."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.minicluster.kinds import NODES, PODS
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from . import pod_status
from .agenda import Agenda
from .clock import Clock, WallClock, timestamp
from .mirror import Key, Mirror
from .node_status import readiness_of
from .taints import Taint, Toleration, evicting, taints_of, tolerated_until, tolerations_of

Object = dict[str, Any]

_NOT_READY: Final = "node.kubernetes.io/not-ready"
_UNREACHABLE: Final = "node.kubernetes.io/unreachable"
_UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
#: Readiness → the taint that says so.
_TAINT_OF: Final = {"True": None, "False": _NOT_READY, "Unknown": _UNREACHABLE}
_OURS: Final = frozenset({_NOT_READY, _UNREACHABLE, _UNSCHEDULABLE})
#: How long a pod may refer to a node that does not exist: the node's object may only be late.
_ORPHAN_SECONDS: Final = 40.0


@dataclass(frozen=True, slots=True)
class _Node:
    uid: str
    readiness: str
    unschedulable: bool
    taints: tuple[Taint, ...]
    revision: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Pod:
    uid: str
    node: str
    deleting: bool
    tolerations: tuple[Toleration, ...]
    revision: int = field(compare=False)


class NodeLifecycle:
    """The controllers."""

    def __init__(self, *, clock: Clock | None = None) -> None:
        """Prepare; ``clock`` is the wall's, if not said."""
        self._clock = clock or WallClock()
        self._nodes = Mirror(NODES.key, _node, self._node_changed)
        self._pods = Mirror(PODS.key, _pod, self._pod_changed, fields="spec.nodeName!=")
        self._node_agenda: Agenda[str] = Agenda(self._clock, self._sync_node)
        self._pod_agenda: Agenda[Key] = Agenda(self._clock, self._sync_pod)
        self._on: dict[str, set[Key]] = {}
        self._tainted: dict[str, float] = {}
        self._orphaned: dict[str, float] = {}
        self._storage: Storage

    async def run(self, storage: Storage) -> None:
        """Control until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            for follow in (self._nodes.run, self._pods.run):
                tasks.create_task(follow(storage))
            for agenda in (self._node_agenda, self._pod_agenda):
                tasks.create_task(agenda.run())

    def _node_changed(self, key: Key, before: _Node | None, after: _Node | None) -> None:
        name, now = key[1], self._clock.time()
        if after is not None and evicting(after.taints):
            self._tainted.setdefault(name, now)
        else:
            self._tainted.pop(name, None)
        self._node_agenda.soon(name)
        if after is None or evicting(after.taints) or (before is not None and before.readiness != after.readiness):
            for pod in self._on.get(name, ()):
                self._pod_agenda.soon(pod)

    def _pod_changed(self, key: Key, before: _Pod | None, after: _Pod | None) -> None:
        if before is not None:
            self._on[before.node].discard(key)
            self._orphaned.pop(before.uid, None)
        if after is not None:
            self._on.setdefault(after.node, set()).add(key)
            if not self._is_steady(after.node):
                self._pod_agenda.soon(key)

    def _is_steady(self, name: str) -> bool:
        """Whether nothing happens to pods of this node: it is there, ready, and evicts nobody."""
        node = self._nodes.views.get(("", name))
        return node is not None and node.readiness == "True" and not evicting(node.taints)

    # nodes ------------------------------------------------------------------------------------------

    def _sync_node(self, name: str) -> None:
        """Bring the taints that say how the node is in line with its conditions."""
        view = self._nodes.views.get(("", name))
        node = self._storage.find(NODES.key, name)
        if view is None or node is None:
            return
        spec = node.setdefault("spec", {})
        before = spec.get("taints") or []
        wanted = list(_wanted(view))
        kept = [taint for taint in before if taint["key"] not in _OURS or (taint["key"], taint["effect"]) in wanted]
        held = {(taint["key"], taint["effect"]) for taint in kept}
        now = timestamp(self._clock.time())
        for key, effect in wanted:
            if (key, effect) not in held:
                kept.append({"key": key, "effect": effect} | ({"timeAdded": now} if effect == "NoExecute" else {}))
        if kept != before:
            spec["taints"] = kept
            self._nodes.learn(self._storage.update(NODES.key, node))

    # pods -------------------------------------------------------------------------------------------

    def _sync_pod(self, key: Key) -> None:
        pod = self._pods.views.get(key)
        if pod is None:
            return
        node = self._nodes.views.get(("", pod.node))
        if node is None:
            self._collect(key, pod)
            return
        self._orphaned.pop(pod.uid, None)
        if node.readiness != "True":
            self._mark_not_ready(key)
        if pod.deleting or not evicting(node.taints):
            return
        until = tolerated_until(pod.tolerations, node.taints, since=self._tainted[pod.node])
        if until <= self._clock.time():
            self._evict(key, pod)
        elif until < float("inf"):
            self._pod_agenda.at(key, until)

    def _collect(self, key: Key, pod: _Pod) -> None:
        """Remove a pod whose node has been gone for a while: no kubelet will."""
        gone = self._orphaned.setdefault(pod.uid, self._clock.time()) + _ORPHAN_SECONDS
        if self._clock.time() < gone:
            self._pod_agenda.at(key, gone)
            return
        message = "PodGC: node no longer exists"
        self._disrupt(key, "DeletionByPodGC", message, phase={"phase": "Failed"})
        if self._storage.find(PODS.key, key[1], key[0]) is not None:
            self._storage.delete(PODS.key, key[1], key[0], DeleteOptions(grace=0, uid=pod.uid))

    def _evict(self, key: Key, pod: _Pod) -> None:
        self._disrupt(key, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
        if self._storage.find(PODS.key, key[1], key[0]) is not None:
            self._storage.delete(PODS.key, key[1], key[0], DeleteOptions(uid=pod.uid))

    def _disrupt(self, key: Key, reason: str, message: str, phase: dict[str, str] | None = None) -> None:
        obj = self._storage.find(PODS.key, key[1], key[0])
        if obj is None or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        status = dict(obj.get("status") or {}) | (phase or {})
        condition = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
        status["conditions"] = pod_status.with_condition(status, condition, timestamp(self._clock.time()))
        self._storage.update(PODS.key, obj | {"status": status}, subresource="status")

    def _mark_not_ready(self, key: Key) -> None:
        obj = self._storage.find(PODS.key, key[1], key[0])
        if obj is None or (obj.get("status") or {}).get("phase") != "Running":
            return
        status = pod_status.not_ready(obj, now=timestamp(self._clock.time()))
        self._storage.update(PODS.key, obj | {"status": status}, subresource="status")


def _wanted(node: _Node) -> Iterable[tuple[str, str]]:
    key = _TAINT_OF.get(node.readiness)
    if key is not None:
        yield key, "NoSchedule"
        yield key, "NoExecute"
    if node.unschedulable:
        yield _UNSCHEDULABLE, "NoSchedule"


def _node(node: Object) -> _Node:
    spec = node.get("spec") or {}
    return _Node(
        uid=node["metadata"]["uid"],
        readiness=readiness_of(node),
        unschedulable=bool(spec.get("unschedulable")),
        taints=taints_of(node),
        revision=int(node["metadata"]["resourceVersion"]),
    )


def _pod(pod: Object) -> _Pod:
    return _Pod(
        uid=pod["metadata"]["uid"],
        node=pod["spec"]["nodeName"],
        deleting="deletionTimestamp" in pod["metadata"],
        tolerations=tolerations_of(pod),
        revision=int(pod["metadata"]["resourceVersion"]),
    )
