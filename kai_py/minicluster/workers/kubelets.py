"""All kubelets of a cluster, played by one worker.

A pod on a node starts, runs as long as its annotations say, and ends; a pod that is deleted gets its grace. A pod for
which its node has no room is refused, as a real kubelet refuses it, and counted: a correct scheduler never causes one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from kai_py.api.keys import RESERVED_DEVICE_ANNOTATION
from kai_py.errors import ApiError
from kai_py.minicluster.kinds import CLAIMS, NODES, PODS
from kai_py.minicluster.options import DeleteOptions
from kai_py.minicluster.storage import Storage

from . import pod_status
from .agenda import Agenda
from .bound_pods import Behaviour, BoundPod, bound_pod
from .clock import Clock, WallClock, timestamp
from .device_plugins import DevicePlugin, gpus_of, has_configmaps, is_reservation
from .heartbeats import Heartbeats
from .mirror import Key, Mirror
from .node_status import address_of, set_ready
from .pod_groups import have_claims, pod_group_name, reserves_for
from .room import Amounts, Rooms, Shortage, offered_by

Object = dict[str, Any]

_FINISHED: Final = frozenset({"Succeeded", "Failed"})
#: Exit codes of a process that SIGKILL or SIGTERM has ended.
_KILLED: Final = 137
_TERMINATED: Final = 143
#: How often a pod whose devices are not allocated is looked at again.
_PREPARE_AGAIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class KnownNode:
    """What a kubelet knows of its own node.

    Attributes:
        reported: whether its status says if it is ready.
    """

    uid: str
    offered: Amounts
    address: str
    reported: bool
    revision: int = field(compare=False)


@dataclass(slots=True)
class _Plan:
    """When the next steps of a pod are. Kept only as long as the pod has one."""

    uid: str
    starts: float | None = None
    ends: float | None = None
    stops: float | None = None


class Kubelets:
    """The kubelets.

    Attributes:
        overcommitted: pods that were refused for lack of room, ever.
        started: pods that were started, ever.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        start_after: float = 0.1,
        stop_after: float = 0.1,
        heartbeat: float | None = None,
    ) -> None:
        """Prepare.

        Args:
            clock: whose time pods live in; the wall's, if not said.
            start_after: seconds from binding to running, unless the pod says.
            stop_after: seconds a container needs to end when asked, unless the pod says; its grace is the most.
            heartbeat: seconds between renewals of each node's Lease; None = never.
        """
        self.overcommitted = 0
        self.started = 0
        self._clock = clock or WallClock()
        self._default = Behaviour(start_after=start_after, stop_after=stop_after)
        self._pods = Mirror(PODS.key, bound_pod, self._pod_changed, fields="spec.nodeName!=")
        self._nodes = Mirror(NODES.key, _known_node, self._node_changed)
        self._agenda: Agenda[Key] = Agenda(self._clock, self._sync)
        self._reports: Agenda[str] = Agenda(self._clock, self._report)
        self._heartbeats = Heartbeats(self._clock, heartbeat)
        self._plans: dict[Key, _Plan] = {}
        self._rooms = Rooms()
        self._plugin = DevicePlugin()
        self._waiting: dict[str, set[Key]] = {}
        self._down: set[str] = set()
        self._storage: Storage | None = None

    async def run(self, storage: Storage) -> None:
        """Play until cancelled. This is the worker."""
        self._storage = storage
        async with asyncio.TaskGroup() as tasks:
            for follow in (self._nodes.run, self._pods.run):
                tasks.create_task(follow(storage))
            for agenda in (self._agenda, self._reports):
                tasks.create_task(agenda.run())
            tasks.create_task(self._heartbeats.run(storage))

    def fail(self, node: str) -> None:
        """Take a node down: nothing starts, ends or is cleaned up there, and its Ready condition is unknown.

        Raises:
            RefusedError: 404, there is no such node.
        """
        set_ready(self._cluster(), node, ready=False, now=self._now())
        self._down.add(node)
        self._heartbeats.pause(node)

    def restore(self, node: str) -> None:
        """Bring a node back. What should have happened meanwhile happens now.

        Raises:
            RefusedError: 404, there is no such node.
        """
        set_ready(self._cluster(), node, ready=True, now=self._now())
        self._down.discard(node)
        self._heartbeats.resume(node)
        for key, pod in self._pods.views.items():
            if pod.node == node:
                self._agenda.soon(key)

    def used(self, node: str) -> dict[str, int]:
        """What pods hold on a node, in base units (millicores, bytes, pieces)."""
        return self._rooms.used(node)

    def _cluster(self) -> Storage:
        if self._storage is None:
            raise RuntimeError("the kubelets do not run yet")
        return self._storage

    def _now(self) -> str:
        return timestamp(self._clock.time())

    # what the watches say ---------------------------------------------------------------------------

    def _node_changed(self, key: Key, before: KnownNode | None, after: KnownNode | None) -> None:
        name = key[1]
        if after is None:
            self._down.discard(name)
            self._heartbeats.stop(name)
        elif before is None:
            self._heartbeats.start(name)
            for waiting in self._waiting.pop(name, ()):
                self._agenda.soon(waiting)
        if after is not None and not after.reported:
            self._reports.soon(name)

    def _pod_changed(self, key: Key, before: BoundPod | None, after: BoundPod | None) -> None:
        if before is not None and (after is None or after.phase in _FINISHED):
            self._rooms.release([before.uid])
            self._plugin.release(before.uid)
        if after is None:
            self._plans.pop(key, None)
        else:
            self._agenda.soon(key)

    # what a kubelet does ----------------------------------------------------------------------------

    def _report(self, node: str) -> None:
        """Say that a node is ready, if nobody has said anything: its author wrote no status."""
        view = self._nodes.views.get(("", node))
        if view is not None and not view.reported and self._cluster().find(NODES.key, node) is not None:
            set_ready(self._cluster(), node, ready=True, now=self._now())

    def _sync(self, key: Key) -> None:
        """Take the step that a pod is due for, and note when the next one is."""
        pod = self._pods.views.get(key)
        if pod is None or pod.node in self._down:
            return
        plan = self._plans.get(key)
        if plan is None or plan.uid != pod.uid:
            plan = self._plans[key] = _Plan(pod.uid)
        try:
            step = self._step(key, pod, plan)
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return  # it has just gone; the watch will say so
        if step is not None:
            self._agenda.at(key, step)

    def _step(self, key: Key, pod: BoundPod, plan: _Plan) -> float | None:
        if pod.grace is not None:
            return self._stop(key, pod, plan)
        if pod.phase in _FINISHED:
            del self._plans[key]
            return None
        if isinstance(pod.behaviour, str):
            self._refuse(key, "InvalidAnnotation", pod.behaviour)
            return None
        if pod.phase == "Running":
            return self._finish(key, pod, pod.behaviour, plan)
        return self._start(key, pod, pod.behaviour, plan)

    def _start(self, key: Key, pod: BoundPod, behaviour: Behaviour, plan: _Plan) -> float | None:
        node = self._nodes.views.get(("", pod.node))
        if node is None:
            self._waiting.setdefault(pod.node, set()).add(key)
            return None
        if pod.uid not in self._rooms and not self._admit(key, pod, node):
            return None
        now = self._clock.time()
        if plan.starts is None:
            plan.starts = now + _first(behaviour.start_after, self._default.start_after)
        if now < plan.starts:
            return plan.starts
        obj = self._cluster().get(PODS.key, key[1], key[0])
        if not (self._is_prepared(obj) and has_configmaps(self._cluster(), obj)):
            return now + _PREPARE_AGAIN
        obj = self._found_out(obj, node)
        self.started += 1
        self._write(obj, pod_status.running(obj, now=self._now(), host_ip=node.address, pod_ip=_pod_ip(self.started)))
        if behaviour.duration is None:
            return None
        plan.ends = now + behaviour.duration
        return plan.ends

    def _admit(self, key: Key, pod: BoundPod, node: KnownNode) -> bool:
        try:
            self._rooms.admit(pod.uid, pod.node, pod.requests, node.offered)
        except Shortage as shortage:
            self.overcommitted += 1
            self._refuse(key, f"OutOf{shortage.resource}", f"Pod was rejected: {shortage}")
            return False
        return True

    def _finish(self, key: Key, pod: BoundPod, behaviour: Behaviour, plan: _Plan) -> float | None:
        now = self._clock.time()
        if pod.uid not in self._rooms:
            self._rooms.hold(pod.uid, pod.node, pod.requests)
        if behaviour.duration is None:
            return None
        if plan.ends is None:
            plan.ends = (now if pod.started is None else pod.started) + behaviour.duration
        if now < plan.ends:
            return plan.ends
        obj = self._cluster().get(PODS.key, key[1], key[0])
        self._write(obj, pod_status.finished(obj, now=self._now(), exit_code=behaviour.exit_code))
        return None

    def _stop(self, key: Key, pod: BoundPod, plan: _Plan) -> float | None:
        """Graceful termination. Containers end by SIGTERM, or by SIGKILL if they take longer than the grace."""
        now, storage = self._clock.time(), self._cluster()
        behaviour = self._default if isinstance(pod.behaviour, str) else pod.behaviour
        wanted, grace = _first(behaviour.stop_after, self._default.stop_after), pod.grace or 0.0
        stops = now + min(wanted, grace)
        # A second deletion can shorten the grace, but never prolong it.
        plan.stops = stops if plan.stops is None else min(plan.stops, stops)
        if now < plan.stops:
            return plan.stops
        if pod.phase == "Running":
            obj = storage.get(PODS.key, key[1], key[0])
            self._write(
                obj, pod_status.finished(obj, now=self._now(), exit_code=_KILLED if wanted > grace else _TERMINATED)
            )
        storage.delete(PODS.key, key[1], key[0], DeleteOptions(grace=0, uid=pod.uid))
        return None

    def _is_prepared(self, pod: Object) -> bool:
        """Whether every claim of a pod is allocated, and reserved for it: a driver prepares no other."""
        made = {one["name"]: one for one in pod["status"].get("resourceClaimStatuses") or ()}
        extended = (pod["status"].get("extendedResourceClaimStatus") or {}).get("resourceClaimName")
        names = [extended] if extended else []
        for reference in pod["spec"].get("resourceClaims") or ():
            status = made.get(reference["name"])
            name = reference.get("resourceClaimName") or (status or {}).get("resourceClaimName")
            if name is not None:
                names.append(name)
            elif status is None:
                return False  # otherwise it was made without a claim: none is needed
        return all(self._is_reserved(name, pod) for name in names)

    def _is_reserved(self, name: str, pod: Object) -> bool:
        claim = self._cluster().find(CLAIMS.key, name, pod["metadata"]["namespace"])
        status = (claim or {}).get("status") or {}
        uid, group = pod["metadata"]["uid"], pod_group_name(pod) if have_claims(self._cluster()) else ""
        consumers = status.get("reservedFor") or ()
        return "allocation" in status and any(one["uid"] == uid or reserves_for(one, group) for one in consumers)

    def _found_out(self, pod: Object, node: KnownNode) -> Object:
        """What the container of a reservation pod does first: it looks at its GPU, and says which one it is."""
        device = self._plugin.device_of(pod["metadata"]["uid"], pod["spec"]["nodeName"], gpus_of(pod), node.offered)
        annotations = pod["metadata"].setdefault("annotations", {})
        if not device or not is_reservation(pod) or annotations.get(RESERVED_DEVICE_ANNOTATION):
            return pod
        annotations[RESERVED_DEVICE_ANNOTATION] = device
        return self._cluster().update(PODS.key, pod)

    def _refuse(self, key: Key, reason: str, message: str) -> None:
        obj = self._cluster().get(PODS.key, key[1], key[0])
        self._write(obj, pod_status.refused(obj, now=self._now(), reason=reason, message=message))

    def _write(self, pod: Object, status: Object) -> None:
        pod["status"] = status
        self._pods.learn(self._cluster().update(PODS.key, pod, subresource="status"))


def _first(said: float | None, usual: float | None) -> float:
    return said if said is not None else usual or 0.0


def _known_node(node: Object) -> KnownNode:
    meta = node["metadata"]
    return KnownNode(
        uid=meta["uid"],
        offered=offered_by(node),
        address=address_of(node),
        reported=any(one["type"] == "Ready" for one in (node.get("status") or {}).get("conditions") or ()),
        revision=int(meta["resourceVersion"]),
    )


def _pod_ip(number: int) -> str:
    """An address of its own for each of the first 16 million pods."""
    return f"10.{128 + (number >> 16) % 128}.{number >> 8 & 255}.{number & 255}"
