"""Pod: the fields that decide where it may run, what it holds and how it is doing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from kai_py.api.meta import NO_QUANTITIES, NO_STRINGS, ObjectMeta, Quantity, Record
from kai_py.api.selectors import LabelSelector, NodeSelector, NodeSelectorTerm

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


class ResourceRequirements(Record, frozen=True):
    """Requests and limits, as sent."""

    requests: Mapping[str, Quantity] = NO_QUANTITIES
    limits: Mapping[str, Quantity] = NO_QUANTITIES


NO_RESOURCES: Final = ResourceRequirements()


class ContainerClaim(Record, frozen=True):
    """A container's use of one of the pod's ``resourceClaims``; ``request`` narrows it to one request of the claim."""

    name: str
    request: str = ""


class ContainerResources(ResourceRequirements, frozen=True):
    """Requests and limits of a container, and the claims that it uses."""

    claims: tuple[ContainerClaim, ...] = ()


NO_CONTAINER_RESOURCES: Final = ContainerResources()


class ContainerPort(Record, frozen=True):
    """A port; only one with a ``host_port`` restricts placement."""

    container_port: int = 0
    host_port: int = 0
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class RestartRule(Record, frozen=True):
    """What happens when a container exits in a certain way. Only ``RestartAllContainers`` needs a node feature."""

    action: str = ""


class Container(Record, frozen=True):
    """A container. An init container with ``restart_policy`` Always is a sidecar that runs as long as the pod."""

    name: str
    image: str = ""
    resources: ContainerResources = NO_CONTAINER_RESOURCES
    ports: tuple[ContainerPort, ...] = ()
    restart_policy: str = ""
    restart_policy_rules: tuple[RestartRule, ...] = ()


class PreferredNodes(Record, frozen=True):
    """A wish about nodes, worth ``weight`` (1..100)."""

    weight: int
    preference: NodeSelectorTerm


class NodeAffinity(Record, frozen=True):
    """Which nodes a pod accepts, and which it likes."""

    required: NodeSelector | None = msgspec.field(default=None, name=_REQUIRED)
    preferred: tuple[PreferredNodes, ...] = msgspec.field(default=(), name=_PREFERRED)


class PodAffinityTerm(Record, frozen=True):
    """Pods to be near to (or away from), and how near: nodes with an equal value of ``topology_key`` are one domain."""

    topology_key: str
    label_selector: LabelSelector | None = None
    namespaces: tuple[str, ...] = ()
    namespace_selector: LabelSelector | None = None
    match_label_keys: tuple[str, ...] = ()
    mismatch_label_keys: tuple[str, ...] = ()


class WeightedPodAffinityTerm(Record, frozen=True):
    """A wish about neighbours, worth ``weight`` (1..100)."""

    weight: int
    pod_affinity_term: PodAffinityTerm


class PodAffinity(Record, frozen=True):
    """Neighbours that a pod needs and that it likes; the same shape serves anti-affinity."""

    required: tuple[PodAffinityTerm, ...] = msgspec.field(default=(), name=_REQUIRED)
    preferred: tuple[WeightedPodAffinityTerm, ...] = msgspec.field(default=(), name=_PREFERRED)


class Affinity(Record, frozen=True):
    """All three affinities."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None


class Toleration(Record, frozen=True):
    """Taints that do not keep the pod away. Empty ``key`` or ``effect`` match all; no operator means Equal."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    toleration_seconds: int | None = None


class SchedulingGate(Record, frozen=True):
    """As long as a pod has one of these, nobody schedules it."""

    name: str


class TopologySpreadConstraint(Record, frozen=True):
    """How unevenly pods may be spread over the domains of a label."""

    max_skew: int
    topology_key: str
    when_unsatisfiable: str
    label_selector: LabelSelector | None = None
    min_domains: int | None = None
    node_affinity_policy: str = "Honor"
    node_taints_policy: str = "Ignore"
    match_label_keys: tuple[str, ...] = ()


class ClaimVolume(Record, frozen=True):
    """A volume that is a PersistentVolumeClaim of the pod's namespace."""

    claim_name: str
    read_only: bool = False


class EphemeralVolume(Record, frozen=True):
    """A volume whose claim ``<pod>-<volume>`` is made for the pod, and dies with it."""


class GcePersistentDisk(Record, frozen=True):
    """A GCE disk, attached without a claim."""

    pd_name: str
    partition: int = 0
    read_only: bool = False


class AwsElasticBlockStore(Record, frozen=True):
    """An EBS volume, attached without a claim."""

    volume_id: str = msgspec.field(name="volumeID")
    read_only: bool = False


class Iscsi(Record, frozen=True):
    """An iSCSI target, attached without a claim."""

    target_portal: str = ""
    iqn: str = ""
    lun: int = 0
    read_only: bool = False


class Rbd(Record, frozen=True):
    """A Ceph block device, attached without a claim. Monitors in any order name the same cluster."""

    monitors: tuple[str, ...]
    image: str
    pool: str = "rbd"
    read_only: bool = False


class Volume(Record, frozen=True):
    """A volume: those kinds that restrict where a pod may run; of all others only the name."""

    name: str
    persistent_volume_claim: ClaimVolume | None = None
    ephemeral: EphemeralVolume | None = None
    gce_persistent_disk: GcePersistentDisk | None = None
    aws_elastic_block_store: AwsElasticBlockStore | None = None
    iscsi: Iscsi | None = None
    rbd: Rbd | None = None


class PodResourceClaim(Record, frozen=True):
    """A ResourceClaim of the pod: an existing one, or one that is made from a template."""

    name: str
    resource_claim_name: str | None = None
    resource_claim_template_name: str | None = None


class SchedulingGroup(Record, frozen=True):
    """The pod's ``scheduling.k8s.io`` PodGroup."""

    pod_group_name: str = ""


class WorkloadReference(Record, frozen=True):
    """The gang that the pod belongs to, as the first version of the Workload API has it."""

    name: str = ""
    pod_group: str = ""
    pod_group_replica_key: str = ""


class PodSpec(Record, frozen=True):
    """What the pod asks for."""

    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    scheduler_name: str = "default-scheduler"
    node_name: str = ""
    priority: int | None = None
    priority_class_name: str = ""
    preemption_policy: str = "PreemptLowerPriority"
    node_selector: Mapping[str, str] = NO_STRINGS
    affinity: Affinity | None = None
    tolerations: tuple[Toleration, ...] = ()
    overhead: Mapping[str, Quantity] = NO_QUANTITIES
    resources: ResourceRequirements = NO_RESOURCES
    scheduling_gates: tuple[SchedulingGate, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    volumes: tuple[Volume, ...] = ()
    resource_claims: tuple[PodResourceClaim, ...] = ()
    runtime_class_name: str = ""
    host_network: bool = False
    host_users: bool | None = None
    termination_grace_period_seconds: int | None = None
    scheduling_group: SchedulingGroup | None = None
    workload_ref: WorkloadReference | None = None


class ContainerStatus(Record, frozen=True):
    """What a running container has been given; differs from the spec while it is being resized."""

    name: str
    resources: ResourceRequirements = NO_RESOURCES
    allocated_resources: Mapping[str, Quantity] = NO_QUANTITIES


class PodClaimStatus(Record, frozen=True):
    """Which ResourceClaim was made for an entry of ``spec.resourceClaims``; none, when none is needed."""

    name: str
    resource_claim_name: str | None = None


class ExtendedResourceMapping(Record, frozen=True):
    """Which request of the claim serves a container's extended resource."""

    container_name: str
    resource_name: str
    request_name: str


class ExtendedResourceClaimStatus(Record, frozen=True):
    """The claim that serves the pod's extended resources."""

    resource_claim_name: str
    request_mappings: tuple[ExtendedResourceMapping, ...] = ()


class NodeClaimStatus(Record, frozen=True):
    """What the devices of a claim take of the pod's node; the scheduler says so before it binds (KEP-5517)."""

    resource_claim_name: str
    containers: tuple[str, ...] = ()
    resources: Mapping[str, Quantity] = NO_QUANTITIES


class PodCondition(Record, frozen=True):
    """A condition, without its times: five of them a pod would cost a sixth of the pod, and nobody reads them."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""


class PodStatus(Record, frozen=True):
    """How the pod is doing."""

    phase: str = ""
    conditions: tuple[PodCondition, ...] = ()
    reason: str = ""
    nominated_node_name: str = ""
    start_time: str | None = None
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    resource_claim_statuses: tuple[PodClaimStatus, ...] = ()
    extended_resource_claim_status: ExtendedResourceClaimStatus | None = None
    node_allocatable_resource_claim_statuses: tuple[NodeClaimStatus, ...] = ()
    resources: ResourceRequirements = NO_RESOURCES
    allocated_resources: Mapping[str, Quantity] = NO_QUANTITIES
    observed_generation: int = 0
    qos_class: str = ""


class Pod(Record, frozen=True):
    """A pod."""

    metadata: ObjectMeta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()
