"""What a live cluster says of a pod, a podgroup or a queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from kai_py.api.decode import convert
from kai_py.api.keys import POD_TEMPLATE_HASH_LABEL, QUEUE_LABEL, ROLLOUT_HASH_LABEL
from kai_py.api.meta import PartialObject
from kai_py.api.pod import Pod
from kai_py.api.workload import Workload
from kai_py.cluster.pods import key_of
from kai_py.cluster.rollouts import RolloutBook
from kai_py.errors import ApiError, InputError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.operators.kinds import PODGROUPS, PODS, QUEUES
from kai_py.planning.cluster import read_owners, read_settings
from kai_py.planning.group import Others
from kai_py.planning.objects import SETTINGS_KEY
from kai_py.podgrouper.grouping import Grouper
from kai_py.podgrouper.options import Options
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings
from kai_py.telemetry.why import Why, over_limit, why_pod, why_podgroup
from kai_py.telemetry.why_queue import why_queue
from kai_py.telemetry.why_waiting import Waiter, waiters
from kai_py.telemetry.why_when import FOR_ROOM, NOT_KNOWN, reserved_nodes, when_given_back, when_left

Json = dict[str, Any]

#: So many nodes are asked who leaves them.
_NODES: Final = 16
_REPLACES: Final = "It is to replace a pod of an earlier revision, which runs until this one is ready"
_ENDS_FIRST: Final = "Or let the rollout end pods before it starts others: maxSurge 0, maxUnavailable 1."
#: What a target may be called, to the question about it; a bare name is tried in the order of the first three.
KINDS: Final = {
    "pod": "pod",
    "podgroup": "podgroup",
    "queue": "queue",
    "pods": "pod",
    "po": "pod",
    "podgroups": "podgroup",
    "pg": "podgroup",
    "queues": "queue",
    "q": "queue",
}


async def why(client: ApiClient, kind: str, namespace: str, name: str) -> Why | None:
    """Why something waits, or how it stands; None if it does not exist.

    Args:
        client: the cluster.
        kind: ``pod``, ``podgroup`` or ``queue``; empty tries them in this order.
        namespace: of a pod or podgroup.
        name: its name.

    Raises:
        ApiError: the server does not answer, or refuses.
    """
    questions = {"pod": _pod, "podgroup": _podgroup, "queue": _queue}
    for question in [questions[kind]] if kind else questions.values():
        if (answer := await question(client, namespace, name)) is not None:
            return answer
    return None


async def _pod(client: ApiClient, namespace: str, name: str) -> Why | None:
    pod = await find(client, PODS, namespace, name)
    if pod is None:
        return None
    group, names = await asyncio.gather(_group(pod, client), scheduler_names(client))
    podgroup = await find(client, PODGROUPS, *group) if group else None
    answer = why_pod(pod, podgroup, scheduler_names=names, now=time.time())
    return await _with_rollout(client, await _with_when(client, answer, podgroup, [pod]), pod)


async def _with_rollout(client: ApiClient, answer: Why, pod: Json) -> Why:
    """The answer with what somebody can do whose new replica waits for an old one that waits for it."""
    marked = (POD_TEMPLATE_HASH_LABEL, ROLLOUT_HASH_LABEL)
    mark = next((key for key in marked if key in (pod["metadata"].get("labels") or {})), "")
    if not answer.code or not mark:
        return answer
    book, asked = RolloutBook(), _pod_of(pod)
    pods = await list_all(client, PODS, pod["metadata"]["namespace"], labelSelector=mark)
    for one in (asked, *map(_pod_of, pods)):
        if one is not None:
            book.see(key_of(one), one)
    book.changed()
    if asked is None or not book.surges(key_of(asked)):
        return answer
    evidence = (*answer.evidence, ("rollout", _REPLACES))
    return replace(answer, evidence=evidence, next_step=" ".join(filter(None, (answer.next_step, _ENDS_FIRST))))


def _pod_of(manifest: Json) -> Pod | None:
    try:
        return convert(Pod, manifest)
    except InputError:
        return None


async def _podgroup(client: ApiClient, namespace: str, name: str) -> Why | None:
    podgroup = await find(client, PODGROUPS, namespace, name)
    if podgroup is None:
        return None
    pods = await list_all(client, PODS, namespace)
    grouping = await _grouping(client, pods, namespace)
    members = [pod for pod in pods if grouping.key(pod) == (namespace, name)]
    return await _with_when(client, why_podgroup(podgroup, members, now=time.time()), podgroup, members)


async def _with_when(client: ApiClient, answer: Why, podgroup: Json | None, pods: Sequence[Json]) -> Why:
    """The answer with a row that says when what waits may start, as far as that can be known."""
    if answer.code not in FOR_ROOM:
        return answer
    when = ""
    if nodes := reserved_nodes(pods)[:_NODES]:
        there = [await list_all(client, PODS, fieldSelector=f"spec.nodeName={node}") for node in nodes]
        when = when_left(nodes, [one for some in there for one in some])
    elif podgroup is not None and (reason := over_limit(podgroup)) is not None:
        when = when_given_back(
            reason, await list_all(client, PODS, labelSelector=f"{QUEUE_LABEL}={reason.details['queue']}")
        )
    return replace(answer, evidence=(*answer.evidence, ("when", when or NOT_KNOWN)))


async def _queue(client: ApiClient, _: str, name: str) -> Why | None:
    queue = await find(client, QUEUES, "", name)
    return why_queue(queue, await waiting(client)) if queue is not None else None


async def waiting(client: ApiClient) -> list[Waiter]:
    """Who waits in the whole cluster: podgroups, and pods without one."""
    podgroups, pods, names = await asyncio.gather(
        list_all(client, PODGROUPS), list_all(client, PODS), scheduler_names(client)
    )
    grouping = await _grouping(client, pods, "")
    return waiters(podgroups, pods, grouping.owners, scheduler_names=names, grouper=grouping.grouper)


async def find(client: ApiClient, kind: ResourceKind[Any], namespace: str, name: str) -> Json | None:
    """An object; None if it, or its kind, does not exist."""
    try:
        return await client.get_object(kind.path(namespace, name))
    except NotFoundError:
        return None


async def _group(pod: Json, client: ApiClient) -> tuple[str, str] | None:
    return (await _grouping(client, [pod], pod["metadata"]["namespace"])).key(pod)


class _Grouping(NamedTuple):
    """Where the scheduler counts pods.

    Attributes:
        grouper: the rules.
        owners: what they read, by uid.
    """

    grouper: Grouper
    owners: Mapping[str, PartialObject]

    def key(self, pod: Json) -> tuple[str, str] | None:
        """The podgroup of a pod, by its annotation or its owners; None if that cannot be told."""
        try:
            membership = self.grouper(convert(Pod, pod), self.owners)
        except InputError:
            return None
        return membership.key if membership is not None else None


async def _grouping(client: ApiClient, pods: Sequence[Json], namespace: str) -> _Grouping:
    """The rules, and the owners of pods; a pod may be the owner of another."""
    owners, settings = await asyncio.gather(read_owners(client, pods, namespace), _settings(client))
    objects = [*owners, *({"apiVersion": "v1", "kind": "Pod", **pod} for pod in pods)]
    known = [convert(Workload, one) for one in owners] + [convert(PartialObject, pod) for pod in pods]
    grouper = Grouper(Options.of(settings.pod_groups), surroundings=Others(objects))
    return _Grouping(grouper, {one.metadata.uid: one for one in known})


async def scheduler_names(client: ApiClient) -> Sequence[str]:
    """What pods of the scheduler name in ``spec.schedulerName``, by the settings as far as we may read them."""
    return (await _settings(client)).scheduler_names


async def _settings(client: ApiClient) -> Settings:
    try:
        found = await read_settings(client)
        return load_settings(found["data"][SETTINGS_KEY]) if found else Settings()
    except (ApiError, InputError, LookupError):
        return Settings()
