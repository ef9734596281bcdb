"""What a scheduler does to pods: bind, explain, delete, evict. One request each; no bytes more than needed.

Every write carries the pod's uid, so that it cannot hit a pod that was made again under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

import msgspec

from kai_py.errors import ApiError, ConflictError, InvalidError, NotFoundError, ThrottledError, UnavailableError
from kai_py.kube.client import STRATEGIC_MERGE_PATCH, Body
from kai_py.kube.sender import Sender, is_about_budget


class Outcome(StrEnum):
    """What became of a write about a pod. Everything else is an exception."""

    BOUND = "bound"
    #: It was on this very node before we asked: mostly our own earlier try, whose answer was lost.
    ALREADY_BOUND = "already bound"
    APPLIED = "applied"
    #: The pod is on another node, being deleted, or gated. Waiting does not help; its next watch event tells.
    CONFLICT = "conflict"
    #: There is no such pod (any more); one of the same name with another uid is another pod.
    NOT_FOUND = "not found"
    #: A PodDisruptionBudget forbids the eviction for now.
    BLOCKED = "blocked"


@dataclass(frozen=True)
class Result:
    """An outcome, and the server's words about it where it is not a success."""

    outcome: Outcome
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether the cluster is now as we wanted it."""
        return self.outcome in (Outcome.BOUND, Outcome.ALREADY_BOUND, Outcome.APPLIED)


class _Meta(msgspec.Struct, omit_defaults=True):
    name: str = ""
    uid: str = ""


class _NotedMeta(_Meta):
    annotations: Mapping[str, str] = {}


class _Target(msgspec.Struct):
    name: str
    kind: str = "Node"


class _Binding(msgspec.Struct, rename="camel"):
    metadata: _Meta
    target: _Target
    kind: str = "Binding"
    api_version: str = "v1"


_APPLIED: Final = Result(Outcome.APPLIED)
_BOUND: Final = Result(Outcome.BOUND)
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class PodCondition:
    """A condition for a pod's status.

    ``transitioned_at`` is when ``status`` changed; None keeps the time that the server has.
    """

    type: str
    status: str
    reason: str
    message: str
    observed_generation: int = 0
    transitioned_at: datetime | None = None

    def document(self) -> dict[str, Any]:
        """As the API has it."""
        fields: dict[str, Any] = {
            "type": self.type,
            "status": self.status,
            "reason": self.reason,
            "message": self.message,
        }
        if self.observed_generation:
            fields["observedGeneration"] = self.observed_generation
        if self.transitioned_at is not None:
            fields["lastTransitionTime"] = self.transitioned_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        return fields


class PodWriter:
    """Writes about pods.

    All methods raise ``LeaseLostError`` if the fence is closed, and what is no ``Outcome`` as an ``ApiError``.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def bind(
        self, namespace: str, name: str, uid: str, node: str, annotations: Mapping[str, str] | None = None
    ) -> Result:
        """Assign a pod to a node, for good, and annotate it with that.

        Binding is not idempotent, but its repetition is recognised: a pod that is already on ``node`` is a success.
        """
        path = _pod_path(namespace, name)
        meta = _NotedMeta(name, uid, annotations) if annotations else _Meta(name, uid)
        body = _encode(_Binding(meta, _Target(node)))
        try:
            await self._sender.send("POST", f"{path}/binding", body)
        except ConflictError as error:
            return await self._compare(path, uid, node, str(error))
        except NotFoundError as error:
            return Result(Outcome.NOT_FOUND, str(error))
        return _BOUND

    async def _compare(self, path: str, uid: str, node: str, message: str) -> Result:
        """A bind met a conflict: look at the pod to see which."""
        try:
            pod: dict[str, Any] = await self._sender.get_object(path)
        except NotFoundError as error:
            return Result(Outcome.NOT_FOUND, str(error))
        if pod["metadata"]["uid"] != uid:
            return Result(Outcome.NOT_FOUND, message)
        if pod.get("spec", {}).get("nodeName") == node:
            return Result(Outcome.ALREADY_BOUND, message)
        return Result(Outcome.CONFLICT, message)

    async def manifest_of(self, namespace: str, name: str, uid: str = "") -> dict[str, Any] | None:
        """A pod as the server has it, whichever has the name where no uid is given; None if it is not there."""
        try:
            pod: dict[str, Any] = await self._sender.get_object(_pod_path(namespace, name))
        except NotFoundError:
            return None
        return pod if uid in ("", pod["metadata"]["uid"]) else None

    async def node_of(self, namespace: str, name: str, uid: str) -> str:
        """The node of a pod; empty if it has none, or is not there any more."""
        try:
            pod: dict[str, Any] = await self._sender.get_object(_pod_path(namespace, name))
        except NotFoundError:
            return ""
        return str(pod.get("spec", {}).get("nodeName", "")) if pod["metadata"]["uid"] == uid else ""

    async def patch_condition(
        self, namespace: str, name: str, uid: str, condition: PodCondition, *, nominated_node: str | None = None
    ) -> Result:
        """Set a condition in a pod's status.

        Args:
            namespace: of the pod.
            name: of the pod.
            uid: of the pod.
            condition: replaces the one of its type.
            nominated_node: node to nominate as well; empty clears the nomination, None leaves it.
        """
        status: dict[str, Any] = {"conditions": [condition.document()]}
        if nominated_node is not None:
            status["nominatedNodeName"] = nominated_node or None
        return await self._patch_status(namespace, name, uid, status)

    async def nominate(self, namespace: str, name: str, uid: str, node: str) -> Result:
        """Set the nominated node alone; an empty ``node`` clears it."""
        return await self._patch_status(namespace, name, uid, {"nominatedNodeName": node or None})

    async def mark_disruption_target(self, namespace: str, name: str, uid: str, message: str, at: datetime) -> Result:
        """Announce that we are about to delete a pod for another's sake, as kube-scheduler does before a preemption."""
        condition = PodCondition("DisruptionTarget", "True", "PreemptionByScheduler", message, transitioned_at=at)
        return await self._patch_status(namespace, name, uid, {"conditions": [condition.document()]})

    async def label(
        self,
        namespace: str,
        name: str,
        uid: str,
        labels: Mapping[str, str | None],
        annotations: Mapping[str, str | None] | None = None,
    ) -> Result:
        """Set labels and annotations of a pod; a None removes one."""
        meta: dict[str, Any] = {"uid": uid, "labels": labels} | ({"annotations": annotations} if annotations else {})
        patch = {"metadata": meta}
        return await self._act("PATCH", _pod_path(namespace, name), patch, content_type=STRATEGIC_MERGE_PATCH)

    async def _patch_status(self, namespace: str, name: str, uid: str, status: dict[str, Any]) -> Result:
        patch = {"metadata": {"uid": uid}, "status": status}
        path = f"{_pod_path(namespace, name)}/status"
        return await self._act("PATCH", path, patch, content_type=STRATEGIC_MERGE_PATCH)

    async def delete(self, namespace: str, name: str, uid: str, *, grace_seconds: int | None = None) -> Result:
        """Delete a pod; ``grace_seconds`` None takes the pod's own."""
        return await self._act("DELETE", _pod_path(namespace, name), _delete_options(uid, grace_seconds))

    async def evict(self, namespace: str, name: str, uid: str, *, grace_seconds: int | None = None) -> Result:
        """Ask for a pod to be deleted, which PodDisruptionBudgets may refuse."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": _delete_options(uid, grace_seconds),
        }
        return await self._act("POST", f"{_pod_path(namespace, name)}/eviction", body)

    async def _act(self, method: str, path: str, body: Body, *, content_type: str = "application/json") -> Result:
        """Send a write that names the pod's uid, and turn refusals about this pod into outcomes."""
        try:
            await self._sender.send(method, path, body, content_type=content_type)
        except NotFoundError as error:
            return Result(Outcome.NOT_FOUND, str(error))
        except ConflictError as error:
            return Result(Outcome.NOT_FOUND if _is_about_uid(error) else Outcome.CONFLICT, str(error))
        except InvalidError as error:
            if _is_about_uid(error):
                return Result(Outcome.NOT_FOUND, str(error))
            raise
        except (ThrottledError, UnavailableError) as error:
            if is_about_budget(error):
                return Result(Outcome.BLOCKED, str(error))
            raise
        return _APPLIED


def _pod_path(namespace: str, name: str) -> str:
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(name, safe='')}"


def _delete_options(uid: str, grace_seconds: int | None) -> dict[str, Any]:
    options: dict[str, Any] = {"preconditions": {"uid": uid}}
    if grace_seconds is not None:
        options["gracePeriodSeconds"] = grace_seconds
    return options


def _is_about_uid(error: ApiError) -> bool:
    """Whether the pod of this name is another one: by precondition (409), or because a uid cannot be patched (422)."""
    return "UID" in str(error) or any(field == "metadata.uid" for _, field, _ in error.causes)
