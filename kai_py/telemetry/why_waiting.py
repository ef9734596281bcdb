"""Who waits in which queue, by what a live cluster says: podgroups, and pods that have no PodGroup object."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from kai_py.api.decode import convert
from kai_py.api.keys import DEFAULT_QUEUE, QUEUE_LABEL, SCHEDULER_NAME
from kai_py.api.meta import PartialObject
from kai_py.api.pod import Pod
from kai_py.errors import InputError
from kai_py.podgrouper.grouping import Grouper
from kai_py.podgrouper.membership import Membership
from kai_py.telemetry.why import pod_code, waiting_code

Object = Mapping[str, Any]  # JSON of an API object


@dataclass(frozen=True)
class Waiter:
    """A podgroup that waits, or a pod for which no PodGroup object is kept.

    Attributes:
        name: ``namespace/name``.
        queue: that it waits in.
        code: of its reason.
        single: it is a pod.
    """

    name: str
    queue: str
    code: str
    single: bool = False


def waiters(
    podgroups: Iterable[Object],
    pods: Iterable[Object] = (),
    owners: Mapping[str, PartialObject] | None = None,
    *,
    scheduler_names: Sequence[str] = (SCHEDULER_NAME,),
    grouper: Grouper | None = None,
) -> list[Waiter]:
    """All that wait; pods of a PodGroup object are not counted besides it.

    Args:
        podgroups: of the whole cluster.
        pods: of the whole cluster.
        owners: of the pods by uid, as far as they are known.
        scheduler_names: what pods for us name in ``spec.schedulerName``.
        grouper: the rules that the scheduler groups by; those without settings by default.
    """
    known = {_key(podgroup): podgroup for podgroup in podgroups}
    found = [
        Waiter("/".join(key), str((podgroup.get("spec") or {}).get("queue") or DEFAULT_QUEUE), code)
        for key, podgroup in known.items()
        if (code := waiting_code(podgroup))
    ]
    group_of = partial(grouper or Grouper(), owners=owners or {})
    return [*found, *_singles(pods, known, group_of, scheduler_names)]


def _singles(
    pods: Iterable[Object],
    podgroups: Mapping[tuple[str, str], Object],
    group_of: Callable[[Pod], Membership | None],
    scheduler_names: Sequence[str],
) -> Iterator[Waiter]:
    for pod in pods:
        code = pod_code(pod, scheduler_names)
        if not code:
            continue
        membership = _membership(pod, group_of)
        if membership is None or membership.key not in podgroups:
            yield Waiter("/".join(_key(pod)), _queue(pod, membership), code, single=True)


def _membership(pod: Object, group_of: Callable[[Pod], Membership | None]) -> Membership | None:
    try:
        return group_of(convert(Pod, pod))
    except InputError:
        return None  # it waits because it is malformed; its label still says where


def _queue(pod: Object, membership: Membership | None) -> str:
    if membership is not None and membership.group is not None:
        return membership.group.queue
    return str(((pod.get("metadata") or {}).get("labels") or {}).get(QUEUE_LABEL) or DEFAULT_QUEUE)


def _key(obj: Object) -> tuple[str, str]:
    metadata = obj.get("metadata") or {}
    return str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
