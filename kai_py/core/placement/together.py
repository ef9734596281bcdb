"""Pods of one step that need each other: who leans on whom, and the domains in which all of them might be.

One after the other they may find no place though there is one: the first would have to come before those whom it
needs, or takes the tightest domain, in which the others have no room.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from kai_py.core.placement.views import View
from kai_py.core.resources import Mask
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import NONE
from kai_py.core.topology.choice import Offer

#: So many domains are tried for pods that need each other, the tightest first.
_DOMAINS: Final = 64


@dataclass(frozen=True)
class Company:
    """Pods that have to be in one domain.

    Attributes:
        pods: rows.
        kinds: row of the kind -> how many of them.
        keys: labels whose domains are in question, the one with the most domains first; empty for a pod on its own.
    """

    pods: tuple[int, ...]
    kinds: Counter[int]
    keys: tuple[str, ...]


class Together:
    """Finds out who of a step has to be with whom.

    Args:
        ledger: kinds of pods, and what is free.
        view: of a pod class.
    """

    def __init__(self, ledger: Ledger, view: Callable[[int], View]) -> None:
        self._ledger = ledger
        self._view = view

    def needed(self, pods: Sequence[int]) -> bool:
        """Whether any of some pods may lean on another one of them."""
        neighbours = self._ledger.neighbours
        if neighbours is None or len(pods) < 2:
            return False
        kinds = {neighbours.kind(pod) for pod in pods} - {NONE}
        return any(self._leans_on(kind, kinds) for kind in kinds)

    def _leans_on(self, kind: int, others: set[int]) -> set[int]:
        """Those of some kinds that some required term of a kind means."""
        assert self._ledger.neighbours is not None
        table = self._ledger.neighbours.table
        return {
            other for other in others for term in table.kinds[kind].affinity if other in table.selected(term.matcher)
        }

    def in_order(self, pods: Sequence[int]) -> list[int]:
        """The pods, those first who lean on no other kind."""
        assert self._ledger.neighbours is not None
        of = {pod: self._ledger.neighbours.kind(pod) for pod in pods}
        kinds = set(of.values()) - {NONE}
        leaning = {kind: len(self._leans_on(kind, kinds) - {kind}) for kind in kinds}
        return sorted(pods, key=lambda pod: leaning.get(of[pod], 0))

    def companies(self, pods: Sequence[int]) -> list[Company]:
        """The pods by company, companies in the order of their first pods."""
        assert self._ledger.neighbours is not None
        neighbours = self._ledger.neighbours
        of = {pod: neighbours.kind(pod) for pod in pods}
        kinds = set(of.values()) - {NONE}
        company = {kind: {kind} for kind in kinds}
        for kind in sorted(kinds):
            for other in self._leans_on(kind, kinds):
                if company[other] is not company[kind]:
                    company[kind] |= company[other]
                    for one in company[other]:
                        company[one] = company[kind]
        found: dict[object, list[int]] = {}
        for pod in pods:
            leaning = of[pod] != NONE and self._keys(company[of[pod]])
            found.setdefault(id(company[of[pod]]) if leaning else (pod,), []).append(pod)
        companies = []
        for members in found.values():
            counts = Counter(of[pod] for pod in members)
            keys = self._keys(set(counts)) if NONE not in counts else ()
            companies.append(Company(tuple(members), counts, keys))
        return companies

    def _keys(self, kinds: set[int]) -> tuple[str, ...]:
        """Labels of the terms by which some kinds mean each other, the one with the most domains first."""
        assert self._ledger.neighbours is not None
        neighbours = self._ledger.neighbours
        table = neighbours.table
        keys = {
            term.key for kind in kinds for term in table.kinds[kind].affinity if kinds & table.selected(term.matcher)
        }
        return tuple(sorted(keys, key=lambda key: (-int(neighbours.domain(key).max(initial=NONE)), key)))

    def domains(self, company: Company, key: str, within: Mask | None) -> Iterator[Mask]:
        """``(N,)`` of the domains that have room for a company, the tightest first."""
        ledger = self._ledger
        assert ledger.neighbours is not None
        domain = ledger.neighbours.domain(key)
        inside = domain >= 0 if within is None else (domain >= 0) & within
        if not inside.any():
            return
        demand = Counter(ledger.snapshot.pods.class_idx[list(company.pods)].tolist())
        views = [self._view(class_idx) for class_idx in demand]
        request, allowed = np.array([view.request for view in views]), np.array([view.allowed for view in views])
        slots = Offer.of(request, ledger.free + ledger.releasing, allowed & inside).slots
        room = np.zeros((len(views), int(domain.max()) + 1), dtype=np.int64)
        for row, own in enumerate(slots):
            np.add.at(room[row], domain[inside], own[inside])
        spare = room - np.array(list(demand.values()))[:, None]
        enough = np.flatnonzero((spare >= 0).all(axis=0))
        for number in enough[np.argsort(spare[:, enough].sum(axis=0), kind="stable")][:_DOMAINS].tolist():
            yield inside & (domain == number)
