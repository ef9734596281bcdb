"""Every setting: its type, its range, its default, and why. ``docs/reference/settings.md`` is made of this."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, Strict, model_validator

from kai_py.api.duration import Duration
from kai_py.api.keys import AMD_GPU, NODE_POOL_LABEL, NVIDIA_DEVICES, NVIDIA_GPU, SCHEDULER_NAME
from kai_py.api.model import LABEL_KEY_PATTERN, MAX_LABEL_KEY, Model

ActionName = Literal["allocate", "consolidate", "reclaim", "preempt", "staleGangEviction"]
Strategy = Literal["binpack", "spread", "leastFragmentation"]
EvictionMethod = Literal["delete", "evict"]
GpuParts = Literal["whole", "memory", "counters"]


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    for row, value in enumerate(values):
        if value in values[:row]:
            raise ValueError(f"{value!r} is listed twice")
    return values


def _cron(text: str) -> str:
    if text:
        try:
            first = next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC), reverse=True), None)
        except CronSimError as error:
            raise ValueError(f"not a cron expression of five fields: {error}") from error
        if first is None:
            raise ValueError("no date is meant by this cron expression")
    return text


def _not_negative(duration: Duration) -> Duration:
    if duration.nanoseconds < 0:
        raise ValueError(f"{duration} is negative")
    return duration


class SettingsGroup(Model):
    """Base of all groups: a key that does not exist is a mistake, and is refused."""

    model_config = ConfigDict(extra="forbid")


class AccountedResource(SettingsGroup):
    """An extended resource that queues account."""

    resource: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY, pattern=LABEL_KEY_PATTERN)]
    """Name of the resource, as in pods' requests and nodes' allocatable, for instance `amd.com/gpu`."""
    counts_as: Literal["gpu"] | None = None
    """`gpu`: one unit is one GPU of the queues' `gpu` quota. Absent: the resource is accounted under its own name."""


def _each_once(resources: tuple[AccountedResource, ...]) -> tuple[AccountedResource, ...]:
    _unique(tuple(one.resource for one in resources))
    return resources


class UsageWindow(SettingsGroup):
    """How far back usage counts."""

    type: Literal["sliding", "tumbling", "cron"] = "sliding"
    """`sliding`: the last `size`. `tumbling`: everybody starts anew every `size`, counted from `start`. `cron`:
    everybody starts anew whenever `cron` says. `sliding` by default: nobody gains by waiting for a date."""
    size: Duration = Duration.of_seconds(7 * 86_400)
    """Length of a sliding or tumbling window; more than zero. More of it evens out longer absences. A week by default,
    as in KAI."""
    start: Annotated[AwareDatetime, Strict(False)] | None = None
    """When a tumbling window began, for instance `2026-01-05T00:00:00Z`; the others follow from it. Absent: 1970."""
    cron: Annotated[str, AfterValidator(_cron)] = ""
    """When a cron window begins, five fields in UTC, for instance `0 0 * * MON`. Needed for that type only."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.type == "cron" and not self.cron:
            raise ValueError("a window of type cron needs `cron`")
        if self.size.seconds <= 0:
            raise ValueError("size must be more than zero")
        return self


class Usage(SettingsGroup):
    """What queues have used in the past, recorded by the scheduler itself."""

    enabled: bool = False
    """Whether usage is recorded. Off by default: shares then go by weights alone, whatever `kValue` says."""
    window: UsageWindow = UsageWindow()
    """How far back usage counts."""
    half_life: Duration = Duration.of_seconds(0)
    """After so long, usage counts half. Less of it forgives faster. `0s`, which is the default: all of the window
    counts the same."""


class Fairness(SettingsGroup):
    """How the cluster is divided between queues."""

    k_value: Annotated[float, Field(ge=0)] = 1.0
    """How strongly past usage bends a queue's share of what is left over when all quotas are served. A number without
    unit. 0 ignores the past; the larger, the longer a queue that used much has to wait. The default is KAI's, where
    one unit of past usage weighs as much as one unit of weight."""
    usage: Usage = Usage()
    """What queues have used in the past; see `kValue`. Kept in the ConfigMap `kai-py-usage` beside the settings."""
    reclaim_saturation: Annotated[float, Field(ge=1)] = 1.0
    """By how much fuller, relative to its fair share, a sibling that loses something to reclaim must stay than the
    queue that takes it. A number without unit. More of it makes queues with nearly equal shares leave each other
    alone, and lets an imbalance stay longer. 1 by default: shares are evened out as far as whole podgroups allow."""
    preempt_min_runtime: Duration = Duration.of_seconds(0)
    """How long a podgroup is safe from preemption within its queue after its start, where no queue says otherwise. More
    of it wastes less work and makes urgent podgroups wait. `0s` by default, as in KAI."""
    reclaim_min_runtime: Duration = Duration.of_seconds(0)
    """How long a podgroup is safe from reclaim by other queues after its start, where no queue says otherwise. More of
    it wastes less work and lets a queue wait longer for what it is owed. `0s` by default, as in KAI."""
    reclaim_min_runtime_resolution: Literal["lca", "queue"] = "lca"
    """Whose `reclaimMinRuntime` counts. `lca`: that of the victim's ancestor just below the lowest common ancestor with
    the reclaimer, or above it. `queue`: that of the victim's own queue, or above it. `lca` by default, as in KAI: who
    is far away goes by the department's rules, who is near by the team's."""
    accounted_resources: Annotated[tuple[AccountedResource, ...], Strict(False), AfterValidator(_each_once)] = (
        AccountedResource(resource=NVIDIA_GPU, counts_as="gpu"),
        AccountedResource(resource=AMD_GPU, counts_as="gpu"),
    )
    """Which extended resources queues account, beside cpu and memory, which always count. The list replaces the
    default one; each entry more is one more thing that a queue's quota and limit can be about. MIG instances
    (`nvidia.com/mig-…`) count as GPUs without being listed. The default is the device plugins' whole GPUs, so that
    queues written for KAI mean what they meant."""


class ScoreWeights(SettingsGroup):
    """How much each score counts when several nodes fit. Scores are between 0 and 1, so weights can be compared."""

    availability: Annotated[float, Field(ge=0)] = 1000.0
    """For nodes where the pod fits now, without waiting for a pod that is still leaving. By default larger than all
    others together: waiting for room while there is room would only delay the pod."""
    sharing: Annotated[float, Field(ge=0)] = 500.0
    """For nodes where a device that is shared already has room now, for pods that ask for a part of one. More of it
    keeps whole devices whole. By default above all wishes, as in KAI, but below `availability`: a part that is free now
    is better than one on a shared device that is yet to be released."""
    prefer_no_schedule: Annotated[float, Field(ge=0)] = 120.0
    """For nodes without `PreferNoSchedule` taints that the pod does not tolerate. By default above the pod's own
    wishes: the administrator's word comes first."""
    node_affinity: Annotated[float, Field(ge=0)] = 60.0
    """For nodes that match the pod's preferred node affinity. By default above the scheduler's own reasons, which
    nobody has asked for."""
    pod_affinity: Annotated[float, Field(ge=0)] = 60.0
    """For nodes near the pods that the pod's preferred pod affinity and anti-affinity like best, or that like it. By
    default as much as the node affinity: both are the user's own wishes."""
    pod_spread: Annotated[float, Field(ge=0)] = 60.0
    """For nodes where few of the pods are that the pod's `topologySpreadConstraints` with `ScheduleAnyway` count. By
    default as much as the other wishes of the user."""
    resource_type: Annotated[float, Field(ge=0)] = 30.0
    """For nodes without GPUs, for pods that need none. More of it keeps GPU nodes free of other pods. By default
    above packing: a GPU node filled with CPU pods cannot be packed with GPU pods."""
    default_spread: Annotated[float, Field(ge=0)] = 25.0
    """For nodes where few pods of the same Service, ReplicaSet or StatefulSet are; see `defaultTopologySpread`. More
    of it spreads replicas further against packing. By default below `resourceType`, so that nobody goes to a GPU node
    to be alone, and above packing, which decides again where every node has several."""
    numa: Annotated[float, Field(ge=0)] = 19.0
    """For nodes on which the pod takes from few NUMA nodes: one over their number, where a NodeResourceTopology tells.
    More of it brings memory and devices nearer to CPUs. By default above packing, also between one and two."""
    image_locality: Annotated[float, Field(ge=0)] = 0.0
    """For nodes that have pulled the pod's images already, by their bytes. More of it starts pods sooner and packs
    them worse. 0 by default, as in KAI; above 0, pods with different images are looked at one by one."""
    least_allocated: Annotated[float, Field(ge=0)] = 0.0
    """For nodes of which little cpu and memory is taken, as kube-scheduler has it. 0 by default: it works against
    packing."""
    most_allocated: Annotated[float, Field(ge=0)] = 0.0
    """For nodes of which much cpu and memory is taken. 0 by default: packing looks at GPUs first."""
    balanced_allocation: Annotated[float, Field(ge=0)] = 0.0
    """For nodes whose cpu and memory would be filled more evenly with the pod than without. 0 by default, as in KAI.
    Packing goes before it as long as it weighs less."""
    packing: Annotated[float, Field(ge=0)] = 9.0
    """For nodes that suit the strategy (`binpack`, `spread`, `leastFragmentation`). The default is KAI's, and the
    smallest of all: where a pod is packed matters only when nothing else does."""


class SpreadConstraint(SettingsGroup):
    """How unevenly pods may be spread, as in a pod's `topologySpreadConstraints`."""

    topology_key: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY, pattern=LABEL_KEY_PATTERN)]
    """The label of nodes whose values are the domains."""
    max_skew: Annotated[int, Field(ge=1)]
    """By how many more pods than the domain with the fewest a domain may have."""
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = "ScheduleAnyway"
    """`ScheduleAnyway`: a wish. `DoNotSchedule`: pods wait. A wish by default."""


class DefaultTopologySpread(SettingsGroup):
    """How replicas are spread that have no `topologySpreadConstraints` of their own.

    Replicas are pods of one Service, ReplicaSet, ReplicationController or StatefulSet. The terms are those of
    kube-scheduler (`PodTopologySpreadArgs`).
    """

    defaulting_type: Literal["System", "List"] = "System"
    """`System`: by `kubernetes.io/hostname` (skew 3) and `topology.kubernetes.io/zone` (skew 5), as a wish. `List`: by
    `defaultConstraints`; an empty list turns it off. `System` by default, as in kube-scheduler."""
    default_constraints: Annotated[tuple[SpreadConstraint, ...], Strict(False)] = ()
    """What takes the place of the system's two constraints, for `List` only. None by default, which turns it off."""
    devices: bool = False
    """Whether pods that ask for GPUs or other devices are spread, too. Off by default: whole nodes stay free for
    gangs, which is what packing is for."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.defaulting_type == "System" and self.default_constraints:
            raise ValueError("defaultConstraints needs defaultingType List")
        keys = [(one.topology_key, one.when_unsatisfiable) for one in self.default_constraints]
        if len(set(keys)) < len(keys):
            raise ValueError("defaultConstraints has a topologyKey twice")
        return self


class Placement(SettingsGroup):
    """Which of the nodes that fit a pod gets."""

    gpu: Strategy = "binpack"
    """How pods that ask for GPUs are laid over nodes: `binpack` fills nodes one after the other and keeps whole nodes
    free for large gangs; `spread` takes the emptiest node; `leastFragmentation` takes the node where the GPUs that are
    left stay useful to most of the pods that wait and run, and fills nodes where that makes no difference. `binpack` by
    default, as in KAI, because half-empty GPU nodes are what large gangs wait for; where pods ask for different things,
    `leastFragmentation` gives more GPUs to pods, and takes longer to decide."""
    cpu: Strategy = "binpack"
    """The same for all other pods. `binpack` by default, so that an autoscaler finds nodes to remove; with
    `leastFragmentation` they leave cores and memory to GPUs that need them."""
    default_topology_spread: DefaultTopologySpread = DefaultTopologySpread()
    """How replicas are spread that say nothing about it themselves."""
    weights: ScoreWeights = ScoreWeights()
    """How much each score counts."""


class Actions(SettingsGroup):
    """What a cycle does, and how far it looks."""

    order: Annotated[tuple[ActionName, ...], Strict(False), AfterValidator(_unique)] = (
        "allocate",
        "consolidate",
        "reclaim",
        "preempt",
        "staleGangEviction",
    )
    """Which actions run, in this order; one that is not listed does not run, and with an empty list nothing is
    decided. By default KAI's order: whoever fits is placed before anybody is moved, and moved before anybody is
    evicted."""
    consolidation_limit: Annotated[int, Field(ge=-1)] = 16
    """How many running podgroups may be moved for one that waits. 0: nobody is ever moved; -1: no limit. More of it
    fits larger podgroups into a fragmented cluster, at the price of more restarts. The default is KAI's."""
    consolidation_pause: Annotated[Duration, AfterValidator(_not_negative)] = Duration.of_seconds(300)
    """After a pod of it was evicted, a podgroup is not moved for so long. More of it keeps podgroups from going to and
    fro, and leaves the cluster fragmented for longer; `0s` is no pause. Five minutes by default, about what it takes to
    start a training job again: less, and it could be moved without ever getting to work."""
    queue_depth: dict[ActionName, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """How many waiting podgroups of each leaf queue an action looks at in one cycle. An action that is not named
    looks at all of them, which is the default: nobody waits behind a podgroup that cannot start. A smaller number
    makes cycles of very long queues shorter, and lets small podgroups wait behind large ones."""
    sorts_per_namespace: Annotated[int, Field(ge=0)] = 200
    """How many different sorts of waiting podgroups of each namespace and leaf queue a cycle looks at; `0` is no limit.
    Podgroups whose pods ask for the same are one sort and cost next to nothing, so that this bounds what one user can
    cost all others. Half of them are the first in order, the others take turns every ten seconds: nobody waits for
    ever. More of it looks at more in one cycle, and lets everybody wait longer where somebody has thousands of sorts;
    200 take about a fifth of a second on 500 nodes."""


class Gangs(SettingsGroup):
    """How podgroups are kept whole."""

    staleness_grace_period: Duration = Duration.of_seconds(60)
    """How long a started gang may run with fewer pods than its minimum before it is evicted: a duration such as
    `60s`. More gives failed pods more time to be replaced, and lets a gang that cannot work hold its devices longer.
    `0s` evicts in the cycle that first sees it, a negative duration never. A podgroup's own `stalenessGracePeriod`
    comes first. The default is KAI's, and enough for a controller to recreate a pod and for the next cycles to place
    it."""


class EvictionMethods(SettingsGroup):
    """How a pod is ended, by the action that ends it.

    `delete`: the condition `DisruptionTarget`, then a deletion with the pod's own grace period, as kube-scheduler does.
    `evict`: the Eviction API, which asks PodDisruptionBudgets; where one refuses, what the eviction was for is given up
    for now, and the podgroup that wanted it pauses.
    """

    reclaim: EvictionMethod = "delete"
    """For a queue that takes back what it is owed. `delete` by default: a budget in a borrowing namespace must not keep
    others from their quota."""
    preempt: EvictionMethod = "delete"
    """For a more important podgroup of the same queue. `delete` by default, as kube-scheduler preempts."""
    consolidate: EvictionMethod = "evict"
    """For moves that make room. `evict` by default: a move is a convenience, and no reason to break a promise."""
    stale_gang_eviction: EvictionMethod = "delete"
    """For what is left of a gang that lost members. `delete` by default: it cannot work anyway."""

    def of(self, action: str) -> EvictionMethod:
        """The method of an action by its name in the settings; `delete` for one that should not evict at all."""
        methods: dict[str, EvictionMethod] = {
            "reclaim": self.reclaim,
            "preempt": self.preempt,
            "consolidate": self.consolidate,
            "staleGangEviction": self.stale_gang_eviction,
        }
        return methods.get(action, "delete")


class Eviction(SettingsGroup):
    """How running pods are ended for others' sake."""

    method: EvictionMethods = EvictionMethods()
    """How a pod is ended, by the action that ends it."""
    wave: Annotated[int, Field(ge=0)] = 0
    """How many evicted pods may be on their way out at once. A podgroup's victims go together, so one that needs more
    than this goes alone; whoever comes next waits until they are gone. Less of it is gentler to storage and networks
    that see many pods stop and start; 0, which is the default, is no bound: what is owed is given at once."""
    restart_time: Annotated[Duration, AfterValidator(_not_negative)] = Duration.of_seconds(300)
    """How long an evicted podgroup needs, once it has a place again, until it works as before: to pull images, to load
    data and the last checkpoint. Among equally important victims those go who lose the fewest GPU-seconds: the time
    since their start or last checkpoint (annotation `kai.scheduler/last-checkpoint-timestamp`) plus this, times their
    GPUs. More of it spares GPUs, less of it spares those who have worked for long; `0s` counts lost work alone. Five
    minutes by default, a guess for training jobs."""


class NodePool(SettingsGroup):
    """The part of the cluster that this installation schedules."""

    label_key: Annotated[str, Field(max_length=MAX_LABEL_KEY, pattern=LABEL_KEY_PATTERN)] = NODE_POOL_LABEL
    """The label of nodes, queues and podgroups that names their pool."""
    value: Annotated[str, Field(max_length=63)] = ""
    """The pool of this installation. Empty: what does not have the label at all."""


class DynamicResources(SettingsGroup):
    """Devices that pods claim (dynamic resource allocation)."""

    gpu_classes: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Strict(False), AfterValidator(_unique)
    ] = (NVIDIA_DEVICES,)
    """Drivers and DeviceClasses whose devices count as GPUs of the queues' `gpu` quota: the class counts for what is
    claimed, the driver for what is allocated and for what there is. The list replaces the default one. Claims on such
    devices that are not made from templates must carry the label of their queue. NVIDIA's by default, as in KAI."""
    binding_timeout: Annotated[Duration, AfterValidator(_not_negative)] = Duration.of_seconds(600)
    """How long devices that must be prepared before a pod is bound (binding conditions) may take, counted from their
    allocation. Then they are given back, and the pod goes elsewhere. More of it suits fabrics that take long to attach
    a device, and keeps a device that will never be ready from others for longer. Ten minutes by default, as in
    kube-scheduler."""
    gpu_parts: GpuParts = "memory"
    """How a GPU counts that is cut from another one (partitions with shared counters, as MIG), or that is shared
    (consumable capacity). `memory`, the default: as the part of the memory that it has, so that seven `1g.10gb` of an
    80 GB GPU are seven eighths of a GPU; by all counters or capacities where none is called `memory`. `counters`: as
    the mean over all counters or capacities. `whole`: as one GPU each, as in KAI."""


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
        _unique(tuple(role.name for role in self.roles))
        return self


def _each_kind_once(kinds: tuple[WorkloadKind, ...]) -> tuple[WorkloadKind, ...]:
    _unique(tuple(f"{one.kind}.{one.group}" for one in kinds))
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


class Queues(SettingsGroup):
    """Who may use which queue, beyond what queues say themselves (`spec.allowedNamespaces`)."""

    authorization: Literal["namespaces", "subjectAccessReview"] = "namespaces"
    """`namespaces`, the default: only queues themselves say who may use them. `subjectAccessReview`: the service
    accounts of the pod's namespace need the verb `use` on the queue as well (RBAC on `queues` of `scheduling.run.ai`).
    Until the API server has answered, pods wait; its answers are asked for again every minute. `plan` cannot ask, and
    goes by the queues alone."""


class Admission(SettingsGroup):
    """What `kai-py webhooks` does about objects that are legal but surprising."""

    quotas: Literal["ignore", "warn", "refuse"] = "warn"
    """For queues whose limit is below their quota, and for quotas of children that add up to more than their parent's.
    `warn`, the default: whoever applies the queue is told. `refuse`: it is not let in. `ignore`: nothing is said. More
    than a warning would keep trees from being changed one queue at a time."""
    pods: Literal["warn", "refuse"] = "refuse"
    """For pods whose label names a queue that does not exist or that their namespace may not use. `refuse`, the
    default: the author is told at once. `warn`: they are let in and wait, which suits queues that are made later than
    their pods."""
    visible_devices: Literal["ignore", "warn", "refuse"] = "ignore"
    """For pods of ours that set `NVIDIA_VISIBLE_DEVICES` themselves, by which they see GPUs that they were not given.
    `refuse`: they are not let in. `warn`: they are, and their author is told. `ignore`, the default, as in KAI: some
    images of clusters with other ways to guard their GPUs need it. Pods of other schedulers are not looked at: device
    plugins and monitoring are among them."""


_ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
_Namespace = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]


class GpuReservation(SettingsGroup):
    """The pods that hold whole GPUs for those that share them (`gpuSharing: reservation`)."""

    namespace: _Namespace = "kai-resource-reservation"
    """Where they are. KAI's namespace by default, so that those that KAI has left behind are recognised. A change
    takes effect when the scheduler is started again."""
    service_account: _ObjectName = "kai-resource-reservation"
    """As whom they run: it has to be allowed to get and patch pods in their namespace, and nothing else."""
    image: Annotated[str, Field(min_length=1)] = "ghcr.io/nvidia/kai-scheduler/resourcereservation:v0.13.0"
    """What they run: it finds the one GPU that it has, and writes the GPU's UUID into the annotation
    `run.ai/reserve_for_gpu_index` of its own pod. KAI's by default."""
    runtime_class_name: Annotated[str, Field(max_length=253)] = "nvidia"
    """RuntimeClass of these pods, and of pods with a part of a GPU that name none. KAI's by default, which NVIDIA's GPU
    operator installs. Empty: none is set."""
    priority_class_name: Annotated[str, Field(max_length=253)] = ""
    """PriorityClass of these pods. This scheduler never ends one for others' sake, but another one on the same nodes,
    or a kubelet in need, may. Empty by default, because a class has to exist."""
    timeout: Annotated[Duration, AfterValidator(_not_negative)] = Duration.of_seconds(60)
    """How long a pod with a part of a GPU waits for the device to be reported, after it was given a node. Then it goes
    elsewhere, and keeps away from the node for five minutes. A minute by default: the first time the image has to be
    pulled."""
    cdi: bool = False
    """Whether devices are named to the container runtime by the Container Device Interface
    (`k8s.device-plugin.nvidia.com/gpu=<UUID>`) instead of by their UUIDs. Off by default, as in KAI."""


class Autoscaling(SettingsGroup):
    """How nodes are asked for."""

    provisioning_class: Annotated[str, Field(max_length=253, pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$")] = ""
    """Ask for nodes with a ProvisioningRequest (`autoscaling.x-k8s.io/v1`) of this class for each gang that more nodes
    would help: `best-effort-atomic-scale-up.autoscaling.x-k8s.io`, or what the cloud has. Empty, the default: nobody
    is asked, and autoscalers go by the reason of pods. Gangs that their queue may not hold are never asked for."""
    provisioning_parameters: Annotated[dict[str, Annotated[str, Field(max_length=255)]], Field(max_length=100)] = Field(
        default_factory=dict
    )
    """Parameters of the class, such as `ValidUntilSeconds`. None by default."""
    provisioning_delay: Annotated[Duration, AfterValidator(_not_negative)] = Duration.of_seconds(10)
    """How long a gang waits for room before nodes are asked for. Longer buys fewer nodes for what starts soon anyway;
    10 s, the default, let a gang be complete and others make room."""
    provisioning_retry: Annotated[Duration, AfterValidator(_not_negative)] = Duration.of_seconds(600)
    """How long after a failure, or after booked capacity was lost, nodes are asked for again. The autoscaler has tried
    again itself before it gives up, so 10 minutes by default."""


class Settings(SettingsGroup):
    """The whole document."""

    scheduler_names: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...],
        Strict(False),
        Field(min_length=1),
        AfterValidator(_unique),
    ] = (SCHEDULER_NAME,)
    """Pods with one of these in `spec.schedulerName` are ours. By default KAI's name, so that its users' pods are. No
    two schedulers may share a name: they would bind the same pods."""
    node_pool: NodePool | None = None
    """The part of the cluster that this installation schedules. Absent, which is the default: all of it."""
    fairness: Fairness = Fairness()
    """How the cluster is divided between queues."""
    placement: Placement = Placement()
    """Which of the nodes that fit a pod gets."""
    actions: Actions = Actions()
    """What a cycle does, and how far it looks."""
    gangs: Gangs = Gangs()
    """How podgroups are kept whole."""
    eviction: Eviction = Eviction()
    """How running pods are ended for others' sake."""
    dra: DynamicResources = DynamicResources()
    """Devices that pods claim (dynamic resource allocation)."""
    pod_groups: PodGroups = PodGroups()
    """How podgroups are derived from pods and their owners."""
    queues: Queues = Queues()
    """Who may use which queue."""
    autoscaling: Autoscaling = Autoscaling()
    """How nodes are asked for."""
    admission: Admission = Admission()
    """What the webhooks do."""
    gpu_sharing: Literal["none", "reservation", "trusted"] = "none"
    """What becomes of pods that ask for a part of a GPU (`gpu-fraction`, `gpu-memory`). `none`: they wait, and are told
    so. `reservation`: as in KAI, a pod of ours holds each shared GPU and tells which one it is, and the pods that share
    it see no other. `trusted`: pods are placed and labelled with their device (`runai-gpu-group`), and that is all:
    nothing shows a pod its device, so something else on the nodes has to. Nothing keeps a pod to its part of the memory
    in any of them. `none` by default, as in KAI, because `reservation` needs the webhooks, an image and a namespace.
    `plan` places such pods, always."""
    gpu_reservation: GpuReservation = GpuReservation()
    """How GPUs are held for `gpuSharing: reservation`."""
