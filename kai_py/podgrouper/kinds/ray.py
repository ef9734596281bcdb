"""Ray: a RayCluster, or that of a RayJob or RayService, is a podgroup, with subgroups for the head and the workers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from kai_py.api import keys
from kai_py.api.meta import OwnerReference
from kai_py.api.podgroup import SubGroup, TopologyConstraint
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import Rule, document, group_for, member, name_for, pending
from kai_py.podgrouper.kinds.single import alone
from kai_py.podgrouper.kinds.subgroups import TEMPLATE, checked, constraint_of, leaf
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context

_GROUP = "ray.io"
_HEAD = "headgroup"

#: Where a RayJob and a RayService say in their status which RayCluster they have made.
RAY_JOB_STATUS: Final = (("rayClusterName",),)
RAY_SERVICE_STATUS: Final = (("activeServiceStatus", "rayClusterName"), ("pendingServiceStatus", "rayClusterName"))


class _Shape(NamedTuple):
    """What of a RayCluster its pods have in common."""

    minimum: int
    subgroups: tuple[SubGroup, ...]


def ray_cluster(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of a RayCluster: the head, and of each group of workers the least, or else all replicas."""
    return _cluster(lineage, owner, owner, context)


def _made_of(*paths: tuple[str, ...]) -> Rule:
    """The rule of a kind that makes a RayCluster, whose name its status has at one of these paths."""

    def rule(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
        cluster = lineage.nearest((_GROUP, "RayCluster"))
        if cluster is None and lineage.nearest(("batch", "Job")) is not None:
            # It submits the work when the cluster runs, and is no part of it.
            return alone(lineage, owner, context, priority=TRAIN)
        if cluster is None:
            cluster = _named(lineage, owner, context, *paths)
        return _cluster(lineage, owner, cluster, context)

    return rule


ray_job: Rule = _made_of(*RAY_JOB_STATUS)
ray_service: Rule = _made_of(*RAY_SERVICE_STATUS)


def _named(lineage: Lineage, owner: Ancestor, context: Context, *paths: tuple[str, ...]) -> Ancestor:
    status = document(lineage, owner).at("status")
    name = next((name for path in paths if (name := status.at(*path).text())), "")
    if not name:
        raise pending(lineage, owner, "has no RayCluster yet")
    known = context.surroundings.find(_GROUP, "RayCluster", lineage.pod.metadata.namespace, name)
    if known is None:
        raise pending(lineage, owner, f"RayCluster {name!r} is not known (yet)")
    reference = OwnerReference(
        api_version=owner.reference.api_version, kind="RayCluster", name=name, uid=known.metadata.uid
    )
    return Ancestor(reference, known)


def _cluster(lineage: Lineage, owner: Ancestor, cluster: Ancestor, context: Context) -> Membership:
    source = document(lineage, cluster)
    shape = context.memo.of(cluster.known, "ray", lambda: _shape(source))
    subgroups = shape.subgroups if _has_subgroups(lineage, owner, context) else ()
    group = group_for(lineage, owner, context, priority=TRAIN, min_member=shape.minimum, sub_groups=subgroups)
    if said := owner.labels.get(keys.RAY_PRIORITY_CLASS_LABEL):
        group = replace(group, priority_class=said)
    name = lineage.itself.labels.get(keys.RAY_GROUP_LABEL)
    known = name in {one.name for one in subgroups}
    return member(group, context, written=True, subgroup=name if known else None)


def _has_subgroups(lineage: Lineage, owner: Ancestor, context: Context) -> bool:
    """Whether the podgroup is divided; one that an earlier KAI made is not."""
    if not context.options.legacy:
        return True
    found = context.surroundings.podgroup(lineage.pod.metadata.namespace, name_for(owner.reference))
    return found is None or bool(found.spec.sub_groups)


def _shape(source: Field) -> _Shape:
    subgroups = checked(source.at("spec", "workerGroupSpecs"), _subgroups(source))
    return _Shape(sum(one.min_member or 0 for one in subgroups), subgroups)


def _subgroups(source: Field) -> Iterator[SubGroup]:
    head = source.at("spec", "headGroupSpec")
    yield leaf(head, _HEAD, 1, topology=_topology(head))
    for index, group in enumerate(source.at("spec", "workerGroupSpecs").items()):
        if minimum := _workers(group):
            name = group.at("groupName")
            yield leaf(name, name.text() or f"worker-group-{index}", minimum, topology=_topology(group))


def _workers(group: Field) -> int:
    """How many workers of a group must start together: its least replicas, or all where it names no least.

    A replica may consist of several hosts.
    """
    if group.at("suspended").flag() or group.at("suspend").flag():
        return 0
    replicas, least = group.at("replicas").number() or 0, group.at("minReplicas").number() or 0
    if least > replicas:
        raise group.at("minReplicas").wrong(f"should be at most replicas ({replicas})")
    hosts = group.at("numOfHosts").number(least=1)
    return (least or replicas) * (1 if hosts is None else hosts)


def _topology(group: Field) -> TopologyConstraint | None:
    annotations = group.at(*TEMPLATE)
    topology = annotations.at(keys.TOPOLOGY_ANNOTATION)
    levels = (annotations.at(keys.REQUIRED_LEVEL_ANNOTATION), annotations.at(keys.PREFERRED_LEVEL_ANNOTATION))
    if any(level.text() for level in levels) and not topology.text():
        raise topology.missing()
    return constraint_of(annotations)
