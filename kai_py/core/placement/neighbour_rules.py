"""What neighbours forbid, rule by rule, told by domain and laid over the nodes.

The rules are Kubernetes': NodePorts, PodTopologySpread and InterPodAffinity of kube-scheduler 1.36. What leaving pods
hold is in the way now and gone later; what is nominated is in the way already, but not there yet to lean on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kai_py.core.resources import Amounts, Mask, Rows
from kai_py.core.result import FilterReason
from kai_py.core.state.neighbours import Tally
from kai_py.core.tables.neighbours import Spread, Weights


class About(NamedTuple):
    """What a rule is about, for reasons: which pods, by which label; ``weights`` are their kinds."""

    key: str
    text: str
    weights: Weights


class Rule:
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
        self.now, self.later = self._masks()
        return True

    def _masks(self) -> tuple[Mask, Mask]:
        """``now`` and ``later``."""
        raise NotImplementedError

    def holds(self, node: int, kind: int) -> bool:
        """Whether it holds, later, for a pod of the class that has this node and counts with its kind."""
        raise NotImplementedError


class Nobody(Rule):
    """Nobody of some kinds may be in the same domain; a node without the label is in nobody's."""

    def _masks(self) -> tuple[Mask, Mask]:
        (tally,) = self.tallies
        later = tally.later <= 0
        return tally.over(later & (tally.now <= 0), missing=True), tally.over(later, missing=True)

    def holds(self, node: int, kind: int) -> bool:
        """Nobody else is there."""
        return self.free(node, but=self.tallies[0].weights.get(kind, 0))

    def free(self, node: int, *, but: int = 0) -> bool:
        """Whether no more than so much is in the domain of a node, later."""
        (tally,) = self.tallies
        domain = tally.domain.item(node)
        return domain < 0 or tally.later.item(domain) <= but


class Somebody(Rule):
    """Somebody whom all terms mean is in the domain of each; or nobody is anywhere, and the pod means itself."""

    def __init__(self, tallies: Sequence[Tally], about: Sequence[About], *, means_itself: bool) -> None:
        super().__init__(FilterReason.POD_AFFINITY, tallies, about)
        self._means_itself = means_itself
        self._inside: Mask = np.logical_and.reduce([tally.domain >= 0 for tally in tallies])

    def _masks(self) -> tuple[Mask, Mask]:
        return self._mask([tally.now for tally in self.tallies]), self._mask([tally.later for tally in self.tallies])

    def _mask(self, counts: list[Amounts]) -> Mask:
        if self._means_itself and not any((count > 0).any() for count in counts):
            return self._inside
        mask = self._inside.copy()
        for tally, count in zip(self.tallies, counts, strict=True):
            mask &= tally.over(count > 0, missing=False)
        return mask

    def holds(self, node: int, kind: int) -> bool:
        """Somebody else is there, or nobody else anywhere."""
        if not self._inside.item(node):
            return False
        own = self.tallies[0].weights.get(kind, 0)
        if all(tally.later.item(tally.domain.item(node)) > own for tally in self.tallies):
            return True
        return self._means_itself and all(int(tally.later.sum()) <= own for tally in self.tallies)


class Evenly(Rule):
    """No domain gets further ahead of the emptiest one than a pod accepts; the node has the label."""

    def __init__(self, spread: Spread, tally: Tally, about: Sequence[About], domain: Rows) -> None:
        super().__init__(FilterReason.SPREAD, (tally,), about)
        self._spread = spread
        self._domain = domain  # the tally leaves out nodes that do not count, but pods may go there
        self._size = int(domain.max(initial=-1)) + 1
        self._present = np.unique(tally.domain[tally.domain >= 0])

    def _masks(self) -> tuple[Mask, Mask]:
        (tally,) = self.tallies
        later = self._mask(tally.later)
        return self._mask(tally.now) & later, later

    def holds(self, node: int, kind: int) -> bool:  # noqa: ARG002  # the pod counts already
        """Its domain is not too far ahead with it."""
        (tally,) = self.tallies
        domain = self._domain.item(node)
        counted = tally.later.item(domain) if tally.domain.item(node) >= 0 else self._spread.counts_itself
        return domain >= 0 and counted - self._least(tally.later) <= self._spread.max_skew

    def _least(self, counts: Amounts) -> int:
        enough = len(self._present) >= max(self._spread.min_domains, 1)
        return int(counts[self._present].min()) if enough else 0

    def _mask(self, counts: Amounts) -> Mask:
        spread, least = self._spread, self._least(counts)
        most = spread.max_skew + least - spread.counts_itself
        fine = np.full(self._size + 1, most >= 0)
        fine[: len(counts)] = counts <= most
        fine[self._size] = False
        return np.asarray(fine[self._domain])


class Labelled(Rule):
    """The node has all labels over whose values pods are spread."""

    def __init__(self, inside: Mask, about: Sequence[About]) -> None:
        super().__init__(FilterReason.SPREAD_LABEL, (), about)
        self._inside = inside

    def _masks(self) -> tuple[Mask, Mask]:
        return self._inside, self._inside

    def holds(self, node: int, kind: int) -> bool:  # noqa: ARG002
        """The node has them."""
        return self._inside.item(node)
