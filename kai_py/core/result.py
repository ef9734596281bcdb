"""What a cycle answers: decisions, why the rest waits, shares, and how much work it was.

All values, no sentences: texts are made in ``kai_py.telemetry`` when somebody asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from kai_py.core.options import Action
from kai_py.core.resources import Amounts, Shares


class ReasonCode(StrEnum):
    """Why a podgroup waits. KAI's words where KAI has one."""

    # known before the cycle
    QUEUE_MISSING = "QueueDoesNotExist"
    QUEUE_NOT_LEAF = "QueueIsNotLeaf"
    QUEUE_INVALID = "QueueInvalid"
    QUEUE_FORBIDDEN = "QueueNotAllowed"
    QUEUE_NOT_NAMED = "QueueNotNamed"
    PODGROUP_MISSING = "PodGroupDoesNotExist"
    PODGROUP_INVALID = "PodGroupInvalid"
    SUBGROUP_MISSING = "SubGroupDoesNotExist"
    POD_INVALID = "PodInvalid"
    OWNER_INVALID = "OwnerInvalid"
    OWNER_PENDING = "OwnerPending"
    TOPOLOGY_MISSING = "TopologyDoesNotExist"
    TOPOLOGY_INVALID = "TopologyConstraintInvalid"
    CLAIM_MISSING = "ResourceClaimDoesNotExist"
    CLAIM_INVALID = "ResourceClaimInvalid"
    CLAIM_OF_OTHER_QUEUE = "ResourceClaimNotOfQueue"
    VOLUME_CLAIM_MISSING = "PersistentVolumeClaimDoesNotExist"
    VOLUME_CLAIM_INVALID = "PersistentVolumeClaimInvalid"
    VOLUME_UNBOUND = "VolumeNotBound"
    VOLUME_PREPARED = "VolumeBeingBound"
    RUNTIME_CLASS_MISSING = "RuntimeClassDoesNotExist"
    UNSUPPORTED = "Unsupported"
    SHARE_UNPREPARED = "SharedGpuNotPrepared"
    SHARE_RESERVED = "SharedGpuBeingReserved"
    SHARE_NOT_OFFERED = "SharedGpuNotOffered"
    BACKING_OFF = "BackingOff"
    # gates
    GANG_NOT_READY = "GangNotReady"
    GATED = "SchedulingGated"
    OVER_LIMIT = "OverLimit"
    NON_PREEMPTIBLE_OVER_QUOTA = "NonPreemptibleOverQuota"
    MIN_RESOURCES_MISSING = "MinResourcesNotAvailable"
    # places
    UNSCHEDULABLE = "PodSchedulingErrors"
    GANG_DOES_NOT_FIT = "GangDoesNotFit"
    DOMAINS_TOO_SMALL = "DomainsTooSmall"
    SUBGROUP_TOO_LARGE = "SubGroupDoesNotFit"
    SUBGROUPS_COLLIDE = "SubGroupsDoNotFitTogether"
    MEMBERS_APART = "MembersApart"
    DEVICES_UNAVAILABLE = "DevicesUnavailable"
    CLAIM_IN_FULL_USE = "ClaimInFullUse"
    DEVICES_PREPARED = "DevicesBeingPrepared"
    WAITING_FOR_RELEASE = "WaitingForRelease"
    QUEUE_DEPTH = "QueueDepthReached"
    OUT_OF_TURN = "OutOfTurn"
    # victims: why nobody has to make room
    OVER_FAIR_SHARE = "OverFairShare"
    NO_VICTIMS = "NoVictims"
    NOT_ENOUGH_VICTIMS = "NotEnoughVictims"
    NOT_ENOUGH_RECLAIMABLE = "NotEnoughReclaimable"
    VICTIM_WITHIN_SHARE = "VictimWithinShare"
    RECLAIMER_OVER_SHARE = "ReclaimerOverShare"
    VICTIMS_WITHOUT_PLACE = "VictimsWithoutPlace"
    PREEMPTION_DELAY = "PreemptionDelayNotElapsed"
    NEVER_PREEMPTS = "NeverPreempts"
    OUTRANKED = "Outranked"
    # what became of asking for nodes
    NODES_REQUESTED = "NodesRequested"
    NODES_PROVISIONED = "NodesProvisioned"
    PROVISIONING_FAILED = "ProvisioningFailed"
    # our own fault
    INTERNAL_ERROR = "InternalError"


#: Reasons to wait that more nodes would not end: what is missing is a right, an object or a queue's share.
NODES_WOULD_NOT_HELP: Final = frozenset(
    {
        ReasonCode.QUEUE_MISSING,
        ReasonCode.QUEUE_NOT_LEAF,
        ReasonCode.QUEUE_INVALID,
        ReasonCode.QUEUE_FORBIDDEN,
        ReasonCode.QUEUE_NOT_NAMED,
        ReasonCode.PODGROUP_MISSING,
        ReasonCode.PODGROUP_INVALID,
        ReasonCode.SUBGROUP_MISSING,
        ReasonCode.POD_INVALID,
        ReasonCode.OWNER_INVALID,
        ReasonCode.OWNER_PENDING,
        ReasonCode.TOPOLOGY_MISSING,
        ReasonCode.TOPOLOGY_INVALID,
        ReasonCode.CLAIM_MISSING,
        ReasonCode.CLAIM_INVALID,
        ReasonCode.CLAIM_OF_OTHER_QUEUE,
        ReasonCode.VOLUME_CLAIM_MISSING,
        ReasonCode.VOLUME_CLAIM_INVALID,
        ReasonCode.VOLUME_PREPARED,
        ReasonCode.RUNTIME_CLASS_MISSING,
        ReasonCode.UNSUPPORTED,
        ReasonCode.SHARE_UNPREPARED,
        ReasonCode.SHARE_RESERVED,
        ReasonCode.BACKING_OFF,
        ReasonCode.GANG_NOT_READY,
        ReasonCode.GATED,
        ReasonCode.OVER_LIMIT,
        ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA,
        ReasonCode.DEVICES_PREPARED,
        ReasonCode.WAITING_FOR_RELEASE,
        # They are asked for already, for the gang as a whole: whoever adds nodes pod by pod would add them twice.
        ReasonCode.NODES_REQUESTED,
        ReasonCode.NODES_PROVISIONED,
        ReasonCode.PROVISIONING_FAILED,
        ReasonCode.INTERNAL_ERROR,
    }
)


class FilterReason(StrEnum):
    """Why a node does not take a pod."""

    NOT_READY = "NodeNotReady"
    NODE_NAME = "NodeNameMismatch"
    CORDONED = "NodeUnschedulable"
    TAINT = "UntoleratedTaint"
    NODE_AFFINITY = "NodeAffinityMismatch"
    FEATURES = "NodeLacksFeature"
    RESOURCES = "InsufficientResources"
    EXCLUDED = "BindFailedRecently"
    NO_DEVICE = "NoDeviceMatches"
    DEVICES_TOO_SMALL = "DevicesTooSmall"
    DEVICES_TAINTED = "DevicesTainted"
    DEVICES_IN_USE = "DevicesInUse"
    COUNTERS_USED_UP = "CountersUsedUp"
    CAPACITY_USED_UP = "CapacityUsedUp"
    DEVICES_TAKE_NODE = "DevicesTakeTooMuchOfNode"
    POOLS_UNSETTLED = "PoolsUnsettled"
    DEVICES_AGAINST_CONSTRAINT = "DevicesAgainstConstraint"
    SELECTOR_FAILED = "SelectorFailed"
    DEVICES = "InsufficientDevices"
    VOLUME_AFFINITY = "VolumeNodeAffinityConflict"
    VOLUME_ZONE = "VolumeInOtherZone"
    VOLUME_MISSING = "NoVolumeForClaim"
    VOLUME_LIMIT = "TooManyVolumes"
    VOLUME_IN_USE = "VolumeInUse"
    HOST_PORT = "HostPortTaken"
    SPREAD_LABEL = "TopologySpreadLabelMissing"
    SPREAD = "TopologySpreadMismatch"
    POD_AFFINITY = "PodAffinityMismatch"
    POD_ANTI_AFFINITY = "PodAntiAffinityMismatch"
    ANTI_AFFINITY_OF_OTHERS = "AntiAffinityOfOthers"
    NUMA_NODE = "InsufficientNumaNode"
    NUMA_NODES = "InsufficientNumaNodes"


#: What victims may help against.
ROOM: Final = frozenset(
    {
        FilterReason.RESOURCES,
        FilterReason.DEVICES_IN_USE,
        FilterReason.COUNTERS_USED_UP,
        FilterReason.CAPACITY_USED_UP,
        FilterReason.DEVICES_TAKE_NODE,
        FilterReason.DEVICES_AGAINST_CONSTRAINT,
        FilterReason.SELECTOR_FAILED,
        FilterReason.DEVICES,
        FilterReason.NUMA_NODE,
        FilterReason.NUMA_NODES,
        FilterReason.VOLUME_LIMIT,
        FilterReason.VOLUME_IN_USE,
        FilterReason.HOST_PORT,
        FilterReason.SPREAD,
        FilterReason.POD_ANTI_AFFINITY,
        FilterReason.ANTI_AFFINITY_OF_OTHERS,
    }
)


@dataclass(frozen=True)
class Granted:
    """Devices for a claim.

    Attributes:
        claim: ``namespace/name``.
        uid: of the claim.
        allocation: a ``ClaimAllocation`` of ``kai_py.core.dra.allocation``, which this layer does not know.
        extended: it serves extended resources; one without ``uid`` has to be made.
    """

    claim: str
    uid: str
    allocation: object
    extended: bool = False


@dataclass(frozen=True)
class _Place:
    """A pod and its node.

    Attributes:
        gpu_groups: the devices there that it has a share of.
        claims: those of its claims that have no devices yet, with their devices; each claim is named by one pod.
        zones: what it will take of NUMA nodes, by their names there; nothing where that cannot be told.
        volumes: claims, ``namespace/name``, that get their volumes with the node, and which; an empty name where one is
            made there.
        of_node: what devices take of the node: claims, ``namespace/name``, with (resource, billionths of its unit).
    """

    pod: str
    uid: str
    node: str
    podgroup: str
    action: Action
    gpu_groups: tuple[str, ...] = ()
    claims: tuple[Granted, ...] = ()
    zones: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()
    of_node: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()


@dataclass(frozen=True)
class Bind(_Place):
    """Bind a pod to a node now."""


@dataclass(frozen=True)
class Nominate(_Place):
    """A pod has a place on capacity that is yet to be released; it is bound in a later cycle."""


@dataclass(frozen=True)
class Evict:
    """End a pod. ``moved`` tells that it also has a nomination in the same result."""

    pod: str
    uid: str
    node: str
    podgroup: str
    action: Action
    preemptor: str | None = None
    moved: bool = False


Decision = Bind | Nominate | Evict


@dataclass(frozen=True)
class Reason:
    """One reason as codes and numbers.

    Attributes:
        code: what failed.
        details: names and amounts (base units) that a sentence may need; keys depend on the code.
        nodes: histogram of filter reasons over nodes, where places were sought.
        shortages: resource -> (nodes that lack only this one, least amount missing on any of them), base units.
    """

    code: ReasonCode
    details: Mapping[str, object] = field(default_factory=dict)
    nodes: Mapping[str, int] = field(default_factory=dict)
    shortages: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """How near each other the pods of a podgroup are.

    Attributes:
        podgroup: ``namespace/name``.
        topology: name of the Topology that it asks for.
        pods: those that have places.
        domains: how many domains of each level they are in; nodes without the labels of a level count as one each.
        pattern: who talks to whom by index; empty if some pod has no index, and then there are no hops to count.
        hops: between all that talk, by weight: 1 from one node to another in the narrowest domain, 2 to the next one...
        least: fewer hops no mapping of the pods to these places has.
    """

    podgroup: str
    topology: str
    pods: int
    domains: Mapping[str, int]
    pattern: str = ""
    hops: int = 0
    least: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """Why a podgroup waits.

    Attributes:
        podgroup: ``namespace/name``.
        queue: name of its queue as it was asked for.
        reasons: at least one; the first is the one to report when there is room for one.
        pods: the pods of it that wait, ``namespace/name``.
        position: place among the waiting podgroups of its queue in the order of this cycle, from 1; 0 = not in line.
        has_minimum: whether enough pods run or are about to: what waits is growth.
    """

    podgroup: str
    queue: str
    reasons: tuple[Reason, ...]
    pods: tuple[str, ...] = ()
    position: int = 0
    has_minimum: bool = False


@dataclass(frozen=True)
class QueueShares:
    """Numbers of all queues at the start of the cycle, rows as in the queue table, base units.

    Attributes:
        fair_share: ``(Q, A)``; inf never appears, an unlimited queue gets what it requests.
        allocated: ``(Q, A)``
        allocated_non_preemptible: ``(Q, A)``
        requested: ``(Q, A)`` allocated and pending.
        total: ``(A,)`` what all queues share.
    """

    names: tuple[str, ...]
    fair_share: Shares
    allocated: Amounts
    allocated_non_preemptible: Amounts
    requested: Amounts
    total: Amounts


@dataclass(frozen=True)
class Stats:
    """How much work a cycle was. ``seconds`` per action, by the clock that was handed in."""

    considered: int = 0
    placed: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CycleResult:
    """Everything a cycle says.

    Attributes:
        stale: podgroups that run with less than their minimum.
        started: podgroups that had nobody running and get somebody bound.
        errors: podgroups over which the cycle stumbled: a reason ``InternalError`` that says what happened and where.
        searched: choices of victims that were tried in vain before a budget ended the search, by podgroup and action;
            the next snapshot tells them to the next cycle.
        layouts: of those of ``started`` that ask something of a topology.
    """

    decisions: tuple[Decision, ...]
    diagnoses: tuple[Diagnosis, ...]
    shares: QueueShares
    stats: Stats
    stale: tuple[str, ...] = ()
    started: tuple[str, ...] = ()
    errors: Mapping[str, Reason] = field(default_factory=dict)
    searched: Mapping[tuple[str, str], int] = field(default_factory=dict)
    layouts: tuple[Layout, ...] = ()
