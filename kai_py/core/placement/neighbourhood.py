"""Nodes through the eyes of pods to whom neighbours matter: where these let them be, and where they like it best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.core.filters.node_affinity import node_affinity
from kai_py.core.filters.taints import taints
from kai_py.core.options import Options
from kai_py.core.placement.neighbour_rules import About, Evenly, Labelled, Nobody, Rule, Somebody
from kai_py.core.placement.neighbour_scores import Likes, SoftSpread
from kai_py.core.resources import Mask, Shares
from kai_py.core.result import FilterReason
from kai_py.core.state.neighbours import EACH_NODE, Neighbours, Tally, Use
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.neighbours import Port, Spread, Term
from kai_py.core.tables.nodes import NodeTable

#: Up to so many terms are named in a reason.
_NAMED: Final = 3


@dataclass(frozen=True)
class Refusal:
    """Why neighbours keep a pod from some nodes.

    Attributes:
        reason: of these nodes.
        nodes: how many.
        text: which pods, ports or labels it is about, and where, as far as that is one place.
    """

    reason: FilterReason
    nodes: int
    text: str


class Neighbourhood:
    """What neighbours mean to one pod class.

    Args:
        pod: the class.
        allowed: ``(N,)`` nodes that all filters let it on; wishes are measured by the best and worst of these.
        neighbours: tallies.
        nodes: their labels and taints.
        options: weights.

    Attributes:
        now: ``(N,)`` nodes where it can start now, as far as neighbours go.
        later: ``(N,)`` the same once leaving pods are gone and nominated ones are there.
        free: whether it may be anywhere, and only wishes matter.
        helped: whether others can help it by coming: it needs them near, or evenly spread.
        single: ``(N,)`` nodes that take at most one pod of the class.
    """

    def __init__(
        self, pod: PodClass, allowed: Mask, neighbours: Neighbours, nodes: NodeTable, options: Options
    ) -> None:
        self._row = pod.kind
        self._kind = neighbours.table.kinds[pod.kind]
        self._neighbours = neighbours
        self._nodes = nodes
        self._pod = pod
        self._rules: tuple[Rule, ...] = tuple(self._make_rules())
        self.free = not self._rules
        spreads = self._kind.spreads
        self.helped = bool(self._kind.affinity) or any(spread.hard for spread in spreads)
        self._likes = Likes(self._row, neighbours, allowed)
        self._soft = SoftSpread(
            [spread for spread in spreads if not (spread.hard or spread.default)], self._tally_of, neighbours, allowed
        )
        self._default = SoftSpread(
            [spread for spread in spreads if spread.default and not spread.hard], self._tally_of, neighbours, allowed
        )
        weights = options.weights
        self._weights = (
            weights.get("podAffinity", 0.0),
            weights.get("podSpread", 0.0),
            weights.get("defaultSpread", 0.0),
        )
        self.now: Mask = np.ones(len(nodes), dtype=np.bool_)
        self.later: Mask = self.now
        self.single: Mask = np.zeros(len(nodes), dtype=np.bool_)
        for rule in self._rules:
            if isinstance(rule, Nobody) and self._row in rule.tallies[0].weights:
                self.single |= rule.tallies[0].domain >= 0
        self.refresh()

    # -- rules ---------------------------------------------------------------------------------------

    def _make_rules(self) -> Iterator[Rule]:
        kind, table, neighbours = self._kind, self._neighbours.table, self._neighbours
        if kind.ports:
            weights = table.in_the_way(self._row)
            about = About(EACH_NODE, ", ".join(map(_port, kind.ports)), weights)
            yield Nobody(FilterReason.HOST_PORT, neighbours.tally(Use.REPEL, EACH_NODE, weights), [about])
        yield from self._spread_rules([spread for spread in kind.spreads if spread.hard])
        if kind.affinity:
            weights = table.selected_by_all(kind.affinity)
            tallies = [neighbours.tally(Use.ATTRACT, term.key, weights) for term in kind.affinity]
            terms = [About(term.key, table.texts[term.matcher], weights) for term in kind.affinity]
            yield Somebody(tallies, terms, means_itself=kind.means_itself())
        own = {(key, tuple(sorted(weights))) for key, weights in table.avoided(self._row).items()}
        for key, weights in sorted(table.avoided(self._row).items()):
            mine = [(term, dict.fromkeys(table.selected(term.matcher), 1)) for term in kind.anti if term.key == key]
            yield from self._anti(FilterReason.POD_ANTI_AFFINITY, key, weights, mine)
        for key, weights in sorted(table.avoiding(self._row).items()):
            if (key, tuple(sorted(weights))) not in own:  # who repels its like says so once
                theirs = table.anti_terms(self._row, key)
                yield from self._anti(FilterReason.ANTI_AFFINITY_OF_OTHERS, key, weights, theirs)

    def _anti(
        self, reason: FilterReason, key: str, weights: dict[int, int], terms: Sequence[tuple[Term, dict[int, int]]]
    ) -> Iterator[Rule]:
        if weights:
            tally = self._neighbours.tally(Use.REPEL, key, dict.fromkeys(weights, 1))
            texts = self._neighbours.table.texts
            yield Nobody(reason, tally, [About(key, texts[term.matcher], who) for term, who in terms])

    def _spread_rules(self, spreads: Sequence[Spread]) -> Iterator[Rule]:
        if not spreads:
            return
        keys = tuple(dict.fromkeys(spread.key for spread in spreads))
        yield Labelled(self._inside(keys), [About(key, "", {}) for key in keys])
        for spread in spreads:
            tally = self._tally_of(spread, keys)
            text = self._neighbours.table.texts[spread.matcher] if spread.matcher >= 0 else "no pods"
            about = About(spread.key, text, tally.weights)
            yield Evenly(spread, tally, [about], self._neighbours.domain(spread.key))

    def _tally_of(self, spread: Spread, keys: tuple[str, ...]) -> Tally:
        """Pods that count for a constraint, on nodes that count: with all labels, and where its policies allow."""
        table = self._neighbours.table
        weights = dict.fromkeys(table.selected(spread.matcher), 1) if spread.matcher >= 0 else {}
        counted = self._inside([spread.key] if spread.lenient else keys)
        if spread.honors_affinity:
            counted = counted & node_affinity(self._pod, self._nodes)
        if spread.honors_taints:
            counted = counted & taints(self._pod, self._nodes)
        return self._neighbours.tally(Use.SPREAD, spread.key, weights, counted)

    def _inside(self, keys: Sequence[str]) -> Mask:
        """``(N,)`` nodes that have all of some labels."""
        inside: Mask = np.logical_and.reduce([self._neighbours.domain(key) >= 0 for key in keys])
        return inside

    @property
    def matters(self) -> bool:
        """Whether it makes any difference."""
        return bool(self._rules) or self._likes.any or self._soft.any or self._default.any

    # -- answers -------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Catch up with the tallies."""
        changed = [rule.changed() for rule in self._rules]
        if any(changed):
            self.now, self.later = self._rules[0].now, self._rules[0].later
            for rule in self._rules[1:]:
                self.now, self.later = self.now & rule.now, self.later & rule.later

    def bonus(self) -> Shares | None:
        """``(N,)`` what wishes add to the value of nodes; None without wishes."""
        likes, spread, default = self._weights
        total = self._likes.worth(likes) if self._likes.any and likes else None
        if self._soft.any and spread:
            more = self._soft.worth(spread)
            total = more if total is None else total + more
        if self._default.any and default:
            more = self._default.worth(default)
            total = more if total is None else total + more
        return total

    def holds(self, node: int) -> bool:
        """Whether all rules hold, later, for a pod of the class that has this node."""
        return all(rule.holds(node, self._row) for rule in self._rules)

    def stays(self, node: int) -> bool:
        """Whether a pod that was evicted from a node may come back: nobody is there now whom it has to avoid.

        Of a pod that runs nobody asks whether those are still there whom it needed, or how evenly it is spread.
        """
        return all(rule.free(node) for rule in self._rules if isinstance(rule, Nobody))

    def refusals(self, nodes: Mask) -> list[Refusal]:
        """Why some nodes refuse the class even later, each by its first reason, in the order of the rules."""
        self.refresh()
        left, found = nodes.copy(), []
        for rule in self._rules:
            refused = left & ~rule.later
            if count := int(refused.sum()):
                found.append(Refusal(rule.reason, count, self._text(rule, refused)))
                left &= ~refused
        return found

    def _text(self, rule: Rule, nodes: Mask) -> str:
        """``pods app=web in zone a``; without the place where it is not one."""
        about = rule.about
        if isinstance(rule, Nobody) and len(about) > 1:
            about = tuple(one for one in about if self._met(one, nodes)) or about
        said = dict.fromkeys(f"{one.text}{self._where(one.key, nodes)}".strip() for one in about)
        return " and ".join(list(said)[:_NAMED])

    def _met(self, about: About, nodes: Mask) -> bool:
        """Whether the pods of one of several terms are in the domains of any of some nodes."""
        tally = self._neighbours.tally(Use.REPEL, about.key, about.weights)
        return bool((tally.over(tally.later > 0, missing=False) & nodes).any())

    def _where(self, key: str, nodes: Mask) -> str:
        if key == EACH_NODE:
            return ""
        domains = np.unique(self._neighbours.domain(key)[nodes])
        if len(domains) == 1 and domains.item(0) >= 0:
            return f" in {key} {self._neighbours.name(key, domains.item(0))}"
        return f" by {key}"


def _port(port: Port) -> str:
    return f"{port.number}/{port.protocol}"
