"""The inventory: all devices of a snapshot as rows, and what each node sees of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from kai_py.core.dra.devices import Device, DeviceId, Reach, Slice
from kai_py.core.dra.pools import Generation, Pool, PoolState, by_pool
from kai_py.core.resources import Mask, Rows
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.requirements import matches_term

#: Node row of what no single node holds.
NOWHERE = -1

#: (row of a counter, amount)
Charges = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Counters:
    """Shared counters of all pools.

    Attributes:
        names: ``(K,)`` (pool, counter set, counter).
        totals: ``(K,)`` amounts.
        set_idx: ``(K,)`` which counter set; sets of different pools and generations are different.
    """

    names: tuple[tuple[str, str, str], ...]
    totals: tuple[int, ...]
    set_idx: tuple[int, ...]


@dataclass(frozen=True)
class Sight:
    """What one node sees.

    Attributes:
        rows: devices that it can use, in the order in which they are offered: pools by driver and name, those with
            binding conditions last; slices by name; devices as their driver lists them.
        incomplete: pools that are being updated, as ``driver/pool``.
        invalid: pools that contradict themselves.
    """

    rows: tuple[int, ...]
    incomplete: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inventory:
    """All devices, sorted by driver, pool, generation, slice and position. Sealed; the same for any order of slices.

    Attributes:
        devices: ``(D,)``
        ids: ``(I,)`` the different names of devices; generations of a pool share them.
        id_idx: ``(D,)`` the name of a device.
        pool_idx: ``(D,)``
        slice_idx: ``(D,)``
        node_idx: ``(D,)`` the node that has the device to itself, else ``NOWHERE``; int32.
        charges: ``(D,)`` what a device takes of counters.
        charges_of_id: ``(I,)`` the same of all devices of a name.
        devices_of_id: ``(I,)`` rows of all devices of a name.
        row_of_id: name -> row in ``ids``.
        counters: all shared counters.
        pools: ``(P,)``
        slices: ``(S,)``
        nodes: for which it was laid out; only names and labels matter.
    """

    devices: tuple[Device, ...]
    ids: tuple[DeviceId, ...]
    id_idx: tuple[int, ...]
    pool_idx: tuple[int, ...]
    slice_idx: tuple[int, ...]
    node_idx: Rows
    charges: tuple[Charges, ...]
    charges_of_id: tuple[Charges, ...]
    devices_of_id: tuple[tuple[int, ...], ...]
    row_of_id: Mapping[DeviceId, int]
    counters: Counters
    pools: tuple[Pool, ...]
    slices: tuple[Slice, ...]
    nodes: NodeTable
    _reaches: dict[Reach, Mask] = field(default_factory=dict, repr=False, compare=False)
    _sights: dict[int, Sight] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.devices)

    @classmethod
    def of(cls, slices: Iterable[Slice], nodes: NodeTable) -> Inventory:
        """Lay out slices for the nodes of a snapshot."""
        return _Builder(nodes, by_pool(slices)).build()

    def at(self, node: int) -> Sight:
        """What a node sees; worked out once."""
        sight = self._sights.get(node)
        if sight is None:
            sight = self._sights[node] = self._look(node)
        return sight

    def reached(self, reach: Reach) -> Mask:
        """``(N,)`` the nodes from which something can be used."""
        mask = self._reaches.get(reach)
        if mask is None:
            mask = self._reaches[reach] = self._reached(reach)
        return mask

    def reach_of(self, device: int) -> Reach:
        """From where a device can be used."""
        found = self.slices[self.slice_idx[device]].reach or self.devices[device].reach
        return _NO_NODE if found is None else found

    def pool_name(self, device: int) -> str:
        """Name of a device's pool, as results write it."""
        return self.pools[self.pool_idx[device]].name

    def sees(self, node: int, reach: Reach) -> bool:
        """Whether something can be used from a node."""
        if reach.node:
            return self.nodes.names[node] == reach.node
        return reach.term is None or self.reached(reach).item(node)

    def _reached(self, reach: Reach) -> Mask:
        if reach.term is not None:
            return matches_term(reach.term, self.nodes)
        if not reach.node:
            return np.ones(len(self.nodes), dtype=np.bool_)
        return np.array([name == reach.node for name in self.nodes.names], dtype=np.bool_)

    @cached_property
    def _plan(self) -> _Plan:
        return _Plan.of(self)

    def _look(self, node: int) -> Sight:
        plan = self._plan
        rows = [*plan.local.get(node, ()), *(row for row, reach in plan.wide if self.sees(node, reach))]
        bad: dict[PoolState, list[str]] = {PoolState.INCOMPLETE: [], PoolState.INVALID: []}
        for pool in plan.unsettled:
            seen = pool.seen_by(lambda one: self._concerns(one, node))
            if seen is None or seen[0] is PoolState.GONE:
                continue
            state, slices = seen
            if state in bad:
                bad[state].append(f"{pool.driver}/{pool.name}")
                continue
            own = (row for one in slices for row in plan.rows_of_slice[one])
            rows.extend(row for row in own if self.sees(node, self.reach_of(row)))
        last = {self.pool_idx[row] for row in rows if self.devices[row].conditions}
        rows.sort(key=lambda row: (self.pool_idx[row] in last, row))
        return Sight(tuple(rows), tuple(bad[PoolState.INCOMPLETE]), tuple(bad[PoolState.INVALID]))

    def _concerns(self, number: int, node: int) -> bool:
        """Whether a slice concerns a node. Counters concern everybody: devices anywhere may consume them."""
        one = self.slices[number]
        if one.counter_sets:
            return True
        if one.reach is not None:
            return self.sees(node, one.reach)
        return any(self.sees(node, device.reach or _NO_NODE) for device in one.devices)


@dataclass(frozen=True)
class _Plan:
    """How to look quickly: devices of settled pools by node, and the pools that look different from each node."""

    local: dict[int, list[int]]
    wide: tuple[tuple[int, Reach], ...]
    unsettled: tuple[Pool, ...]
    rows_of_slice: dict[int, list[int]]

    @classmethod
    def of(cls, inventory: Inventory) -> _Plan:
        settled = [pool.settled for pool in inventory.pools]
        local: dict[int, list[int]] = {}
        wide: list[tuple[int, Reach]] = []
        rows_of_slice: dict[int, list[int]] = {number: [] for number in range(len(inventory.slices))}
        nodes = inventory.node_idx.tolist()
        for row, node in enumerate(nodes):
            rows_of_slice[inventory.slice_idx[row]].append(row)
            if not settled[inventory.pool_idx[row]]:
                continue
            reach = inventory.reach_of(row)
            if node != NOWHERE:
                local.setdefault(node, []).append(row)
            elif not reach.node:
                wide.append((row, reach))
        unsettled = tuple(pool for pool, fine in zip(inventory.pools, settled, strict=True) if not fine)
        return cls(local, tuple(wide), unsettled, rows_of_slice)


class _Builder:
    """Numbers everything once."""

    def __init__(self, nodes: NodeTable, pools: tuple[Pool, ...]) -> None:
        self.nodes, self.pools = nodes, pools
        self.row_of_id: dict[DeviceId, int] = {}
        self.names: list[tuple[str, str, str]] = []
        self.totals: list[int] = []
        self.set_idx: list[int] = []
        self.sets = 0
        self.columns: tuple[list[Device], list[int], list[int], list[int], list[Charges]] = ([], [], [], [], [])

    def build(self) -> Inventory:
        for number, pool in enumerate(self.pools):
            for generation in pool.generations:
                self._add(number, pool, generation)
        devices, ids, pool_idx, slice_idx, charges = self.columns
        devices_of_id: list[list[int]] = [[] for _ in self.row_of_id]
        for row, identity in enumerate(ids):
            devices_of_id[identity].append(row)
        slices = tuple(one for _, one in _slices(self.pools))
        return Inventory(
            devices=tuple(devices),
            ids=tuple(self.row_of_id),
            id_idx=tuple(ids),
            pool_idx=tuple(pool_idx),
            slice_idx=tuple(slice_idx),
            node_idx=self._node_rows(devices, slice_idx, slices),
            charges=tuple(charges),
            charges_of_id=tuple(_charges_of(rows, charges) for rows in devices_of_id),
            devices_of_id=tuple(map(tuple, devices_of_id)),
            row_of_id=self.row_of_id,
            counters=Counters(tuple(self.names), tuple(self.totals), tuple(self.set_idx)),
            pools=self.pools,
            slices=slices,
            nodes=self.nodes,
        )

    def _add(self, number: int, pool: Pool, generation: Generation) -> None:
        counters = self._count(pool, generation)
        devices, ids, pool_idx, slice_idx, charges = self.columns
        for slice_row, one in generation.slices:
            for device in one.devices:
                devices.append(device)
                identity = DeviceId(pool.driver, pool.name, device.name)
                ids.append(self.row_of_id.setdefault(identity, len(self.row_of_id)))
                pool_idx.append(number)
                slice_idx.append(slice_row)
                charges.append(_charges(device, counters) if device.consumes else ())

    def _count(self, pool: Pool, generation: Generation) -> dict[tuple[str, str], int]:
        """Number the counters of a generation. Of counter sets with one name the first one counts."""
        found: dict[tuple[str, str], int] = {}
        seen: set[str] = set()
        for _, one in generation.slices:
            for counters in one.counter_sets:
                if counters.name in seen:
                    continue
                seen.add(counters.name)
                for name, total in counters.counters:
                    found[counters.name, name] = len(self.names)
                    self.names.append((f"{pool.driver}/{pool.name}", counters.name, name))
                    self.totals.append(total)
                    self.set_idx.append(self.sets)
                self.sets += 1
        return found

    def _node_rows(self, devices: list[Device], slice_idx: list[int], slices: tuple[Slice, ...]) -> Rows:
        row_of = {name: row for row, name in enumerate(self.nodes.names)}
        reaches = [
            slices[number].reach or device.reach or _NO_NODE for device, number in zip(devices, slice_idx, strict=True)
        ]
        rows = [row_of.get(reach.node, NOWHERE) if reach.node else NOWHERE for reach in reaches]
        node_idx = np.array(rows, dtype=np.int32)
        node_idx.flags.writeable = False
        return node_idx


#: Where nothing is: no node has a name like that.
_NO_NODE = Reach(node="/")


def _charges(device: Device, counters: dict[tuple[str, str], int]) -> Charges:
    """What a device takes of counters, by row; of unknown ones it takes nothing, its pool is invalid anyway."""
    taken: dict[int, int] = {}
    for use in device.consumes:
        for name, amount in use.amounts:
            row = counters.get((use.counter_set, name))
            if row is not None:
                taken[row] = taken.get(row, 0) + amount
    return tuple(sorted(taken.items()))


def _charges_of(rows: list[int], charges: list[Charges]) -> Charges:
    """What all devices of one name take; they are of different generations, or their pool is invalid."""
    if len(rows) == 1:
        return charges[rows[0]]
    taken: dict[int, int] = {}
    for row in rows:
        for counter, amount in charges[row]:
            taken[counter] = max(amount, taken.get(counter, 0))
    return tuple(sorted(taken.items()))


def _slices(pools: tuple[Pool, ...]) -> Iterator[tuple[int, Slice]]:
    return (one for pool in pools for generation in pool.generations for one in generation.slices)
