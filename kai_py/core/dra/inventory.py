"""The inventory: all devices of a snapshot as rows, and what each node sees of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, repeat

import numpy as np

from kai_py.core.dra.blocks import Blocks, Charges
from kai_py.core.dra.devices import Device, DeviceId, Reach, Slice
from kai_py.core.dra.pools import Pool, PoolState, by_pool
from kai_py.core.dra.seen import Seen
from kai_py.core.resources import Mask, Rows
from kai_py.core.tables.nodes import NodeTable
from kai_py.core.tables.requirements import matches_term

#: Node row of what no single node holds.
NOWHERE = -1


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
        settled: ``(P,)`` see ``Pool.settled``.
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
    settled: tuple[bool, ...]
    slices: tuple[Slice, ...]
    nodes: NodeTable
    _reaches: dict[Reach, Mask] = field(default_factory=dict, repr=False, compare=False)
    _sights: dict[int, Sight] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.devices)

    @classmethod
    def of(cls, slices: Iterable[Slice], nodes: NodeTable, memory: Blocks | None = None) -> Inventory:
        """Lay out slices for the nodes of a snapshot; pools that ``memory`` knows are not laid out anew."""
        pools = by_pool(slices)
        blocks = (memory or Blocks()).of(pools)
        own = tuple(chain.from_iterable(block.slices for block in blocks))
        ids = tuple(chain.from_iterable(block.names for block in blocks))
        id_idx = tuple(chain.from_iterable(block.id_idx for block in blocks))
        slice_idx = tuple(chain.from_iterable(block.slice_idx for block in blocks))
        devices = tuple(chain.from_iterable(block.devices for block in blocks))
        devices_of_id: list[list[int]] = [[] for _ in ids]
        for row, identity in enumerate(id_idx):
            devices_of_id[identity].append(row)
        return cls(
            devices=devices,
            ids=ids,
            id_idx=id_idx,
            pool_idx=tuple(chain.from_iterable(repeat(row, len(block.devices)) for row, block in enumerate(blocks))),
            slice_idx=slice_idx,
            node_idx=_node_rows(devices, slice_idx, own, nodes),
            charges=tuple(chain.from_iterable(block.charges for block in blocks)),
            charges_of_id=tuple(chain.from_iterable(block.charges_of_id for block in blocks)),
            devices_of_id=tuple(map(tuple, devices_of_id)),
            row_of_id={one: row for row, one in enumerate(ids)},
            counters=Counters(
                tuple(chain.from_iterable(block.counters for block in blocks)),
                tuple(chain.from_iterable(block.totals for block in blocks)),
                tuple(chain.from_iterable(block.set_idx for block in blocks)),
            ),
            pools=pools,
            settled=tuple(block.settled for block in blocks),
            slices=own,
            nodes=nodes,
        )

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
    def seen(self) -> Seen:
        """Which node sees which device."""
        return Seen.of(self)

    @cached_property
    def rows_of_pool(self) -> Mapping[str, tuple[int, ...]]:
        """``driver/pool`` -> all devices of all its generations."""
        found: dict[int, list[int]] = {}
        for row, pool in enumerate(self.pool_idx):
            found.setdefault(pool, []).append(row)
        return {f"{one.driver}/{one.name}": tuple(found.get(row, ())) for row, one in enumerate(self.pools)}

    @cached_property
    def of_nodes(self) -> frozenset[str]:
        """What nodes offer themselves and some device takes."""
        return frozenset(share.resource for device in self.devices for share in device.node_shares)

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
        if plan.conditional:
            last = {self.pool_idx[row] for row in rows if self.devices[row].conditions}
            rows.sort(key=lambda row: (self.pool_idx[row] in last, row))
        else:
            rows.sort()
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
    """How to look quickly: devices of settled pools by node, and the pools that look different from each node.

    ``conditional``: some device has binding conditions.
    """

    local: dict[int, list[int]]
    wide: tuple[tuple[int, Reach], ...]
    unsettled: tuple[Pool, ...]
    rows_of_slice: dict[int, list[int]]
    conditional: bool

    @classmethod
    def of(cls, inventory: Inventory) -> _Plan:
        settled = inventory.settled
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
        conditional = any(device.conditions for device in inventory.devices)
        return cls(local, tuple(wide), unsettled, rows_of_slice, conditional)


#: Where nothing is: no node has a name like that.
_NO_NODE = Reach(node="/")


def _node_rows(devices: Sequence[Device], slice_idx: Sequence[int], slices: Sequence[Slice], nodes: NodeTable) -> Rows:
    """The node that has each device to itself."""
    row_of = {name: row for row, name in enumerate(nodes.names)}
    of_slice = [_home(one.reach or _NO_NODE, row_of) for one in slices]
    node_idx = np.array([of_slice[number] for number in slice_idx], dtype=np.int32)
    # A slice that leaves it to its devices is rare.
    open_slices = {number for number, one in enumerate(slices) if one.reach is None}
    if open_slices:
        for row, number in enumerate(slice_idx):
            if number in open_slices:
                node_idx[row] = _home(devices[row].reach or _NO_NODE, row_of)
    node_idx.flags.writeable = False
    return node_idx


def _home(reach: Reach, row_of: Mapping[str, int]) -> int:
    return row_of.get(reach.node, NOWHERE) if reach.node else NOWHERE
