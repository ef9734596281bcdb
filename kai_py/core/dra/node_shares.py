"""What devices take of their node beside themselves (KEP-5517): cpu of a NUMA node, memory behind a device."""

from __future__ import annotations

from kai_py.core.dra.allocation import ClaimAllocation
from kai_py.core.dra.devices import UNIT
from kai_py.core.dra.inventory import Inventory


def node_shares(allocation: ClaimAllocation, inventory: Inventory) -> dict[str, int]:
    """What a claim takes of the resources of its node, in billionths of a unit.

    A mapping with a capacity counts what is consumed of that capacity, of a whole device all of it, times its
    multiplier; one without counts the multiplier. Admin access takes nothing.
    """
    taken: dict[str, int] = {}
    for allocated in allocation.devices:
        if allocated.admin:
            continue
        device = inventory.devices[allocated.row]
        consumed = dict(allocated.consumed)
        for share in device.node_shares:
            amount = share.multiplier
            if share.capacity:
                name = device.own_name(share.capacity, device.capacities)
                if name not in device.capacities:
                    continue
                amount = consumed.get(name, device.capacities[name].value) * share.multiplier // UNIT
            taken[share.resource] = taken.get(share.resource, 0) + amount
    return taken
