"""What a podgroup asks for next: all that its minimum lacks, or one step of growth beyond it.

KAI Scheduler's rules (its ``allocation_info``) with one defect mended: a subgroup that cannot be formed, because
its pods do not exist yet, does not take the place of one that can.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from kai_py.core.gangs.members import Members
from kai_py.core.resources import Amounts
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import PodState

#: A pod class in a leaf, or (with class -1) a whole subgroup, that need not be tried again as growth.
Exhausted = set[tuple[int, int]]
WHOLE = -1


@dataclass(frozen=True)
class Step:
    """Pods to place together, or not at all.

    Attributes:
        podgroup: row.
        pods: rows in the order in which they are placed.
        cost: ``(A,)`` what they would be charged, base units.
        growth: whether the podgroup has its minimum already; then the leaf or subgroup, and the class, that grows.
    """

    podgroup: int
    pods: tuple[int, ...]
    cost: Amounts
    growth: tuple[int, int] | None = None


@dataclass
class Gang:
    """One podgroup's requirement, read against the ledger as it stands."""

    podgroup: int
    members: Members
    ledger: Ledger
    exhausted: Exhausted = field(default_factory=set)

    @property
    def root(self) -> int:
        """Row of the root subgroup."""
        return self.members.rows(self.podgroup)[0]

    def pending(self, leaf: int) -> list[int]:
        """Pods of a leaf that have no place yet, in the order in which they are placed."""
        state = self.ledger.state
        return [pod for pod in self.members.pending.get(leaf, ()) if state[pod] == PodState.PENDING]

    def satisfied(self, subgroup: int, *, counting_nominated: bool = True) -> bool:
        """Whether a subgroup has what it needs."""
        subgroups = self.ledger.snapshot.subgroups
        if subgroups.leaf[subgroup]:
            have = (self.ledger.active if counting_nominated else self.ledger.allocated)[subgroup]
            return bool(have >= subgroups.min_member[subgroup])
        needed = self.members.needed_children(subgroup)
        children = self.members.children(subgroup)
        return sum(self.satisfied(child, counting_nominated=counting_nominated) for child in children) >= needed

    def formable(self, subgroup: int) -> bool:
        """Whether a subgroup could have what it needs if all its pending pods found places."""
        subgroups = self.ledger.snapshot.subgroups
        if subgroups.leaf[subgroup]:
            return bool(self.ledger.active[subgroup] + len(self.pending(subgroup)) >= subgroups.min_member[subgroup])
        formable = sum(self.formable(child) for child in self.members.children(subgroup))
        return formable >= self.members.needed_children(subgroup)

    def surplus(self) -> bool:
        """Whether some leaf has more than its minimum."""
        subgroups = self.ledger.snapshot.subgroups
        return any(
            subgroups.leaf[row] and self.ledger.active[row] > subgroups.min_member[row]
            for row in self.members.rows(self.podgroup)
        )

    def next_step(self) -> Step | None:
        """What to place next; None when nothing is pending, or the minimum cannot be formed, or growth is exhausted."""
        if not self.satisfied(self.root):
            return self._step(self._lacking(self.root)) if self.formable(self.root) else None
        for growth, pods in self._growth(self.root):
            if growth not in self.exhausted:
                return self._step(pods, growth)
        return None

    def _step(self, pods: list[int], growth: tuple[int, int] | None = None) -> Step:
        snapshot = self.ledger.snapshot
        cost = snapshot.classes.accounted[snapshot.pods.class_idx[pods]].sum(axis=0)
        return Step(self.podgroup, tuple(pods), np.asarray(cost, dtype=np.int64), growth)

    def _lacking(self, subgroup: int) -> list[int]:
        """The pods that bring an unsatisfied subgroup to its minimum."""
        subgroups = self.ledger.snapshot.subgroups
        if subgroups.leaf[subgroup]:
            missing = int(subgroups.min_member[subgroup] - self.ledger.active[subgroup])
            return self.pending(subgroup)[: max(0, missing)]
        children = self.members.children(subgroup)
        satisfied = [child for child in children if self.satisfied(child)]
        formable = [child for child in children if child not in satisfied and self.formable(child)]
        missing = self.members.needed_children(subgroup) - len(satisfied)
        return [pod for child in formable[:missing] for pod in self._lacking(child)]

    def _growth(self, subgroup: int) -> Iterator[tuple[tuple[int, int], list[int]]]:
        """Possible single steps beyond a satisfied subgroup, best first."""
        if self.ledger.snapshot.subgroups.leaf[subgroup]:
            seen = set()
            for pod in self.pending(subgroup):
                if (class_idx := int(self.ledger.snapshot.pods.class_idx[pod])) not in seen:
                    seen.add(class_idx)
                    yield (subgroup, class_idx), [pod]
            return
        for child in sorted(self.members.children(subgroup), key=self._growing_order):
            if self.satisfied(child):
                yield from self._growth(child)
            elif self.formable(child):
                yield (child, WHOLE), self._lacking(child)

    def _growing_order(self, subgroup: int) -> tuple[bool, bool, float, str]:
        """Missing subgroups first; then required before optional ones, the least grown first, by name."""
        subgroups = self.ledger.snapshot.subgroups
        minimum = int(subgroups.min_member[subgroup])
        active = int(self.ledger.active[subgroup])
        grown = active / minimum if minimum else active
        return self.satisfied(subgroup), minimum == 0, grown, subgroups.names[subgroup]
