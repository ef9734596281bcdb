"""PyTorchJob: one podgroup with subgroups for master and workers; the workers may be cut into segments."""

from __future__ import annotations

from collections.abc import Iterator

from kai_py.api import keys
from kai_py.api.podgroup import SubGroup
from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import document, group_for, member, pod_field
from kai_py.podgrouper.kinds.kubeflow import all_replicas, minimum_of
from kai_py.podgrouper.kinds.segments import Cut, segment_constraint
from kai_py.podgrouper.kinds.subgroups import TEMPLATE, checked, leaf, parent
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context

_SPECS = "pytorchReplicaSpecs"
_MASTER = "master"
_WORKER = "worker"


def pytorch_job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the PyTorchJob.

    Its minimum is the scheduling policy's, else the elastic policy's, else all replicas. Segments that begin beyond
    the minimum start on their own.

    Raises:
        GroupingError: a number or the division into segments makes no sense.
        GroupingPending: the job's spec is not known.
    """
    source = document(lineage, owner)
    segment = pod_field(lineage, "annotations", keys.SEGMENT_SIZE_ANNOTATION).numeral(least=1)
    if segment is None:
        segment = context.memo.of(owner.known, "pytorch segment", lambda: _segment_size(source))
    minimum = context.memo.of(owner.known, "pytorch minimum", lambda: minimum_of(source, lambda: _elastic(source)))
    # Annotations of the pods may differ from those of the template, as long as they agree with each other.
    asks = tuple(lineage.itself.annotations.get(key) for key in (keys.TOPOLOGY_ANNOTATION, *_LEVELS))
    subgroups = context.memo.of(
        owner.known,
        ("pytorch", segment, asks),
        lambda: checked(source.at("spec", _SPECS), _subgroups(lineage, owner, source, minimum, segment)),
    )
    group = group_for(lineage, owner, context, priority=TRAIN, min_member=minimum, sub_groups=subgroups)
    return member(group, context, written=True, subgroup=_subgroup(lineage, subgroups, segment))


_LEVELS = (keys.SEGMENT_REQUIRED_ANNOTATION, keys.SEGMENT_PREFERRED_ANNOTATION)


def _elastic(source: Field) -> int:
    replicas = all_replicas(source, _SPECS)
    policy = source.at("spec", "elasticPolicy")
    least, most = policy.at("minReplicas").number(), policy.at("maxReplicas").number()
    if least is not None and most is not None and least > most:
        raise policy.at("minReplicas").wrong(f"should be at most maxReplicas ({most})")
    return replicas if least is None else least


def _replicas(source: Field, role: str) -> int | None:
    """The replicas of a role, one if it does not say; ``None`` if there is no such role."""
    field = source.at("spec", _SPECS, role)
    if not field:
        return None
    replicas = field.at("replicas").number()
    return 1 if replicas is None else replicas


def _subgroups(
    lineage: Lineage, owner: Ancestor, source: Field, minimum: int, segment: int | None
) -> Iterator[SubGroup]:
    masters, workers = _replicas(source, "Master"), _replicas(source, "Worker")
    if masters is None and workers is None:
        raise source.at("spec", _SPECS).missing()
    if masters:
        yield leaf(source, _MASTER, masters)
    if workers is None:
        return
    needed = max(0, minimum - (masters or 0))
    if not segment or not workers:
        yield leaf(source, _WORKER, needed)
        return
    template = source.at("spec", _SPECS, "Worker", *TEMPLATE)
    said = template.at(keys.SEGMENT_SIZE_ANNOTATION)
    cut = Cut(said, segment, segment_constraint(lineage, owner, template))
    yield parent(source, _WORKER, -(-workers // segment))
    yield from cut.segments(_WORKER, workers, needed, above=_WORKER)


def _segment_size(source: Field) -> int | None:
    template = source.at("spec", _SPECS, "Worker", *TEMPLATE)
    return template.at(keys.SEGMENT_SIZE_ANNOTATION).numeral(least=1)


def _subgroup(lineage: Lineage, subgroups: tuple[SubGroup, ...], segment: int | None) -> str | None:
    role = lineage.itself.labels.get(keys.KUBEFLOW_REPLICA_TYPE_LABEL, "").lower()
    names = {subgroup.name for subgroup in subgroups if subgroup.min_sub_group is None}
    if role == _WORKER and segment and _WORKER not in names:
        index = pod_field(lineage, "labels", keys.KUBEFLOW_REPLICA_INDEX_LABEL)
        if (number := index.numeral(least=0)) is None:
            raise index.missing()
        role = f"{_WORKER}-{number // segment}"
    return role if role in names else None
