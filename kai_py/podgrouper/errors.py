"""What can be wrong with a workload, seen from its pods."""

from __future__ import annotations

from kai_py.errors import MalformedObjectError


class GroupingError(MalformedObjectError):
    """An owner (or the pod) says something that cannot be meant; its pods wait, all others go on."""

    code = "Grouping"


class GroupingPending(GroupingError):  # noqa: N818  # nothing is wrong (yet)
    """Something that a rule has to read is not known yet; the pods wait until it is."""

    code = "GroupingPending"
