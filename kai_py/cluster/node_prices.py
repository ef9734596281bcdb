"""What queues pay for what devices take of their nodes: cores are cores, asked for by a pod or by its claim."""

from __future__ import annotations

from kai_py.api.resource import Allocation
from kai_py.cluster.bills import Bill
from kai_py.cluster.devices.results import of_node
from kai_py.core.dra.capacity import taking
from kai_py.core.dra.claims import ALL, Alternative, Claim
from kai_py.core.dra.devices import Device
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.node_shares import OfNode, base_units, of_device
from kai_py.core.dra.selectors import Selector, SelectorError, SelectorMemo
from kai_py.core.resources import ResourceAxis


class NodePrices:
    """What the devices of an inventory cost on one column of A by what they take of nodes, base units.

    Args:
        column: in A.
        axis: what a unit of each resource costs there.
        inventory: the devices.
        memo: what selectors said.
    """

    def __init__(self, column: int, axis: ResourceAxis, inventory: Inventory, memo: SelectorMemo) -> None:
        self.bill = Bill(column, 1, frozenset())
        self.inventory = inventory
        self.axis = axis
        self._memo = memo
        self._known: dict[tuple[object, ...], int] = {}

    def asked(self, claim: Claim) -> int:
        """What a claim without devices costs: the most expensive of several alternatives, and of their devices."""
        return sum(max(map(self._asked_by, request.alternatives), default=0) for request in claim.requests)

    def held(self, claim: Claim, allocation: Allocation, where: str) -> int:  # noqa: ARG002  # as for other bills
        """What a claim with devices costs.

        Raises:
            MalformedObjectError: a consumed capacity is not a quantity.
        """
        return self._price(of_node(allocation, self.inventory, where=where))

    def _asked_by(self, way: Alternative) -> int:
        if way.admin or way.count == ALL:
            return 0
        selectors = (*way.device_class.selectors, *way.selectors)
        key = selectors, tuple(sorted(way.capacity.items()))
        known = self._known.get(key)
        if known is None:
            prices = [self._of(device, way) for device in self._takers if self._matches(selectors, device)]
            known = self._known[key] = max(prices, default=0)
        return way.count * known

    @property
    def _takers(self) -> list[Device]:
        return [device for device in self.inventory.devices if device.node_shares]

    def _of(self, device: Device, way: Alternative) -> int:
        consumed = taking(way.capacity, device)
        if consumed is None:
            return 0
        return self._price(of_device(device, consumed if device.shareable else ()))

    def _price(self, part: OfNode) -> int:
        price = 0
        for resource, amount in part:
            row = self.axis.index.get(resource)
            if row is not None:
                units = base_units(amount, self.axis.per_unit(resource))
                price += units * self.axis.accounting.item(row, self.bill.column)
        return price

    def _matches(self, selectors: tuple[Selector, ...], device: Device) -> bool:
        try:
            return self._memo.matches(selectors, device)
        except SelectorError:
            return False


def node_prices(axis: ResourceAxis, inventory: Inventory, memo: SelectorMemo) -> tuple[NodePrices, ...]:
    """One for each column of A on which what devices take of nodes costs anything."""
    rows = [axis.index[resource] for resource in inventory.of_nodes if resource in axis.index]
    columns = [column for column in range(len(axis.accounted)) if axis.accounting[rows, column].any()]
    return tuple(NodePrices(column, axis, inventory, memo) for column in columns)
