"""Segments: the pods of a gang cut by index into parts of equal size, each of which stays close together.

A segment that begins within the gang's minimum is needed as a whole; those beyond start pod by pod.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from kai_py.api import keys
from kai_py.api.podgroup import SubGroup, TopologyConstraint
from kai_py.api.workload import Workload
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import pod_field
from kai_py.podgrouper.kinds.subgroups import TEMPLATE, constraint, first, leaf, limited, parent
from kai_py.podgrouper.lineage import Ancestor, Lineage

#: Annotations that say how pods are cut, and where segments may be.
SAID: Final = (
    keys.SEGMENT_SIZE_ANNOTATION,
    keys.TOPOLOGY_ANNOTATION,
    keys.SEGMENT_REQUIRED_ANNOTATION,
    keys.SEGMENT_PREFERRED_ANNOTATION,
)
#: Names of the segments of a workload whose pods are all of one kind.
_SEGMENT: Final = "segment"


def segment_constraint(lineage: Lineage, owner: Ancestor, template: Field) -> TopologyConstraint | None:
    """Where a segment's pods may be: by the annotations of the pod, or of the workers' template, or of the owner.

    Args:
        lineage: the pod and its owners.
        owner: may name the topology, and levels, too.
        template: annotations of the workers' template.
    """
    return _constraint(
        lambda key: (pod_field(lineage, "annotations", key), template.at(key)), lineage.where(owner), owner
    )


def _constraint(nearer: Callable[[str], tuple[Field, ...]], where: str, owner: Ancestor) -> TopologyConstraint | None:
    """What the nearer of some fields says, else the owner."""

    def said(key: str) -> Field:
        return first([*nearer(key), _of(owner, where, key)])

    return constraint(*(said(key) for key in SAID[1:]))


def _of(owner: Ancestor, where: str, key: str) -> Field:
    return Field(where, f"metadata.annotations[{key}]", owner.annotations.get(key))


@dataclass(frozen=True, slots=True)
class Cut:
    """How pods of one sort are cut.

    Attributes:
        field: where the size stands, for messages.
        size: of a segment; the last one may be smaller.
        topology: where each segment may be.
    """

    field: Field
    size: int
    topology: TopologyConstraint | None

    def segments(self, name: str, pods: int, needed: int, *, above: str = "") -> Iterator[SubGroup]:
        """The segments, called ``name-0`` and so on.

        Args:
            name: of what is cut.
            pods: that there may be.
            needed: of those that must start together.
            above: the subgroup that they are in.

        Raises:
            GroupingError: there are too many.
        """
        count = -(-pods // self.size)
        limited(self.field, count)
        for number in range(count):
            begin = number * self.size
            minimum = min(self.size, pods - begin) if begin < needed else 0
            yield leaf(self.field, f"{name}-{number}", minimum, parent=above, topology=self.topology)

    def segment(self, name: str, index: Field, *, begin: int = 0) -> str:
        """The segment of a pod.

        Args:
            name: of what is cut.
            index: the label that tells which of them it is.
            begin: the first index.

        Raises:
            GroupingError: the pod does not know which of them it is.
        """
        if (number := index.numeral(least=0)) is None:
            raise index.missing()
        return f"{name}-{max(number - begin, 0) // self.size}"


def cut_by_template(template: Field, owner: Ancestor) -> Cut | None:
    """How the pods of a template are cut; ``None`` if they are not.

    Args:
        template: its annotations.
        owner: may name the topology and levels, too.

    Raises:
        GroupingError: the size is no number, or a text is too long for a name.
    """
    said = template.at(keys.SEGMENT_SIZE_ANNOTATION)
    if (size := said.numeral(least=1)) is None:
        return None
    return Cut(said, size, _constraint(lambda key: (template.at(key),), template.where, owner))


def cut_by_pod(lineage: Lineage, owner: Ancestor) -> Cut | None:
    """How the pods of a workload with one template are cut, by the pod's annotations or the owner's."""
    key, where = keys.SEGMENT_SIZE_ANNOTATION, lineage.where(owner)
    said = first([pod_field(lineage, "annotations", key), _of(owner, where, key)])
    if (size := said.numeral(least=1)) is None:
        return None
    near = _constraint(lambda key: (pod_field(lineage, "annotations", key),), where, owner)
    return Cut(said, size, near)


# -- workloads with one template -----------------------------------------------------------------------


def whole(cut: Cut, *, pods: int, needed: int) -> tuple[SubGroup, ...]:
    """The segments of a workload whose pods are all of one sort."""
    return tuple(cut.segments(_SEGMENT, pods, needed))


def segment_of(cut: Cut, index: Field, *, begin: int = 0) -> str:
    """The segment of a pod of such a workload."""
    return cut.segment(_SEGMENT, index, begin=begin)


def spec_of(owner: Ancestor, where: str) -> Field:
    """The spec of an owner as far as it is known."""
    known = owner.known
    return Field(where, "spec", known.spec if isinstance(known, Workload) else None)


# -- workloads with several templates ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Division:
    """The roles of a workload, of which some are cut.

    Attributes:
        subgroups: of all roles; empty if none is cut.
        cuts: by role.
    """

    subgroups: tuple[SubGroup, ...] = ()
    cuts: Mapping[str, Cut] = field(default_factory=lambda: MappingProxyType({}))

    def subgroup(self, role: str, index: Field, *, begin: int = 0) -> str | None:
        """The subgroup of a pod; ``None`` if the workload is not divided, or has no such role.

        Args:
            role: of the pod.
            index: the label that tells which of its role it is.
            begin: the first index.
        """
        if not self.subgroups:
            return None
        name = self.cuts[role].segment(role, index, begin=begin) if role in self.cuts else role
        return name if any(one.name == name and one.min_sub_group is None for one in self.subgroups) else None


def divide(roles: Field, owner: Ancestor, minimum: int, *, absent: Collection[str] = ()) -> Division:
    """Divide a workload if a template of its roles asks for segments.

    Roles that are not cut are needed before those that are.

    Args:
        roles: of the spec: name -> replicas and template.
        owner: may name the topology and levels, too.
        minimum: pods of all roles that must start together.
        absent: roles that are not waited for.

    Raises:
        GroupingError: a size is no number, or there are too many segments.
    """
    found = {name: cut for name, role in roles.entries().items() if (cut := cut_by_template(role.at(*TEMPLATE), owner))}
    if not found:
        return Division()
    subgroups: list[SubGroup] = []
    left = minimum
    for name in sorted(roles.entries(), key=lambda name: name in found):
        replicas, role = roles.at(name, "replicas").number(), name.lower()
        pods = 1 if replicas is None else replicas
        needed = 0 if name in absent else min(pods, left)
        left -= needed
        if (cut := found.get(name)) is None:
            subgroups.append(leaf(roles, role, needed))
        elif pods:
            subgroups.append(parent(cut.field, role, -(-pods // cut.size)))
            subgroups += cut.segments(role, pods, needed, above=role)
    return Division(tuple(subgroups), {name.lower(): cut for name, cut in found.items()})
