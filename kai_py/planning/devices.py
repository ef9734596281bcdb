"""``devices``: per node and pool what is free, who has what, what is tainted and what is left over in pieces."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kai_py.api.resource import ResourceClaim
from kai_py.cluster.devices.amounts import quantity
from kai_py.cluster.devices.book import DeviceBook
from kai_py.cluster.devices.results import taken_by
from kai_py.cluster.encode.axis import Accounting, make_axis
from kai_py.cluster.nodes import NodeBook
from kai_py.core.dra.devices import DeviceId
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.ledger import DeviceLedger
from kai_py.core.dra.pools import Pool
from kai_py.core.dra.preference import GROUPING, Preference
from kai_py.errors import InputError, MalformedObjectError
from kai_py.planning.manifests import Manifest, Sourced
from kai_py.planning.objects import Objects, read_objects

Json = dict[str, Any]

FREE: Final = "free"
TAKEN: Final = "taken"
SHARED: Final = "shared"
BLOCKED: Final = "blocked"
TAINTED: Final = "tainted"
#: What a device can be, in the order in which they are counted.
STATES: Final = (FREE, TAKEN, SHARED, BLOCKED, TAINTED)


@dataclass
class _Holders:
    """Who has devices: claims by device, and those whose device is gone."""

    of: dict[int, list[Json]] = field(default_factory=dict)
    gone: list[Json] = field(default_factory=list)


def devices(objects: Iterable[Manifest | Sourced], *, node: str = "") -> Json:
    """Tell how the devices of a cluster are.

    Args:
        objects: as the API server would return them; nodes, slices, taint rules and claims matter.
        node: only pools that this node sees; empty = all.

    Returns:
        A document with ``pools``, ``gone`` (devices that claims have and nobody publishes any more) and ``warnings``.

    Raises:
        InputError: with the faults of all objects.
    """
    read = read_objects(objects, time.time())
    inventory = _laid_out(read)
    if read.faults:
        raise InputError(read.faults)
    ledger, holders = _taken(read, inventory)
    view = _View(inventory, ledger, holders.of)
    return {
        "apiVersion": "kai-py/v1",
        "kind": "Devices",
        "pools": list(view.pools(node)),
        "gone": holders.gone,
        "warnings": read.warnings,
    }


def _laid_out(read: Objects) -> Inventory:
    """The devices of all slices; those that cannot be read are among the faults."""
    nodes, book = NodeBook(), DeviceBook()
    for one in read.nodes:
        nodes.put(one)
    for rule in read.device_taints:
        book.put_rule(rule)
    for found in read.slices:
        book.put(found)
    for name, faults in book.faults.items():
        read.complain(faults, read.sources["resource.k8s.io", "ResourceSlice", "", name])
    return book.inventory(nodes.table(make_axis((), Accounting())))


def _taken(read: Objects, inventory: Inventory) -> tuple[DeviceLedger, _Holders]:
    """What all claims together have taken, and who they are."""
    ledger, holders = DeviceLedger(inventory), _Holders()
    for claim in sorted(read.claims, key=lambda one: one.metadata.key):
        if claim.status.allocation is None:
            continue
        name = "/".join(claim.metadata.key)
        try:
            ledger.take(taken_by(claim.status.allocation, inventory, where=f"ResourceClaim {name}"))
        except MalformedObjectError as error:
            read.warnings += map(str, error.faults)
            continue
        _note_holders(claim, name, inventory, holders)
    return ledger, holders


def _note_holders(claim: ResourceClaim, name: str, inventory: Inventory, holders: _Holders) -> None:
    users = [f"{one.resource}/{one.name}" for one in claim.status.reserved_for]
    assert claim.status.allocation is not None
    for result in claim.status.allocation.devices.results:
        identity = inventory.row_of_id.get(DeviceId(result.driver, result.pool, result.device))
        holder: Json = {"claim": name, "reservedFor": users}
        if result.consumed_capacity:
            holder["consumedCapacity"] = {key: str(value) for key, value in sorted(result.consumed_capacity.items())}
        if result.admin_access:
            holder["adminAccess"] = True
        if identity is None:
            where = {"driver": result.driver, "pool": result.pool, "device": result.device}
            holders.gone.append(where | holder)
        else:
            holders.of.setdefault(identity, []).append(holder)


class _View:
    """The inventory through the eyes of people."""

    def __init__(self, inventory: Inventory, ledger: DeviceLedger, holders: Mapping[int, list[Json]]) -> None:
        self._inventory, self._ledger, self._holders = inventory, ledger, holders
        self._preference = Preference(inventory)
        self._rows: dict[int, list[int]] = {}
        for row, pool in enumerate(inventory.pool_idx):
            self._rows.setdefault(pool, []).append(row)
        self._counters_of: dict[int, list[int]] = {}
        for counter, number in enumerate(inventory.counters.set_idx):
            self._counters_of.setdefault(number, []).append(counter)

    def pools(self, node: str) -> Iterator[Json]:
        """All pools, or those that a node sees: sorted by node, driver and name, those of several nodes last."""
        inventory = self._inventory
        seen: set[int] = set()
        if node in inventory.nodes.names:
            seen.update(inventory.at(inventory.nodes.names.index(node)).rows)
        found = []
        for number, pool in enumerate(inventory.pools):
            rows = self._current(number, pool)
            if not node or not seen.isdisjoint(rows) or self._home(rows) == node:
                found.append(self._pool(pool, rows, settled=inventory.settled[number]))
        yield from sorted(found, key=lambda one: (one["node"] is None, one["node"] or "", one["driver"], one["pool"]))

    def _home(self, rows: list[int]) -> str | None:
        """The node that has all devices of a pool to itself."""
        homes = {self._inventory.reach_of(row).node for row in rows}
        return (homes.pop() or None) if len(homes) == 1 else None

    def _current(self, number: int, pool: Pool) -> list[int]:
        """Devices of the newest generation."""
        newest = {row for row, _ in pool.generations[-1].slices}
        return [row for row in self._rows.get(number, ()) if self._inventory.slice_idx[row] in newest]

    def _pool(self, pool: Pool, rows: list[int], *, settled: bool) -> Json:
        states = {row: self._state(row) for row in rows}
        counts = Counter(states.values())
        return {
            "node": self._home(rows),
            "driver": pool.driver,
            "pool": pool.name,
            "state": _state_of(pool, settled=settled),
            "devices": len(rows),
            "counts": {state: counts[state] for state in STATES},
            "cut": list(self._cut(rows, states)),
            "groups": self._groups(rows, states),
            "items": [self._item(row, states[row]) for row in rows],
        }

    def _state(self, row: int) -> str:
        inventory, ledger = self._inventory, self._ledger
        identity = inventory.id_idx[row]
        if ledger.whole[identity]:
            return TAKEN
        if ledger.shares[identity]:
            return SHARED
        totals = inventory.counters.totals
        if any(ledger.used[k] + amount > totals[k] for k, amount in inventory.charges[row]):
            return BLOCKED
        return TAINTED if any(taint.hard for taint in inventory.devices[row].taints) else FREE

    def _taints(self, row: int) -> list[str]:
        """Taints that keep claims away which do not tolerate them."""
        hard = [taint for taint in self._inventory.devices[row].taints if taint.hard]
        return [f"{one.key}={one.value}:{one.effect}" if one.value else f"{one.key}:{one.effect}" for one in hard]

    def _cut(self, rows: list[int], states: Mapping[int, str]) -> Iterator[Json]:
        """Devices that are cut in parts, what is left of their counters, and the largest part to be had."""
        inventory, counters = self._inventory, self._inventory.counters
        members: dict[int, list[int]] = {}
        for row in rows:
            for number in {counters.set_idx[k] for k, _ in inventory.charges[row]}:
                members.setdefault(number, []).append(row)
        for number in sorted(members):
            own = self._counters_of[number]
            free = [row for row in members[number] if states[row] == FREE]
            largest = max(free, key=lambda row: (self._preference.size(row), -row), default=None)
            yield {
                "name": counters.names[own[0]][1],
                "inUse": any(self._ledger.used[k] for k in own),
                "largestFree": None if largest is None else inventory.devices[largest].name,
                "counters": {
                    counters.names[k][2]: {
                        "total": quantity(counters.totals[k]),
                        "free": quantity(max(0, counters.totals[k] - self._ledger.used[k])),
                    }
                    for k in own
                },
            }

    def _groups(self, rows: list[int], states: Mapping[int, str]) -> Json:
        """Per group (PCIe root) how many devices it has and how many are free."""
        found: dict[str, list[int]] = {}
        for row in rows:
            for name in GROUPING:
                attribute = self._inventory.devices[row].attribute(name)
                if attribute is not None and attribute.kind:
                    found.setdefault("/".join(map(str, attribute.values)), []).append(row)
                    break
        return {
            name: {"devices": len(own), "free": sum(states[row] == FREE for row in own)}
            for name, own in sorted(found.items())
        }

    def _item(self, row: int, state: str) -> Json:
        inventory = self._inventory
        device, identity = inventory.devices[row], inventory.id_idx[row]
        item: Json = {"name": device.name, "state": state, "claims": self._holders.get(identity, [])}
        if taints := self._taints(row):
            item["taints"] = taints
        if device.shareable:
            taken = self._ledger.consumed.get(identity, {})
            item["capacity"] = {
                name: {"total": quantity(one.value), "free": quantity(max(0, one.value - taken.get(name, 0)))}
                for name, one in sorted(device.capacities.items())
            }
        return item


def _state_of(pool: Pool, *, settled: bool) -> str:
    """Whether claims can have devices of a pool."""
    if settled:
        return "Complete"
    if not pool.generations[-1].complete:
        return "Incomplete"
    return "Updating" if len(pool.generations) > 1 else "Invalid"
