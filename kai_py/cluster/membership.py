"""What the store asks the pod grouper, as shapes: the two rooms do not know each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from kai_py.api.meta import OwnerReference, PartialObject, Quantity
from kai_py.api.pod import Pod
from kai_py.api.podgroup import DisruptionMode, Preemptibility, SubGroup, TopologyConstraint


class GroupSpec(Protocol):
    """What decides how a podgroup is scheduled, from an object or derived from owners."""

    @property
    def queue(self) -> str:
        """Name of its queue; empty if it names none."""

    @property
    def min_member(self) -> int | None:
        """Pods that must start together."""

    @property
    def min_sub_group(self) -> int | None:
        """Children of the root that must be satisfied."""

    @property
    def sub_groups(self) -> tuple[SubGroup, ...]:
        """Its parts."""

    @property
    def preemptibility(self) -> Preemptibility:
        """What it says itself; empty = by its priority."""


class DerivedGroup(GroupSpec, Protocol):
    """A podgroup that was derived from a pod and its owners."""

    @property
    def priority_class(self) -> str:
        """Name of its PriorityClass."""

    @property
    def owner(self) -> OwnerReference:
        """The object whose end is its end."""

    @property
    def topology(self) -> TopologyConstraint | None:
        """Where its pods may be, relative to each other."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those that its object will have."""

    @property
    def disruption_mode(self) -> DisruptionMode:
        """Whether it is evicted as one."""

    @property
    def min_resources(self) -> Mapping[str, Quantity]:
        """What the cluster must have before it starts."""


class Membership(Protocol):
    """Where a pod belongs."""

    @property
    def key(self) -> tuple[str, str]:
        """(namespace, name) of the podgroup."""

    @property
    def group(self) -> DerivedGroup | None:
        """The podgroup; None when the pod names one that somebody else keeps."""

    @property
    def written(self) -> bool:
        """Whether an object should be kept for it."""

    @property
    def subgroup(self) -> str | None:
        """The part of the podgroup that the pod belongs to."""


#: A pod and the owners that are known, by uid, to its membership; None = leave the pod alone.
#: Raises MalformedObjectError when pod or owner say something that cannot be meant.
Grouper = Callable[[Pod, Mapping[str, PartialObject]], Membership | None]
