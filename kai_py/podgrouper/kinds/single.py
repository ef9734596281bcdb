"""Pods that stand alone: a bare pod, and each pod of a Deployment, whose replicas need not wait for each other."""

from __future__ import annotations

from kai_py.podgrouper.kinds.base import group_for, member
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import Context


def bare_pod(lineage: Lineage, context: Context) -> Membership:
    """A pod without an owner: a group of its own, in memory."""
    return member(group_for(lineage, lineage.itself, context, priority="train"), context, written=False)


def deployment(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:  # noqa: ARG001  # a Rule
    """A pod of a Deployment: a group of its own, in memory; its work is to serve."""
    return member(group_for(lineage, lineage.itself, context, priority="inference"), context, written=False)
