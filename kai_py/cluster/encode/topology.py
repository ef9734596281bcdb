"""What a podgroup asks of a topology: as it is written, and as levels or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from kai_py.api.keys import RANK_GROUP_SIZE_ANNOTATION, RANK_PATTERN_ANNOTATION
from kai_py.api.podgroup import SubGroup, TopologyConstraint
from kai_py.core.tables.domains import ROOT, Topology
from kai_py.core.tables.patterns import Pattern, Shape
from kai_py.core.tables.pods import NONE
from kai_py.errors import Fault


class Asked(NamedTuple):
    """What one subgroup, or the podgroup itself, asks for.

    Attributes:
        row: counted from the podgroup's first row; 0 = the podgroup itself.
        field: of the PodGroup.
        topology: name of the Topology.
        required: level by label or alias; empty = none.
        preferred: the same.
    """

    row: int
    field: str
    topology: str
    required: str
    preferred: str


class Constraints(NamedTuple):
    """What a podgroup asks for.

    Attributes:
        asked: at least one, in the order of the rows.
        pattern: who of its pods talks to whom, or what is wrong with the annotations that say so.
    """

    asked: tuple[Asked, ...]
    pattern: Pattern | Fault


RANK_ANNOTATIONS: Final = (RANK_PATTERN_ANNOTATION, RANK_GROUP_SIZE_ANNOTATION)
#: A tensor parallel group is as large as what is wired together; nothing that is built has more.
_LARGEST_GROUP: Final = 4096


class Levels(NamedTuple):
    """What one subgroup asks for, resolved: row as in :class:`Asked`, and levels of a topology."""

    row: int
    topology: Topology
    required: int
    preferred: int


#: No Topology has such a name.
_BY_LABEL: Final = "by node label "


def by_label(said: TopologyConstraint | None) -> TopologyConstraint | None:
    """A constraint of Kubernetes' own PodGroups: they name the label of nodes, and need no Topology for it."""
    if said is None or said.topology or not said.required_topology_level:
        return said
    return said.model_copy(update={"topology": _BY_LABEL + said.required_topology_level})


def label_of(topology: str) -> str:
    """The label of a topology that is nothing but that; empty for the name of a Topology."""
    return topology.removeprefix(_BY_LABEL) if topology.startswith(_BY_LABEL) else ""


def constraints_of(
    podgroup: TopologyConstraint | None, subgroups: Sequence[SubGroup], annotations: Mapping[str, str], where: str
) -> Constraints | None:
    """All constraints of a podgroup that name a level; one without a level asks for nothing.

    Args:
        podgroup: of the podgroup itself.
        subgroups: of a sound spec; their rows are in the order of their names, behind the podgroup's own.
        annotations: of the podgroup.
        where: names it in faults.

    Returns:
        None where nothing is asked for.
    """
    asked = [] if podgroup is None else [_asked(0, "spec.topologyConstraint", podgroup)]
    if any(subgroup.topology_constraint is not None for subgroup in subgroups):
        for row, subgroup in enumerate(sorted(subgroups, key=lambda one: one.name), start=1):
            if subgroup.topology_constraint is not None:
                field = f"spec.subGroups[{subgroup.name}].topologyConstraint"
                asked.append(_asked(row, field, subgroup.topology_constraint))
    named = tuple(one for one in asked if one.required or one.preferred)
    return Constraints(named, _pattern(annotations, where)) if named else None


def _pattern(annotations: Mapping[str, str], where: str) -> Pattern | Fault:
    """Who of a podgroup's pods talks to whom, by index: a ring of single pods unless annotations say otherwise."""
    text, size = annotations.get(RANK_PATTERN_ANNOTATION, Shape.RING), annotations.get(RANK_GROUP_SIZE_ANNOTATION, "1")
    if text not in set(Shape):
        message = f"should be {', '.join(Shape)}, not {text[:40]!r}"
        return Fault(where, f"metadata.annotations[{RANK_PATTERN_ANNOTATION}]", message)
    if not (size.isascii() and size.isdecimal() and len(size) < 9 and 1 <= int(size) <= _LARGEST_GROUP):
        message = f"should be a number of pods from 1 to {_LARGEST_GROUP}, not {size[:40]!r}"
        return Fault(where, f"metadata.annotations[{RANK_GROUP_SIZE_ANNOTATION}]", message)
    return Pattern(Shape(text), int(size))


def _asked(row: int, field: str, said: TopologyConstraint) -> Asked:
    return Asked(row, field, said.topology, said.required_topology_level, said.preferred_topology_level)


def resolve(
    where: str, constraints: Sequence[Asked], topologies: Mapping[str, Topology | Fault]
) -> tuple[Levels, ...] | Fault:
    """Find the levels that a podgroup and its subgroups name, or the first thing that is wrong.

    Args:
        where: the podgroup, for faults.
        constraints: at least one.
        topologies: those that exist, or what is wrong with them.
    """
    levels = []
    for asked in constraints:
        if not asked.topology:
            return Fault(where, f"{asked.field}.topology", "is required where a level is named")
        topology = topologies.get(asked.topology)
        if topology is None:
            return Fault(where, f"{asked.field}.topology", f"there is no Topology {asked.topology}")
        if isinstance(topology, Fault):
            return topology
        if isinstance(found := _levels(where, asked, topology), Fault):
            return found
        levels.append(found)
    return tuple(levels)


def _levels(where: str, asked: Asked, topology: Topology) -> Levels | Fault:
    found = []
    for field, said in (("requiredTopologyLevel", asked.required), ("preferredTopologyLevel", asked.preferred)):
        level = topology.level(said) if said else ROOT
        if level is None:
            known = ", ".join(map(str, topology.levels))
            return Fault(where, f"{asked.field}.{field}", f"Topology {topology.name} has no level {said}, but {known}")
        found.append(level)
    required, preferred = found
    if preferred != ROOT and preferred < required:
        message = f"{asked.preferred} is wider than {asked.required}, which is required"
        return Fault(where, f"{asked.field}.preferredTopologyLevel", message)
    if required != ROOT and not (topology.domain_idx[required] != NONE).any():
        labels = ", ".join(level.label for level in topology.levels[: required + 1])
        message = f"no node is in a domain of {asked.required}: none has {_the_labels(required)} {labels}"
        return Fault(where, f"{asked.field}.requiredTopologyLevel", message)
    return Levels(asked.row, topology, required, preferred)


def _the_labels(level: int) -> str:
    return "the label" if level == 0 else "all labels"
