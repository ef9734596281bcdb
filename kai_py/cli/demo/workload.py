"""What teams submit: single pods, gangs and Jobs, as data and as objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from kai_py.api.keys import (
    BATCH_MIN_MEMBER_ANNOTATION,
    NVIDIA_GPU,
    POD_INDEX_LABEL,
    PODGROUP_ANNOTATION,
    PODGROUP_API_VERSION,
    QUEUE_LABEL,
    SCHEDULER_NAME,
)
from kai_py.cli.demo.wanted import Wanted, claim_with
from kai_py.minicluster.workers.bound_pods import DURATION

Json = dict[str, Any]

#: How many GPUs a pod claims, for the demo's own books.
CLAIMED_LABEL: Final = "demo.kai-py/claimed-gpus"
#: Which workload of the story a pod belongs to.
WORKLOAD_LABEL: Final = "demo.kai-py/workload"
TOPOLOGY: Final = "data-center"
_IN_ONE_RACK: Final = {"topologyConstraint": {"topology": TOPOLOGY, "preferredTopologyLevel": "rack"}}
GATE: Final = "demo.kai-py/approval"


class Kind(StrEnum):
    """How the pods of a workload belong together."""

    PODS = "pods"
    GANG = "gang"
    JOB = "job"


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Equal pods of one team.

    Attributes:
        name: of the workload.
        team: its queue and its namespace.
        pods: how many there will be.
        gpus: of each, asked for or claimed; parts of one are not counted.
        claims: what each claims; None = nothing, it asks for ``gpus`` of a device plugin.
        kind: single pods, a PodGroup with its pods, or a Job that asks for a minimum.
        first: how many are submitted at first; the others arrive later. None = all.
        lasts: how long each runs, as a part of the demo's length; None = until its team ends it.
        gated: whether each waits for an approval.
        ranked: whether its pods have ranks that talk in a ring, and like to be in one rack.
        scheduler: whose they are.
    """

    name: str
    team: str
    pods: int
    gpus: int
    claims: Wanted | None = None
    kind: Kind = Kind.PODS
    first: int | None = None
    lasts: float | None = None
    gated: bool = False
    ranked: bool = False
    scheduler: str = SCHEDULER_NAME

    @property
    def minimum(self) -> int:
        """How many start together or not at all."""
        return 1 if self.kind is Kind.PODS else self.pods

    @property
    def is_ours(self) -> bool:
        """Whether the scheduler of the demo is to schedule it."""
        return self.scheduler == SCHEDULER_NAME

    def podgroup(self) -> Json:
        """The PodGroup of a gang."""
        return {
            "apiVersion": PODGROUP_API_VERSION,
            "kind": "PodGroup",
            "metadata": {"name": self.name, "namespace": self.team},
            "spec": {"minMember": self.minimum, "queue": self.team} | (_IN_ONE_RACK if self.ranked else {}),
        }

    def job(self, length: float) -> Json:
        """The Job; its controller makes the pods."""
        template = {"metadata": self._metadata(length), "spec": self._spec()}
        spec = {"parallelism": self.pods, "completions": self.pods, "backoffLimit": 0, "template": template}
        metadata = {
            "name": self.name,
            "namespace": self.team,
            "labels": {QUEUE_LABEL: self.team},
            "annotations": {BATCH_MIN_MEMBER_ANNOTATION: str(self.minimum)},
        }
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}

    def some_pods(self, numbers: range, length: float) -> Iterator[Json]:
        """Single pods, or members of the gang.

        Args:
            numbers: which of them.
            length: of the demo, in seconds.
        """
        for number in numbers:
            metadata = self._metadata(length) | {"name": f"{self.name}-{number}", "namespace": self.team}
            if self.ranked:
                metadata["labels"] = metadata["labels"] | {POD_INDEX_LABEL: str(number)}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": self._spec()}

    def _metadata(self, length: float) -> Json:
        annotations = {}
        if self.lasts is not None:
            annotations[DURATION] = f"{self.lasts * length:.3f}s"
        if self.kind is Kind.GANG:
            annotations[PODGROUP_ANNOTATION] = self.name
        labels = {WORKLOAD_LABEL: self.name} | ({QUEUE_LABEL: self.team} if self.is_ours else {})
        if self.claims is not None:
            labels[CLAIMED_LABEL] = str(self.gpus)
        return {"labels": labels, "annotations": annotations}

    def _spec(self) -> Json:
        amounts = {"cpu": "4", "memory": "16Gi"}
        if self.claims is None:
            resources: Json = {
                "requests": amounts | {NVIDIA_GPU: str(self.gpus)},
                "limits": {NVIDIA_GPU: str(self.gpus)},
            }
        else:
            resources = {"requests": amounts, "claims": [{"name": "devices"}]}
        spec: Json = {
            "schedulerName": self.scheduler,
            "restartPolicy": "Never",
            "containers": [
                {
                    "name": "main",
                    "image": "example.com/demo:1",
                    "resources": resources,
                }
            ],
        }
        if self.claims is not None:
            spec |= claim_with(self.claims)
        return spec | ({"schedulingGates": [{"name": GATE}]} if self.gated else {})
