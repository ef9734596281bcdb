"""LeaderWorkerSet: each replica, a leader and its workers, is a podgroup; workers may be cut into segments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kai_py.api import keys
from kai_py.api.podgroup import SubGroup, TopologyConstraint
from kai_py.podgrouper.fields import Field, whole_number
from kai_py.podgrouper.kinds.base import document, group_for, member, name_for, pod_field
from kai_py.podgrouper.kinds.segments import segment_constraint
from kai_py.podgrouper.kinds.subgroups import checked, first, leaf, limited, parent
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import TRAIN, Context

_LEADER = "leader"
_WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class _Cut:
    """How the pods of a replica, numbered from the leader's 0, are cut into segments.

    Attributes:
        pods: of the replica.
        size: of a segment.
        apart: whether the leader is in no segment.
    """

    pods: int
    size: int
    apart: bool

    @property
    def extra(self) -> bool:
        """Whether the leader is counted beside its segment: the workers alone fill all segments."""
        return (self.pods - 1) % self.size == 0

    def segment(self, index: int) -> int:
        """The segment of a worker."""
        return (index - 1 if self.extra else index) // self.size if index else 0

    @property
    def count(self) -> int:
        """How many segments there are."""
        return self.segment(self.pods - 1) + 1

    def workers(self, segment: int) -> int:
        """How many workers are in a segment."""
        begin = segment * self.size + 1 if self.extra else max(segment * self.size, 1)
        end = (segment + 1) * self.size + (1 if self.extra else 0)
        return min(end, self.pods) - begin


def leader_worker_set(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the pod's replica: all of its pods, or the leader alone while workers are made only after it.

    Raises:
        GroupingError: a number or the division into segments makes no sense.
        GroupingPending: the set's spec is not known.
    """
    source = document(lineage, owner)
    pods = _pods(lineage, source)
    worker = pod_field(lineage, "labels", keys.LWS_WORKER_INDEX_LABEL).numeral(least=0)
    # A leader that is alone at first is in no segment.
    cut = context.memo.of(owner.known, ("lws cut", pods), lambda: _cut(source, owner, pods) if pods > 1 else None)
    topology = _topology(lineage, owner, source) if cut else None
    subgroups = context.memo.of(
        owner.known, ("lws", pods, topology), lambda: checked(source, _subgroups(source, pods, cut, topology))
    )
    index = whole_number(lineage.itself.labels.get(keys.LWS_GROUP_INDEX_LABEL, ""))
    name = name_for(owner.reference, suffix="" if index is None else f"-group-{index}")
    group = group_for(lineage, owner, context, priority=TRAIN, min_member=pods, sub_groups=subgroups, name=name)
    subgroup = _subgroup(lineage, worker, cut)
    known = subgroup in {one.name for one in subgroups if one.min_sub_group is None}
    return member(group, context, written=True, subgroup=subgroup if known else None)


def _pods(lineage: Lineage, source: Field) -> int:
    """How many pods of the replica must start together."""
    field = source.at("spec", "leaderWorkerTemplate", "size")
    if (size := field.number(least=1)) is None:
        raise field.missing()
    policy = source.at("spec", "startupPolicy")
    if policy.text() in {None, "LeaderCreated"}:
        return size
    if policy.text() != "LeaderReady":
        raise policy.wrong("should be LeaderCreated or LeaderReady")
    if lineage.itself.labels.get(keys.LWS_WORKER_INDEX_LABEL) == "0" and not lineage.pod.spec.node_name:
        return 1  # the workers are not made before the leader is ready
    said = whole_number(lineage.itself.annotations.get(keys.LWS_SIZE_ANNOTATION, ""))
    return said if said is not None and said > 0 else size


def _cut(source: Field, owner: Ancestor, pods: int) -> _Cut | None:
    template = source.at("spec", "leaderWorkerTemplate")
    policy, key = template.at("subGroupPolicy"), keys.SEGMENT_SIZE_ANNOTATION
    of_owner = Field(source.where, f"metadata.annotations[{key}]", owner.annotations.get(key))
    said = first([of_owner, template.at("workerTemplate", "metadata", "annotations", key)])
    of_policy = policy.at("subGroupSize")
    field = of_policy or said
    size = of_policy.number(least=2) if of_policy else said.numeral(least=2)
    if size is None:
        return None
    if size > pods:
        raise field.wrong(f"should be at most the {pods} pods of a replica")
    cut = _Cut(pods, size, apart=policy.at("subGroupPolicyType").text() == "LeaderExcluded")
    if cut.apart and not cut.extra:
        raise field.wrong(f"does not divide the {pods - 1} workers, as subGroupPolicyType LeaderExcluded needs")
    limited(field, cut.count)
    return cut


def _topology(lineage: Lineage, owner: Ancestor, source: Field) -> TopologyConstraint | None:
    template = source.at("spec", "leaderWorkerTemplate", "workerTemplate")
    return segment_constraint(lineage, owner, template.at("metadata", "annotations")) if template else None


def _subgroups(source: Field, pods: int, cut: _Cut | None, topology: TopologyConstraint | None) -> Iterator[SubGroup]:
    if cut is None:
        yield leaf(source, _LEADER, 1)
        if pods > 1:
            yield leaf(source, _WORKERS, pods - 1)
        return
    if cut.apart:
        yield leaf(source, _LEADER, 1)
    else:
        yield parent(source, _segment(0), 2, topology=topology)
        yield leaf(source, _LEADER, 1, parent=_segment(0))
        yield leaf(source, _WORKERS, cut.workers(0), parent=_segment(0))
    for segment in range(0 if cut.apart else 1, cut.count):
        yield leaf(source, _segment(segment), cut.workers(segment), topology=topology)


def _segment(number: int) -> str:
    return f"segment-{number}"


def _subgroup(lineage: Lineage, worker: int | None, cut: _Cut | None) -> str:
    if worker == 0:
        return _LEADER
    if cut is None:
        return _WORKERS
    if worker is None:
        raise pod_field(lineage, "labels", keys.LWS_WORKER_INDEX_LABEL).missing()
    segment = cut.segment(worker)
    return _WORKERS if segment == 0 and not cut.apart else _segment(segment)
