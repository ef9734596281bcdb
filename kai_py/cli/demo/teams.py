"""The queues of the demo: teams of two departments share all GPUs of a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from kai_py.api.keys import QUEUE_API_VERSION

Json = dict[str, Any]

GPUS_PER_NODE: Final = 8
UNLIMITED: Final = -1

RESEARCH: Final = "research"
PRODUCT: Final = "product"
PLATFORM: Final = "platform"
#: The team whose pods claim devices; it has nodes of its own.
STUDIO: Final = "studio"


@dataclass(frozen=True)
class Queue:
    """A queue, in GPUs.

    Attributes:
        name: of the queue; a team's namespace has the same.
        parent: its department; empty for a department.
        quota: what it is promised.
        limit: what it may never exceed; -1 = nothing of the kind.
        weight: its part of what nobody has been promised or uses.
    """

    name: str
    parent: str
    quota: int
    limit: int
    weight: int

    def manifest(self) -> Json:
        """The object."""
        free = {"quota": UNLIMITED, "limit": UNLIMITED, "overQuotaWeight": 1}
        gpu = {"quota": self.quota, "limit": self.limit, "overQuotaWeight": self.weight}
        spec: Json = {"resources": {"cpu": free, "memory": free, "gpu": gpu}}
        if self.parent:
            spec["parentQueue"] = self.parent
        return {"apiVersion": QUEUE_API_VERSION, "kind": "Queue", "metadata": {"name": self.name}, "spec": spec}


def queues(gpus: int, claimable: int = 0) -> tuple[Queue, ...]:
    """Departments first. The quotas add up to all GPUs; what a team does not use, others may borrow.

    Args:
        gpus: of the cluster, on nodes with eight each; at least six of them.
        claimable: GPUs beside them that can only be claimed.
    """
    nodes = gpus // GPUS_PER_NODE
    platform = GPUS_PER_NODE * max(1, nodes // 6)
    product = GPUS_PER_NODE * max(1, nodes // 3)
    research = gpus - platform - product
    media = Queue("media", "", claimable, UNLIMITED, 1), Queue(STUDIO, "media", claimable, UNLIMITED, 1)
    return (
        Queue("labs", "", research + platform, UNLIMITED, 2),
        Queue("business", "", product, UNLIMITED, 1),
        Queue(RESEARCH, "labs", research, UNLIMITED, 2),
        Queue(PLATFORM, "labs", platform, platform + GPUS_PER_NODE // 2, 1),
        Queue(PRODUCT, "business", product, UNLIMITED, 1),
        *(media if claimable else ()),
    )


def lineage(name: str, all_queues: tuple[Queue, ...]) -> Iterator[Queue]:
    """A queue and its ancestors; nothing for a name that is not one of them."""
    by_name = {queue.name: queue for queue in all_queues}
    queue = by_name.get(name)
    while queue is not None:
        yield queue
        queue = by_name.get(queue.parent)
