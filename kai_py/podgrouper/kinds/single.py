"""Pods that stand alone: a bare pod, and each pod of a Deployment, whose replicas need not wait for each other."""

from __future__ import annotations

from kai_py.podgrouper.kinds.base import group_for, member
from kai_py.podgrouper.kinds.spark import is_spark, spark_application
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import INFERENCE, TRAIN, Context


def bare_pod(lineage: Lineage, context: Context) -> Membership:
    """A pod that nobody owns, or that is wrapped directly: a group of its own, in memory; of Spark, its application."""
    if is_spark(lineage):
        return spark_application(lineage, lineage.itself, context)
    return alone(lineage, lineage.itself, context, priority=TRAIN)


def deployment(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """A pod of a Deployment: a group of its own, in memory; its work is to serve.

    So replicas of a server (Triton, vLLM, a predictor of KServe) come and go one by one.
    """
    return alone(lineage, owner, context, priority=INFERENCE)


def alone(lineage: Lineage, traits_of: Ancestor, context: Context, *, priority: str) -> Membership:
    """The podgroup of this pod alone, which lives in memory."""
    return member(
        group_for(lineage, lineage.itself, context, priority=priority, traits_of=traits_of), context, written=False
    )
