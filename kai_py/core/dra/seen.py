"""Which node sees which device, from both sides: worked out once per inventory, for all device indexes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kai_py.core.dra.inventory import Inventory


@dataclass(frozen=True)
class Seen:
    """Which node sees which device.

    Attributes:
        rows: ``(N,)`` devices of each node.
        nodes_of: ``(D,)`` nodes of each device.
        neighbours: ``(K,)`` nodes with devices that consume a counter.
    """

    rows: tuple[tuple[int, ...], ...]
    nodes_of: tuple[tuple[int, ...], ...]
    neighbours: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, inventory: Inventory) -> Seen:
        """Look from all nodes."""
        rows = tuple(inventory.at(node).rows for node in range(len(inventory.nodes)))
        nodes_of: list[list[int]] = [[] for _ in inventory.devices]
        for node, found in enumerate(rows):
            for row in found:
                nodes_of[row].append(node)
        neighbours: list[set[int]] = [set() for _ in inventory.counters.totals]
        for row, charges in enumerate(inventory.charges):
            nodes = nodes_of[row]
            for counter, _ in charges:
                if not neighbours[counter].issuperset(nodes):
                    neighbours[counter].update(nodes)
        return cls(rows, tuple(map(tuple, nodes_of)), tuple(tuple(sorted(one)) for one in neighbours))

    def nodes_with(self, names: Iterable[int], inventory: Inventory) -> set[int]:
        """Nodes that see any device of these names, or one that consumes the same counters."""
        nodes: set[int] = set()
        for name in names:
            for row in inventory.devices_of_id[name]:
                nodes.update(self.nodes_of[row])
            for counter, _ in inventory.charges_of_id[name]:
                nodes.update(self.neighbours[counter])
        return nodes
