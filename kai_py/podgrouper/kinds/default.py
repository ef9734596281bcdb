"""Every other kind: one podgroup for the whole workload, whose pods start one by one."""

from __future__ import annotations

from kai_py.podgrouper.kinds.base import Rule, group_for, member
from kai_py.podgrouper.kinds.spark import is_spark, spark_application
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import BUILD, INFERENCE, TRAIN, Context


def _whole(priority: str) -> Rule:
    def rule(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
        return member(group_for(lineage, owner, context, priority=priority), context, written=True)

    return rule


#: The podgroup of the owner, with a minimum of one: nobody told us that the pods need each other.
default: Rule = _whole(TRAIN)
#: The same for somebody who sits before it (Kubeflow's Notebook).
interactive: Rule = _whole(BUILD)
#: The same for work that serves.
serving: Rule = _whole(INFERENCE)


def made_by_pod(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """Pods that a pod has made: those of Spark's driver are its application, others are one podgroup."""
    return (spark_application if is_spark(lineage) else default)(lineage, owner, context)
