"""The answer: which podgroup a pod belongs to, and what that podgroup looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kai_py.api.duration import Duration
from kai_py.api.meta import OwnerReference, Quantity
from kai_py.api.podgroup import DisruptionMode, Preemptibility, SubGroup, TopologyConstraint


@dataclass(frozen=True, slots=True)
class Group:
    """A podgroup that the grouper has derived. Equal for all pods of one workload that say the same.

    Attributes:
        namespace: of the pods.
        name: ``pg-<owner name>-<owner uid>``, shortened with a hash beyond the 253 characters of a name.
        owner: the object whose end is the podgroup's end.
        top_owner: the object that its user made, at the top of the lineage.
        labels, annotations: those of the owner, for the PodGroup object.
        queue, priority_class, preemptibility: as :mod:`kai_py.podgrouper.traits` finds them.
        min_member: pods that must start together; ``None`` where ``min_sub_group`` says it.
        min_sub_group: direct children that must be satisfied.
        sub_groups: parts of the podgroup.
        topology: where the pods may be, relative to each other.
        preemption_delay, staleness_grace_period: ``None`` for the installation's default.
        disruption_mode: whether it is evicted as one; empty = not.
        min_resources: what the cluster must have before it starts.
    """

    namespace: str
    name: str
    owner: OwnerReference
    top_owner: OwnerReference
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    queue: str
    priority_class: str
    min_member: int | None = 1
    min_sub_group: int | None = None
    sub_groups: tuple[SubGroup, ...] = ()
    preemptibility: Preemptibility = ""
    topology: TopologyConstraint | None = None
    preemption_delay: Duration | None = None
    staleness_grace_period: Duration | None = None
    disruption_mode: DisruptionMode = ""
    min_resources: Mapping[str, Quantity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Membership:
    """Where a pod belongs.

    Attributes:
        key: ``(namespace, name)`` of the podgroup.
        group: the podgroup; ``None`` when the pod names one that somebody else keeps.
        written: whether a PodGroup object is kept for it. A group that never has more than one pod lives in memory.
        subgroup: the part of the podgroup that the pod belongs to.
        warnings: what was passed over, as sentences.
    """

    key: tuple[str, str]
    group: Group | None = None
    written: bool = False
    subgroup: str | None = None
    warnings: tuple[str, ...] = ()
