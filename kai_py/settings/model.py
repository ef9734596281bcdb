"""Every setting: its type, its range, its default, and why. ``docs/reference/settings.md`` is made of this."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, Strict, model_validator

from kai_py.api.duration import Duration
from kai_py.api.keys import NODE_POOL_LABEL, SCHEDULER_NAME
from kai_py.api.model import LABEL_KEY_PATTERN, MAX_LABEL_KEY
from kai_py.settings.base import SettingsGroup, not_negative, unique
from kai_py.settings.devices import DynamicResources, GpuReservation, GpuShareClaims, GpuSharing, GpuSharingChoice
from kai_py.settings.eviction import Eviction
from kai_py.settings.fairness import Fairness
from kai_py.settings.placement import Placement
from kai_py.settings.workloads import PodGroups

ActionName = Literal["allocate", "consolidate", "reclaim", "preempt", "staleGangEviction"]


class Actions(SettingsGroup):
    """What a cycle does, and how far it looks."""

    order: Annotated[tuple[ActionName, ...], Strict(False), AfterValidator(unique)] = (
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
    consolidation_pause: Annotated[Duration, AfterValidator(not_negative)] = Duration.of_seconds(300)
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


class NodePool(SettingsGroup):
    """The part of the cluster that this installation schedules."""

    label_key: Annotated[str, Field(max_length=MAX_LABEL_KEY, pattern=LABEL_KEY_PATTERN)] = NODE_POOL_LABEL
    """The label of nodes, queues and podgroups that names their pool."""
    value: Annotated[str, Field(max_length=63)] = ""
    """The pool of this installation. Empty: what does not have the label at all."""


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
    provisioning_delay: Annotated[Duration, AfterValidator(not_negative)] = Duration.of_seconds(10)
    """How long a gang waits for room before nodes are asked for. Longer buys fewer nodes for what starts soon anyway;
    10 s, the default, let a gang be complete and others make room."""
    provisioning_retry: Annotated[Duration, AfterValidator(not_negative)] = Duration.of_seconds(600)
    """How long after a failure, or after booked capacity was lost, nodes are asked for again. The autoscaler has tried
    again itself before it gives up, so 10 minutes by default."""


class Settings(SettingsGroup):
    """The whole document."""

    scheduler_names: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=253)], ...],
        Strict(False),
        Field(min_length=1),
        AfterValidator(unique),
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
    gpu_sharing: GpuSharing = "none"
    """What becomes of pods that ask for a part of a GPU (`gpu-fraction`, `gpu-memory`). `none`: they wait, and are told
    so. `reservation`: as in KAI, a pod of ours holds each shared GPU and tells which one it is, and the pods that share
    it see no other. `trusted`: pods are placed and labelled with their device (`runai-gpu-group`), and that is all:
    nothing shows a pod its device, so something else on the nodes has to. Both are for nodes with a device plugin, and
    nothing keeps a pod to its part of the memory. `claims`: for nodes where a DRA driver offers GPUs that may be
    allocated several times; a pod gets a claim on its part, and the driver may keep it to that. `none` by default, as
    in KAI, because `reservation` needs the webhooks, an image and a namespace, and `claims` the webhooks and a driver.
    `plan` places such pods, always."""
    gpu_sharing_choices: Annotated[tuple[GpuSharingChoice, ...], Strict(False), AfterValidator(unique)] = ()
    """Further ways, for clusters with nodes of both kinds: a pod chooses one of them, or the one above, with its
    annotation `kai.scheduler/gpu-sharing`. None by default."""
    gpu_share_claims: GpuShareClaims = GpuShareClaims()
    """Which devices are shared, and what of them, for `gpuSharing: claims`."""
    gpu_reservation: GpuReservation = GpuReservation()
    """How GPUs are held for `gpuSharing: reservation`."""

    @model_validator(mode="after")
    def _ways_to_share(self) -> Self:
        """Each way that is offered can be gone, and of a device plugin's GPUs there is one book."""
        offered = {self.gpu_sharing, *self.gpu_sharing_choices}
        found = self.gpu_share_claims.device_class_name
        if "claims" in offered and not found:
            raise ValueError("gpuSharing claims needs gpuShareClaims.deviceClassName")
        if "claims" in offered and found not in self.dra.gpu_classes:
            raise ValueError(
                f"gpuSharing claims needs {found!r} among dra.gpuClasses, and the driver of its devices if that has "
                "another name: parts of GPUs would cost queues nothing"
            )
        if {"reservation", "trusted"} <= offered:
            raise ValueError("gpuSharing and gpuSharingChoices cannot offer both reservation and trusted")
        return self
