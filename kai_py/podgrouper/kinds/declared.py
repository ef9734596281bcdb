"""Kinds that an administrator has described in the settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kai_py.podgrouper.fields import Field
from kai_py.podgrouper.kinds.base import Rule, document, group_for, member
from kai_py.podgrouper.kinds.single import alone
from kai_py.podgrouper.kinds.subgroups import checked, leaf
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.options import DeclaredKind
from kai_py.podgrouper.traits import Context

_STEP: Final = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


def declared(kind: DeclaredKind) -> Rule:
    """The rule of a kind."""

    def rule(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
        if kind.granularity == "pod":
            return alone(lineage, owner, context, priority=kind.priority_class)
        source = document(lineage, owner) if kind.reads_spec else Field(lineage.where(owner), "", {})
        if not kind.roles:
            minimum = _minimum(source, kind.minimum, kind.fixed)
            group = group_for(lineage, owner, context, priority=kind.priority_class, min_member=minimum)
            return member(group, context, written=True)
        subgroups = checked(
            source, [leaf(source, role.name, _minimum(source, role.minimum, role.fixed)) for role in kind.roles]
        )
        group = group_for(
            lineage,
            owner,
            context,
            priority=kind.priority_class,
            min_member=sum(one.min_member or 0 for one in subgroups),
            sub_groups=subgroups,
        )
        return member(group, context, written=True, subgroup=_role(lineage, kind))

    return rule


def _minimum(source: Field, paths: Sequence[str], fixed: int | None) -> int:
    """The number at the first path that exists.

    Raises:
        GroupingError: it is none; or there is none, and no other is given.
    """
    for path in paths:
        if (number := _at(source, path).number()) is not None:
            return number
    if fixed is None:
        raise (_at(source, paths[0]) if paths else source).missing()
    return fixed


def _at(source: Field, path: str) -> Field:
    here = source
    for name, index in _STEP.findall(path):
        if name:
            here = here.at(name)
        else:
            entries = list(here.items())
            here = (
                entries[int(index)] if int(index) < len(entries) else Field(here.where, f"{here.name}[{index}]", None)
            )
    return here


def _role(lineage: Lineage, kind: DeclaredKind) -> str | None:
    """The first role whose labels the pod has."""
    labels = lineage.itself.labels
    fits = (role.name for role in kind.roles if all(labels.get(key) == value for key, value in role.labels))
    return next(fits, None)
