"""Pod classes: demands interned, and laid on the axis when a snapshot is taken."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from heapq import heappop, heappush

import numpy as np

from kai_py.cluster.encode.axis import MOST
from kai_py.cluster.encode.demand import Demand
from kai_py.cluster.encode.neighbours import NOTHING, Asks
from kai_py.core.resources import ACCOUNTED, DEVICE, GPU, Amounts, ResourceAxis
from kai_py.core.tables.classes import ClassTable, PodClass
from kai_py.core.tables.devices import Share


class ClassBook:
    """Numbers for demands. A number stays valid as long as some pod uses it; the smallest free one is given next.

    The table may still have a row for a number that nobody uses any more: nobody looks at it.

    Attributes:
        sharing: how many classes ask for parts of devices.
        asking: what classes ask of other pods, by number, for those that ask for anything.
        asks_revision: another number whenever ``asking`` has changed.
    """

    def __init__(self) -> None:
        self._number: dict[Demand, int] = {}
        self._demands: list[Demand | None] = []
        self._uses: list[int] = []
        self._free: list[int] = []
        self._resources: dict[str, int] = {}  # how many classes ask for it
        self.sharing = 0
        self.asking: dict[int, Asks] = {}
        self.asks_revision = 0
        self._table: ClassTable | None = None
        self._axis: ResourceAxis | None = None
        self._sizes: tuple[int, ...] = ()

    def take(self, demand: Demand) -> int:
        """The number of a demand; call :meth:`give_back` when the pod is gone."""
        number = self._number.get(demand)
        if number is None:
            number = self._make(demand)
        self._uses[number] += 1
        return number

    def hold(self, number: int) -> None:
        """One pod more of a number in use."""
        self._uses[number] += 1

    def give_back(self, number: int) -> None:
        """One pod less."""
        self._uses[number] -= 1
        demand = self._demands[number]
        if self._uses[number] == 0 and demand is not None:
            del self._number[demand]
            self._demands[number] = None
            heappush(self._free, number)
            if self.asking.pop(number, None) is not None:
                self.asks_revision += 1
            if demand.constraints.share is not None:
                self.sharing -= 1
                self._table = None  # without sharing classes there is no table of devices, and no row may ask for any
            for name, _ in demand.request:
                self._resources[name] -= 1
                if not self._resources[name]:
                    del self._resources[name]

    def demand(self, number: int) -> Demand:
        """The demand behind a number in use."""
        demand = self._demands[number]
        assert demand is not None
        return demand

    @property
    def resources(self) -> AbstractSet[str]:
        """Names of all resources that any pod requests."""
        return self._resources.keys()

    def table(self, axis: ResourceAxis, sizes: tuple[int, ...] = ()) -> ClassTable:
        """The classes on an axis. Numbers that are not in use have a row, too.

        Args:
            axis: has all resources that classes ask for.
            sizes: MiB of the devices that can be shared, ascending.
        """
        if self._table is None or self._axis != axis or (self.sharing and self._sizes != sizes):
            empty = PodClass((0,) * len(axis))
            classes = tuple(empty if demand is None else demand.on_axis(axis) for demand in self._demands)
            request = _matrix(classes, len(axis))
            accounted = _accounted(request, axis)
            for row, one in enumerate(classes):
                if one.share is not None:
                    accounted[row, ACCOUNTED.index(GPU)] += charged(one.share, sizes)
            self._table = ClassTable(classes, request, accounted)
            self._axis, self._sizes = axis, sizes
        return self._table

    def _make(self, demand: Demand) -> int:
        if self._free:
            number = heappop(self._free)
            self._demands[number] = demand
        else:
            number = len(self._demands)
            self._demands.append(demand)
            self._uses.append(0)
        self._number[demand] = number
        self._table = None
        self.sharing += demand.constraints.share is not None
        if demand.asks is not NOTHING:
            self.asking[number] = demand.asks
            self.asks_revision += 1
        for name, _ in demand.request:
            self._resources[name] = self._resources.get(name, 0) + 1
        return number


def charged(share: Share, sizes: tuple[int, ...]) -> int:
    """Thousandths of devices that queues are charged for a share, wherever the pod runs.

    Memory is charged as the part of the smallest device that has so much.
    """
    if not share.memory:
        return share.portion(0)
    enough = next((size for size in sizes if size >= share.memory), 0)
    return share.portion(enough) if enough else DEVICE * share.devices


def _matrix(classes: tuple[PodClass, ...], width: int) -> Amounts:
    return np.array([one.request for one in classes], dtype=np.int64).reshape(len(classes), width)


def _accounted(request: Amounts, axis: ResourceAxis) -> Amounts:
    """``(C, A)`` what classes cost queues. Absurd amounts saturate, so that sums over all pods stay within int64."""
    largest = MOST // np.maximum(axis.accounting.max(axis=1, initial=1), 1)
    return np.asarray(np.minimum(request, largest) @ axis.accounting, dtype=np.int64)
