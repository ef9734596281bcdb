"""batch Job: one podgroup; the pods start one by one unless an annotation asks for a gang."""

from __future__ import annotations

import re
from typing import Final

from kai_py.api.keys import BATCH_MIN_MEMBER_ANNOTATION
from kai_py.errors import Fault
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.kinds.base import group_for, member
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import Context

_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_LARGEST: Final = 2**31 - 1


def job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the Job.

    Raises:
        GroupingError: the annotation ``kai.scheduler/batch-min-member`` is not a whole number from 0 on.
    """
    group = group_for(lineage, owner, context, priority="train", min_member=_minimum(lineage))
    return member(group, context, written=True)


def cron_job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the Job below the CronJob: each run is a group of its own."""
    below = lineage.owners[lineage.owners.index(owner) - 1]
    if below is owner or below.kind != ("batch", "Job"):
        raise GroupingError(
            [Fault(lineage.where(owner), "", f"no Job in between owns {lineage.where(lineage.itself)}")]
        )
    return job(lineage, below, context)


def _minimum(lineage: Lineage) -> int:
    for voice, text in lineage.annotations(BATCH_MIN_MEMBER_ANNOTATION):
        if not _NUMBER.fullmatch(text) or int(text) > _LARGEST:
            field = f"metadata.annotations[{BATCH_MIN_MEMBER_ANNOTATION}]"
            raise GroupingError([Fault(lineage.where(voice), field, f"{text[:40]!r} is not a number of pods")])
        return int(text)
    return 1
