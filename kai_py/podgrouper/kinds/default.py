"""Every other kind: one podgroup for the whole workload, whose pods start one by one."""

from __future__ import annotations

from kai_py.podgrouper.kinds.base import group_for, member
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import Context


def default(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the owner, with a minimum of one: nobody told us that the pods need each other."""
    return member(group_for(lineage, owner, context, priority="train"), context, written=True)
