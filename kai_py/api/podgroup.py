"""PodGroup (``scheduling.run.ai/v2alpha2``): pods that start together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, Strict, WithJsonSchema

from kai_py.api.duration import Duration
from kai_py.api.keys import RUN_AI_GROUP
from kai_py.api.model import MAX_LABEL_KEY, RULES, Condition, CustomResource, Model, QuantityField, rule

Preemptibility = Literal["", "preemptible", "non-preemptible"]
DisruptionMode = Literal["", "Pod", "PodGroup"]

#: Of an object's name.
MAX_NAME: Final = 253
#: A gang of segments may have this many, and the API server refuses more.
MAX_SUBGROUPS: Final = 10_000
#: A longer cycle is not written out in full.
_CYCLE_SHOWN: Final = 8
_DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"

_ONE_MINIMUM: Final = rule(
    "!has(self.minMember) || !has(self.minSubGroup)", "minMember and minSubGroup exclude each other"
)

_Minimum = Annotated[int | None, Field(ge=0, lt=2**31, json_schema_extra={"format": "int32"})]
_Level = Annotated[str, Field(max_length=MAX_LABEL_KEY)]
_Amounts = dict[str, QuantityField]
_Time = Annotated[str | None, WithJsonSchema({"type": "string", "format": "date-time"})]


class TopologyConstraint(Model):
    """Pods stay near each other: within one domain of a level of a Topology."""

    topology: Annotated[str, Field(max_length=MAX_NAME)] = ""
    """Name of the Topology."""
    required_topology_level: _Level = ""
    """All pods in one domain of this level (a node label or its alias), or none starts."""
    preferred_topology_level: _Level = ""
    """All pods in one domain of this level if possible; otherwise as near as can be."""


class SubGroup(Model):
    """A part of a podgroup: a leaf holds pods and has a ``minMember``, all others hold subgroups."""

    model_config = ConfigDict(
        json_schema_extra={
            RULES: [
                _ONE_MINIMUM,
                rule("!has(self.parent) || self.parent != self.name", "a subgroup cannot be its own parent"),
            ]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=_DNS_LABEL)]
    """Unique in the podgroup; pods name it in their label ``kai.scheduler/subgroup-name``."""
    parent: Annotated[str, Field(max_length=63)] = ""
    """The subgroup that this one is a part of; empty = the podgroup itself."""
    min_member: _Minimum = None
    """Leaves: pods that must start together. 0 = each on its own."""
    min_sub_group: _Minimum = None
    """Others: direct children that must be satisfied; absent = all."""
    topology_constraint: TopologyConstraint | None = None
    """Where the pods of this part may be, relative to each other."""


class PodGroupSpec(Model):
    """What the podgroup needs to start, and how it is treated."""

    model_config = ConfigDict(json_schema_extra={RULES: [_ONE_MINIMUM]})

    min_member: _Minimum = None
    """Pods that must start together. 0 = each on its own. Default 1."""
    min_sub_group: _Minimum = None
    """Direct children that must be satisfied; absent = all."""
    sub_groups: Annotated[
        tuple[SubGroup, ...],
        Strict(False),
        Field(
            max_length=MAX_SUBGROUPS,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = ()
    """Parts with a minimum or a topology constraint of their own; ``parent`` makes a tree of them."""
    queue: Annotated[str, Field(max_length=MAX_NAME)] = ""
    """The queue that pays for the pods."""
    priority_class_name: Annotated[str, Field(max_length=MAX_NAME)] = ""
    """PriorityClass; one that does not exist counts as the global default, or 50."""
    preemptibility: Preemptibility = ""
    """Whether the pods may be evicted for others; empty = they may if the priority is below 100."""
    topology_constraint: TopologyConstraint | None = None
    """Where the pods may be, relative to each other."""
    mark_unschedulable: bool | None = None
    """Whether pods that cannot be placed are reported unschedulable, for autoscalers to see. Default true."""
    scheduling_backoff: Literal[-1, 1] | None = None
    """1 = give up in this node pool after one failure; -1 (default) = try again for ever."""
    preemption_delay: Duration | None = None
    """How long the podgroup waits before it may have others evicted."""
    staleness_grace_period: Duration | None = None
    """How long a started gang may stay below its minimum before it is evicted; negative = for ever."""
    disruption_mode: DisruptionMode = ""
    """What goes when the podgroup has to make room: `Pod` (default) = pods beyond the minimum one by one, then the
    rest at once; `PodGroup` = all of its pods together or none."""
    min_resources: _Amounts = Field(default_factory=dict)
    """What must be free in the whole cluster, with what the podgroup has already, before it starts."""


class QueueDetails(Model):
    """The numbers behind a reason that has to do with a queue."""

    name: str = ""
    """The queue that is full; it may be one above the podgroup's own."""
    queue_requested_resources: _Amounts = Field(default_factory=dict)
    """What its pods hold or wait for."""
    queue_deserved_resources: _Amounts = Field(default_factory=dict)
    """Its quota."""
    queue_allocated_resources: _Amounts = Field(default_factory=dict)
    """What its pods hold."""
    queue_allocated_non_preemptible_resources: _Amounts = Field(default_factory=dict)
    """The part of it that cannot be preempted."""
    queue_resource_limits: _Amounts = Field(default_factory=dict)
    """Its limit."""
    pod_group_requested_resources: _Amounts = Field(default_factory=dict)
    """What the podgroup asks for."""
    pod_group_requested_non_preemptible_resources: _Amounts = Field(default_factory=dict)
    """What it asks for and would not give back."""


class ReasonDetails(Model):
    """What a program may want to know about a reason."""

    queue_details: QueueDetails | None = None
    """Set when the reason has to do with a queue."""


class UnschedulableReason(Model):
    """Why the podgroup waits."""

    reason: str
    """A stable code, for instance ``OverLimit``."""
    message: str = ""
    """A sentence for people."""
    details: ReasonDetails | None = None
    """The numbers behind it."""


class SchedulingCondition(Model):
    """What one installation (node pool) says about the podgroup. The highest ``transitionID`` is the newest."""

    type: str
    """``UnschedulableOnNodePool``."""
    node_pool: str = ""
    """The node pool; ``default`` where there are none."""
    status: str = ""
    """``True``, ``False`` or ``Unknown``."""
    reason: str = ""
    """The most important reason's code."""
    message: str = ""
    """The most important reason's sentence. Deprecated by ``reasons``."""
    reasons: Annotated[tuple[UnschedulableReason, ...], Strict(False)] = ()
    """All reasons."""
    last_transition_time: _Time = None
    """When it became so."""
    transition_id: Annotated[str, Field(alias="transitionID")] = ""
    """Grows with every change."""


class ResourcesStatus(Model):
    """Sums over the podgroup's pods, in base units."""

    allocated: _Amounts = Field(default_factory=dict)
    """What they hold."""
    allocated_non_preemptible: _Amounts = Field(default_factory=dict)
    """The part of it that cannot be preempted."""
    requested: _Amounts = Field(default_factory=dict)
    """What they hold or wait for."""


class PodGroupStatus(Model):
    """How the podgroup is doing."""

    conditions: Annotated[tuple[Condition, ...], Strict(False)] = ()
    """General conditions."""
    scheduling_conditions: Annotated[tuple[SchedulingCondition, ...], Strict(False)] = ()
    """Why it waits, per node pool."""
    resources_status: ResourcesStatus = ResourcesStatus()
    """What it holds and asks for."""


class PodGroup(CustomResource):
    """Pods that start together or not at all. Pods join by their annotation ``pod-group-name``."""

    group: ClassVar = RUN_AI_GROUP
    version: ClassVar = "v2alpha2"
    kind: ClassVar = "PodGroup"

    spec: PodGroupSpec = PodGroupSpec()
    status: PodGroupStatus = PodGroupStatus()

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Both minimums at once, and what is wrong with the tree of subgroups.

        A subgroup with children and a ``minMember`` of its own is not among them: KAI still accepts those that
        exist, and its children decide.
        """
        if self.spec.min_member is not None and self.spec.min_sub_group is not None:
            yield "spec.minSubGroup", "minMember and minSubGroup exclude each other"
        yield from tree_contradictions(self.spec.sub_groups)


def tree_contradictions(subgroups: tuple[SubGroup, ...]) -> Iterator[tuple[str, str]]:
    """What keeps subgroups from being a tree of different names, with minimums where they belong."""
    yield from _names_and_parents(subgroups)
    yield from _minimums(subgroups)
    yield from _cycles(subgroups)


def _names_and_parents(subgroups: tuple[SubGroup, ...]) -> Iterator[tuple[str, str]]:
    names = {subgroup.name for subgroup in subgroups}
    seen: set[str] = set()
    for row, subgroup in enumerate(subgroups):
        if subgroup.name in seen:
            yield f"spec.subGroups[{row}].name", f"there are two subgroups {subgroup.name!r}"
        seen.add(subgroup.name)
        if subgroup.parent and subgroup.parent not in names:
            yield f"spec.subGroups[{row}].parent", f"there is no subgroup {subgroup.parent!r}"


def _minimums(subgroups: tuple[SubGroup, ...]) -> Iterator[tuple[str, str]]:
    parents = {subgroup.parent for subgroup in subgroups}
    for row, subgroup in enumerate(subgroups):
        if subgroup.min_member is not None and subgroup.min_sub_group is not None:
            yield f"spec.subGroups[{row}].minSubGroup", "minMember and minSubGroup exclude each other"
        elif subgroup.name in parents:
            continue
        elif subgroup.min_sub_group is not None:
            yield f"spec.subGroups[{row}].minSubGroup", f"{subgroup.name!r} has no subgroups: give it a minMember"
        elif subgroup.min_member is None:
            yield f"spec.subGroups[{row}].minMember", f"is required, because {subgroup.name!r} has no subgroups"


def _cycles(subgroups: tuple[SubGroup, ...]) -> Iterator[tuple[str, str]]:
    """Each subgroup that is above itself, once per cycle: at the first of its rows."""
    parent_of = {subgroup.name: subgroup.parent for subgroup in subgroups}
    done: set[str] = set()
    for row, subgroup in enumerate(subgroups):
        trail: dict[str, None] = {}  # ordered, to be shown
        name = subgroup.name
        while name in parent_of and name not in done and name not in trail:
            trail[name] = None
            name = parent_of[name]
        if name in trail:
            cycle = [*trail][[*trail].index(name) :]
            shown = cycle if len(cycle) <= _CYCLE_SHOWN else [*cycle[:_CYCLE_SHOWN], "…"]
            yield f"spec.subGroups[{row}].parent", f"the parents form a cycle: {' → '.join([*shown, name])}"
        done.update(trail)
