"""What a podgroup asks of a topology: as it is written, and as levels or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kai_py.api.podgroup import SubGroup, TopologyConstraint
from kai_py.core.tables.domains import ROOT, Topology
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


#: In the order of the rows.
Constraints = tuple[Asked, ...]


class Levels(NamedTuple):
    """What one subgroup asks for, resolved: row as in :class:`Asked`, levels of the topology."""

    row: int
    required: int
    preferred: int


def constraints_of(podgroup: TopologyConstraint | None, subgroups: Sequence[SubGroup]) -> Constraints:
    """All constraints of a podgroup that name a level; one without a level asks for nothing.

    Args:
        podgroup: of the podgroup itself.
        subgroups: of a sound spec; their rows are in the order of their names, behind the podgroup's own.
    """
    asked = [] if podgroup is None else [_asked(0, "spec.topologyConstraint", podgroup)]
    if any(subgroup.topology_constraint is not None for subgroup in subgroups):
        for row, subgroup in enumerate(sorted(subgroups, key=lambda one: one.name), start=1):
            if subgroup.topology_constraint is not None:
                field = f"spec.subGroups[{subgroup.name}].topologyConstraint"
                asked.append(_asked(row, field, subgroup.topology_constraint))
    return tuple(one for one in asked if one.required or one.preferred)


def _asked(row: int, field: str, said: TopologyConstraint) -> Asked:
    return Asked(row, field, said.topology, said.required_topology_level, said.preferred_topology_level)


def resolve(
    where: str, constraints: Constraints, topologies: Mapping[str, Topology | Fault]
) -> tuple[Topology, tuple[Levels, ...]] | Fault:
    """Find the levels that a podgroup names, or the first thing that is wrong.

    Args:
        where: the podgroup, for faults.
        constraints: at least one.
        topologies: those that exist, or what is wrong with them.
    """
    name = constraints[0].topology
    for asked in constraints:
        if not asked.topology:
            return Fault(where, f"{asked.field}.topology", "is required where a level is named")
        if asked.topology != name:
            message = f"is {asked.topology}, but {constraints[0].field} is about {name}: one podgroup, one Topology"
            return Fault(where, f"{asked.field}.topology", message)
    topology = topologies.get(name)
    if topology is None:
        return Fault(where, f"{constraints[0].field}.topology", f"there is no Topology {name}")
    if isinstance(topology, Fault):
        return topology
    levels = []
    for asked in constraints:
        if isinstance(found := _levels(where, asked, topology), Fault):
            return found
        levels.append(found)
    return topology, tuple(levels)


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
    return Levels(asked.row, required, preferred)


def _the_labels(level: int) -> str:
    return "the label" if level == 0 else "all labels"
