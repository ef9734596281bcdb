"""What a podgroup asks for next: all that its minimum lacks, or one step of growth beyond it.

KAI Scheduler's rules (its ``allocation_info``) with one defect mended: a subgroup that cannot be formed, because
its pods do not exist yet, does not take the place of one that can.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from kai_py.core.gangs.members import Members, Subgroup, leaves
from kai_py.core.resources import Cost
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import PodState

#: In place of a pod class: a whole subgroup grows at once.
WHOLE = -1

_PENDING = int(PodState.PENDING)


class Growth(NamedTuple):
    """What grows: a leaf by a pod of a class, or a podgroup by a whole subgroup (``class_idx`` is ``WHOLE``)."""

    subgroup: int
    class_idx: int


class Step(NamedTuple):
    """Pods to place together, or not at all.

    Attributes:
        podgroup: row.
        pods: rows in the order in which they are placed.
        classes: rows of their classes, in the same order.
        cost: what they would be charged.
        path: the subgroup that asks, then its ancestors up to the root.
        growth: None for the podgroup's minimum; else what grows, the podgroup having its minimum already.
    """

    podgroup: int
    pods: tuple[int, ...]
    classes: tuple[int, ...]
    cost: Cost
    path: tuple[Subgroup, ...]
    growth: Growth | None = None


@dataclass(slots=True)
class Gang:
    """One podgroup's requirement, read against the ledger as it stands."""

    podgroup: int
    root: Subgroup
    members: Members
    ledger: Ledger
    # Where pending pods begin in a leaf's list, so that growing by n pods does not look at n * n; see _first_pending.
    _begin: dict[int, int] = field(default_factory=dict, init=False)
    _begin_valid: int = field(default=0, init=False)

    def satisfied(self, subgroup: Subgroup, *, counting_nominated: bool = True) -> bool:
        """Whether a subgroup has what it needs."""
        cells = self.ledger.cells
        return self._have(subgroup, cells.active if counting_nominated else cells.allocated) >= subgroup.minimum

    def _have(self, subgroup: Subgroup, counts: memoryview) -> int:
        """Pods that a leaf has by ``(S,)`` counts of them, or satisfied children that an inner subgroup has."""
        if subgroup.leaf:
            return counts[subgroup.row]
        return sum([self._have(child, counts) >= child.minimum for child in subgroup.children])

    def _missing(self, subgroup: Subgroup) -> int:
        """Pods, or children, that a subgroup needs beside those that it has; not positive when it has enough."""
        return subgroup.minimum - self._have(subgroup, self.ledger.cells.active)

    def formable(self, subgroup: Subgroup) -> bool:
        """Whether a subgroup could have what it needs if all its pending pods found places."""
        if subgroup.leaf:
            row, cells = subgroup.row, self.ledger.cells
            return cells.active[row] + cells.pending[row] >= subgroup.minimum
        return sum(self.formable(child) for child in subgroup.children) >= subgroup.minimum

    def has_started(self, step: Step) -> bool:
        """Whether the parts of the podgroup that a step would grow have their minimum, nominations apart.

        Asked before the step is placed, so that a pod of growth does not stand in for one that is still awaited.
        """
        if step.growth is None:
            return True
        return self.running(step.path if step.growth.class_idx != WHOLE else step.path[1:])

    def running(self, path: tuple[Subgroup, ...]) -> bool:
        """Whether subgroups all have what they need, nominations apart."""
        for subgroup in path:  # noqa: SIM110  # a generator costs three times as much, and every pod passes here
            if self._have(subgroup, self.ledger.cells.allocated) < subgroup.minimum:
                return False
        return True

    def begun(self) -> bool:
        """Whether any of its pods runs, or is about to start."""
        allocated, root = self.ledger.cells.allocated, self.root
        return allocated[root.row] > 0 if root.leaf else any(allocated[leaf.row] for leaf in leaves(root))

    def surplus(self) -> bool:
        """Whether some leaf has more than its minimum."""
        return any(self._have(leaf, self.ledger.cells.active) > leaf.minimum for leaf in leaves(self.root))

    def pending(self, leaf: Subgroup) -> Iterator[int]:
        """Pods of a leaf that have no place yet, in the order in which they are placed."""
        if not self.ledger.cells.pending[leaf.row]:
            return
        pods, state = self.members.pending[leaf.row], self.ledger.cells.state
        for position in range(self._first_pending(leaf.row), len(pods)):
            if state[pods[position]] == _PENDING:
                yield pods[position]

    def _first_pending(self, leaf: int) -> int:
        """Position of the first pending pod in the list of a leaf that has one."""
        if self._begin_valid != self.ledger.freed:
            self._begin.clear()
            self._begin_valid = self.ledger.freed
        pods, state, position = self.members.pending[leaf], self.ledger.cells.state, self._begin.get(leaf, 0)
        while state[pods[position]] != _PENDING:
            position += 1
        self._begin[leaf] = position
        return position

    def next_step(self, exhausted: Collection[Growth] = ()) -> Step | None:
        """What to place next.

        Args:
            exhausted: growth that need not be tried again.

        Returns:
            None when nothing is pending, or the minimum cannot be formed, or growth is exhausted.
        """
        root = self.root
        if root.leaf and not self.ledger.cells.pending[root.row]:
            return None
        if (missing := self._missing(root)) > 0:
            return self._step(self._lacking(root, missing), (root,)) if self.formable(root) else None
        return next((step for step in self._growth((root,)) if step.growth not in exhausted), None)

    def _step(self, pods: list[int], path: tuple[Subgroup, ...], class_idx: int | None = None) -> Step:
        snapshot = self.ledger.snapshot
        if len(pods) == 1:
            classes: tuple[int, ...] = (snapshot.pods.class_idx.item(pods[0]),)
            cost = snapshot.classes.costs[classes[0]]
        else:
            rows = snapshot.pods.class_idx[pods]
            classes = tuple(rows.tolist())
            cost = tuple(snapshot.classes.accounted[rows].sum(axis=0).tolist())
        growth = None if class_idx is None else Growth(path[0].row, class_idx)
        return Step(self.podgroup, tuple(pods), classes, cost, path, growth)

    def _lacking(self, subgroup: Subgroup, missing: int) -> list[int]:
        """The pods that bring a formable subgroup to its minimum, of which it lacks so many pods, or children."""
        if subgroup.leaf:
            pods = self.members.pending[subgroup.row]
            if self.ledger.cells.pending[subgroup.row] == len(pods):  # none of them has a place yet
                return pods[:missing]
            return list(islice(self.pending(subgroup), missing))
        lacking = [(child, self._missing(child)) for child in subgroup.children]
        formable = [(child, lack) for child, lack in lacking if lack > 0 and self.formable(child)]
        return [pod for child, lack in formable[:missing] for pod in self._lacking(child, lack)]

    def _growth(self, path: tuple[Subgroup, ...]) -> Iterator[Step]:
        """Possible single steps beyond a satisfied subgroup, best first."""
        subgroup = path[0]
        if subgroup.leaf:
            seen, class_idx = set(), self.ledger.snapshot.pods.class_idx
            for pod in self.pending(subgroup):
                if (own := class_idx.item(pod)) not in seen:
                    seen.add(own)
                    yield self._step([pod], path, own)
            return
        for child in sorted(subgroup.children, key=self._growing_order):
            if self.satisfied(child):
                yield from self._growth((child, *path))
            elif self.formable(child):
                yield self._step(self._lacking(child, self._missing(child)), (child, *path), WHOLE)

    def _growing_order(self, subgroup: Subgroup) -> tuple[bool, bool, float, str]:
        """Missing subgroups first; then required before optional ones, the least grown first, by name."""
        minimum, have = subgroup.minimum, self._have(subgroup, self.ledger.cells.active)
        return have >= minimum, minimum == 0, have / minimum if minimum else have, subgroup.name
