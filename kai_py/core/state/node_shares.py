"""What devices take of their nodes as the cycle changes it: cpu, memory and the like, beside what pods ask for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kai_py.core.dra.claims import ALL, Alternative, Claim
from kai_py.core.dra.node_shares import NodeRoom, OfNode, base_units, of_device
from kai_py.core.dra.table import NO_TERMS, Ask, ClaimTable, Extended, Held, NodeTake, NodeTerms
from kai_py.core.dra.verdicts import Verdict, Verdicts
from kai_py.core.resources import Amounts
from kai_py.core.tables.pods import NONE, USING, PodState
from kai_py.core.tables.snapshot import Snapshot

#: What a pod's claims take of its node.
Takes = tuple[NodeTake, ...]
NO_TAKES: Takes = ()


class NodeShares:
    """What claims take of nodes. Part of the ledger; only ``Transaction`` changes it.

    A claim counts once on a node, however many pods use it there. The amounts of pods that run are in the requests of
    their classes as well, with one pod for each claim, so that whoever reckons with sums of requests reckons with them;
    here that is put right when pods go and come.

    Args:
        snapshot: the tables.
        table: the claims.
        free, releasing: ``(N, R)`` of the ledger, as requests of classes make them; put right.

    Attributes:
        of_pod: pod row -> what its claims take of the node that it is, or was last, on.
    """

    def __init__(self, snapshot: Snapshot, table: ClaimTable, free: Amounts, releasing: Amounts) -> None:
        self._table = table
        self._axis = snapshot.axis
        self._free = free
        self._releasing = releasing
        self._classes = snapshot.pods.class_idx
        self._requests = snapshot.classes.request
        #: Node -> what is taken -> pods that use it now, and once leaving ones are gone and nominated ones are there.
        self._users: dict[int, dict[NodeTake, tuple[int, int]]] = {}
        self._columns = [snapshot.axis.index[name] for name in sorted(table.inventory.of_nodes & set(self._axis.names))]
        self.of_pod: dict[int, Takes] = dict(table.node_takes)
        states, nodes = snapshot.pods.state, snapshot.pods.node_idx
        for pod in table.of_pod:
            state, node = states.item(pod), nodes.item(pod)
            if node == NONE or state not in USING:
                continue
            stays = state != PodState.RELEASING
            for column, units in self._included(pod):
                free[node, column] += units
                releasing[node, column] -= 0 if stays else units
            for take in self.of_pod.get(pod, NO_TAKES):
                self._count(node, take, 1, now=True, later=stays)

    # -- changes -----------------------------------------------------------------------------------

    def sit(self, pod: int, takes: Takes) -> None:
        """Note what a pod's claims take."""
        if takes:
            self.of_pod[pod] = takes
        else:
            self.of_pod.pop(pod, None)

    def shift(self, pod: int, node: int, takes: Takes, sign: int, *, now: bool) -> None:
        """Let a pod's claims take something of a node (``sign`` 1), or give it back (-1), now and later or only later.

        What is in the request of the pod's class has been charged, or given back, before.
        """
        room = (self._free if now else self._releasing)[node]
        for column, units in self._included(pod):
            room[column] += sign * units
        for take in takes:
            self._count(node, take, sign, now=now, later=True)

    def _count(self, node: int, take: NodeTake, sign: int, *, now: bool, later: bool) -> None:
        users = self._users.setdefault(node, {})
        had_now, had_later = users.pop(take, (0, 0))
        has_now, has_later = had_now + sign * now, had_later + sign * later
        if has_now or has_later:
            users[take] = has_now, has_later
        if not users:
            del self._users[node]
        opened = (has_now > 0) - (had_now > 0)
        needed = (has_later > 0) - (had_later > 0)
        for column, units in take.amounts:
            self._free[node, column] -= units * opened
            self._releasing[node, column] += units * (opened - needed)

    def _included(self, pod: int) -> tuple[tuple[int, int], ...]:
        """What of its claims' takes is in the request of a pod's class."""
        return self._terms(self._classes.item(pod)).included

    # -- questions ---------------------------------------------------------------------------------

    def takes(self, pod: int, uses: Sequence[tuple[int, Held | None]]) -> Takes:
        """What claims with these devices take, used by a pod.

        Args:
            pod: its row.
            uses: (row of the claim, its devices).
        """
        known = {take.claim: take for take in self._table.node_takes.get(pod, NO_TAKES)}
        within = dict(self._terms(self._classes.item(pod)).within)
        found = []
        for row, held in uses:
            if held is None:
                continue
            if row in known and held is self._table.claims[row].held:
                found.append(known[row])  # the pod's status may know more than there is left of its driver
            elif held.of_node:
                found.append(NodeTake(row, self._amounts(held.of_node, within)))
        return tuple(found)

    def used(self, row: int, node: int, *, later: bool) -> bool:
        """Whether a claim takes something of a node for somebody."""
        users = self._users.get(node, {})
        return any(soon or (now and not later) for take, (now, soon) in users.items() if take.claim == row)

    def room(self, class_idx: int, node: int, *, later: bool, unused: frozenset[int]) -> NodeRoom:
        """What a node has left for the devices of a pod of a class, which is not on it.

        Args:
            class_idx: of the pod.
            node: the node.
            later: once leaving pods are gone.
            unused: see ``NodeRoom``.
        """
        terms = self._terms(class_idx)
        free = self._free[node]
        soon = free + self._releasing[node]
        left = (soon if later else np.minimum(free, soon)) - self._requests[class_idx]
        for column, units in terms.included:
            left[column] += units
        for column, units in terms.within:
            left[column] = units
        names = self._axis.names
        return NodeRoom({names[column]: left.item(column) for column in self._columns}, self._axis.per_unit, unused)

    def least(self, class_idx: int, asks: Sequence[Ask], verdicts: Verdicts) -> Amounts:
        """``(N, R)`` no more than what the devices of a pod of a class take of each node.

        Beyond what is in the request of its class, so that it may be negative.
        """
        inventory, terms = self._table.inventory, self._terms(class_idx)
        least: Amounts = np.zeros(self._free.shape, dtype=np.int64)
        for ask in asks:
            if isinstance(ask, int | Extended):
                continue
            for node in range(len(least)):
                for resource, units in self._least_of(ask, inventory.at(node).rows, verdicts):
                    if (column := self._axis.index.get(resource)) is not None:
                        least[node, column] += units
        for column, _ in terms.within:
            least[:, column] = 0
        for column, units in terms.included:
            least[:, column] -= units
        return least

    def _least_of(self, claim: Claim, rows: Sequence[int], verdicts: Verdicts) -> list[tuple[str, int]]:
        """The least that a claim takes of a node with these devices, by resource, rounded down."""
        total: dict[str, int] = {}
        for request in claim.requests:
            ways = [self._least_way(way, rows, verdicts) for way in request.alternatives]
            for resource in set(ways[0]).intersection(*ways[1:]) if ways else ():
                total[resource] = total.get(resource, 0) + min(way[resource] for way in ways)
        return [(resource, base_units(amount, self._axis.per_unit(resource))) for resource, amount in total.items()]

    def _least_way(self, way: Alternative, rows: Sequence[int], verdicts: Verdicts) -> dict[str, int]:
        if way.admin:
            return {}
        judge, devices = verdicts.of(way), self._table.inventory.devices
        parts: list[dict[str, int]] = []
        for row in rows:
            if judge.verdict(row) in (Verdict.FITS, Verdict.FAILED):
                device = devices[row]
                parts.append(dict(of_device(device, judge.taking(row) if device.shareable else ())))
        if not parts:
            return {}
        count = 1 if way.count == ALL else way.count
        return {name: count * min(part.get(name, 0) for part in parts) for name in set().union(*parts)}

    def _terms(self, class_idx: int) -> NodeTerms:
        return self._table.terms.get(class_idx, NO_TERMS)

    def _amounts(self, part: OfNode, within: dict[int, int]) -> tuple[tuple[int, int], ...]:
        """Columns and base units; what the pod as a whole has asked for already is left out."""
        index = self._axis.index
        found = [
            (index[resource], base_units(amount, self._axis.per_unit(resource)))
            for resource, amount in part
            if resource in index
        ]
        return tuple(sorted((column, units) for column, units in found if units and column not in within))

    def state(self) -> tuple[object, ...]:
        """All that it knows, to be compared."""
        return {node: dict(users) for node, users in self._users.items()}, dict(self.of_pod)
