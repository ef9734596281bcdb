"""What claims take of nodes, pod by pod, and what pods say about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kai_py.cluster.encode.axis import per_unit
from kai_py.cluster.laid import Laid
from kai_py.cluster.needs import Needs
from kai_py.core.dra.node_shares import OfNode, base_units
from kai_py.core.dra.table import NodeTake, NodeTerms
from kai_py.core.resources import ResourceAxis
from kai_py.core.tables.pods import NONE, USING, PodState, PodTable

_NO_NEEDS: Final = Needs()


class NodeTakes:
    """What claims take of the nodes of pods that are on nodes, and on what terms claims of other pods may.

    What a pod's status says counts, even if the driver of its devices is gone; without it, what the devices say.

    Args:
        claims: ``(L,)`` the claims.
        of_pod: rows of the claims of each pod.
        needs: of pods, by row.
        pods: the pods.
        axis: the resources.

    Attributes:
        takes: see ``ClaimTable.node_takes``.
    """

    def __init__(
        self,
        claims: Sequence[Laid],
        of_pod: Mapping[int, tuple[int, ...]],
        needs: Mapping[int, Needs],
        pods: PodTable,
        axis: ResourceAxis,
    ) -> None:
        self._claims = claims
        self._needs = needs
        self._axis = axis
        self.takes: dict[int, tuple[NodeTake, ...]] = {}
        self._included: dict[int, dict[int, int]] = {}
        counted: set[tuple[int, NodeTake]] = set()
        # Who stays pays before who leaves, so that what is left is charged to somebody.
        for pod in sorted(of_pod, key=lambda row: pods.state.item(row) == PodState.RELEASING):
            node = pods.node_idx.item(pod)
            if node == NONE or pods.state.item(pod) not in USING:
                continue
            if takes := self._of(pod, of_pod[pod]):
                self.takes[pod] = takes
            for take in takes:
                if (node, take) not in counted:
                    counted.add((node, take))
                    included = self._included.setdefault(pod, {})
                    for column, units in take.amounts:
                        included[column] = included.get(column, 0) + units

    def _of(self, pod: int, rows: Sequence[int]) -> tuple[NodeTake, ...]:
        needs = self._needs.get(pod, _NO_NEEDS)
        told, within = dict(needs.of_node), self._within(needs)
        found = []
        for row in rows:
            laid = self._claims[row]
            part = told.get(laid.name) or (laid.row.held.of_node if laid.row.held is not None else ())
            if part:
                found.append(NodeTake(row, self._amounts(part, dict(within))))
        return tuple(found)

    def terms(self, pod: int, rows: Sequence[int]) -> NodeTerms:
        """On what terms the claims of a pod may take of nodes."""
        needs = self._needs.get(pod, _NO_NEEDS)
        unused = [place for place, row in enumerate(rows) if not needs.containers(self._claims[row].name)]
        included = tuple(sorted(self._included.get(pod, {}).items()))
        return NodeTerms(included, self._within(needs), frozenset(unused))

    def _within(self, needs: Needs) -> tuple[tuple[int, int], ...]:
        index = self._axis.index
        return tuple((index[resource], units) for resource, units in needs.within if resource in index)

    def _amounts(self, part: OfNode, within: Mapping[int, int]) -> tuple[tuple[int, int], ...]:
        index = self._axis.index
        known = [(index[one], base_units(amount, per_unit(one))) for one, amount in part if one in index]
        return tuple(sorted((column, units) for column, units in known if units and column not in within))
