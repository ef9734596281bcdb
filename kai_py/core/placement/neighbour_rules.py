"""What neighbours forbid, rule by rule, told by domain and laid over the nodes.

The rules are Kubernetes': NodePorts, PodTopologySpread and InterPodAffinity of kube-scheduler 1.36. What leaving pods
hold is in the way now and gone later; what is nominated is in the way already, but not there yet to lean on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.result import FilterReason
from kai_py.core.state.neighbours import Tally
from kai_py.core.tables.neighbours import Spread, Weights

#: Up to so many domains are laid one by one.
_FEW: Final = 8
_NONE: Final = np.zeros(0, dtype=np.int32)


class About(NamedTuple):
    """What a rule is about, for reasons: which pods, by which label; ``weights`` are their kinds."""

    key: str
    text: str
    weights: Weights


class Laid:
    """What is true of domains, laid over the nodes; only what has changed is laid anew.

    Attributes:
        nodes: ``(N,)``
    """

    def __init__(self, domain: Rows, *, missing: bool) -> None:
        self._domain = domain
        self._missing = missing
        self._last: Mask | None = None
        self.nodes: Mask = np.zeros(len(domain), dtype=np.bool_)

    @cached_property
    def _by_domain(self) -> tuple[Rows, Rows]:
        """Nodes in the order of their domains, and where each domain's begin; those without one come first."""
        order = np.argsort(self._domain, kind="stable").astype(np.int32)
        begins = np.searchsorted(self._domain[order], np.arange(int(self._domain.max(initial=-1)) + 2))
        return order, begins.astype(np.int32)

    def lay(self, domains: Mask) -> bool:
        """Lay ``(D,)`` over the nodes; tells whether any of them has changed."""
        last, self._last = self._last, domains
        if last is None:
            self.nodes = np.append(domains, self._missing)[self._domain]
            return True
        changed = np.flatnonzero(last != domains)
        if len(changed) > _FEW:
            self.nodes = np.append(domains, self._missing)[self._domain]
            return True
        order, begins = self._by_domain if len(changed) else (_NONE, _NONE)
        for domain in changed.tolist():
            self.nodes[order[begins[domain] : begins[domain + 1]]] = domains.item(domain)
        return len(changed) > 0


class Rule(ABC):
    """One rule about all nodes.

    Attributes:
        reason: what a node that breaks it says.
        tallies: what it reads.
        about: what it is about.
        now: ``(N,)`` where it holds for a pod that starts now.
        later: ``(N,)`` where it holds for a pod that is nominated.
    """

    def __init__(self, reason: FilterReason, tallies: Sequence[Tally], about: Sequence[About]) -> None:
        self.reason = reason
        self.tallies = tuple(tallies)
        self.about = tuple(about)
        self.now: Mask
        self.later: Mask
        self._seen: tuple[int, ...] | None = None

    def changed(self) -> bool:
        """Catch up with the tallies; tells whether the masks are new."""
        versions = tuple([tally.version for tally in self.tallies])
        if versions == self._seen:
            return False
        self._seen = versions
        return self._look()

    @abstractmethod
    def _look(self) -> bool:
        """Make ``now`` and ``later`` anew; tells whether anything has changed."""

    @abstractmethod
    def holds(self, node: int, kind: int) -> bool:
        """Whether it holds, later, for a pod of the class that has this node and counts with its kind."""


class Nobody(Rule):
    """Nobody of some kinds may be in the same domain; a node without the label is in nobody's."""

    def __init__(self, reason: FilterReason, tally: Tally, about: Sequence[About]) -> None:
        super().__init__(reason, [tally], about)
        self._now, self._later = Laid(tally.domain, missing=True), Laid(tally.domain, missing=True)

    def _look(self) -> bool:
        (tally,) = self.tallies
        later = tally.later <= 0
        now_changed, later_changed = self._now.lay(later & (tally.now <= 0)), self._later.lay(later)
        self.now, self.later = self._now.nodes, self._later.nodes
        return now_changed or later_changed

    def holds(self, node: int, kind: int) -> bool:
        """Nobody else is there."""
        return self.free(node, but=self.tallies[0].weights.get(kind, 0))

    def free(self, node: int, *, but: int = 0) -> bool:
        """Whether no more than so much is in the domain of a node, later."""
        (tally,) = self.tallies
        domain = tally.domain.item(node)
        return domain < 0 or tally.later.item(domain) <= but


class Somebody(Rule):
    """Somebody whom all terms mean is in the domain of each; or nobody is anywhere, and the pod means itself.

    Who is only nominated is nobody to lean on, but where the first of a series is nominated the others follow.
    """

    def __init__(self, tallies: Sequence[Tally], about: Sequence[About], *, means_itself: bool) -> None:
        super().__init__(FilterReason.POD_AFFINITY, tallies, about)
        self._means_itself = means_itself
        self._inside: Mask = np.logical_and.reduce([tally.domain >= 0 for tally in tallies])
        self._now = [Laid(tally.domain, missing=False) for tally in tallies]
        self._later = [Laid(tally.domain, missing=False) for tally in tallies]

    def _look(self) -> bool:
        now, later = [tally.now > 0 for tally in self.tallies], [tally.later > 0 for tally in self.tallies]
        changed = [one.lay(domains) for one, domains in zip(self._now, now, strict=True)]
        changed += [one.lay(domains) for one, domains in zip(self._later, later, strict=True)]
        if not any(changed):
            return False
        self.later = self._mask(self._later) if _anybody(later) or not self._means_itself else self._inside
        first = self._means_itself and not _anybody(now)
        self.now = self.later if first else self._mask(self._now)
        return True

    def _mask(self, laid: list[Laid]) -> Mask:
        mask = self._inside
        for one in laid:
            mask = mask & one.nodes
        return mask

    def holds(self, node: int, kind: int) -> bool:
        """Somebody else is there, or nobody else anywhere."""
        if not self._inside.item(node):
            return False
        own = self.tallies[0].weights.get(kind, 0)
        if all(tally.later.item(tally.domain.item(node)) > own for tally in self.tallies):
            return True
        return self._means_itself and all(int(tally.later.sum()) <= own for tally in self.tallies)


def _anybody(there: Sequence[Mask]) -> bool:
    return any(domains.any() for domains in there)


class Evenly(Rule):
    """No domain gets further ahead of the emptiest one than a pod accepts; the node has the label."""

    def __init__(self, spread: Spread, tally: Tally, about: Sequence[About], domain: Rows) -> None:
        super().__init__(FilterReason.SPREAD, [tally], about)
        self._spread = spread
        # The tally leaves out nodes that do not count, but pods may go there.
        self._domain = domain
        self._now, self._later = Laid(domain, missing=False), Laid(domain, missing=False)
        self._size = int(domain.max(initial=-1)) + 1
        present = np.unique(tally.domain[tally.domain >= 0])
        self._enough = len(present) >= max(spread.min_domains, 1)
        self._present = slice(None) if len(present) == len(tally.now) else present

    def _look(self) -> bool:
        (tally,) = self.tallies
        later = self._fine(tally.later)
        now_changed = self._now.lay(later & self._fine(tally.now))
        later_changed = self._later.lay(later)
        self.now, self.later = self._now.nodes, self._later.nodes
        return now_changed or later_changed

    def holds(self, node: int, kind: int) -> bool:  # noqa: ARG002  # the pod counts already
        """Its domain is not too far ahead with it."""
        (tally,) = self.tallies
        domain = self._domain.item(node)
        counted = tally.later.item(domain) if tally.domain.item(node) >= 0 else self._spread.counts_itself
        return domain >= 0 and counted - self._least(tally.later) <= self._spread.max_skew

    def _least(self, counts: Amounts) -> int:
        return int(counts[self._present].min()) if self._enough else 0

    def _fine(self, counts: Amounts) -> Mask:
        """``(D,)`` domains that may have one more."""
        most = self._spread.max_skew + self._least(counts) - self._spread.counts_itself
        if len(counts) == self._size:
            return counts <= most
        fine = np.full(self._size, most >= 0)
        fine[: len(counts)] = counts <= most
        return fine


class Labelled(Rule):
    """The node has all labels over whose values pods are spread."""

    def __init__(self, inside: Mask, about: Sequence[About]) -> None:
        super().__init__(FilterReason.SPREAD_LABEL, (), about)
        self._inside = inside

    def _look(self) -> bool:
        self.now = self.later = self._inside
        return True

    def holds(self, node: int, kind: int) -> bool:  # noqa: ARG002
        """The node has them."""
        return self._inside.item(node)
