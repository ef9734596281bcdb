"""Settings about which of the nodes that fit a pod gets."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator

from kai_py.api.model import LABEL_KEY_PATTERN, MAX_LABEL_KEY
from kai_py.settings.base import SettingsGroup

Strategy = Literal["binpack", "spread", "leastFragmentation"]


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
