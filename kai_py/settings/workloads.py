"""Settings about how podgroups are derived from pods and their owners."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from kai_py.settings.base import SettingsGroup, unique

_ApiGroup = Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")]
_KindName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[A-Z][A-Za-z0-9]*$")]
#: Names of fields, from the object down; ``[n]`` is the n-th entry of a list.
_FieldPath = Annotated[str, Field(max_length=500, pattern=r"^(spec|status)(\.[A-Za-z0-9_-]+|\[[0-9]+\])+$")]
_Minimum = Annotated[int | None, Field(ge=0, lt=2**31)]


class WorkloadRole(SettingsGroup):
    """A part of a workload whose pods are counted on their own."""

    name: Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    """Name of the subgroup."""
    labels: Annotated[dict[str, str], Field(min_length=1)]
    """The role's pods have all of these labels."""
    min_member_paths: Annotated[tuple[_FieldPath, ...], Strict(False)] = ()
    """Where the workload says how many of the role's pods must start together, for instance `spec.workers.replicas`.
    The first path that exists counts, so that a minimum may stand before the number of replicas."""
    min_member: _Minimum = None
    """That number, where no path exists. Absent: a workload without it is malformed, and waits."""


class WorkloadKind(SettingsGroup):
    """How the pods of a kind of workload are grouped."""

    group: _ApiGroup = ""
    """API group; any version. Empty is Kubernetes' core group."""
    kind: _KindName
    """Kind, for instance `TrainingRun`."""
    min_member_paths: Annotated[tuple[_FieldPath, ...], Strict(False)] = ()
    """Where the workload says how many of its pods must start together; the first path that exists counts. Not used
    with `roles`, whose minimums add up."""
    min_member: _Minimum = 1
    """That number, where no path exists. 1 by default: pods start one by one."""
    roles: Annotated[tuple[WorkloadRole, ...], Strict(False)] = ()
    """Parts with a minimum of their own. With any, all must reach theirs for the workload to start."""
    priority_class: Annotated[str, Field(min_length=1, max_length=253)] = "train"
    """PriorityClass of workloads that name none."""
    granularity: Literal["workload", "pod"] = "workload"
    """`workload`: one podgroup for all pods. `pod`: each pod on its own, as suits replicas that serve."""
    envelope: bool = False
    """Whether the kind only wraps another workload, whose own rule is used; then all else here does not count."""

    @model_validator(mode="after")
    def _roles_differ(self) -> Self:
        unique(tuple(role.name for role in self.roles))
        return self


def _each_kind_once(kinds: tuple[WorkloadKind, ...]) -> tuple[WorkloadKind, ...]:
    unique(tuple(f"{one.kind}.{one.group}" for one in kinds))
    return kinds


class ConfigMapName(SettingsGroup):
    """Where a ConfigMap is."""

    namespace: Annotated[str, Field(min_length=1, max_length=63)]
    """Namespace of the ConfigMap."""
    name: Annotated[str, Field(min_length=1, max_length=253)]
    """Name of the ConfigMap."""


class PodGroups(SettingsGroup):
    """How podgroups are derived from pods and their owners."""

    knative_gang_schedule: bool = True
    """Whether the pods of a Knative revision are one podgroup with the revision's minimum scale. Otherwise each pod is
    on its own. On by default, as in KAI."""
    search_legacy_pod_groups: bool = True
    """Whether pods keep podgroups that KAI has made for them in an earlier way. On by default, so that an upgrade
    moves no running pod."""
    default_priorities_config_map: ConfigMapName | None = None
    """A ConfigMap whose key `types` lists a PriorityClass and preemptibility by kind of workload, in KAI's format.
    Absent, which is the default: there are none."""
    rollout_surge: bool = True
    """Whether new pods of a Deployment count as preemptible while the old ones that they replace still run, so that
    a rolling update of pods that cannot be preempted goes on where their queue's quota is full. They are over quota
    meanwhile, like others' surplus, and can be reclaimed; the queue's limit holds for them as for all. On by default:
    otherwise such an update waits for itself for ever, unless it may end pods first (`maxUnavailable`)."""
    kinds: Annotated[tuple[WorkloadKind, ...], Strict(False), AfterValidator(_each_kind_once)] = ()
    """Kinds of workload that have no rule of their own, or should have another. Each replaces the rule of its kind.
    None by default: other kinds have one podgroup for each workload, whose pods start one by one."""
