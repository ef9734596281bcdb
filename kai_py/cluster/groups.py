"""Podgroups: from objects where there are any, from the pods' owners otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.api.keys import DEFAULT_QUEUE, DERIVED_ANNOTATION, NON_PREEMPTIBLE_PRIORITY, QUEUE_LABEL
from kai_py.api.meta import NO_STRINGS
from kai_py.api.podgroup import PodGroup
from kai_py.api.quantity import to_units
from kai_py.cluster.access import AccessBook
from kai_py.cluster.encode.axis import per_unit
from kai_py.cluster.encode.podgroup import SubGroupRow, single_leaf, subgroup_rows
from kai_py.cluster.encode.times import seconds
from kai_py.cluster.encode.topology import RANK_ANNOTATIONS, Constraints, by_label, constraints_of
from kai_py.cluster.finished import FinishedBook, relieved
from kai_py.cluster.group import Group, Name, Part, says
from kai_py.cluster.group_rows import Floor, GroupRow, GroupRows, GroupTables
from kai_py.cluster.history import HistoryBook
from kai_py.cluster.membership import DerivedGroup
from kai_py.cluster.pods import Blocked, Place, PodFacts
from kai_py.cluster.priorities import PriorityBook
from kai_py.cluster.queues import QueueBook
from kai_py.cluster.rollouts import RolloutBook
from kai_py.cluster.terms import Terms
from kai_py.core.result import ReasonCode
from kai_py.core.tables.podgroups import GroupKey
from kai_py.core.tables.pods import NONE, PodKey
from kai_py.core.tables.queues import QueueTable
from kai_py.errors import Fault

#: API group of PodGroups and Workloads of Kubernetes itself.
_NATIVE: Final = "scheduling.k8s.io"


class GroupBook:
    """All podgroups with unfinished pods, and all PodGroup objects.

    What pods and objects say is noted at once; rows follow when somebody looks, so that a gang's row is written once
    and not once per pod.

    Args:
        priorities: what PriorityClasses are worth.
        history: what has happened to podgroups.
        access: who may use which queue.
        rollouts: which pods stand in for others.
        finished: which pods have succeeded.

    Attributes:
        groups: those with unfinished pods.
        objects: as they were when they could be read last.
        malformed: what is wrong with objects that cannot be read now; not all of them are in ``objects``.
        facts: of all pods; they are looked up only where pods of one podgroup contradict each other.
    """

    def __init__(
        self,
        priorities: PriorityBook,
        history: HistoryBook,
        access: AccessBook,
        rollouts: RolloutBook,
        finished: FinishedBook,
    ) -> None:
        self.groups: dict[Name, Group] = {}
        self.objects: dict[Name, PodGroup] = {}
        self.malformed: dict[Name, Fault] = {}
        self.facts: Mapping[PodKey, PodFacts] = {}
        self._priorities = priorities
        self._history = history
        self._access = access
        self._rollouts = rollouts
        self._finished = finished
        self._access_stamp: object = None
        #: Podgroups that name a queue that does not take them; who is charged depends on whether they run.
        self._barred: dict[Name, None] = {}
        self._queues_seen = -1
        self._rows = GroupRows()
        self._dirty: dict[Name, None] = {}
        self._unwritten: dict[Name, DerivedGroup] = {}
        #: Objects that we have written, whose workload may have changed since; and what was last compared.
        self._written: dict[Name, DerivedGroup] = {}
        self._compared: dict[Name, DerivedGroup] = {}
        self._free: list[int] = []
        self._slots = 0

    # -- what pods say -----------------------------------------------------------------------------

    def name(self, name: Name) -> tuple[Name, Terms | None]:
        """The one tuple that is used for a podgroup's name, and what its pods have said that it asks for."""
        group = self.groups.get(name)
        return (group.name, group.terms) if group is not None else (name, None)

    def leaf_of(self, place: Place) -> int:
        """The leaf slot of a pod that has joined."""
        group = self.groups[place.group]
        return group.parts[place.part].slot if group.parts and place.part else group.slot

    def join(self, before: PodFacts | None, facts: PodFacts) -> None:
        """A pod is a member.

        Args:
            before: what was known of the pod, if it was a member of this podgroup already.
            facts: what is known now.
        """
        assert facts.place is not None
        group = self.groups.get(facts.place.group)
        if group is None:
            group = self.groups[facts.place.group] = Group(facts.place.group, self._take_slot())
        if before is not None:
            if group.name in self._barred and before.bound != facts.bound:
                self._dirty[group.name] = None
            if says(before) == says(facts):
                return
            self._count(group, before, -1)
        group.members.add(facts.key)
        self._count(group, facts, 1)
        group.heed(facts.place.terms)
        self._dirty[group.name] = None

    def leave(self, facts: PodFacts) -> None:
        """A pod is gone, finished or elsewhere; the last one takes the row along."""
        assert facts.place is not None
        group = self.groups[facts.place.group]
        group.members.discard(facts.key)
        self._count(group, facts, -1)
        if group.members:
            self._dirty[group.name] = None
        else:
            self._close(group)

    def _count(self, group: Group, facts: PodFacts, step: int) -> None:
        group.count(facts, step)
        if facts.place is not None and facts.place.part:
            self._part(group, facts.place.part).pods += step

    def _part(self, group: Group, name: str) -> Part:
        if group.parts is None:
            group.parts = {}
        if (part := group.parts.get(name)) is None:
            part = group.parts[name] = Part(self._take_slot())
        return part

    def _take_slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._slots += 1
        return self._slots - 1

    def _close(self, group: Group) -> None:
        if group.key is not None:
            self._rows.drop(group.key)
        self._free += [group.slot, *(part.slot for part in (group.parts or {}).values())]
        self._dirty.pop(group.name, None)
        self._barred.pop(group.name, None)
        self._unwritten.pop(group.name, None)
        self._written.pop(group.name, None)
        self._compared.pop(group.name, None)
        del self.groups[group.name]

    # -- what objects say --------------------------------------------------------------------------

    def put(self, podgroup: PodGroup) -> bool:
        """Take in an object; tells whether anything that matters changed."""
        name = podgroup.metadata.key
        before = self.objects.get(name)
        self.objects[name] = podgroup
        mended = self.malformed.pop(name, None) is not None
        return (mended or before is None or not _same(before, podgroup)) and self._changed(name)

    def put_malformed(self, name: Name, fault: Fault) -> bool:
        """An object that cannot be read: its pods wait. What runs goes by the last good spec, if there was one."""
        before = self.malformed.get(name)
        self.malformed[name] = fault
        return before != fault and self._changed(name)

    def drop(self, name: Name) -> bool:
        """Forget an object."""
        known = name in self.objects or name in self.malformed
        self.objects.pop(name, None)
        self.malformed.pop(name, None)
        return known and self._changed(name)

    def priorities_changed(self) -> None:
        """A PriorityClass came, went or changed."""
        self._dirty.update(dict.fromkeys(self.groups))

    def _changed(self, name: Name) -> bool:
        group = self.groups.get(name)
        if group is not None:
            self._dirty[group.name] = None
        return group is not None

    # -- answers -----------------------------------------------------------------------------------

    def tables(self, queues: QueueBook, table: QueueTable) -> GroupTables:
        """The tables, and where the leaf slots are in them."""
        self._settle()
        return self._rows.tables(queues, table, self._slots)

    def unwritten(self) -> list[DerivedGroup]:
        """Derived podgroups of more than one pod that have no object yet but should, sorted by name."""
        self._settle()
        return [self._unwritten[name] for name in sorted(self._unwritten)]

    def rederived(self) -> list[tuple[DerivedGroup, PodGroup]]:
        """Podgroups that we have written and what would be written now, where that has changed; each is told once."""
        self._settle()
        written, self._written = self._written, {}
        self._compared.update(written)
        return [(derived, self.objects[name]) for name, derived in written.items() if name in self.objects]

    def compare_again(self, name: Name) -> None:
        """A change could not be written: tell it once more."""
        self._compared.pop(name, None)
        self._changed(name)

    # -- rows --------------------------------------------------------------------------------------

    def _settle(self) -> None:
        for name in (*self._history.changed(), *self._finished.changed()):
            self._changed(name)
        for pod in self._rollouts.changed():
            facts = self.facts.get(pod)
            if facts is not None and facts.place is not None:
                self._changed(facts.place.group)
        if (stamp := self._access.stamp()) != self._access_stamp:
            self._access_stamp = stamp
            self._dirty.update(dict.fromkeys(self.groups))
        if self._barred and self._access.queues_revision != self._queues_seen:
            self._dirty.update(self._barred)  # the queue that they name may be there now
        self._queues_seen = self._access.queues_revision
        dirty, self._dirty = self._dirty, {}
        for name in dirty:
            self._refresh(self.groups[name])

    def _refresh(self, group: Group) -> None:
        """Write the group's row anew."""
        if group.divided:
            group.agree(self.facts)
        podgroup, terms = self.objects.get(group.name), group.terms
        key = GroupKey(*group.name, podgroup.metadata.uid if podgroup else "")
        if group.key is not None and group.key != key:
            self._rows.drop(group.key)
        group.key = key
        subgroups = subgroup_rows(podgroup.spec) if podgroup else terms.rows if terms else single_leaf(1)
        if succeeded := self._finished.of(group.name):
            subgroups = relieved(subgroups, succeeded, group.staying(self.facts))
        priority = self._priority(podgroup, terms)
        said = podgroup.spec.preemptibility if podgroup else terms.preemptibility if terms else ""
        queue = _queue(podgroup, terms)
        paying, barred = self._charged(group, queue)
        row = GroupRow(
            queue=paying,
            priority=priority,
            preemptible=self._stands_in(group)
            or (said == "preemptible" if said else priority < NON_PREEMPTIBLE_PRIORITY),
            created=seconds(podgroup.metadata.creation_timestamp) if podgroup else group.oldest(self.facts),
            slot=group.slot,
            subgroups=subgroups,
            slots=self._leaf_slots(group, subgroups),
            more=group.strays(subgroups),
            blocked=self._block(group, podgroup, subgroups) or barred,
            past=self._history.of(group.name),
            constraints=_constraints(group.name, podgroup, terms),
            whole=_whole(podgroup, terms),
            floor=_floor(podgroup, terms),
        )
        self._rows.put(key, row)
        staying = len(group.members) - group.leaving
        if terms and terms.derived and staying > 1 and podgroup is None and group.name not in self.malformed:
            self._unwritten[group.name] = terms.derived
        else:
            self._unwritten.pop(group.name, None)
        ours = podgroup is not None and DERIVED_ANNOTATION in podgroup.metadata.annotations
        if ours and terms and terms.derived and self._compared.get(group.name) is not terms.derived:
            self._written[group.name] = terms.derived

    def _stands_in(self, group: Group) -> bool:
        """Whether all pods of the podgroup are lent their places until those that they replace have gone."""
        return all(map(self._rollouts.surges, group.members))

    def _charged(self, group: Group, queue: str) -> tuple[str, Blocked | None]:
        """The queue that is charged for a podgroup, and what bars it from the one that it names.

        What runs stays with the last queue that took it in, as long as it names one that does not: else its author
        could charge others for it, or nobody, by a label.
        """
        self._barred.pop(group.name, None)
        barred = self._access.refusal(queue, group.name[0])
        missing = self._access.unusable(queue)
        if barred is None and missing is None:
            group.paying = queue
            return queue, None
        self._barred[group.name] = None
        if group.paying not in ("", queue) and any(self.facts[pod].bound for pod in group.members):
            return group.paying, barred or missing
        return ("", barred) if barred is not None else (queue, None)

    def _leaf_slots(self, group: Group, subgroups: tuple[SubGroupRow, ...]) -> tuple[int, ...]:
        if len(subgroups) == 1:
            return (group.slot,)
        return tuple(self._part(group, row.name).slot if row.leaf else NONE for row in subgroups)

    def _priority(self, podgroup: PodGroup | None, terms: Terms | None) -> int:
        said = podgroup.spec.priority_class_name if podgroup else ""
        return self._priorities.value(said or (terms.priority_class if terms else ""))

    def _block(self, group: Group, podgroup: PodGroup | None, subgroups: tuple[SubGroupRow, ...]) -> Blocked | None:
        """Why the podgroup cannot be scheduled; the first reason that applies."""
        if (fault := self.malformed.get(group.name)) is not None:
            return ReasonCode.PODGROUP_INVALID, {
                "podGroup": group.name[1],
                "field": fault.field,
                "message": fault.message,
            }
        if podgroup is None and group.terms is None:
            problem = self.facts[min(group.members)].problem
            if problem is not None and problem[0] in {ReasonCode.OWNER_INVALID, ReasonCode.OWNER_PENDING}:
                return problem
            return ReasonCode.PODGROUP_MISSING, {"podGroup": group.name[1]}
        if len(subgroups) > 1:
            leaves = {row.name for row in subgroups if row.leaf}
            for part in sorted(part for part, _ in group.named_parts() if part not in leaves):
                return ReasonCode.SUBGROUP_MISSING, {"podGroup": group.name[1], "subGroup": part}
        if group.problems == len(group.members):
            return self.facts[min(group.members)].problem
        return None


def _queue(podgroup: PodGroup | None, terms: Terms | None) -> str:
    said = (podgroup.spec.queue or podgroup.metadata.labels.get(QUEUE_LABEL, "")) if podgroup else ""
    return said or (terms.queue if terms else "") or DEFAULT_QUEUE


def _whole(podgroup: PodGroup | None, terms: Terms | None) -> bool:
    derived = terms.derived if terms is not None else None
    mode = podgroup.spec.disruption_mode if podgroup else derived.disruption_mode if derived else ""
    return mode == "PodGroup"


def _floor(podgroup: PodGroup | None, terms: Terms | None) -> Floor | None:
    derived = terms.derived if terms is not None else None
    asked = podgroup.spec.min_resources if podgroup else derived.min_resources if derived else None
    if not asked:
        return None
    return tuple((name, to_units(amount, per_unit=per_unit(name))) for name, amount in sorted(asked.items()))


def _constraints(name: Name, podgroup: PodGroup | None, terms: Terms | None) -> Constraints | None:
    derived = terms.derived if terms is not None else None
    owners = podgroup.metadata.owner_references if podgroup else (derived.owner,) if derived else ()
    if podgroup is not None:
        topology, subgroups, annotations = (
            podgroup.spec.topology_constraint,
            podgroup.spec.sub_groups,
            podgroup.metadata.annotations,
        )
    elif terms is not None:
        topology, subgroups = terms.topology, terms.sub_groups
        annotations = derived.annotations if derived is not None else NO_STRINGS
    else:
        return None
    if any(owner.group == _NATIVE for owner in owners):
        topology = by_label(topology)
    return constraints_of(topology, subgroups, annotations, f"PodGroup {'/'.join(name)}")


def _same(one: PodGroup, other: PodGroup) -> bool:
    """Whether two versions are the same to the scheduler; our own status writes and annotations do not matter."""
    return (
        one.spec == other.spec
        and one.metadata.uid == other.metadata.uid
        and one.metadata.labels.get(QUEUE_LABEL) == other.metadata.labels.get(QUEUE_LABEL)
        and all(one.metadata.annotations.get(key) == other.metadata.annotations.get(key) for key in RANK_ANNOTATIONS)
    )
