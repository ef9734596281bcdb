"""Where the pods of a step go when their podgroup asks to be near each other: the engine's answer as pods on nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from kai_py.core.gangs.members import Subgroup
from kai_py.core.gangs.steps import Step
from kai_py.core.placement.dealing import deal
from kai_py.core.placement.views import View
from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.result import Reason, ReasonCode
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.domains import ROOT, Topology
from kai_py.core.tables.pods import IS_ACTIVE, NONE
from kai_py.core.tables.topologies import TopologyTable
from kai_py.core.topology.arrange import arrange
from kai_py.core.topology.choice import Constraint, Offer, Pinned, Shortfall, ShortfallCode
from kai_py.core.topology.choose import choose
from kai_py.core.topology.favour import favour
from kai_py.core.topology.parts import Part
from kai_py.core.topology.program import SEARCHES, Budget
from kai_py.core.topology.several import arrange_across

#: Integer programs that a cycle may begin altogether, in those that one question may begin. Greedy answers come after.
_QUESTIONS: Final = 16
#: So many domains are tried one by one, where neighbours make sums over them useless.
_PARTS: Final = 64

_CODES: Final = {
    ShortfallCode.NO_DOMAIN: ReasonCode.DOMAINS_TOO_SMALL,
    ShortfallCode.TOO_SMALL: ReasonCode.DOMAINS_TOO_SMALL,
    ShortfallCode.PART_TOO_LARGE: ReasonCode.SUBGROUP_TOO_LARGE,
    ShortfallCode.PARTS_COLLIDE: ReasonCode.SUBGROUPS_COLLIDE,
    ShortfallCode.PINNED_APART: ReasonCode.MEMBERS_APART,
}


@dataclass(frozen=True)
class Wish:
    """What a step of a podgroup with constraints asks for. Equal wishes have the same answer.

    Attributes:
        topology_idx: row of the topology that the podgroup as a whole is about, or else the first part that asks.
        classes: rows of the pod classes; the amounts in ``tree`` are in this order.
        tree: the podgroup, with what is to be placed and where members stay.
        inside: whether a subgroup has a constraint of its own.
        several: whether parts are about different topologies.
    """

    topology_idx: int
    classes: tuple[int, ...]
    tree: Part
    inside: bool
    several: bool = False

    @cached_property
    def required(self) -> bool:
        """Whether some part requires a level; else all are preferences."""
        return any(part.constraint.required != ROOT for part in _parts(self.tree))

    @cached_property
    def demand(self) -> Amounts:
        """``(C,)`` pods of all parts."""
        demand: Amounts = np.sum([part.demand for part in _parts(self.tree)], axis=0, dtype=np.int64)
        return demand

    @cached_property
    def pinned(self) -> Rows:
        """Nodes of all members that stay."""
        return np.array([node for part in _parts(self.tree) for node in part.pinned], dtype=np.int32)


@dataclass(frozen=True)
class Seats:
    """Pods and their nodes.

    Attributes:
        nodes: ``(K,)`` a node for each pod of the step, in its order.
        within: ``(N,)`` nodes that are as good for any of them as far as required levels go; None = it is not known,
            because subgroups have domains of their own.
    """

    nodes: tuple[int, ...]
    within: Mask | None


class Nearness:
    """Asks the engine about steps.

    Args:
        ledger: what is free, and where members are.
        table: what subgroups ask for.
        view: of a pod class.
    """

    def __init__(self, ledger: Ledger, table: TopologyTable, view: Callable[[int], View]) -> None:
        self._ledger = ledger
        self._table = table
        self._view = view
        self._budget = Budget(searches=SEARCHES * _QUESTIONS)

    def wish(self, step: Step) -> Wish | None:
        """What a step asks for; None if its podgroup has no constraint."""
        first, last = self._rows(step.podgroup)
        topology_idx = self._table.topology_idx[first:last]
        rows = topology_idx[topology_idx != NONE]
        if not rows.size:
            return None
        pods = self._ledger.snapshot.pods
        classes = tuple(dict.fromkeys(pods.class_idx[list(step.pods)].tolist()))
        asked: dict[int, list[int]] = {}
        for pod in step.pods:
            counts = asked.setdefault(pods.subgroup_idx.item(pod), [0] * len(classes))
            counts[classes.index(pods.class_idx.item(pod))] += 1
        tree = self._part(step.path[-1], asked, self._staying(first, last), (0,) * len(classes), rows.item(0))
        several = bool((rows != rows.item(0)).any())
        return Wish(rows.item(0), classes, tree, self._table.asks_inside(first, last), several)

    def _rows(self, podgroup: int) -> tuple[int, int]:
        offset = self._ledger.snapshot.podgroups.offset
        return offset.item(podgroup), offset.item(podgroup + 1)

    @cached_property
    def _by_subgroup(self) -> tuple[Rows, Rows]:
        """Rows of pods by subgroup, and the subgroup of each of them, ascending."""
        of = self._ledger.snapshot.pods.subgroup_idx
        order = np.argsort(of, kind="stable").astype(np.int32)
        return order, of[order]

    def _members(self, first: int, last: int) -> Rows:
        """Rows of the pods of some subgroups that have places."""
        order, of = self._by_subgroup
        begin, end = np.searchsorted(of, [first, last]).tolist()
        pods, ledger = order[begin:end], self._ledger
        members: Rows = pods[IS_ACTIVE[ledger.state[pods]] & (ledger.node[pods] != NONE)]
        return members

    def _staying(self, first: int, last: int) -> dict[int, list[int]]:
        """Nodes of members that have places, by leaf; each once, ascending."""
        members = self._members(first, last)
        if not members.size:
            return {}
        of, nodes = self._ledger.snapshot.pods.subgroup_idx[members], self._ledger.node[members]
        begin = np.flatnonzero(np.diff(of, prepend=NONE)).tolist()  # members are sorted by leaf
        ends = [*begin[1:], len(of)]
        return {of.item(start): np.unique(nodes[start:end]).tolist() for start, end in zip(begin, ends, strict=True)}

    def _part(
        self,
        subgroup: Subgroup,
        asked: dict[int, list[int]],
        stay: dict[int, list[int]],
        nothing: tuple[int, ...],
        around: int,
    ) -> Part:
        """A subgroup with all below it; one that asks for nothing counts to the topology of the part around it."""
        row, table = subgroup.row, self._table
        tree = around if table.topology_idx.item(row) == NONE else table.topology_idx.item(row)
        return Part(
            subgroup.name,
            tuple(asked[row]) if row in asked else nothing,
            Constraint(table.required.item(row), table.preferred.item(row)),
            tuple(self._part(child, asked, stay, nothing, tree) for child in subgroup.children),
            tuple(stay.get(row, ())),
            tree,
        )

    def together(self, wish: Wish, step: Step, nodes: Sequence[int]) -> bool:
        """Whether required levels hold with the pods of a step on some nodes.

        Args:
            wish: of the step.
            step: its pods.
            nodes: for each of them.
        """
        of = self._ledger.snapshot.pods.subgroup_idx
        places: dict[str, list[int]] = {}
        for pod, node in zip(step.pods, nodes, strict=True):
            places.setdefault(self._ledger.snapshot.subgroups.names[of.item(pod)], []).append(node)
        for part in _parts(wish.tree):
            topology = self._table.topologies[part.tree]
            below = [node for one in _parts(part) for node in (*one.pinned, *places.get(one.name, ()))]
            if below and not Pinned(np.array(below, dtype=np.int32)).within(topology, part.constraint.required):
                return False
        return True

    def seats(self, wish: Wish, step: Step, *, later: bool, within: Mask | None = None) -> Seats | Shortfall:
        """Choose nodes.

        Args:
            wish: of the step.
            step: its pods.
            later: count what leaving pods will give back as free.
            within: ``(N,)`` nodes to choose from; None = all.
        """
        offer, topology = self._offer(wish, later=later), self._table.topologies[wish.topology_idx]
        if within is not None:
            offer = offer.within(within)
        if wish.inside:
            return self._arranged(wish, step, offer)
        found = choose(topology, wish.tree.constraint, offer, wish.demand, pinned=wish.pinned, budget=self._budget)
        if isinstance(found, Shortfall):
            return found
        counts = found.counts
        if len(wish.classes) == 1 and (liking := self._view(wish.classes[0]).liking) is not None:
            parts, slots = topology.partition(found.cover_level), np.where(found.mask, offer.slots[0], 0)
            counts = favour(parts, slots, counts[0], liking)[None, :]
        if len(step.pods) == 1:
            return Seats((int(counts.sum(axis=0).argmax()),), found.mask)
        # Where several domains are needed, the last one is filled first; KAI Scheduler does so.
        order = np.argsort(-topology.partition(found.cover_level), kind="stable").astype(np.int32)
        nodes = self._deal(topology, wish, step, step.pods, order, counts[:, order])
        return Seats(tuple(nodes[pod] for pod in step.pods), found.mask)

    def domains(self, wish: Wish) -> Iterator[Mask]:
        """``(N,)`` of the parts of the level that a step requires as a whole, by number; few, or the first few.

        Nothing where no level is required; where members run already, the part where they are.
        """
        level = wish.tree.constraint.required
        if level == ROOT:
            return
        domain_idx = self._table.topologies[wish.topology_idx].domain_idx[level]
        parts = np.unique(domain_idx[wish.pinned] if wish.pinned.size else domain_idx)
        for part in parts[parts != NONE][:_PARTS].tolist():
            yield domain_idx == part

    def _offer(self, wish: Wish, *, later: bool) -> Offer:
        ledger = self._ledger
        soon = ledger.free + ledger.releasing
        # Where a nomination stands on idle capacity, `free` alone would promise the same place twice.
        free = soon if later else np.minimum(ledger.free, soon)
        views = [self._view(row) for row in wish.classes]
        request = np.array([view.request for view in views])
        offer = Offer.of(request, free, np.array([view.allowed for view in views]))
        slots = [view.slots(slots, later=later) for view, slots in zip(views, offer.slots, strict=True)]
        return Offer(np.array(slots), request, free)

    def _arranged(self, wish: Wish, step: Step, offer: Offer) -> Seats | Shortfall:
        topologies = self._table.topologies
        if wish.several:
            found = arrange_across(topologies, wish.tree, offer, budget=self._budget)
        else:
            found = arrange(topologies[wish.topology_idx], wish.tree, offer, budget=self._budget)
        if isinstance(found, Shortfall):
            return found
        snapshot = self._ledger.snapshot
        by_leaf: dict[str, list[int]] = {}
        for pod in step.pods:
            by_leaf.setdefault(snapshot.subgroups.names[snapshot.pods.subgroup_idx.item(pod)], []).append(pod)
        tree_of = {part.name: part.tree for part in _parts(wish.tree)}
        nodes: dict[int, int] = {}
        for places in found.leaves:
            pods = by_leaf[places.name]
            topology = topologies[tree_of[places.name]]
            nodes |= self._deal(topology, wish, step, pods, places.nodes, places.counts)
        return Seats(tuple(nodes[pod] for pod in step.pods), None)

    def _deal(
        self, topology: Topology, wish: Wish, step: Step, pods: Sequence[int], nodes: Rows, counts: Amounts
    ) -> dict[int, int]:
        staying = self._members(*self._rows(step.podgroup)).tolist()
        if len(pods) < len(step.pods):  # subgroups are dealt to one by one
            of = self._ledger.snapshot.pods.subgroup_idx
            staying = [pod for pod in staying if of.item(pod) == of.item(pods[0])]
        pattern = self._table.pattern_of(step.podgroup)
        return deal(self._ledger, topology, pattern, pods, wish.classes, nodes, counts, staying)

    def reason(self, wish: Wish, shortfall: Shortfall) -> Reason:
        """A shortfall as a reason."""
        topology = self._table.topologies[wish.topology_idx if shortfall.tree is None else shortfall.tree]
        details: dict[str, object] = {
            "topology": topology.name,
            "level": "" if shortfall.level == ROOT else str(topology.levels[shortfall.level]),
            "domain": "/".join(shortfall.domain),
            "fits": shortfall.fits,
            "pods": shortfall.pods,
        }
        if shortfall.part:
            details["subGroup"] = shortfall.part
        return Reason(_CODES[shortfall.code], details)


def _parts(part: Part) -> list[Part]:
    """A part and all below it."""
    found = [part]
    for one in found:
        found += one.children
    return found
