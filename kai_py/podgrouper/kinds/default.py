"""Every other kind: one podgroup for the whole workload, whose pods start one by one; of a StatefulSet in segments."""

from __future__ import annotations

from kai_py.api import keys
from kai_py.podgrouper.kinds.base import Rule, group_for, member, pod_field
from kai_py.podgrouper.kinds.segments import cut_by_pod, segment_of, spec_of, whole
from kai_py.podgrouper.kinds.spark import is_spark, spark_application
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import BUILD, INFERENCE, TRAIN, Context

_STATEFUL_SET = ("apps", "StatefulSet")


def _whole(priority: str) -> Rule:
    def rule(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
        if any(keys.SEGMENT_SIZE_ANNOTATION in one.annotations for one in (lineage.itself, owner)):
            if owner.kind == _STATEFUL_SET:
                return _in_segments(lineage, owner, context, priority)
            said = f"annotation {keys.SEGMENT_SIZE_ANNOTATION} means nothing here: no index of the pods is known"
            context.warnings.append(f"{lineage.where(owner)}: {said}")
        return member(group_for(lineage, owner, context, priority=priority), context, written=True)

    return rule


def _in_segments(lineage: Lineage, owner: Ancestor, context: Context, priority: str) -> Membership:
    """The podgroup of a StatefulSet whose pods start one by one, those of a segment near each other."""
    cut, where = cut_by_pod(lineage, owner), lineage.where(owner)
    assert cut is not None, "the pod asks for it"
    spec, index = spec_of(owner, where), pod_field(lineage, "labels", keys.POD_INDEX_LABEL)
    begin, replicas = spec.at("ordinals", "start").number() or 0, spec.at("replicas").number()
    pods = max(1 if replicas is None else replicas, (index.numeral(least=0) or 0) - begin + 1 if not spec else 0)
    asks = ("stateful segments", cut.size, cut.topology, pods)
    subgroups = context.memo.of(owner.known, asks, lambda: whole(cut, pods=pods, needed=0))
    group = group_for(lineage, owner, context, priority=priority, min_member=0, sub_groups=subgroups)
    return member(group, context, written=True, subgroup=segment_of(cut, index, begin=begin))


#: The podgroup of the owner, with a minimum of one: nobody told us that the pods need each other.
default: Rule = _whole(TRAIN)
#: The same for somebody who sits before it (Kubeflow's Notebook).
interactive: Rule = _whole(BUILD)
#: The same for work that serves.
serving: Rule = _whole(INFERENCE)


def made_by_pod(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """Pods that a pod has made: those of Spark's driver are its application, others are one podgroup."""
    return (spark_application if is_spark(lineage) else default)(lineage, owner, context)
