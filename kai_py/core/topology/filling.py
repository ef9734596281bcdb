"""What is left of nodes while boxes are filled one after the other."""

from __future__ import annotations

import numpy as np

from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.domains import Topology
from kai_py.core.topology.packing import Load, greedy
from kai_py.core.topology.positions import Position, compact


class Filling:
    """Puts pods on nodes that they are left.

    Args:
        load: pods and free amounts of all nodes.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._free = load.free.copy()
        self._slots = load.slots.copy()

    def _own(self, topology: Topology, position: Position, nodes: Rows) -> bool:
        """Place a box' own pods on some nodes, those of one class tightly."""
        demand = np.array(position.box.demand, dtype=np.int64)
        asked = np.flatnonzero(demand)
        if not asked.size:
            return True
        slots = np.minimum(self._slots[:, nodes], demand[:, None])
        if len(asked) == 1:
            row = asked.item(0)
            if slots[row].sum() < demand[row]:
                return False
            counts = np.zeros_like(slots)
            counts[row] = compact(topology, position.level, nodes, self._slots[row, nodes], int(demand[row]))
        else:
            counts = greedy(Load(demand, self._load.request, self._free[nodes], slots))
            if counts.sum() < demand.sum():
                return False
        self._take(position, nodes, counts)
        return True

    def _take(self, position: Position, nodes: Rows, counts: Amounts) -> None:
        position.put(nodes, counts)
        self._free[nodes] -= counts.T @ self._load.request
        for row, request in enumerate(self._load.request):
            asked = np.flatnonzero(request)
            if asked.size:
                room = (self._free[nodes][:, asked] // request[asked]).min(axis=1)
                self._slots[row, nodes] = np.minimum(self._load.slots[row, nodes], room)
