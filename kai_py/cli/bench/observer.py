"""When pods were bound, as a user sees it: from a watch."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from kai_py.api.meta import ObjectMeta
from kai_py.kube.client import ApiClient
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import EventType

Json = dict[str, Any]


class _Spec(msgspec.Struct, rename="camel"):
    node_name: str = ""


class BoundPod(msgspec.Struct):
    """As little of a pod as tells that it is bound, so that watching costs the machine little."""

    metadata: ObjectMeta
    spec: _Spec = msgspec.field(default_factory=_Spec)


_PODS = ResourceKind("", "v1", "pods", BoundPod)


class Observer:
    """Watches the pods of a namespace that have a node.

    Attributes:
        bound: when each was first seen with its node, seconds since the epoch, by name.
        nodes: which one.
        moved: names of pods that were seen on two nodes, which must never happen.
        news: set with every change.
    """

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self.bound: dict[str, float] = {}
        self.nodes: dict[str, str] = {}
        self.moved: set[str] = set()
        self.news = asyncio.Event()
        self.reflector = Reflector(client, _PODS, self, namespace=namespace, field_selector="spec.nodeName!=")

    def replace(
        self, _: ResourceKind[BoundPod], objects: Sequence[BoundPod], unreadable: AbstractSet[tuple[str, str]]
    ) -> None:
        """These are all."""
        del unreadable  # as little as we read of a pod, there is nothing wrong with it
        self._see(objects)

    def apply(self, _: ResourceKind[BoundPod], events: Sequence[tuple[EventType, BoundPod]]) -> None:
        """This has happened since."""
        self._see([pod for _type, pod in events])

    def _see(self, pods: Sequence[BoundPod]) -> None:
        now = time.time()
        for pod in pods:
            name, node = pod.metadata.name, pod.spec.node_name
            if not node:
                continue
            self.bound.setdefault(name, now)
            if self.nodes.setdefault(name, node) != node:
                self.moved.add(name)
        self.news.set()


def percentiles(seconds: Sequence[float]) -> Json | None:
    """Median, 99th percentile (nearest rank) and the longest; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {
        "p50": round(ordered[_rank(0.50, len(ordered))], 3),
        "p99": round(ordered[_rank(0.99, len(ordered))], 3),
        "max": round(ordered[-1], 3),
    }


def _rank(part: float, count: int) -> int:
    return max(0, math.ceil(part * count) - 1)
