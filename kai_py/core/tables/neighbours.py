"""What pods ask of each other: kinds of pods, who of them is meant by whom, and the ports of nodes that they take.

Which pods a selector means is known before the cycle, so it is told by rows of kinds here and not by labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

#: How much a kind counts, by row.
Weights = dict[int, int]

#: Addresses that mean all addresses of a node.
_ANY_ADDRESS = "0.0.0.0"  # noqa: S104  # nothing is bound here


@dataclass(frozen=True)
class Port:
    """A port of the node itself. An ``address`` of 0.0.0.0 is in the way of all others."""

    number: int
    protocol: str = "TCP"
    address: str = _ANY_ADDRESS

    def conflicts(self, other: Port) -> bool:
        """Whether two pods of a node cannot have these (Kubernetes: NodePorts)."""
        if (self.protocol, self.number) != (other.protocol, other.number):
            return False
        return self.address == other.address or _ANY_ADDRESS in (self.address, other.address)


class Term(NamedTuple):
    """Pods that a matcher selects, on nodes with the same value of the label ``key``."""

    key: str
    matcher: int


class Wish(NamedTuple):
    """A term that is worth ``weight`` for every such pod; less than nothing where these are to be avoided."""

    weight: int
    term: Term


class Spread(NamedTuple):
    """How unevenly pods may be spread over the values of a node label.

    Attributes:
        key: the label.
        matcher: of the pods that are counted; -1 = none is.
        counts_itself: whether the pod is among those that it wants to be spread.
        max_skew: by how much more than the least one a domain may have.
        min_domains: with fewer domains the least one counts as empty.
        hard: or only a wish.
        honors_affinity: whether only nodes count that the pod's node selector and affinity allow.
        honors_taints: whether only nodes count whose taints the pod tolerates.
        default: nobody has asked for it in the pod: it is a default of the cluster.
        lenient: nodes without the label are as good as empty ones; for soft constraints only.
    """

    key: str
    matcher: int
    counts_itself: bool
    max_skew: int
    min_domains: int = 1
    hard: bool = True
    honors_affinity: bool = True
    honors_taints: bool = False
    default: bool = False
    lenient: bool = False


class Kind(NamedTuple):
    """Pods that ask the same of others, and that the same others mean.

    Attributes:
        matched: rows of the matchers that select these pods.
        affinity: required terms; somebody has to be there.
        anti: required terms; nobody may be there.
        wishes: preferred terms of both sorts.
        spreads: constraints of spreading.
        ports: of the node.
    """

    matched: frozenset[int] = frozenset()
    affinity: tuple[Term, ...] = ()
    anti: tuple[Term, ...] = ()
    wishes: tuple[Wish, ...] = ()
    spreads: tuple[Spread, ...] = ()
    ports: tuple[Port, ...] = ()

    def means_itself(self) -> bool:
        """Whether all its required affinity terms select it; the first pod of such a series may go anywhere."""
        return all(term.matcher in self.matched for term in self.affinity)


@dataclass(frozen=True)
class NeighbourTable:
    """The kinds of all pods that matter to others.

    Attributes:
        kinds: ``(K,)``; ``PodClass.kind`` is a row here.
        texts: by row of the matcher: which pods it selects, in words, for reasons.
    """

    kinds: tuple[Kind, ...]
    texts: tuple[str, ...] = ()

    @cached_property
    def _selected(self) -> Mapping[int, frozenset[int]]:
        """Rows of kinds by matcher."""
        found: dict[int, set[int]] = {}
        for row, kind in enumerate(self.kinds):
            for matcher in kind.matched:
                found.setdefault(matcher, set()).add(row)
        return {matcher: frozenset(rows) for matcher, rows in found.items()}

    def selected(self, matcher: int) -> frozenset[int]:
        """Rows of the kinds that a matcher selects."""
        return self._selected.get(matcher, frozenset())

    def selected_by_all(self, terms: Iterable[Term]) -> Weights:
        """Kinds that all of some terms select, each counting once."""
        return dict.fromkeys(frozenset.intersection(*(self.selected(term.matcher) for term in terms)), 1)

    @cached_property
    def _forbidding(self) -> Mapping[int, Mapping[str, Weights]]:
        """Kinds whose anti-affinity is about the pods of a matcher, by matcher and key."""
        found: dict[int, dict[str, Weights]] = {}
        for row, kind in enumerate(self.kinds):
            for key, matcher in kind.anti:
                found.setdefault(matcher, {}).setdefault(key, {})[row] = 1
        return found

    def avoided(self, kind: int) -> dict[str, Weights]:
        """Kinds near which the required anti-affinity of a kind does not let it go, by key."""
        found: dict[str, Weights] = {}
        for key, matcher in self.kinds[kind].anti:
            found.setdefault(key, {}).update(dict.fromkeys(self.selected(matcher), 1))
        return found

    def avoiding(self, kind: int) -> dict[str, Weights]:
        """Kinds whose own anti-affinity does not let a kind come near them, by key."""
        return self._gather(kind, self._forbidding)

    def anti_terms(self, kind: int, key: str) -> list[tuple[Term, Weights]]:
        """Terms of others by a key that forbid a kind, with the kinds that have them."""
        matched = sorted(self.kinds[kind].matched)
        carriers = [(matcher, self._forbidding.get(matcher, {}).get(key)) for matcher in matched]
        return [(Term(key, matcher), weights) for matcher, weights in carriers if weights is not None]

    def _gather(self, kind: int, by_matcher: Mapping[int, Mapping[str, Weights]]) -> dict[str, Weights]:
        found: dict[str, Weights] = {}
        for matcher in sorted(self.kinds[kind].matched):
            for key, weights in by_matcher.get(matcher, {}).items():
                total = found.setdefault(key, {})
                for row, weight in weights.items():
                    total[row] = total.get(row, 0) + weight
        return found

    @cached_property
    def _wishing(self) -> Mapping[int, Mapping[str, Weights]]:
        """What kinds wish about the pods of a matcher; who requires them is glad of more, and counts 1."""
        found: dict[int, dict[str, Weights]] = {}
        for row, kind in enumerate(self.kinds):
            for weight, (key, matcher) in (*kind.wishes, *(Wish(1, term) for term in kind.affinity)):
                weights = found.setdefault(matcher, {}).setdefault(key, {})
                weights[row] = weights.get(row, 0) + weight
        return found

    def worth(self, kind: int) -> dict[str, Weights]:
        """What each neighbour of a kind is worth, by key: by its own wishes and by those of the others."""
        found = self._gather(kind, self._wishing)
        for weight, (key, matcher) in self.kinds[kind].wishes:
            total = found.setdefault(key, {})
            for row in self.selected(matcher):
                total[row] = total.get(row, 0) + weight
        nonzero = {key: {row: weight for row, weight in total.items() if weight} for key, total in found.items()}
        return {key: total for key, total in nonzero.items() if total}

    @cached_property
    def _listening(self) -> Mapping[tuple[str, int], list[int]]:
        """Kinds by protocol and number of their ports."""
        found: dict[tuple[str, int], list[int]] = {}
        for row, kind in enumerate(self.kinds):
            for port in kind.ports:
                found.setdefault((port.protocol, port.number), []).append(row)
        return found

    def in_the_way(self, kind: int) -> Weights:
        """Kinds that have a port which a kind needs."""
        return {
            row: 1
            for port in self.kinds[kind].ports
            for row in self._listening[port.protocol, port.number]
            if any(map(port.conflicts, self.kinds[row].ports))
        }
