"""What a ledger of devices has left: what nobody has that queues pay for, and whether given devices can be taken."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from kai_py.core.dra.index import UNLIMITED
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger, Take
from kai_py.core.dra.table import Counted, Parts


def idle_devices(counted: Sequence[Counted], inventory: Inventory, ledger: DeviceLedger) -> Iterator[tuple[int, int]]:
    """(column in A, base units) of devices, and parts of them, that queues pay for and that nobody has."""
    for one in counted:
        whole = sum(not ledger.busy(identity) for identity in one.devices)
        yield one.column, math.ceil(one.unit * (whole + sum(_left(one.parts, inventory, ledger))))


def _left(parts: Parts, inventory: Inventory, ledger: DeviceLedger) -> Iterator[float]:
    """Which part of each device is left."""
    totals = inventory.counters.totals
    for counters in parts.sets:
        left = [max(0, totals[k] - ledger.used[k]) / totals[k] for k in counters]
        yield sum(left) / len(left) if left else 0.0
    for identity, names in parts.shared:
        if ledger.whole[identity]:
            continue
        capacities = inventory.devices[inventory.devices_of_id[identity][0]].capacities
        taken = ledger.consumed.get(identity, {})
        left = [max(0, capacities[k].value - taken.get(k, 0)) / capacities[k].value for k in names]
        yield sum(left) / len(left) if left else float(UNLIMITED)


def fits_beside(ledger: DeviceLedger, inventory: Inventory, takes: Sequence[Take]) -> bool:
    """Whether devices can be taken beside what is taken already, all of them; the ledger is as before."""
    taken: list[Take] = []
    try:
        for take in takes:
            if ledger.whole[take.identity] or (ledger.shares[take.identity] and not take.shared):
                return False
            ledger.take((take,))
            taken.append(take)
            counters = [counter for counter, _ in inventory.charges_of_id[take.identity]]
            if any(ledger.used[counter] > inventory.counters.totals[counter] for counter in counters):
                return False
            if not _within(ledger, inventory, take.identity):
                return False
        return True
    finally:
        ledger.give(reversed(taken))


def _within(ledger: DeviceLedger, inventory: Inventory, identity: int) -> bool:
    """Whether no more is consumed of a device than it has."""
    consumed = ledger.consumed.get(identity, {})
    capacities = inventory.devices[inventory.devices_of_id[identity][0]].capacities
    return all(name in capacities and amount <= capacities[name].value for name, amount in consumed.items())
