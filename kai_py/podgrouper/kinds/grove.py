"""Grove: each PodGang is a podgroup; its groups of pods are subgroups, and groups of those their parents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from kai_py.api import keys
from kai_py.api.meta import OwnerReference
from kai_py.api.podgroup import SubGroup, TopologyConstraint
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import document, group_for, member, pending, pod_field
from kai_py.podgrouper.kinds.subgroups import checked, constraint, leaf, parent
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Group, Membership
from kai_py.podgrouper.traits import TRAIN, Context

_API = ("scheduler.grove.io", "v1alpha1")


class _Shape(NamedTuple):
    """What of a PodGang its pods have in common."""

    minimum: int
    subgroups: tuple[SubGroup, ...]
    subgroup_of: Mapping[str, str]
    topology: TopologyConstraint | None
    priority_class: str


def grove(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the PodGang that the pod's label ``grove.io/podgang`` names.

    Raises:
        GroupingError: the label is missing, or the PodGang makes no sense or names pods of other namespaces.
        GroupingPending: the PodGang does not exist yet.
    """
    label = pod_field(lineage, "labels", keys.GROVE_PODGANG_LABEL)
    name = label.text()
    if name is None:
        raise label.missing()
    namespace = lineage.pod.metadata.namespace
    known = context.surroundings.find(_API[0], "PodGang", namespace, name)
    if known is None:
        raise pending(lineage, owner, f"PodGang {name!r} is not known (yet)")
    reference = OwnerReference(
        api_version=known.api_version or "/".join(_API), kind="PodGang", name=name, uid=known.metadata.uid
    )
    gang = Ancestor(reference, known)
    source = document(lineage, gang)
    shape = context.memo.of(known, "grove", lambda: _shape(source, gang, namespace))
    # The PodGang is the first to be heard, although it owns no pods.
    heard = replace(lineage, owners=(gang, *lineage.owners))
    made = group_for(heard, gang, context, priority=TRAIN, min_member=shape.minimum, sub_groups=shape.subgroups)
    group = replace(
        made,
        labels=_with(made.labels, lineage, "labels"),
        annotations=_with(made.annotations, lineage, "annotations"),
        priority_class=_priority_class(heard, shape) or made.priority_class,
        topology=_topology(shape.topology, made),
    )
    return member(group, context, written=True, subgroup=shape.subgroup_of.get(lineage.pod.metadata.name))


def _with(said: Mapping[str, str], lineage: Lineage, what: str) -> Mapping[str, str]:
    """What the PodGang says, over what the topmost owner of Grove says."""
    return {**(getattr(lineage.owners[-1], what) if lineage.owners else {}), **said}


def _priority_class(lineage: Lineage, shape: _Shape) -> str:
    """What an owner's label says, else the PodGang's spec: Grove has checked both."""
    owners = (*lineage.owners, *lineage.envelopes)
    said = (owner.labels.get(keys.PRIORITY_CLASS_LABEL) for owner in owners)
    return next((name for name in said if name), shape.priority_class)


def _topology(said: TopologyConstraint | None, made: Group) -> TopologyConstraint | None:
    """What the PodGang's spec says; what it leaves open is filled in from annotations."""
    if said is None or made.topology is None:
        return said or made.topology
    return TopologyConstraint(
        topology=said.topology,
        required_topology_level=said.required_topology_level or made.topology.required_topology_level,
        preferred_topology_level=said.preferred_topology_level or made.topology.preferred_topology_level,
    )


def _shape(source: Field, gang: Ancestor, namespace: str) -> _Shape:
    spec = source.at("spec")
    topology = _topology_name(source.where, gang)
    groups = list(spec.at("podgroups").items())
    names = {_name(group) for group in groups}
    parents: dict[str, str] = {}
    above = list(_parents(spec, topology, names, parents))
    below = [_leaf(group, topology, parents.get(_name(group), "")) for group in groups]
    return _Shape(
        sum(one.min_member or 0 for one in below),
        checked(spec.at("podgroups"), (*above, *below)),
        {pod: _name(group) for group in groups for pod in _pods(group, namespace)},
        _packed(spec, topology),
        spec.at("priorityClassName").text() or "",
    )


def _topology_name(where: str, gang: Ancestor) -> Field:
    for key in (keys.GROVE_TOPOLOGY_ANNOTATION, keys.TOPOLOGY_ANNOTATION):
        if key in gang.annotations:
            return Field(where, f"metadata.annotations[{key}]", gang.annotations[key])
    return Field(where, f"metadata.annotations[{keys.GROVE_TOPOLOGY_ANNOTATION}]", None)


def _packed(part: Field, topology: Field) -> TopologyConstraint | None:
    pack = part.at("topologyConstraint", "packConstraint")
    required, preferred = pack.at("required"), pack.at("preferred")
    if (required.text() or preferred.text()) and not topology.text():
        raise topology.missing()
    return constraint(topology, required, preferred)


def _name(part: Field) -> str:
    field = part.at("name")
    if (name := field.text()) is None:
        raise field.missing()
    return name


def _parents(spec: Field, topology: Field, names: set[str], parents: dict[str, str]) -> Iterator[SubGroup]:
    """The groups of groups; notes in ``parents`` who is in which. A group that has nobody is left out."""
    for config in spec.at("topologyConstraintGroupConfigs").items():
        name = _name(config)
        members = {str(member.text()) for member in config.at("podGroupNames").items() if member.text()} & names
        constrained = _packed(config, topology)
        if members:
            parents.update(dict.fromkeys(members, name))
            yield parent(config, name, len(members), topology=constrained)


def _leaf(group: Field, topology: Field, above: str) -> SubGroup:
    field = group.at("minReplicas")
    if (minimum := field.number(least=1)) is None:
        raise field.missing()
    return leaf(group, _name(group), minimum, parent=above, topology=_packed(group, topology))


def _pods(group: Field, namespace: str) -> Iterator[str]:
    references = group.at("podReferences")
    if not references:
        raise references.missing()
    for reference in references.items():
        where = reference.at("namespace")
        if not where.text():
            raise where.missing()
        if where.text() != namespace:
            raise where.wrong(f"a PodGang may name pods of its own namespace {namespace!r} only")
        yield _name(reference)
