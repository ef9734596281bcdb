"""What queues pay for the devices of a snapshot, and which devices they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from kai_py.cluster.bills import Bill, Prices
from kai_py.cluster.encode.axis import Accounting
from kai_py.cluster.extended_needs import Offer
from kai_py.cluster.node_prices import NodePrices, node_prices
from kai_py.core.dra.claims import DeviceClass
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.selectors import SelectorMemo
from kai_py.core.dra.table import Counted
from kai_py.core.resources import ACCOUNTED, DEVICE, GPU, Mask, ResourceAxis
from kai_py.core.tables.nodes import NodeTable

#: Begins the names by which queues account devices of one DeviceClass.
CLASS_PREFIX: Final = "deviceclass/"
_GPU: Final = ACCOUNTED.index(GPU)


class PriceList:
    """Prices, worked out once as long as nothing changes that they depend on.

    Args:
        device_class: finds a DeviceClass.
        memo: what selectors said.

    Attributes:
        bills: what queues are charged for.
    """

    def __init__(self, device_class: Callable[[str], DeviceClass | None], memo: SelectorMemo) -> None:
        self._device_class = device_class
        self._memo = memo
        self.bills: tuple[Bill, ...] = ()
        self._prices: tuple[Prices | NodePrices, ...] = ()
        self._priced_for: tuple[object, ...] = ()
        self._counted: tuple[Mask, Offer | None, tuple[Counted, ...]] | None = None

    def forget(self) -> None:
        """DeviceClasses have changed."""
        self._prices = ()

    def at(self, inventory: Inventory, axis: ResourceAxis, accounting: Accounting) -> tuple[Prices | NodePrices, ...]:
        """What devices cost; the very same object as long as neither devices nor bills change."""
        bills = self._make_bills(axis, accounting)
        key = bills, axis if inventory.of_nodes else None
        if not self._prices or self._priced_for != key or self._prices[0].inventory is not inventory:
            self._priced_for = key
            devices = tuple(Prices(bill, inventory, self._memo) for bill in bills)
            self._prices = (*devices, *node_prices(axis, inventory, self._memo))
            self.bills = tuple(one.bill for one in self._prices)
            self._counted = None
        return self._prices

    def count(self, nodes: NodeTable, axis: ResourceAxis, offer: Offer | None) -> tuple[Counted, ...]:
        """The devices that queues share; worked out once per inventory and nodes that are ready."""
        known = self._counted
        if known is None or known[1] is not offer or not np.array_equal(known[0], nodes.ready):
            devices = [one for one in self._prices if isinstance(one, Prices)]
            found = [one.counted(nodes.ready, _with_nodes(offer, axis, one.bill.column)) for one in devices]
            known = self._counted = nodes.ready, offer, tuple(found)
        return known[2]

    def _make_bills(self, axis: ResourceAxis, accounting: Accounting) -> tuple[Bill, ...]:
        """What queues are charged for: GPUs, and classes that some queue names."""
        bills = [Bill(_GPU, DEVICE, accounting.gpu_classes, parts=accounting.gpu_parts)]
        for column, name in enumerate(axis.accounted):
            if name.startswith(CLASS_PREFIX):
                called = name.removeprefix(CLASS_PREFIX)
                found = self._device_class(called)
                if found is not None:
                    bills.append(Bill(column, 1, frozenset({called}), found.selectors))
        return tuple(bills)


def _with_nodes(offer: Offer | None, axis: ResourceAxis, column: int) -> frozenset[int]:
    """Devices that count already, as what nodes offer of a resource that queues are charged for."""
    counted = offer.counted.items() if offer is not None else ()
    found = [names for resource, names in counted if axis.accounting[axis.index[resource], column]]
    return frozenset().union(*found)
