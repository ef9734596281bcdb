"""The table of claims in the making: who uses which claim, who pays, and which pods are alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from kai_py.cluster.bills import Bill
from kai_py.cluster.laid import Laid
from kai_py.cluster.node_takes import NodeTakes
from kai_py.cluster.through_pod_groups import ThroughPodGroups
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.refused import RefusalMemory
from kai_py.core.dra.selectors import SelectorMemo
from kai_py.core.dra.table import NO_TERMS, Ask, ClaimRow, ClaimTable, Counted, Extended, NodeTerms
from kai_py.core.resources import Amounts
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.pods import PodState, PodTable

_Look = int | tuple[int, ...]
#: States of pods that wait.
NEW: Final = (PodState.PENDING, PodState.GATED)


class ClaimRows:
    """A table of claims in the making.

    Args:
        claims: ``(L,)`` sorted by name.
        of_pod: see ``ClaimTable``.
        pods: the pods.
        bills: what queues are charged for.
        over: uids of pods that have ended, and only have to be taken off the claims that are reserved for them.
        takes: what claims take of nodes; None where no device takes anything.
        through: who uses claims through PodGroups; None where nobody does, and none is reserved for one.
    """

    def __init__(
        self,
        claims: list[Laid],
        of_pod: Mapping[int, tuple[int, ...]],
        pods: PodTable,
        bills: tuple[Bill, ...],
        over: AbstractSet[str] = frozenset(),
        takes: NodeTakes | None = None,
        through: ThroughPodGroups | None = None,
    ) -> None:
        self._over = over
        self._through = through
        self._takes = takes
        self._terms: dict[int, NodeTerms] = {}
        self._claims = claims
        self._of_pod = {pod: rows for pod, rows in sorted(of_pod.items()) if rows}
        self._pods = pods
        self._states: list[int] = pods.state.tolist()
        self._bills = bills
        self._of_class: dict[int, tuple[Ask, ...]] = {}
        self._users = self._count_users()
        self._rows = [self._with_others(row, laid) for row, laid in enumerate(claims)]

    def _count_users(self) -> dict[int, list[int]]:
        """Who uses each claim, those that run first."""
        users: dict[int, list[int]] = {}
        states = self._states
        for pod, rows in sorted(self._of_pod.items(), key=lambda entry: _STANDING[states[entry[0]]]):
            for row in rows:
                users.setdefault(row, []).append(pod)
        return users

    def _with_others(self, row: int, laid: Laid) -> ClaimRow:
        """The row of a claim with the number of those for whom it is reserved and who are no pods of ours."""
        users = self._users.get(row, ())
        others = leaving = spared = 0
        if laid.reserved:
            ours = {self._pods.keys[pod].uid for pod in users}
            leaving = sum(uid in self._over for uid in laid.reserved)
            others = sum(uid not in ours for uid in laid.reserved) - leaving
        if self._through is not None:
            standing = self._through.standing(row, laid, users)
            others, leaving, spared = others + standing.others, leaving + standing.leaving, standing.spared
        if not (others or leaving or spared):
            return laid.row
        return dataclasses.replace(laid.row, others=others, leaving=leaving, spared=spared)

    def classes(self, classes: ClassTable, accounting: Amounts) -> tuple[ClassTable, np.ndarray]:
        """The table with a class for every kind of pod and claims, and ``(P,)`` rows in it.

        Queues pay for a claim with the class of the first pod that uses it. What claims of pods that run take of their
        nodes is in the requests of classes.

        Args:
            classes: of the pods without their claims.
            accounting: ``(R, A)`` of the axis.
        """
        class_idx = self._pods.class_idx.copy()
        alike = _Alike()
        known: dict[tuple[int, tuple[_Look, ...], tuple[int, ...], NodeTerms | None], int] = {}
        made, request, accounted = list(classes.classes), list(classes.request), list(classes.accounted)
        for pod, rows in self._of_pod.items():
            asks = tuple([self._ask(row, pod) for row in rows])
            look = tuple([alike.look(ask) for ask in asks])
            terms = None if self._takes is None else self._takes.terms(pod, rows)
            cost = self._cost(pod, rows)
            if terms is not None and terms.within:
                cost = self._beyond(cost, terms, accounting)
            key = class_idx.item(pod), look, cost, terms
            if (number := known.get(key)) is None:
                number = known[key] = len(made)
                kinds = tuple(map(_content, asks))
                needed = classes.request[key[0]]
                if terms is not None and terms != NO_TERMS:
                    self._terms[number] = terms
                    kinds, needed = (*kinds, terms), needed.copy()
                    for column, units in terms.included:
                        needed[column] += units
                made.append(dataclasses.replace(classes.classes[key[0]], claims=kinds))
                request.append(needed)
                charged = classes.accounted[key[0]].copy()
                for bill, units in zip(self._bills, cost, strict=True):
                    charged[bill.column] += units
                accounted.append(charged)
                self._of_class[number] = asks
            class_idx[pod] = number
        return ClassTable(tuple(made), np.array(request), np.array(accounted)), class_idx

    def _cost(self, pod: int, rows: tuple[int, ...]) -> tuple[int, ...]:
        paid = [self._claims[row].cost for row in rows if self._users[row][0] == pod]
        if len(paid) == 1:
            return paid[0]
        return tuple([sum(units) for units in zip(*paid, strict=True)]) if paid else (0,) * len(self._bills)

    def _beyond(self, cost: tuple[int, ...], terms: NodeTerms, accounting: Amounts) -> tuple[int, ...]:
        """What is paid beyond the amounts that the pod as a whole asks for, from which its devices take theirs."""
        paid = set(np.nonzero(accounting[[column for column, _ in terms.within]])[1].tolist())
        bills = zip(self._bills, cost, strict=True)
        return tuple([0 if not bill.classes and bill.column in paid else units for bill, units in bills])

    def _ask(self, row: int, pod: int) -> Ask:
        """The very claim where others use it too, or it has devices that a waiting pod must go to."""
        claim = self._rows[row]
        if len(self._users[row]) > 1 or claim.others or (claim.held is not None and self._states[pod] in NEW):
            return row
        return claim.asked if claim.extended is None else claim.extended

    def table(
        self, inventory: Inventory, counted: tuple[Counted, ...], memo: SelectorMemo, refusals: RefusalMemory
    ) -> ClaimTable:
        """The table as it is now."""
        return ClaimTable(
            inventory,
            tuple(self._rows),
            self._of_pod,
            self._of_class,
            counted,
            memo,
            {} if self._takes is None else self._takes.takes,
            self._terms,
            refusals,
        )


class _Alike:
    """Numbers for what claims ask for.

    The reader lets claims of one template share what they ask for, and an identity is found a hundred times faster than
    the hash of all that a claim says.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._by_identity: dict[int, int] = {}

    def look(self, claim: Ask) -> _Look:
        """Equal for claims that ask for the same."""
        if isinstance(claim, int):
            return claim
        if isinstance(claim, Extended):
            return (id(claim),)
        known = self._by_identity
        try:
            return known[id(claim.requests)], known[id(claim.constraints)], known[id(claim.config)]
        except KeyError:
            return self._number(claim.requests), self._number(claim.constraints), self._number(claim.config)

    def _number(self, content: Hashable) -> int:
        number = self._by_identity[id(content)] = self._numbers.setdefault(content, len(self._numbers))
        return number


def _content(claim: Ask) -> Hashable:
    if isinstance(claim, int):
        return claim
    if isinstance(claim, Extended):
        return tuple((nodes.tobytes(), _content(variant)) for nodes, variant in claim.variants)
    return claim.requests, claim.constraints, claim.config


#: Who runs pays before who waits, and who leaves pays nothing.
_STANDING: Final = {int(state): 0 if state == PodState.BOUND else 1 if state in NEW else 2 for state in PodState}
