"""What derived podgroups ask for, shared among all that ask for the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from kai_py.api.podgroup import Preemptibility, SubGroup, TopologyConstraint
from kai_py.cluster.encode.podgroup import SubGroupRow, subgroup_rows
from kai_py.cluster.membership import DerivedGroup, Membership

#: What a podgroup asks for, in the order of the fields of ``Terms``.
_Asks = tuple[str, str, int | None, int | None, tuple[SubGroup, ...], Preemptibility, TopologyConstraint | None]


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Terms:
    """The part of a derived podgroup that decides how it is scheduled.

    Attributes:
        derived: all of it, where an object should be written for it.
        rows: its subgroups.
    """

    queue: str
    priority_class: str
    min_member: int | None
    min_sub_group: int | None
    sub_groups: tuple[SubGroup, ...]
    preemptibility: Preemptibility
    topology: TopologyConstraint | None
    derived: DerivedGroup | None = field(default=None, hash=False)
    rows: tuple[SubGroupRow, ...] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", subgroup_rows(self))


class TermsPool:
    """Makes equal terms one object: fifty thousand pods that stand alone ask for a handful of things."""

    def __init__(self) -> None:
        self._known: WeakValueDictionary[_Asks, Terms] = WeakValueDictionary()

    def of(self, membership: Membership, near: Terms | None) -> Terms | None:
        """The terms of a membership; None when the podgroup is somebody else's to define.

        Args:
            membership: what the grouper says.
            near: terms of another pod in the same podgroup, most likely the same.
        """
        group = membership.group
        if group is None:
            return None
        if not membership.written:
            return self._shared(group)
        if near is not None and near.derived == group:
            return near
        return Terms(*_asks(group), derived=group)

    def _shared(self, group: DerivedGroup) -> Terms:
        asks = _asks(group)
        found = self._known.get(asks)
        if found is None:
            found = self._known[asks] = Terms(*asks)
        return found


def _asks(group: DerivedGroup) -> _Asks:
    return (
        group.queue,
        group.priority_class,
        group.min_member,
        group.min_sub_group,
        group.sub_groups,
        group.preemptibility,
        group.topology,
    )
