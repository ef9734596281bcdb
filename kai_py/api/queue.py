"""Queue (``scheduling.run.ai/v2``): who may use how much of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, ConfigDict, Field, Strict

from kai_py.api.duration import Duration
from kai_py.api.keys import DEFAULT_QUEUE_PRIORITY, RUN_AI_GROUP
from kai_py.api.model import RULES, Condition, CustomResource, Model, QuantityField, SelectorField, rule

#: The value of a quota or limit without bound.
UNLIMITED: Final = -1.0

_MAX_NAME: Final = 253
_RESOURCES_WITH_FIELDS: Final = ("cpu", "memory", "gpu")
#: ``deviceclass/<name>``, or an extended resource with or without a domain.
_RESOURCE_NAME: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?(/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"


def _bound(value: float) -> float:
    if value < 0 and value != UNLIMITED:
        raise ValueError("should be -1 (unlimited) or at least 0")
    return value


#: A quota or a limit: -1 is unlimited.
Bound = Annotated[
    float,
    AfterValidator(_bound),
    Field(
        json_schema_extra={
            "minimum": -1,
            RULES: [rule("self == -1.0 || self >= 0.0", "should be -1 (unlimited) or at least 0")],
        }
    ),
]


class QueueResource(Model):
    """How much of one resource a queue may use. What is not given is 0: no quota, and with a limit of 0, nothing."""

    quota: Bound = 0.0
    """Guaranteed: what the queue gets back by reclaim. -1 is unlimited."""
    limit: Bound = 0.0
    """The most that the queue may hold. -1 is unlimited; 0, or no value, is nothing at all."""
    over_quota_weight: Annotated[float, Field(ge=0)] = 0.0
    """Share of what is left over when all quotas are served, relative to queues of the same priority; 0 gets none."""


class AdditionalResource(QueueResource):
    """The same for any other resource: ``example.com/nic``, or ``deviceclass/<name>`` for devices of that class."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [rule("!(self.name in ['cpu', 'memory', 'gpu'])", "cpu, memory and gpu have fields of their own")]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=_MAX_NAME + 64, pattern=_RESOURCE_NAME)]
    """The resource's name, in base units (devices, bytes, …); ``deviceclass/<name>`` counts allocated devices."""


class QueueResources(Model):
    """The resources of a queue."""

    cpu: QueueResource = QueueResource()
    """CPU, in millicores."""
    memory: QueueResource = QueueResource()
    """Memory, in MB (10⁶ bytes)."""
    gpu: QueueResource = QueueResource()
    """GPUs, in devices; fractions are allowed."""
    additional: Annotated[
        tuple[AdditionalResource, ...],
        Strict(False),
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """Any further resources that are to be divided. A resource that is not listed is not limited by the queue."""


class QueueSpec(Model):
    """What the administrator wants."""

    display_name: str = ""
    """The name in messages and metrics; by default the queue's own."""
    parent_queue: Annotated[str, Field(max_length=_MAX_NAME)] = ""
    """The queue that this one is a part of; empty at the top. Only leaves hold podgroups."""
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31, json_schema_extra={"format": "int32"})] = (
        DEFAULT_QUEUE_PRIORITY
    )
    """Queues of higher priority get what is left over first, and are served first. Default 100."""
    resources: QueueResources = QueueResources()
    """Quota, limit and weight per resource. Without this block the queue may use nothing."""
    preempt_min_runtime: Duration | None = None
    """How long a pod of this queue runs before a pod of the same queue may preempt it; absent = as the parent."""
    reclaim_min_runtime: Duration | None = None
    """How long a pod of this queue runs before another queue may reclaim its place; absent = as the parent."""
    allowed_namespaces: SelectorField | None = None
    """Namespaces whose pods may use the queue and those below it, by label; absent = all that may use its parent.
    A namespace has its name in the label `kubernetes.io/metadata.name`."""


_Amounts = dict[str, QuantityField]


class QueueStatus(Model):
    """What the queue has. Amounts are in base units: cores, bytes, devices."""

    conditions: Annotated[
        tuple[Condition, ...],
        Strict(False),
        Field(json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}),
    ] = ()
    """Ready, Orphan (the parent is missing), OverQuota, Invalid."""
    child_queues: Annotated[tuple[str, ...], Strict(False)] = ()
    """Names of the queues that name this one as their parent."""
    allocated: _Amounts = Field(default_factory=dict)
    """What pods of the queue and of those below it hold."""
    allocated_non_preemptible: _Amounts = Field(default_factory=dict)
    """The part of it that cannot be preempted."""
    requested: _Amounts = Field(default_factory=dict)
    """What they hold or wait for."""
    fair_share: _Amounts = Field(default_factory=dict)
    """What the queue may hold before others can reclaim from it, as of the last cycle."""


class Queue(CustomResource):
    """A queue divides the cluster: it has a guaranteed quota, a limit, and a share of what others leave."""

    group: ClassVar = RUN_AI_GROUP
    version: ClassVar = "v2"
    kind: ClassVar = "Queue"

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                rule(
                    "!has(self.spec) || !has(self.spec.parentQueue) || self.spec.parentQueue != self.metadata.name",
                    "a queue cannot be its own parent",
                    fieldPath=".spec.parentQueue",
                )
            ]
        }
    )

    spec: QueueSpec = QueueSpec()
    status: QueueStatus = QueueStatus()

    @property
    def display_name(self) -> str:
        """The name in messages and metrics."""
        return self.spec.display_name or self.name

    @property
    def parent(self) -> str | None:
        """The parent's name; ``None`` at the top."""
        return self.spec.parent_queue or None

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """A queue cannot be its own parent, and each resource is given once."""
        if self.parent == self.name:
            yield "spec.parentQueue", "a queue cannot be its own parent"
        seen: set[str] = set()
        for row, resource in enumerate(self.spec.resources.additional):
            field = f"spec.resources.additional[{row}].name"
            if resource.name in _RESOURCES_WITH_FIELDS:
                yield field, f"{resource.name} has a field of its own: spec.resources.{resource.name}"
            elif resource.name in seen:
                yield field, f"{resource.name} is given twice"
            seen.add(resource.name)
