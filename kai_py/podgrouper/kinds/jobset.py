"""JobSet: one podgroup; a subgroup for each replicated Job, and in it one for each replica, which is a gang."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kai_py.api.keys import BATCH_MIN_MEMBER_ANNOTATION, JOB_INDEX_LABEL, JOBSET_INDEX_LABEL, JOBSET_JOB_LABEL
from kai_py.api.podgroup import SubGroup
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import document, group_for, member, name_for, pod_field
from kai_py.podgrouper.kinds.segments import Cut, cut_by_template
from kai_py.podgrouper.kinds.subgroups import TEMPLATE, checked, constraint_of, leaf, limited, parent
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context


class _Shape(NamedTuple):
    """What of a JobSet its pods have in common."""

    jobs: tuple[str, ...]
    minimum: int
    in_order: bool
    subgroups: tuple[SubGroup, ...]
    names: frozenset[str]
    cuts: Mapping[str, Cut]


def jobset(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the JobSet.

    All replicated Jobs are needed, or as many as the annotation ``kai.scheduler/batch-min-member`` says; where the
    JobSet's controller makes some only after others, those that are there together. Of a replica, all pods, or what
    the same annotation on its template says.

    Raises:
        GroupingError: there are no replicated Jobs, a number is none, or the pod belongs to no replica.
        GroupingPending: the JobSet's spec is not known.
    """
    source = document(lineage, owner)
    shape = context.memo.of(owner.known, "jobset", lambda: _shape(source, owner))
    if _is_flat(lineage, owner, shape, context):
        return _flat(lineage, owner, shape, context)
    name, index = pod_field(lineage, "labels", JOBSET_JOB_LABEL), pod_field(lineage, "labels", JOBSET_INDEX_LABEL)
    if not name.text():
        raise name.missing()
    if not index.text():
        raise index.missing()
    replica = _replica(str(name.text()), str(index.text()))
    if replica not in shape.names:
        raise index.wrong(f"{source.where} has no replica of this number of {name.text()!r}")
    if (cut := shape.cuts.get(str(name.text()))) is not None:
        replica = cut.segment(replica, pod_field(lineage, "labels", JOB_INDEX_LABEL))
    group = group_for(
        lineage,
        owner,
        context,
        priority=TRAIN,
        min_member=None,
        min_sub_group=shape.minimum,
        sub_groups=shape.subgroups,
    )
    return member(group, context, written=True, subgroup=replica)


def _shape(source: Field, owner: Ancestor) -> _Shape:
    listed = source.at("spec", "replicatedJobs")
    jobs = list(listed.items())
    if not jobs:
        raise listed.fault("a JobSet needs at least one")
    cuts = {str(one.at("name").text()): cut for one in jobs if (cut := _cut(one, owner)) is not None}
    subgroups = checked(listed, (subgroup for one in jobs for subgroup in _job(one, cuts)))
    names = tuple(str(one.at("name").text()) for one in jobs if _replicas(one))
    if not names:
        raise listed.fault("no Job has any replica")
    in_order = source.at("spec", "startupPolicy", "startupPolicyOrder").text() == "InOrder"
    minimum = min(_asked(source, owner) or (1 if in_order else _together(jobs)), len(names))
    replicas = frozenset(one.name for one in subgroups if one.parent in names)
    return _Shape(names, minimum, in_order, subgroups, replicas, cuts)


def _together(jobs: list[Field]) -> int:
    """How many replicated Jobs are there together whatever has happened: their controller makes some after others.

    One that depends on another is made when that one is ready, and one that waits for another's end perhaps when
    nobody else is left. Whoever waited for all of them at the start would wait for ever.
    """
    there = [one for one in jobs if _replicas(one)]
    awaited = [list(one.at("dependsOn").items()) for one in there]
    if any(other.at("status").text() == "Complete" for others in awaited for other in others):
        return 1
    return max(sum(not others for others in awaited), 1)


def _cut(job: Field, owner: Ancestor) -> Cut | None:
    """How the pods of a replica are cut, by annotations of their template, or of their Job's."""
    of_pods = job.at("template", "spec", "template", "metadata", "annotations")
    return cut_by_template(of_pods, owner) or cut_by_template(job.at(*TEMPLATE), owner)


def _job(source: Field, cuts: Mapping[str, Cut]) -> Iterator[SubGroup]:
    """The subgroups of a replicated Job; none if it has no replicas."""
    name, replicas = source.at("name"), _replicas(source)
    if not name.text():
        raise name.missing()
    limited(source, replicas)
    if not replicas:
        return
    annotations = source.at(*TEMPLATE)
    asked = annotations.at(BATCH_MIN_MEMBER_ANNOTATION).numeral(least=1)
    minimum, topology = _pods(source) if asked is None else asked, constraint_of(annotations)
    yield parent(name, str(name.text()), replicas)
    cut, above = cuts.get(str(name.text())), str(name.text())
    for index in range(replicas):
        replica = _replica(above, index)
        pods = max(_indices(source), minimum)
        if cut is None or not pods:
            yield leaf(name, replica, minimum, parent=above, topology=topology)
        else:
            yield parent(name, replica, -(-pods // cut.size), above=above, topology=topology)
            yield from cut.segments(replica, pods, minimum, above=replica)


def _replicas(source: Field) -> int:
    replicas = source.at("replicas").number()
    return 1 if replicas is None else replicas


def _pods(source: Field) -> int:
    """How many pods a replica has at once: its Job makes no more than are still to complete."""
    spec = source.at("template", "spec")
    parallelism, completions = spec.at("parallelism").number(), spec.at("completions").number()
    pods = 1 if parallelism is None else parallelism
    return pods if completions is None else min(pods, completions)


def _indices(source: Field) -> int:
    """How many indices the pods of a replica have altogether."""
    completions = source.at("template", "spec", "completions").number()
    return _pods(source) if completions is None else completions


def _replica(job: str, index: object) -> str:
    return f"{job}-replica-{index}"


def _asked(source: Field, owner: Ancestor) -> int | None:
    """How many replicated Jobs the JobSet itself asks for."""
    name = f"metadata.annotations[{BATCH_MIN_MEMBER_ANNOTATION}]"
    return Field(source.where, name, owner.annotations.get(BATCH_MIN_MEMBER_ANNOTATION)).numeral(least=1)


# -- as an earlier KAI grouped JobSets -----------------------------------------------------------------


def _is_flat(lineage: Lineage, owner: Ancestor, shape: _Shape, context: Context) -> bool:
    """Whether a podgroup of the JobSet exists that has no subgroups."""
    if not context.options.legacy:
        return False
    names = (name_for(owner.reference, suffix=suffix) for suffix in ("", *(f"-{job}" for job in shape.jobs)))
    found = (context.surroundings.podgroup(lineage.pod.metadata.namespace, name) for name in names)
    return any(podgroup is not None and not podgroup.spec.sub_groups for podgroup in found)


def _flat(lineage: Lineage, owner: Ancestor, shape: _Shape, context: Context) -> Membership:
    job = pod_field(lineage, "labels", JOBSET_JOB_LABEL)
    if not job.text():
        raise job.missing()
    name = name_for(owner.reference, suffix=f"-{job.text()}" if shape.in_order else "")
    minimum = _asked(document(lineage, owner), owner) or 1
    group = group_for(lineage, owner, context, priority=TRAIN, min_member=minimum, name=name)
    return member(group, context, written=True)
